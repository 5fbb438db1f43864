"""A simulation is stored by all ranks together, or by none, and restored on any number of them."""

import json
import shutil
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from biosim.checkpoints import arrays
from biosim.checkpoints import simulation as checkpoints
from biosim.checkpoints.arrays import Stretch
from biosim.checkpoints.directory import PARTIAL, Checkpoint, CheckpointError, newest
from biosim.checkpoints.simulation import group_of, restore, store, verify
from biosim.contracts import Ranks
from biosim.errors import OutputError
from biosim.network import Network
from biosim.ranks import OneRank, PretendRanks, RankFailedError
from biosim.simulation import Simulation
from biosim.spiking.recording import MemorySink
from tests.unit.biosim.spiking.small import SIZE, counting, growing, listed, of_weights, pairs_of

SPIKES = [(1, 5), (3, 599), (4, 0), (4, 300), (6, 5), (7, 301)]
END, STORED = 12, 5


def network() -> Network:
    return growing(listed(*SPIKES), weights=0.6, gain=0.3)


def simulated(ranks: Ranks, of: Callable[[], Network] = network) -> tuple[Simulation, MemorySink]:
    sink = MemorySink()
    return Simulation(of(), ranks=ranks, recording=of_weights(5), sink=sink), sink


def on(size: int, program: Callable[[Ranks], Any]) -> list[Any]:
    return [program(OneRank())] if size == 1 else PretendRanks(size, 30).run(program)


def half(folder: Path, ranks: int = 1, **more: Any) -> list[list[tuple[int, int]]]:
    """Run until the middle and store; return the spikes of each rank."""

    def program(each: Ranks) -> list[tuple[int, int]]:
        simulation, sink = simulated(each)
        simulation.run_to(STORED)
        store(simulation, folder, {"said": "this"}, **more)
        return pairs_of(sink) if "out" in sink.spikes else []

    return on(ranks, program)


def weights(simulation: Simulation) -> dict[tuple[int, int], float]:
    assert simulation.machine is not None
    sources, targets, values = simulation.machine.weights("in>out")
    return dict(zip(zip(sources.tolist(), targets.tolist(), strict=True), values["w"], strict=True))


def outcome(simulation: Simulation, sink: MemorySink) -> tuple[list[Any], dict[Any, float]]:
    return pairs_of(sink) if "out" in sink.spikes else [], weights(simulation)


# Of three blocks of neurons: on five ranks, two own nothing.
@pytest.mark.parametrize(("before", "after"), [(1, 1), (1, 5), (5, 2), (2, 1)])
def test_a_run_goes_on_on_other_ranks(tmp_path: Path, before: int, after: int) -> None:
    def whole(ranks: Ranks) -> Any:
        simulation, sink = simulated(ranks)
        simulation.run_to(END)
        return outcome(simulation, sink)

    def rest(ranks: Ranks) -> Any:
        simulation, sink = simulated(ranks)
        path = newest(tmp_path)
        assert path is not None
        restore(simulation, Checkpoint(path))
        assert simulation.engine.now == STORED
        simulation.run_to(END)
        return outcome(simulation, sink)

    ((spikes, learnt),) = on(1, whole)
    first = half(tmp_path, before)
    second = on(after, rest)
    parts = [*first, *(found for found, _ in second)]
    assert sorted(spike for part in parts for spike in part) == sorted(spikes)
    assert {k: v for _, found in second for k, v in found.items()} == learnt
    assert len(set(learnt.values())) > 2, "some should have learnt"


def test_files_do_not_depend_on_the_number_of_ranks(tmp_path: Path) -> None:
    for ranks in (1, 2, 5):
        half(tmp_path / str(ranks), ranks)
    one, two, five = (newest(tmp_path / n) for n in "125")
    assert one is not None
    files = {path.relative_to(one) for path in one.rglob("*") if path.is_file()}
    assert len(files) > 20
    sums = Checkpoint(one).attributes["sums"]
    for other in (two, five):
        assert other is not None
        assert {path.relative_to(other) for path in other.rglob("*") if path.is_file()} == files
        different = [f for f in files if (one / f).read_bytes() != (other / f).read_bytes()]
        # Which also says where the window ends that was begun.
        assert [str(file) for file in different] in ([], ["zarr.json"])
        assert Checkpoint(other).attributes["sums"] == sums


def test_what_a_rank_alone_stores_comes_back(tmp_path: Path) -> None:
    def program(ranks: Ranks) -> None:
        simulation, _ = simulated(ranks)
        own = {f"mine/{ranks.rank}": {"x": np.arange(3) + ranks.rank, "n": ranks.rank}}
        beside = [Stretch("beside", np.full(2, ranks.rank), 2 * ranks.rank, 4)]
        store(simulation, tmp_path, {}, beside, own=own)

    on(2, program)
    path = newest(tmp_path)
    assert path is not None
    found = Checkpoint(path)
    assert found.read("beside").tolist() == [0, 0, 1, 1]
    for rank in (0, 1):
        group = group_of(found, f"mine/{rank}")
        assert (group["x"].tolist(), group["n"]) == ([rank, rank + 1, rank + 2], rank)
    with pytest.raises(CheckpointError, match="lacks mine/2: it is damaged"):
        group_of(found, "mine/2")
    (path / "mine/1/x/c/0").write_bytes(bytes(24))
    with pytest.raises(CheckpointError, match="the array mine/1/x has changed: it is damaged"):
        group_of(found, "mine/1")


@pytest.mark.parametrize("failing", [0, 1, 2])
@pytest.mark.parametrize("at", [0, 1, 4])
def test_a_disk_that_refuses_one_rank_ends_all_and_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: int, at: int
) -> None:
    half(tmp_path)
    before = newest(tmp_path)
    written, write, whose = [0, 0, 0], arrays.write, threading.local()

    def program(ranks: Ranks) -> str:
        whose.rank = ranks.rank
        simulation, _ = simulated(ranks)
        simulation.run_to(END)
        with pytest.raises((OutputError, RankFailedError)) as failure:
            store(simulation, tmp_path, {})
        return str(failure.value)

    def full(directory: Path, stretch: Stretch) -> set[Path]:
        written[whose.rank] += 1
        if whose.rank == failing and written[whose.rank] > at:
            raise OSError(28, "No space left on device")
        return write(directory, stretch)

    monkeypatch.setattr(checkpoints.arrays, "write", full)
    said = PretendRanks(3, 30).run(program)
    for rank in range(3):
        expected = "No space left" if rank == failing else "another rank cannot store"
        assert expected in said[rank]
    assert newest(tmp_path) == before
    assert list(tmp_path.glob(f"{PARTIAL}*")) == [], "it takes no room"


def test_a_directory_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    simulation, _ = simulated(OneRank())
    with pytest.raises(OutputError, match="cannot be written"):
        store(simulation, tmp_path / "file" / "checkpoints", {})


def stored(tmp_path: Path) -> Path:
    half(tmp_path)
    path = newest(tmp_path)
    assert path is not None
    return path


def on_three(path: Path) -> list[str]:
    """Verify on three ranks; return what each says."""

    def program(ranks: Ranks) -> str:
        with pytest.raises((CheckpointError, RankFailedError)) as failure:
            verify(Checkpoint(path), ranks)
        return str(failure.value)

    return PretendRanks(3, 30).run(program)


def test_a_whole_checkpoint_is_in_order(tmp_path: Path) -> None:
    path = stored(tmp_path)
    verify(Checkpoint(path), OneRank())
    PretendRanks(3, 30).run(lambda ranks: verify(Checkpoint(path), ranks))


def test_a_byte_that_changed_is_found_on_every_rank(tmp_path: Path) -> None:
    path = stored(tmp_path)
    file = path / "neurons/out/v/c/0"
    data = bytearray(file.read_bytes())
    data[-3] ^= 4
    file.write_bytes(data)
    for said in on_three(path):
        assert (
            "the array neurons/out/v has changed: it is damaged, and there is none before it"
            in said
        )
    with pytest.raises(CheckpointError, match="neurons/out/v has changed"):
        verify(Checkpoint(path), OneRank())


def test_an_array_that_is_missing_is_found_on_every_rank(tmp_path: Path) -> None:
    path = stored(tmp_path)
    shutil.rmtree(path / "synapses/in>out/a_w")
    for said in on_three(path):
        assert "lacks the array synapses/in>out/a_w" in said


def test_a_file_that_one_rank_alone_reads_is_missed_by_all(tmp_path: Path) -> None:
    path = stored(tmp_path)
    (path / "neurons/out/v/c/0").unlink()
    assert all("cannot be read" in said for said in on_three(path))


def test_a_checkpoint_that_does_not_say_what_it_holds_is_refused(tmp_path: Path) -> None:
    path = stored(tmp_path)
    said = json.loads((path / "zarr.json").read_text())
    del said["attributes"]["sums"]
    (path / "zarr.json").write_text(json.dumps(said))
    with pytest.raises(CheckpointError, match="does not say what it holds: it is damaged"):
        verify(Checkpoint(path), OneRank())


def test_a_checkpoint_of_other_populations_is_refused(tmp_path: Path) -> None:
    found = Checkpoint(stored(tmp_path))
    other = Simulation(counting(listed((1, 2)), size=SIZE - 1))
    with pytest.raises(CheckpointError, match="is of a network with other populations; take one"):
        restore(other, found)


def test_a_checkpoint_of_other_synapses_is_refused(tmp_path: Path) -> None:
    found = Checkpoint(stored(tmp_path))
    for more, pairs in (
        ("more", (np.arange(SIZE - 1), np.arange(SIZE - 1))),
        ("less", (np.arange(SIZE + 1) % SIZE, np.arange(SIZE + 1) // 2)),
    ):
        simulation, _ = simulated(OneRank(), partial(growing, listed((1, 2)), pairs=pairs))
        with pytest.raises(OutputError, match=f"has {more} than the .* synapses of projection 'in"):
            restore(simulation, found)
