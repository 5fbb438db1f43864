"""What a spiking run records comes out of its store, at any moment, whoever wrote it."""

import shutil
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import xarray as xr
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from biosim.errors import OutputError
from biosim.ranks import PretendRanks
from biosim.spiking import append_log, finalising, merged, spike_store
from biosim.spiking.finalising import finalise
from biosim.spiking.recording import (
    MemorySink,
    Recording,
    Sink,
    SpikeRecord,
    StateRecord,
    WeightRecord,
)
from biosim.spiking.spike_store import StoreSink
from biosim.store import RunStore
from biosim.traces import open_run, spike_times, spikes_between

DT_S = 1e-4
SIZES = {"E": 70, "I": 20, "silent": 5}
RECORDING = Recording(
    (SpikeRecord("E"), SpikeRecord("I", [0, 3, 11, 19]), SpikeRecord("silent")),
    (
        StateRecord("E", ("v", "ge")),
        StateRecord("E", ("w",), [1, 40, 69], every=10),
        StateRecord("I", ("v",), [2, 5]),
    ),
    (WeightRecord("E->E", 50),),
)
TICKS = 730
UNITS = {("E", "v"): "V", ("E->E", "w"): "S"}


@dataclass
class Activity:
    """A made-up run; a pure function of neuron and tick, as a real one is."""

    ticks: int = TICKS
    window: int = 15

    def play(
        self, sink: Sink, owned: dict[str, tuple[int, int]], start: int = 0, stop: int | None = None
    ) -> None:
        for tick in range(start, self.ticks if stop is None else stop, self.window):
            now = np.arange(tick, min(tick + self.window, self.ticks if stop is None else stop))
            self._spikes(sink, owned, now)
            self._states(sink, owned, now)
            self._weights(sink, *owned["E"], now)
            sink.commit(int(now[-1]) + 1)

    def _spikes(self, sink: Sink, owned: dict[str, tuple[int, int]], now: np.ndarray) -> None:
        for record in RECORDING.spikes:
            neurons = record.owned(*owned[record.population])
            if record.population == "silent":
                neurons = neurons[:0]
            fires = (now[:, None] * 7919 + neurons * 104729) % 31 < 3
            at, who = np.nonzero(fires)
            sink.spikes(record.population, now[at], neurons[who].astype(np.uint32))

    def _states(self, sink: Sink, owned: dict[str, tuple[int, int]], now: np.ndarray) -> None:
        for record in RECORDING.states:
            neurons = record.owned(*owned[record.population])
            ticks = now[now % record.every == 0]
            for k, name in enumerate(record.variables):
                values = np.sin(ticks[:, None] + neurons + k).astype(np.float32)
                sink.states(record.population, name, ticks, neurons, values)

    def _weights(self, sink: Sink, lo: int, hi: int, now: np.ndarray) -> None:
        targets = np.repeat(np.arange(lo, hi), 3).astype(np.uint32)
        sources = (targets * 5 + np.tile([0, 1, 2], hi - lo).astype(np.uint32)) % 70
        for tick in now[now % 50 == 0]:
            w = (targets + 0.001 * tick + sources).astype(np.float32)
            sink.weights("E->E", int(tick), sources, targets, {"w": w})


def shares(owners: int) -> list[dict[str, tuple[int, int]]]:
    """What each owner owns; uneven, and nothing of a small population for some."""
    return [
        {
            name: (size * k * k // owners**2, size * (k + 1) ** 2 // owners**2)
            for name, size in SIZES.items()
        }
        for k in range(owners)
    ]


def made(path: Path) -> Path:
    RunStore(path / "run.zarr", "w")
    return path / "run.zarr"


def sink_at(path: Path, owned: dict[str, tuple[int, int]], every_s: float = 1e9) -> StoreSink:
    return StoreSink(path, RECORDING, SIZES, owned, DT_S, UNITS, every_s)


def recorded(path: Path, owners: int = 1, activity: Activity | None = None) -> Path:
    """The store of a whole run, finalised, with each owner in a thread of its own."""
    store = made(path)

    def owner(ranks: object) -> None:
        share = shares(owners)[ranks.rank]  # type: ignore[attr-defined]
        sink = sink_at(store, share, every_s=0.0)
        (activity or Activity()).play(sink, share)
        sink.flush()

    PretendRanks(owners, limit_s=60).run(owner)
    assert finalise(store) == TICKS
    return store


def in_memory(stop: int = TICKS) -> MemorySink:
    sink = MemorySink()
    Activity().play(sink, shares(1)[0], stop=stop)
    return sink


def differences(tree: xr.DataTree, truth: MemorySink) -> list[str]:
    """What of a tree is not what was handed over."""
    found = []

    def hold(name: str, stored: npt.ArrayLike, true: npt.ArrayLike) -> None:
        if not np.array_equal(np.asarray(stored), np.asarray(true)):
            found.append(name)

    for name, (ticks, neurons) in truth.spikes.items():
        spikes = tree[f"spikes/{name}"]
        hold(f"spikes {name} time", spikes.time, ticks * DT_S)
        hold(f"spikes {name} neuron", spikes.neuron, neurons)
        for neuron in range(SIZES[name]):
            mine = ticks[neurons == neuron] * DT_S
            hold(f"spikes of {name} {neuron}", spike_times(tree, name, neuron), mine)
    for (name, variable), (ticks, neurons, values) in truth.states.items():
        array = tree[f"traces/{name}/{variable}"]
        along, across = array.dims
        hold(f"trace {name} {variable}", array, values)
        hold(f"trace {name} {variable} time", array[along], ticks * DT_S)
        hold(f"trace {name} {variable} neuron", array[across], neurons)
    for name, weights in truth.weights.items():
        stored = tree[f"weights/{name}"]
        hold(f"weights {name} time", stored.time, weights.ticks * DT_S)
        hold(f"weights {name} source", stored.source, weights.sources)
        hold(f"weights {name} target", stored.target, weights.targets)
        hold(f"weights {name} w", stored.w, weights.values["w"])
    return found


def files(store: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(store)): path.read_bytes()
        for path in sorted(store.rglob("*"))
        if path.is_file()
    }


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything is cut many times, as in a long run."""
    monkeypatch.setattr(append_log, "CHUNK_VALUES", 64)
    monkeypatch.setattr(spike_store, "CHUNK_VALUES", 64)
    monkeypatch.setattr(spike_store, "ROW_BUFFER_BYTES", 4096)
    for name, value in {"CHUNK": 32, "SHARD": 256, "BUCKET": 300, "BUFFER_VALUES": 512}.items():
        monkeypatch.setattr(finalising, name, value)


# --- what goes in comes out


@pytest.mark.parametrize("owners", [1, 3])
def test_what_goes_in_comes_out_by_time_and_by_neuron(tmp_path: Path, owners: int) -> None:
    assert differences(open_run(recorded(tmp_path, owners)), in_memory()) == []


@pytest.mark.usefixtures("small_chunks")
def test_what_goes_in_comes_out_of_many_chunks_shards_and_buckets(tmp_path: Path) -> None:
    store = recorded(tmp_path, 2)
    assert len(list((store / "spikes/E/by_neuron/step/c").iterdir())) > 10
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


# --- an unfinished or killed run


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("owners", [1, 3])
def test_a_killed_run_is_readable_up_to_what_was_committed(tmp_path: Path, owners: int) -> None:
    store = made(tmp_path)
    for share in shares(owners):
        sink = sink_at(store, share)
        Activity().play(sink, share, stop=405)
        sink.flush()
        Activity().play(sink, share, start=405, stop=600)  # and is killed without a word
    tree = open_run(store)
    assert tree.attrs["committed_tick"] == 405
    assert differences(tree, in_memory(405)) == []
    assert finalise(store) == 405
    assert differences(open_run(store), in_memory(405)) == []


def test_of_owners_that_committed_different_ticks_the_earliest_counts(tmp_path: Path) -> None:
    store = made(tmp_path)
    for share, stop in zip(shares(3), (600, 330, 450), strict=True):
        sink = sink_at(store, share)
        Activity().play(sink, share, stop=stop)
        sink.flush()
    assert differences(open_run(store), in_memory(330)) == []
    finalise(store)
    assert differences(open_run(store), in_memory(330)) == []


def test_nothing_counts_as_committed_before_every_owner_has_begun(tmp_path: Path) -> None:
    store = made(tmp_path)
    share = shares(2)[1]
    sink = sink_at(store, share)
    Activity().play(sink, share)
    sink.flush()
    tree = open_run(store)
    assert tree.attrs["committed_tick"] == 0
    assert tree["spikes/E"].sizes["spike"] == 0


def test_a_process_that_is_killed_leaves_a_readable_run(tmp_path: Path) -> None:
    store = made(tmp_path)
    program = f"""
import os, signal, sys
sys.path[:0] = {sys.path!r}
from tests.unit.biosim.spiking.test_spike_store import Activity, shares, sink_at
sink = sink_at({str(store)!r}, shares(1)[0], every_s=0.0)
commit = sink.commit
def counted(tick):
    commit(tick)
    if tick > 400:
        os.kill(os.getpid(), signal.SIGKILL)
sink.commit = counted
Activity().play(sink, shares(1)[0])
"""
    root = Path(__file__).parents[4]
    done = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True)
    assert done.returncode == -9, done.stderr.decode()
    tree = open_run(store)
    committed = tree.attrs["committed_tick"]
    assert 0 < committed <= 405
    assert differences(tree, in_memory(committed)) == []


def test_a_running_run_can_be_opened_after_every_commit(tmp_path: Path) -> None:
    store = made(tmp_path)
    share = shares(1)[0]
    sink = sink_at(store, share, every_s=0.0)
    seen = []
    for tick in range(0, 90, 15):
        Activity().play(sink, share, tick, tick + 15)
        sink.flush()
        tree = open_run(store)
        seen.append(tree.attrs["committed_tick"])
        assert differences(tree, in_memory(tick + 15)) == []
    assert seen == [15, 30, 45, 60, 75, 90]


class Forgetful(StoreSink):
    """Says that it stored everything, and keeps the tail to itself."""

    def flush(self) -> None:
        for log in self._spikes.values():
            log._spikes._dirty = False
        super().flush()


class Doubtful(StoreSink):
    """Never hands over the last window of spikes."""

    def spikes(self, population: str, ticks: npt.NDArray, neurons: npt.NDArray) -> None:
        if len(ticks) and ticks[-1] < 700:
            super().spikes(population, ticks, neurons)


def test_a_sink_that_forgets_its_tail_is_caught(tmp_path: Path) -> None:
    store = made(tmp_path / "forgetful")
    sink = Forgetful(store, RECORDING, SIZES, shares(1)[0], DT_S)
    Activity().play(sink, shares(1)[0])
    sink.flush()
    with pytest.raises(OutputError, match="lacks spikes that were committed"):
        differences(open_run(store), in_memory())
    with pytest.raises(OutputError, match="lacks spikes that were committed"):
        finalise(store)
    store = made(tmp_path / "doubtful")
    sink = Doubtful(store, RECORDING, SIZES, shares(1)[0], DT_S)
    Activity().play(sink, shares(1)[0])
    sink.flush()
    finalise(store)
    assert "spikes E time" in differences(open_run(store), in_memory())


def test_an_owner_that_lacks_samples_is_caught(tmp_path: Path) -> None:
    store = made(tmp_path)
    for share in shares(2):
        sink = sink_at(store, share)
        Activity().play(sink, share)
        sink.flush()
    last = sorted((store / "traces/E/_raw/v").glob("b*"))[-1]
    shutil.rmtree(last / "step" / "c")
    with pytest.raises(OutputError, match="lacks rows that were committed"):
        open_run(store)


# --- finalising, interrupted


def interrupted(path: Path, monkeypatch: pytest.MonkeyPatch, where: str) -> Path:
    store = made(path)
    for share in shares(2):
        sink = sink_at(store, share)
        Activity().play(sink, share)
        sink.flush()

    class KilledError(Exception):
        pass

    def killed(*arguments: object, **more: object) -> None:
        raise KilledError

    with monkeypatch.context() as patch:
        if where == "removing":
            patch.setattr(zarr.Group, "__delitem__", killed)
        else:
            patch.setattr(finalising, where, killed)
        with pytest.raises(KilledError):
            finalise(store)
    return store


@pytest.mark.parametrize("where", ["_by_neuron", "_columns", "_rows", "removing"])
def test_finalising_may_be_killed_and_done_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    store = interrupted(tmp_path / "killed", monkeypatch, where)
    assert differences(open_run(store), in_memory()) == []
    finalise(store)
    assert differences(open_run(store), in_memory()) == []
    assert files(store) == files(recorded(tmp_path / "whole"))


def test_finalising_again_changes_nothing(tmp_path: Path) -> None:
    store = recorded(tmp_path)
    before = files(store)
    assert finalise(store) == 0
    assert files(store) == before


# --- nothing to record


def test_a_run_that_was_killed_before_its_first_commit_is_empty(tmp_path: Path) -> None:
    store = made(tmp_path)
    sink = sink_at(store, shares(1)[0])
    Activity().play(sink, shares(1)[0], stop=30)
    for _ in range(2):
        tree = open_run(store)
        assert tree["spikes/E"].sizes["spike"] == 0
        assert spike_times(tree, "E", 3).size == 0
        assert spikes_between(tree, "E", 0, 1).sizes["spike"] == 0
        assert not tree["traces/E"].data_vars
        assert finalise(store) == 0


def test_an_owner_of_nothing_and_a_recording_of_nothing_store_nothing(tmp_path: Path) -> None:
    store = made(tmp_path)
    before = files(store)
    nothing = dict.fromkeys(SIZES, (0, 0))
    sink = sink_at(store, nothing)
    Activity().play(sink, nothing)
    sink.flush()
    assert files(store) == before
    everything = StoreSink(store, Recording(), SIZES, shares(1)[0], DT_S)
    everything.commit(100)
    everything.flush()
    assert finalise(store) == 100
    assert files(store) == before


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
    assert long < 1.2 * short
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
