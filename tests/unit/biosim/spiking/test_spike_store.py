"""What a spiking run records comes out of its store, the same whoever wrote it."""

import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from biosim.errors import OutputError
from biosim.spiking import finalising, merged, spike_store
from biosim.spiking.append_log import AppendLog
from biosim.spiking.finalising import finalise
from biosim.spiking.recording import MemorySink, Recording, Sink, SpikeRecord, StateRecord
from biosim.spiking.spike_store import StoreSink, write_neurons
from biosim.store import RunStore
from biosim.traces import open_run, spike_times, spikes_between
from tests.unit.biosim.spiking.made_up_run import (
    DT_S,
    RECORDING,
    SIZES,
    TICKS,
    Activity,
    differences,
    files,
    in_memory,
    made,
    recorded,
    shares,
    sink_at,
)

# --- what goes in comes out


@pytest.mark.parametrize("finished", [True, False])
def test_a_snapshot_at_the_end_is_stored_and_no_later_one(tmp_path: Path, finished: bool) -> None:
    store, owned = made(tmp_path), shares(1)[0]
    sink = sink_at(store, owned)
    activity = Activity(window=10)
    activity.play(sink, owned, 0, 100)
    sink.flush()
    activity.play(sink, owned, 100, 150)  # but not committed
    if finished:
        finalise(store)
    tree = open_run(store)
    np.testing.assert_allclose(tree["weights/E->E"].time, [0.0, 0.005, 0.01])
    assert tree["traces/E"].time.values[-1] == pytest.approx(0.0099)


@pytest.mark.parametrize("owners", [1, 3])
def test_what_goes_in_comes_out_by_time_and_by_neuron(tmp_path: Path, owners: int) -> None:
    assert differences(open_run(recorded(tmp_path, owners)), in_memory()) == []


@pytest.mark.usefixtures("small_chunks")
def test_what_goes_in_comes_out_of_many_chunks_shards_and_buckets(tmp_path: Path) -> None:
    store = recorded(tmp_path, 2)
    assert len(list((store / "spikes/E/by_neuron/step/c").iterdir())) > 5
    assert differences(open_run(store), in_memory()) == []


@given(
    ticks=st.lists(st.integers(0, 450), max_size=300),
    size=st.integers(1, 40),
    cut=st.integers(0, 40),
    window=st.integers(1, 200),
)
@settings(deadline=None, max_examples=15)
def test_any_spikes_come_out_for_two_owners(
    tmp_path_factory: pytest.TempPathFactory, ticks: list[int], size: int, cut: int, window: int
) -> None:
    store = made(tmp_path_factory.mktemp("any"))
    step = np.sort(np.array(ticks, np.int64))
    neuron = (step * 7 + np.arange(len(step)) * 13) % size
    order = np.lexsort((neuron, step))
    step, neuron = step[order], neuron[order].astype(np.uint32)
    recording = Recording((SpikeRecord("E"),))
    for lo, hi in ((0, min(cut, size)), (min(cut, size), size)):
        sink = StoreSink(store, recording, {"E": size}, {"E": (lo, hi)}, DT_S)
        if lo == hi:
            continue
        for start in range(0, 451, window):
            now = (step >= start) & (step < start + window) & (neuron >= lo) & (neuron < hi)
            sink.spikes("E", step[now], neuron[now])
            sink.commit(start + window)
        sink.commit(451)
        sink.flush()
    for _ in range(2):
        spikes = open_run(store)["spikes/E"]
        np.testing.assert_array_equal(spikes.time, step * DT_S)
        np.testing.assert_array_equal(spikes.neuron, neuron)
        finalise(store)


def test_times_are_in_seconds_and_values_have_units(tmp_path: Path) -> None:
    tree = open_run(recorded(tmp_path))
    assert tree["spikes/E"].time.dtype == np.float64
    assert tree["spikes/E"].time.attrs["units"] == "s"
    assert tree["traces/E"].v.attrs["units"] == "V"
    assert tree["traces/E"].ge.attrs["units"] == "1"
    assert tree["weights/E->E"].w.attrs["units"] == "S"
    assert tree["traces/E"].v.sel(time=slice(0.01, 0.02)).sizes["time"] == 101
    assert tree["traces/E"].w.dims == ("time_w", "neuron_w")
    assert tree["spikes/I"].recorded.values.tolist() == [0, 3, 11, 19]
    assert tree.attrs["committed_tick"] == TICKS


def test_what_is_known_of_neurons_is_stored_by_population(tmp_path: Path) -> None:
    store = RunStore(tmp_path / "run.zarr", "w")
    write_neurons(
        store,
        SIZES,
        {"I": {"v_th": np.full(20, -0.05), "x": np.arange(20.0)}},
        {("I", "v_th"): "V"},
    )
    neurons = open_run(tmp_path)["neurons"]
    assert neurons["E"].gid.values.tolist() == list(range(70))
    assert neurons["I"].gid.values.tolist() == list(range(70, 90))
    assert neurons["I"].v_th.attrs["units"] == "V"
    assert neurons["I"].x.attrs["units"] == "1"
    assert neurons["I"].x.values.tolist() == list(range(20))


def test_only_whole_numbers_are_stored_of_times(tmp_path: Path) -> None:
    root = zarr.open_group(str(recorded(tmp_path)), mode="r")
    for name in ("spikes/E/by_time/step", "spikes/E/by_neuron/step", "traces/E/time"):
        array = merged.array_of(root, name)
        assert array.dtype == np.int64
        assert array.attrs["scale_factor"] == DT_S


@pytest.mark.parametrize("finished", [True, False])
def test_a_stretch_of_time_and_a_neuron_are_found(tmp_path: Path, finished: bool) -> None:
    store = made(tmp_path)
    for share in shares(2):
        sink = sink_at(store, share)
        Activity().play(sink, share)
        sink.flush()
    if finished:
        finalise(store)
    tree = open_run(store)
    ticks, neurons = in_memory().spikes["E"]
    assert tree["traces/E"].v.sel(time=slice(0.01, 0.02), neuron=[3, 60]).shape == (101, 2)
    assert tree["traces/E"].v.isel(time=slice(None, None, -50), neuron=7).shape == (15,)
    np.testing.assert_array_equal(
        tree["traces/E"].v.isel(time=slice(600, 100, -7), neuron=7),
        in_memory().states["E", "v"].values[600:100:-7, 7],
    )
    for first, last in ((0, TICKS), (100, 200), (101, 102), (250, 555), (700, 5000), (800, 900)):
        found = spikes_between(tree, "E", first * DT_S, last * DT_S)
        asked = (ticks >= first) & (ticks < last)
        np.testing.assert_array_equal(found.time, ticks[asked] * DT_S)
        np.testing.assert_array_equal(found.neuron, neurons[asked])
    np.testing.assert_array_equal(spike_times(tree, "E", 33), ticks[neurons == 33] * DT_S)
    with pytest.raises(OutputError, match=r"spikes of 'X' were not recorded; .*: E, I, silent"):
        spike_times(tree, "X", 0)
    with pytest.raises(OutputError, match=r"got neuron 70 of 'E'; expected 0 to 69"):
        spike_times(tree, "E", 70)


# --- the bytes do not show who wrote them


@pytest.mark.usefixtures("small_chunks")
def test_the_bytes_are_the_same_for_one_two_and_three_owners(tmp_path: Path) -> None:
    one = files(recorded(tmp_path / "1"))
    assert any(name.startswith("weights/E->E/w/c/") for name in one)
    assert not any("_raw" in name or "_owners" in name for name in one)
    for owners in (2, 3):
        assert files(recorded(tmp_path / str(owners), owners)) == one


def test_the_bytes_are_the_same_for_other_windows_and_show_other_activity(tmp_path: Path) -> None:
    one = files(recorded(tmp_path / "a"))
    assert files(recorded(tmp_path / "b", 1, Activity(window=73))) == one
    other = made(tmp_path / "c")
    sink = sink_at(other, shares(1)[0])
    Activity().play(sink, shares(1)[0], stop=TICKS - 1)
    sink.flush()
    finalise(other)
    assert files(other) != one


# --- cost


def peak_bytes(work: Callable[[], None]) -> int:
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def stream(sink: Sink, windows: int) -> None:
    """Windows of 1,000 ticks with 20,000 spikes and 20,000 samples each."""
    rng = np.random.default_rng(0)
    neurons = np.arange(20)
    for window in range(windows):
        ticks = np.sort(rng.integers(0, 1000, 20_000)) + window * 1000
        sink.spikes("E", ticks, rng.integers(0, 70, 20_000).astype(np.uint32))
        now = np.arange(1000) + window * 1000
        sink.states("E", "v", now, neurons, rng.random((1000, 20)))
        sink.commit((window + 1) * 1000)


def test_memory_does_not_grow_with_the_run_and_in_memory_it_does(tmp_path: Path) -> None:
    def to_store(windows: int) -> Callable[[], None]:
        def work() -> None:
            recording = Recording((SpikeRecord("E"),), (StateRecord("E", ("v",), range(20)),))
            store = made(tmp_path / str(windows))
            sink = StoreSink(store, recording, SIZES, {"E": (0, 70)}, DT_S, None, 0.0)
            stream(sink, windows)
            sink.flush()
            assert sink.buffer_bytes < 12 << 20

        return work

    peak_bytes(to_store(5))
    short, long = peak_bytes(to_store(20)), peak_bytes(to_store(100))
    # Peaks differ by what zarr has in its hands at the time; a run that is kept would be 5 times.
    assert long < 1.6 * short
    sinks = MemorySink(), MemorySink()
    grown = [
        peak_bytes(lambda s=s, n=n: stream(s, n)) for s, n in zip(sinks, (20, 100), strict=True)
    ]
    assert grown[1] > 3 * grown[0]


def test_a_spike_takes_at_most_4_2_bytes_in_both_orders(tmp_path: Path) -> None:
    store = made(tmp_path)
    recording = Recording((SpikeRecord("E"),))
    sink = StoreSink(store, recording, {"E": 12_500}, {"E": (0, 12_500)}, DT_S)
    rng = np.random.default_rng(0)
    total = 0
    for window in range(40):
        ticks = np.sort(rng.integers(0, 1000, 40_000)) + window * 1000
        neurons = rng.integers(0, 12_500, 40_000)
        order = np.lexsort((neurons, ticks))
        sink.spikes("E", ticks[order], neurons[order].astype(np.uint32))
        sink.commit((window + 1) * 1000)
        total += len(ticks)
    sink.flush()
    finalise(store)
    stored = sum(len(content) for content in files(store / "spikes").values())
    assert stored / total <= 4.2


def test_commits_come_when_they_are_due(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(spike_store.time, "monotonic", lambda: now[0])
    store = made(tmp_path)
    sink = sink_at(store, shares(1)[0], every_s=2.0)
    seen = []
    for tick in range(1, 7):
        now[0] += 0.9
        sink.commit(tick)
        seen.append(merged.committed_tick(zarr.open_group(str(store), mode="r")))
    assert seen == [0, 0, 3, 3, 3, 6]


# --- a store that cannot be used


def test_a_run_that_is_over_is_not_recorded_into(tmp_path: Path) -> None:
    store = recorded(tmp_path)
    with pytest.raises(OutputError, match="holds a run that is over; run into an empty directory"):
        sink_at(store, shares(1)[0])
    for part in ("spikes", "states", "weights"):
        alone = Recording(**{part: getattr(RECORDING, part)})
        with pytest.raises(OutputError, match="holds a run that is over"):
            StoreSink(store, alone, SIZES, shares(1)[0], DT_S)


def test_two_attempts_at_one_run_are_not_mixed(tmp_path: Path) -> None:
    store = made(tmp_path)
    for share in (*shares(2), *shares(3)[1:]):
        sink_at(store, share)
    for use in (open_run, finalise):
        with pytest.raises(OutputError, match=r"logs of two attempts .* 'E' has 70 neurons"):
            use(store)


def test_a_log_has_one_writer(tmp_path: Path) -> None:
    store = made(tmp_path)
    sink = sink_at(store, shares(2)[1])
    with pytest.raises(OutputError, match=r"has a writer for the neurons of 'E' from 17 on; run"):
        sink_at(store, shares(2)[1])
    Activity().play(sink, shares(2)[1])
    sink.flush()
    other = sink_at(store, shares(2)[0])
    Activity().play(other, shares(2)[0])
    other.flush()
    finalise(store)
    assert differences(open_run(store), in_memory()) == []


def test_a_part_of_a_shard_is_never_written(tmp_path: Path) -> None:
    root = zarr.open_group(str(tmp_path / "x"), mode="w")
    array = root.create_array("a", shape=(100,), chunks=(10,), shards=(20,), dtype=np.int64)
    finalising._put(array, np.arange(40), 20)
    finalising._put(array, np.arange(20), 80)
    for start, count in ((10, 20), (20, 30)):
        with pytest.raises(AssertionError, match=r"are no whole shards of 20"):
            finalising._put(array, np.arange(count), start)
    log = AppendLog(root, {"step": (np.int64, None)}, 10)
    with pytest.raises(AssertionError, match="only whole chunks are written"):
        log._write("step", np.arange(7))


def test_a_store_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"cannot be written .* make the run's store first"):
        sink_at(tmp_path / "run.zarr", shares(1)[0])
    with pytest.raises(OutputError, match=r"cannot be written .* expected a run.zarr"):
        finalise(tmp_path / "run.zarr")


def test_a_store_that_goes_away_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    store = made(tmp_path)
    sink = sink_at(store, shares(1)[0])
    Activity().play(sink, shares(1)[0], stop=30)
    with monkeypatch.context() as patch:
        patch.setattr(zarr.Array, "__setitem__", full)
        with pytest.raises(OutputError, match=r"No space left .* stays readable"):
            sink.flush()
    assert merged.committed_tick(zarr.open_group(str(store), mode="r")) == 0
    with monkeypatch.context() as patch:
        patch.setattr(zarr.core.attributes.Attributes, "__setitem__", full)
        with pytest.raises(OutputError, match=r"No space left .* stays readable"):
            sink.flush()
    sink.flush()
    with monkeypatch.context() as patch:
        patch.setattr(zarr.Array, "__setitem__", full)
        with pytest.raises(OutputError, match=r"No space left .* make room and do it again"):
            finalise(store)
    assert differences(open_run(store), in_memory(30)) == []
