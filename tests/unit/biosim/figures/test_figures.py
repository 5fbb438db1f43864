"""Figures show what is stored, say their units, and are the same bytes each time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import zarr
from matplotlib.figure import Figure

from biosim import open_run
from biosim.analysis import dissimilarity, linear_cka, population_similarities
from biosim.analysis.spikes import spike_columns
from biosim.errors import AnalysisError, OutputError
from biosim.figures import FIGURES, Selection, figure, save
from biosim.figures import raster as rasters
from biosim.figures.selection import floor_round
from biosim.figures.style import prefixed
from biosim.store import RunStore
from tests.unit.biosim.spiking.made_up_run import DT_S, Activity, made, recorded, shares, sink_at

OF_SPIKES = ("raster", "rates", "isi", "spectrum")
OF_LAYERS = ("weights", "rotation", "activity", "cka", "rsa", "rdm", "accuracy")


@pytest.fixture(scope="module")
def spikes(tmp_path_factory: pytest.TempPathFactory) -> xr.DataTree:
    return open_run(recorded(tmp_path_factory.mktemp("spikes"), activity=Activity(ticks=730)))


def layers(path: Path, snapshots: int = 5, committed: int = 99) -> xr.DataTree:
    store = RunStore(path / "run.zarr", "w")
    store.describe({"committed_epoch": committed, "status": "complete"})
    random = np.random.default_rng(1)
    store.write("learning/epoch", [0, 1, 2], ["epoch"])
    store.write_names("learning/split", ["train", "test"], "split")
    accuracy = np.array([[0.1, 0.2], [0.5, 0.4], [0.9, np.nan]])
    store.write("learning/accuracy", accuracy, ["epoch", "split"])
    populations = ["input", "z", "a"]
    store.write_names("ledger/populations/population", populations, "population")
    store.write_names("ledger/projections/projection", ["input-z", "z-a"], "projection")
    for name, shape in (("input-z", (9, 6)), ("z-a", (4, 9))):
        weights = np.cumsum(random.normal(size=(snapshots, *shape)), axis=0)
        store.write(f"weights/{name}/snapshot", np.arange(snapshots), ["snapshot"])
        dims = ["snapshot", "post", "pre"]
        store.write(f"weights/{name}/weight", weights, dims, {"units": "1"})
    for name, size in (("z", 9), ("a", 4)):
        activity = random.normal(size=(2, 12, size))
        store.write(f"activity/{name}/snapshot", [0, snapshots - 1], ["snapshot"])
        store.write(f"activity/{name}/label", np.arange(12) % 3, ["sample"])
        dims = ["snapshot", "sample", "neuron"]
        store.write(f"activity/{name}/activity", activity, dims, {"units": "1"})
    return open_run(path)


@pytest.fixture(scope="module")
def layered(tmp_path_factory: pytest.TempPathFactory) -> xr.DataTree:
    return layers(tmp_path_factory.mktemp("layers"))


def words(drawn: Figure) -> set[str]:
    found = {text.get_text() for text in (drawn._supxlabel, drawn._supylabel) if text}  # type: ignore[attr-defined]
    for axes in drawn.axes:
        found |= {axes.get_xlabel(), axes.get_ylabel(), axes.get_title("left")}
        found |= {label.get_text() for label in axes.get_yticklabels()}
    return found


def test_every_figure_is_drawn_of_some_run(spikes: xr.DataTree, layered: xr.DataTree) -> None:
    assert {*OF_SPIKES, *OF_LAYERS} == {*FIGURES}
    assert {"time (s)", "neurons"} <= words(figure(spikes, "raster"))
    assert "rate (Hz), bins of 1 ms" in words(figure(spikes, "rates"))
    labels = {"inter-spike interval (ms)", "CV of a neuron's intervals", "neurons (%)"}
    assert labels <= words(figure(spikes, "isi"))
    assert {"time (s)", "v (mV)", "ge"} <= words(figure(spikes, "activity"))
    assert {"time (s)", "weight (S)", "E->E"} <= words(figure(spikes, "weights"))
    assert {"time (s)", "1 − cosine to the start"} <= words(figure(spikes, "rotation"))
    assert {"epoch", "weight", "z-a", "weights (%)"} <= words(figure(layered, "weights"))
    assert {"neuron", "sample, by label", "z, epoch 4"} <= words(figure(layered, "activity"))
    assert {"linear CKA"} <= words(figure(layered, "cka"))
    assert {"RSA (Spearman)"} <= words(figure(layered, "rsa"))
    assert {"1 − correlation", "sample, by label"} <= words(figure(layered, "rdm"))
    assert {"epoch", "accuracy (%)"} <= words(figure(layered, "accuracy"))


def test_the_dots_of_a_raster_are_the_spikes(spikes: xr.DataTree) -> None:
    drawn = figure(spikes, "raster", Selection(("E",)))
    (dots,) = drawn.axes[0].lines
    np.testing.assert_array_equal(dots.get_xdata(), spikes["spikes/E"].time)
    np.testing.assert_array_equal(dots.get_ydata(), spikes["spikes/E"].neuron)
    part = figure(spikes, "raster", Selection(("E",), 0.01, 0.02)).axes[0]
    times = spikes["spikes/E"].time.values
    expected = times[(times >= 0.01 - 1e-9) & (times < 0.02 - 1e-9)]
    np.testing.assert_array_equal(part.lines[0].get_xdata(), expected)
    assert part.get_xlim() == (0.01, 0.02)


def test_of_many_neurons_and_spikes_a_part_is_drawn(
    spikes: xr.DataTree, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rasters, "MOST_DOTS", 100)
    (axes,) = figure(spikes, "raster", Selection(("E",), neurons=10)).axes
    assert axes.get_yticklabels()[0].get_text() == "E\n10 of 70"
    (dots,) = axes.lines
    assert 20 < len(dots.get_xdata()) < 110
    assert set(np.unique(dots.get_ydata())) <= set(range(10))
    begin, end = axes.get_xlim()
    assert end == pytest.approx(0.073)
    assert end - begin == pytest.approx(0.01)
    recorded_only = figure(spikes, "raster", Selection(("I",))).axes[0]
    assert recorded_only.get_yticklabels()[0].get_text() == "I\n4"
    assert set(recorded_only.lines[0].get_ydata()) == {0, 1, 2, 3}


def test_rates_hold_all_spikes(spikes: xr.DataTree) -> None:
    (axes,) = figure(spikes, "rates", Selection(("E",))).axes
    values, edges, _ = axes.patches[0].get_data()  # type: ignore[attr-defined]
    total = (values * np.diff(edges)).sum() * 70
    inside = (spikes["spikes/E"].time.values < edges[-1] - 1e-9).sum()
    assert total == pytest.approx(inside)
    assert inside > 0.9 * spikes["spikes/E"].sizes["spike"]


def test_intervals_are_all_counted(spikes: xr.DataTree) -> None:
    left = figure(spikes, "isi", Selection(("E",))).axes[0]
    values, edges, _ = left.patches[0].get_data()  # type: ignore[attr-defined]
    assert (values * np.diff(np.log10(edges))).sum() == pytest.approx(100)
    shortest = 1e3 * DT_S
    assert all(np.diff(edges) >= shortest - 1e-9), "no bin falls between two ticks"


def test_cka_of_the_figure_is_that_of_the_analysis(layered: xr.DataTree) -> None:
    found = population_similarities(layered, linear_cka)
    assert found.population.values.tolist() == ["z", "a"], "in the order of the network"
    z, a = (layered[f"activity/{name}"].activity[1] for name in ("z", "a"))
    assert found.values[0, 1] == pytest.approx(float(linear_cka(z, a)))
    assert np.diag(found) == pytest.approx(1)
    image = figure(layered, "cka").axes[0].images[0].get_array()
    np.testing.assert_allclose(image, found)


def test_patterns_are_compared_by_label(layered: xr.DataTree) -> None:
    activity = layered["activity/z"].activity[1]
    order = np.argsort(activity.label.values, kind="stable")
    image = figure(layered, "rdm").axes[0].images[0].get_array()
    np.testing.assert_allclose(image, dissimilarity(activity.isel(sample=order)))
    assert not np.allclose(image, dissimilarity(activity))


def test_few_snapshots_of_weights_are_lines_and_many_a_map(tmp_path: Path) -> None:
    few = figure(layers(tmp_path / "few", 2), "weights")
    assert len(few.axes[0].patches) == 2
    assert all(patch.get_data()[0].sum() == pytest.approx(100) for patch in few.axes[0].patches)  # type: ignore[attr-defined]
    many = figure(layers(tmp_path / "many", 7), "weights")
    assert len(many.axes[0].collections) == 1
    mean = many.axes[0].lines[0].get_ydata()
    weights = open_run(tmp_path / "many")["weights/input-z"].weight
    np.testing.assert_allclose(mean, weights.mean(("post", "pre")))


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_a_file_has_the_same_bytes_each_time(
    suffix: str, spikes: xr.DataTree, tmp_path: Path
) -> None:
    first, again, other = (
        save(figure(spikes, "raster", Selection(of)), tmp_path / f"{n}{suffix}").read_bytes()
        for n, of in enumerate([("E", "I"), ("E", "I"), ("I", "E")])
    )
    assert first == again
    assert first != other
    begins = {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}
    assert first.startswith(begins[suffix])


def test_the_width_is_the_one_that_is_asked_for(layered: xr.DataTree) -> None:
    drawn = figure(layered, "accuracy", Selection(width_mm=88))
    assert drawn.get_figwidth() * 25.4 == pytest.approx(88)


def test_an_unfinished_run_is_drawn_as_far_as_it_came(tmp_path: Path) -> None:
    (share,) = shares(1)
    sink = sink_at(made(tmp_path), share)
    with pytest.raises(AnalysisError, match=r"^so far there is no time at which spikes of E"):
        figure(open_run(tmp_path), "raster")
    Activity().play(sink, share, stop=300)
    sink.flush()
    for what in (*OF_SPIKES[:3], "weights", "activity"):
        figure(open_run(tmp_path), what)
    axes = figure(open_run(tmp_path), "raster").axes[0]
    assert axes.get_xlim() == pytest.approx((0, 0.03))
    tree = layers(tmp_path / "layers", 5, committed=2)
    weights = figure(tree, "rotation").axes[0].lines[0]
    assert list(weights.get_xdata()) == [0, 1, 2]
    assert "z, epoch 0" in words(figure(tree, "activity"))


def test_what_was_not_stored_is_named(spikes: xr.DataTree, layered: xr.DataTree) -> None:
    for what in OF_SPIKES:
        with pytest.raises(AnalysisError, match=r"stored no spikes; .* record\.spikes=true"):
            figure(layered, what)
    for what in ("cka", "rsa", "rdm"):
        with pytest.raises(AnalysisError, match=r"no activity for test samples; .* are no answers"):
            figure(spikes, what)
    with pytest.raises(AnalysisError, match="stored no accuracy over epochs; it is no run of lay"):
        figure(spikes, "accuracy")
    with pytest.raises(AnalysisError, match="got the figure 'rastr'; expected one of raster, rate"):
        figure(spikes, "rastr")
    with pytest.raises(AnalysisError, match="no spikes of 'X'; it has those of E, I, silent"):
        figure(spikes, "raster", Selection(("X",)))
    with pytest.raises(AnalysisError, match="activity of a only; expected two populations or more"):
        figure(layered, "cka", Selection(("a",)))
    with pytest.raises(AnalysisError, match=r"from 1 s to 0\.073 s; expected one within what "):
        figure(spikes, "rates", Selection(start_s=1.0))
    with pytest.raises(AnalysisError, match="no neuron of silent fired twice"):
        figure(spikes, "isi", Selection(("silent",)))
    with pytest.raises(AnalysisError, match=r"a spectrum of 0\.073 s would be the mean of nothing"):
        figure(spikes, "spectrum")
    with pytest.raises(AnalysisError, match="no trace of E was stored in the chosen stretch"):
        figure(spikes, "activity", Selection(("E",), start_s=5.0))
    figure(spikes, "rates", Selection(("silent",)))
    figure(spikes, "raster", Selection(("silent",)))


def test_runs_with_too_little_to_draw_say_so(tmp_path: Path) -> None:
    with pytest.raises(AnalysisError, match="stored one snapshot of weights and no second one"):
        figure(layers(tmp_path / "one", 1), "rotation")
    with pytest.raises(AnalysisError, match=r"stored no snapshots of weights; .* record\.weights"):
        figure(layers(tmp_path / "none", 3, committed=-1), "weights")
    tree = layers(tmp_path / "bad")
    array = zarr.open_group(str(tmp_path / "bad/run.zarr"), mode="r+")["weights/z-a/weight"]
    array[3, 0, 0] = np.nan  # type: ignore[index]
    with pytest.raises(AnalysisError, match="weights of z-a are not finite at some snapshot"):
        figure(tree, "weights")
    figure(tree, "weights", Selection(("input-z",)))
    store = RunStore(tmp_path / "bad/run.zarr")
    store.overwrite("learning/accuracy", np.full((3, 2), np.nan))
    with pytest.raises(AnalysisError, match="stored no accuracy yet; draw it later"):
        figure(open_run(tmp_path / "bad"), "accuracy")


def test_of_spikes_recorded_in_stretches_the_last_common_one_is_drawn(spikes: xr.DataTree) -> None:
    tree = spikes.copy()
    for name, windows in {"E": [[100, 300], [400, 600]], "I": [[50, 500]]}.items():
        attributes = spikes[f"spikes/{name}"].attrs
        tree[f"spikes/{name}"].attrs = {**attributes, "recorded_ticks": windows}

    def drawn(*chosen: float | None) -> tuple[float, float]:
        return figure(tree, "rates", Selection(("E", "I"), *chosen)).axes[0].get_xlim()

    assert drawn() == pytest.approx((0.04, 0.05))
    assert drawn(None, 0.03) == pytest.approx((0.01, 0.03))
    assert drawn(0.02) == pytest.approx((0.02, 0.03))
    with pytest.raises(AnalysisError, match=r"from 0 s to 0\.03 s; expected .* 0\.01 to 0\.03 s"):
        drawn(0.0)
    tree["spikes/I"].attrs["recorded_ticks"] = [[300, 400]]
    with pytest.raises(AnalysisError, match=r"^so far there is no time at which spikes of E, I"):
        drawn()


def test_wrong_sizes_and_files_are_refused(layered: xr.DataTree, tmp_path: Path) -> None:
    with pytest.raises(AnalysisError, match=r"got a width of 3 mm; expected 40 to 1000"):
        Selection(width_mm=3)
    with pytest.raises(AnalysisError, match="got 0 neurons; expected at least 1"):
        Selection(neurons=0)
    drawn = figure(layered, "accuracy")
    with pytest.raises(OutputError, match=r"ends with '\.gif'; expected one of \.png, \.svg, \.pd"):
        save(drawn, tmp_path / "x.gif")
    with pytest.raises(OutputError, match=r"cannot be written \(No such file.*\); choose another"):
        save(drawn, tmp_path / "nowhere" / "x.png")


@pytest.mark.parametrize(
    ("value", "rounded"), [(0.99, 0.5), (1.0, 1.0), (4.99, 2.0), (0.05, 0.05), (130.0, 100.0)]
)
def test_a_round_number_is_no_more_than_what_it_stands_for(value: float, rounded: float) -> None:
    assert floor_round(value) == pytest.approx(rounded)


def test_small_values_have_a_prefix() -> None:
    for largest, unit, (factor, text) in (
        (-0.07, "V", (1e3, "mV")),
        (2e-12, "F", (1e12, "pF")),
        (3.0, "s", (1, "s")),
        (1e-5, "1", (1, "1")),
        (0.0, "V", (1, "V")),
    ):
        found, name = prefixed([0.0, largest], unit)
        assert (found, name) == (pytest.approx(factor), text)


def spikes_of_a_clock(tree: xr.DataTree) -> xr.DataTree:
    """The run, but that every tick has a spike: a rate without any rhythm."""
    found = tree.copy()
    spikes = spike_columns(4e-3 * np.arange(1000), np.zeros(1000, int), 4.0, dt_s=4e-3)
    told = tree["spikes/E"].to_dataset()
    spikes["window_ptr"] = told.window_ptr
    found["spikes/E"] = xr.DataTree(spikes.assign_attrs({**told.attrs, **spikes.attrs}))
    return found


def test_bins_of_a_figure_are_no_narrower_than_a_tick(tmp_path: Path) -> None:
    store = RunStore(tmp_path / "run.zarr", "w")
    store.describe({"status": "complete"})
    columns = spike_columns(4e-3 * (np.arange(800) ** 2 % 999), np.arange(800) % 10, 4.0, dt_s=4e-3)
    tree = open_run(tmp_path)
    columns.attrs |= {"window_ticks": 1000, "committed_tick": 1000}
    columns["window_ptr"] = ("window_edge", np.array([0, 1000], np.uint64))
    tree["spikes/E"] = xr.DataTree(columns)
    assert "rate (Hz), bins of 50 ms" in words(figure(tree, "rates"))
    assert "rate (Hz), bins of 4 ms" in words(figure(tree, "rates", Selection(stop_s=0.04)))
    frequencies = figure(tree, "spectrum").axes[0].lines[0].get_xdata()
    assert np.max(frequencies) == pytest.approx(125, abs=1.5), "half a tick a turn"
    assert not figure(spikes_of_a_clock(tree), "spectrum").axes[0].lines


def trains(tree: xr.DataTree, **windows: list[list[int]]) -> xr.DataTree:
    """The run as if spikes had been recorded in these windows of ticks."""
    found = tree.copy()
    for name, each in windows.items():
        found[f"spikes/{name}"].attrs = {**tree[f"spikes/{name}"].attrs, "recorded_ticks": each}
    return found


def test_a_small_population_beside_a_large_one_is_seen(spikes: xr.DataTree) -> None:
    axes = figure(spikes, "raster", Selection(neurons=30)).axes
    shown = [here.get_yticklabels()[0].get_text() for here in axes]
    assert shown == ["E\n27 of 70", "I\n4", "silent\n5"]
    few = figure(spikes, "raster", Selection(neurons=3)).axes[1]
    assert few.get_yticklabels()[0].get_text() == "I\n1 of 4"


def test_a_raster_says_what_it_leaves_out(
    spikes: xr.DataTree, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert figure(spikes, "raster").axes[0].get_title("left") == ""
    monkeypatch.setattr(rasters, "MOST_DOTS", 100)
    title = figure(spikes, "raster", Selection(("E",), neurons=10)).axes[0].get_title("left")
    assert title == "0.063 to 0.073 s, of 0 to 0.073 s in which spikes were recorded"
    chosen = figure(spikes, "raster", Selection(("E",), 0.01, 0.02)).axes[0]
    assert chosen.get_title("left") == ""


def test_times_without_a_recording_are_grey(spikes: xr.DataTree) -> None:
    tree = trains(spikes, E=[[0, 200], [300, 730]])
    e, i = figure(tree, "raster", Selection(("E", "I"), 0.01, 0.05)).axes
    (band,) = e.patches
    assert [band.get_x(), band.get_x() + band.get_width()] == pytest.approx([0.02, 0.03])  # type: ignore[attr-defined]
    assert not i.patches
    assert e.get_title("left") == "grey: not recorded"


def test_no_line_is_drawn_over_a_gap(spikes: xr.DataTree) -> None:
    tree = spikes.copy()
    stored = spikes["traces/E"].to_dataset()
    time = stored.time.values
    tree["traces/E"] = xr.DataTree(stored.isel(time=(time < 0.02) | (time >= 0.05)))

    def drawn(tree: xr.DataTree) -> tuple[np.ndarray, np.ndarray]:
        axes = figure(tree, "activity", Selection(("E",))).axes
        (line, *_) = next(here for here in axes if here.get_ylabel().startswith("v")).lines
        return np.asarray(line.get_xdata()), np.asarray(line.get_ydata())

    times, values = drawn(tree)
    (gap,) = np.flatnonzero(np.isnan(values))
    assert times[gap - 1] < 0.02 <= 0.05 <= times[gap + 1] + 1e-9
    whole = drawn(spikes)[1]
    assert not np.isnan(whole).any()
    assert len(whole) == len(time)
