"""Columns of spikes: their form, and reading them in parts."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from biosim.analysis import mean_rate
from biosim.analysis import spikes as module
from biosim.analysis.spikes import spike_columns, spike_trains
from biosim.errors import AnalysisError
from biosim.traces import open_run
from tests.unit.biosim.analysis.trains import columns, poisson
from tests.unit.biosim.spiking.made_up_run import (
    Activity,
    in_memory,
    made,
    recorded,
    shares,
    sink_at,
)


def test_columns_are_sorted_by_time_and_neuron() -> None:
    found = spike_columns([0.3, 0.1, 0.3, 0.2], [4, 0, 1, 2], 1.0)
    np.testing.assert_array_equal(found.time, [0.1, 0.2, 0.3, 0.3])
    np.testing.assert_array_equal(found.neuron, [0, 2, 1, 4])
    assert found.attrs == {"size": 5, "start_s": 0.0, "stop_s": 1.0}
    assert found.time.attrs["units"] == "s"


@pytest.mark.parametrize(
    ("times", "who", "message"),
    [
        ([0.1, 0.2], [1], r"^got times of the shape \(2,\) and neurons of the shape \(1,\);"),
        ([0.1], [0.5], "^got neurons of the type float64; expected whole numbers"),
        ([0.1, np.nan], [0, 1], r"^got a spike at nan s; expected times from 0.0 s to before 1.0"),
        ([0.1, 1.0], [0, 1], r"^got a spike at 1.0 s; expected times from"),
        ([-0.1], [0], r"^got a spike at -0.1 s;"),
        ([0.1], [3], "^got a spike of neuron 3; expected 0 to 2"),
        ([0.1], [-1], "^got a spike of neuron -1; expected 0 to 2"),
    ],
)
def test_columns_that_make_no_sense_are_refused(
    times: list[float], who: list[float], message: str
) -> None:
    with pytest.raises(AnalysisError, match=message):
        spike_columns(times, who, 1.0, size=3)


@pytest.mark.parametrize("part", [1, 7, 1 << 20])
def test_parts_make_up_the_stretch_whatever_their_size(
    monkeypatch: pytest.MonkeyPatch, part: int
) -> None:
    monkeypatch.setattr(module, "PART", part)
    trains = poisson()
    view = spike_trains(columns(trains), [4, 1, 6], 2.0, 5.0)
    parts = list(view.parts())
    times, rows = (np.concatenate(column) for column in zip(*parts, strict=True))
    assert np.all(np.diff(times) >= 0)
    for row, neuron in enumerate([4, 1, 6]):
        expected = trains[neuron][(trains[neuron] >= 2.0) & (trains[neuron] < 5.0)]
        np.testing.assert_array_equal(times[rows == row], expected)
    whole, begins = view.trains()
    np.testing.assert_array_equal(whole[begins[1] : begins[2]], times[rows == 1])


def test_a_time_given_in_decimals_means_its_tick() -> None:
    # 3 * 0.1 is a hair above 0.3.
    spikes = spike_columns(np.arange(10) * 0.1, np.zeros(10, int), 1.0, dt_s=0.1)
    parts = list(spike_trains(spikes, start_s=0.3, stop_s=0.6).parts())
    np.testing.assert_allclose(parts[0][0], [0.3, 0.4, 0.5])


@pytest.mark.parametrize("finished", [True, False])
def test_a_run_gives_the_same_stretches_as_its_spikes(tmp_path: Path, finished: bool) -> None:
    memory = in_memory()
    if finished:
        tree = open_run(recorded(tmp_path, 2))
    else:
        store, owned = made(tmp_path), shares(1)[0]
        sink = sink_at(store, owned)
        Activity().play(sink, owned)
        sink.flush()
        tree = open_run(store)
    for population in ("E", "I", "silent"):
        view = spike_trains(tree[f"spikes/{population}"], start_s=0.0101, stop_s=0.0333)
        parts = [(np.empty(0), np.empty(0, int)), *view.parts()]
        times, rows = (np.concatenate(column) for column in zip(*parts, strict=True))
        stored = memory.spikes[population]
        inside = (stored.ticks >= 101) & (stored.ticks < 333)
        np.testing.assert_array_equal(np.rint(times / 1e-4), stored.ticks[inside])
        np.testing.assert_array_equal(view.neurons[rows], stored.neurons[inside])
        few, begins = view.trains()
        assert len(few) == begins[-1] == len(times)


def test_trains_read_by_neuron_are_those_found_by_scanning(tmp_path: Path) -> None:
    tree = open_run(recorded(tmp_path))["spikes/I"]
    asked = ([19, 0, 11], 0.0123, 0.0517)
    times, begins = spike_trains(tree, *asked).trains()
    scanned, starts = spike_trains(tree.to_dataset(inherit=False), *asked).trains()
    np.testing.assert_array_equal(times, scanned)
    np.testing.assert_array_equal(begins, starts)
    assert len(times) > 20


def test_of_a_run_only_the_windows_asked_for_are_read(tmp_path: Path) -> None:
    view = spike_trains(open_run(recorded(tmp_path))["spikes/E"], start_s=0.02, stop_s=0.03)
    first, last = view._span()
    assert 0 < first < last < view.columns.sizes["spike"]


def test_neurons_that_were_not_recorded_are_no_neurons(tmp_path: Path) -> None:
    spikes = open_run(recorded(tmp_path))["spikes/I"]
    np.testing.assert_array_equal(spike_trains(spikes).neurons, [0, 3, 11, 19])
    with pytest.raises(AnalysisError, match=r"^got neuron 4; of this population 4 neurons were "):
        spike_trains(spikes, [3, 4])


def test_the_end_of_a_run_is_what_was_committed(tmp_path: Path) -> None:
    spikes = open_run(recorded(tmp_path))["spikes/E"]
    assert spike_trains(spikes).stop_s == pytest.approx(0.073)
    assert spike_trains(spikes.to_dataset(inherit=False)).duration_s == pytest.approx(0.073)


def test_what_is_no_choice_of_neurons_is_refused() -> None:
    spikes = columns(poisson())
    with pytest.raises(AnalysisError, match=r"^got neuron 7; of this population 7 .* from 0 to 6$"):
        spike_trains(spikes, [1, 7])
    with pytest.raises(AnalysisError, match=r"^got neurons=\[0.5\]; expected a list of whole"):
        spike_trains(spikes, [0.5])  # type: ignore[list-item]
    with pytest.raises(AnalysisError, match=r"expected each neuron once"):
        spike_trains(spikes, [1, 1])
    empty = spike_columns([], [], 1.0)
    with pytest.raises(AnalysisError, match=r"^got neuron 0; .* none at all$"):
        spike_trains(empty, [0])


def test_what_is_no_stretch_is_refused() -> None:
    spikes = columns(poisson())
    for start, stop in ((3.0, 3.0), (np.nan, 1.0), (0.0, np.inf)):
        with pytest.raises(AnalysisError, match=r"^got the stretch from .* expected one with a"):
            spike_trains(spikes, None, start, stop)


def test_columns_of_another_form_are_refused() -> None:
    spikes = columns(poisson())
    with pytest.raises(AnalysisError, match=r"^the spikes have no column 'neuron' along 'spike'"):
        spike_trains(spikes.drop_vars("neuron"))
    unsized, endless = spikes.copy(), spikes.copy()
    del unsized.attrs["size"], endless.attrs["stop_s"]
    with pytest.raises(AnalysisError, match=r"^the spikes have no attribute 'size'"):
        spike_trains(unsized)
    with pytest.raises(AnalysisError, match=r"^it is not known when the recording ends: give stop"):
        spike_trains(endless)


@pytest.mark.parametrize("times", [[0.2, 0.1], [0.1, np.nan], [np.nan, 0.1], [np.nan, np.nan]])
@pytest.mark.parametrize("part", [1, 2])
def test_times_out_of_order_or_not_numbers_are_refused(
    monkeypatch: pytest.MonkeyPatch, times: list[float], part: int
) -> None:
    monkeypatch.setattr(module, "PART", part)
    spikes = xr.Dataset(
        {"time": ("spike", times), "neuron": ("spike", [0, 0])}, attrs={"size": 1, "stop_s": 1.0}
    )
    with pytest.raises(
        AnalysisError, match=r"^the times of spikes [01] to [01] are not numbers in incre"
    ):
        list(spike_trains(spikes).parts())


def test_neurons_beyond_the_population_are_refused() -> None:
    spikes = spike_columns([0.1, 0.2], [0, 3], 1.0)
    spikes.attrs["size"] = 3
    with pytest.raises(AnalysisError, match=r"^got spikes of neurons 0 to 3; expected 0 to 2"):
        list(spike_trains(spikes).parts())


def windowed(*windows: tuple[int, int]) -> xr.Dataset:
    """Spikes of one neuron every 10 ms for a second, of which only windows were recorded."""
    ticks = [t for a, b in windows for t in range(a, b) if t % 10 == 0]
    made_up = spike_columns(np.array(ticks) * 1e-3, np.zeros(len(ticks), int), 1.0, dt_s=1e-3)
    return made_up.assign_attrs(recorded_ticks=[list(window) for window in windows])


def test_the_only_window_that_was_recorded_is_the_stretch() -> None:
    assert mean_rate(windowed((200, 400))).values == pytest.approx([100.0])
    killed = windowed((200, 900)).assign_attrs(stop_s=0.6)
    assert spike_trains(killed).stop_s == 0.6


def test_a_stretch_reaches_over_no_gap() -> None:
    gaps = windowed((0, 200), (500, 800))
    for begin, end in ((None, None), (0.1, 0.6), (0.3, 0.4), (0.7, 0.9)):
        with pytest.raises(AnalysisError, match=r"recorded from 0 to 0\.2 s, 0\.5 to 0\.8 s: give"):
            spike_trains(gaps, start_s=begin, stop_s=end)
    rate = mean_rate(gaps, start_s=0.5, stop_s=0.8)
    assert rate.values == pytest.approx([100.0])


def test_a_stretch_ends_with_the_recording() -> None:
    spikes = spike_columns([0.5, 0.6], [0, 0], 1.0, start_s=0.4)
    for begin, end in ((0.5, 2.0), (0.0, 0.9)):
        with pytest.raises(AnalysisError, match=r"; spikes were recorded from 0\.4 to 1 s: give"):
            mean_rate(spikes, start_s=begin, stop_s=end)


def test_windows_that_touch_are_one() -> None:
    assert mean_rate(windowed((200, 400), (400, 700))).values == pytest.approx([100.0])


def test_a_run_that_has_not_come_to_its_window_says_so() -> None:
    early = windowed((200, 400)).isel(spike=slice(0)).assign_attrs(stop_s=0.1)
    for begin, end in ((None, None), (0.0, 0.1)):
        with pytest.raises(AnalysisError, match=r"^no stretch in which spikes are recorded was r"):
            spike_trains(early, start_s=begin, stop_s=end)


def test_whoever_minds_gaps_may_reach_over_them() -> None:
    trains = spike_trains(windowed((0, 200), (500, 800)), start_s=0.1, stop_s=2.0, gaps=True)
    assert trains.recorded_s == ((0.0, 0.2), (0.5, 0.8))
    assert sum(len(times) for times, _ in trains.parts()) == 10 + 30


def test_what_is_no_columns_or_no_time_is_refused() -> None:
    spikes = columns(poisson())
    with pytest.raises(AnalysisError, match=r"got spikes of the type DataArray; give tree"):
        spike_trains(spikes.time)  # type: ignore[arg-type]
    with pytest.raises(AnalysisError, match=r"got start_s='0'; expected a number of seconds"):
        spike_trains(spikes, start_s="0")  # type: ignore[arg-type]
