"""A process is a rank: alone it is what `OneRank` is, and it says what is missing."""

from __future__ import annotations

import sys
import threading
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from biosim.errors import BiosimError
from biosim.events import NEVER, STOP, Event, Kind, Mode, Presentation
from biosim.ranks import OneRank, RankFailedError
from hpc import mpi_ranks
from hpc.mpi_ranks import MpiRanks, mpi
from hpc.slots import WAYS

try:
    MPI: Any = mpi()
except BiosimError as problem:
    pytest.skip(str(problem), allow_module_level=True)


OF = Presentation(0, 0, 0, Mode.LEARN)


def event(projection: int = 0, payload: torch.Tensor | None = None) -> Event:
    return Event(1, Kind.ACTIVITY, 0, 1, projection, OF, payload)


@pytest.fixture
def alone() -> MpiRanks:
    return MpiRanks(MPI.COMM_SELF, limit_s=10.0)


def test_without_mpi4py_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    with pytest.raises(BiosimError, match=r"MPI cannot be used \(.*mpi4py.*\); install an MPI l"):
        mpi()


def test_without_an_mpi_library_it_is_said_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class WithoutLibrary(ModuleType):
        def __getattr__(self, name: str) -> object:
            raise RuntimeError("cannot load MPI library\nlibmpi.so: cannot open")

    monkeypatch.setitem(sys.modules, "mpi4py", WithoutLibrary("mpi4py"))
    with pytest.raises(BiosimError, match=r"MPI cannot be used .*cannot load MPI lib") as refused:
        mpi()
    assert "\n" not in str(refused.value)
    assert "or run on one rank" in str(refused.value)


@pytest.mark.parametrize("way", [None, *WAYS])
def test_alone_it_exchanges_as_one_rank_does(way: Any) -> None:
    sent = [event(payload=torch.ones(2, 3)), event(1)]
    for ranks in (OneRank(), MpiRanks(MPI.COMM_SELF, way=way)):
        assert (ranks.rank, ranks.size) == (0, 1)
        ranks.connect([])
        ranks.connect([0])
        for wake in (NEVER, 17, STOP):
            found, earliest = ranks.exchange([sent], wake)
            assert found == sent
            assert earliest == wake
        ranks.post([sent], 5)
        ranks.post([[]], 6)
        assert ranks.collect() == (sent, 5)
        assert ranks.collect() == ([], 6)
        assert [ranks.agree(flag) for flag in (True, False)] == [True, False]
        ranks.trade({}, {})


def test_what_is_for_itself_is_no_message(alone: MpiRanks) -> None:
    alone.exchange([[event(payload=torch.ones(3))]], 1)
    alone.exchange([[]], 1)
    times = alone.times
    assert (times.bytes, times.messages, times.exchanges) == (0, 0, 2)
    assert times.exchange > 0


def test_what_would_not_be_sent_is_found(alone: MpiRanks) -> None:
    # Of two ranks, this one has promised the other one nothing.
    alone.exchange([[event()], []], 1)
    with pytest.raises(AssertionError, match=r"rank 0 sends to \[1\], against its promise"):
        alone.exchange([[event()], [event()]], 1)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32, torch.int64, torch.bool])
def test_integers_are_summed(alone: MpiRanks, dtype: torch.dtype) -> None:
    counts = torch.tensor([1, 0, 1], dtype=dtype)
    found = alone.sum(counts)
    assert (found.dtype, found.tolist()) == (torch.int64, [1, 0, 1])
    assert alone.sum(torch.tensor([1 << 62])).tolist() == [1 << 62]
    assert alone.sum(torch.zeros(0, dtype=dtype)).tolist() == []


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16])
def test_floats_are_not_summed(alone: MpiRanks, dtype: torch.dtype) -> None:
    with pytest.raises(TypeError, match=rf"sum takes integers, whose order .*; got {dtype}"):
        alone.sum(torch.ones(2, dtype=dtype))


def test_payloads_arrive_on_the_device_and_what_comes_from_outside_stays(alone: MpiRanks) -> None:
    alone.device = "meta"
    sent = [event(0, torch.ones(2)), event(-1, torch.ones(2)), event(0)]
    found, _ = alone.exchange([sent], 1)
    where = [None if each.payload is None else each.payload.device.type for each in found]
    assert where == ["meta", "cpu", None]
    assert [each[:-1] for each in found] == [each[:-1] for each in sent]


@pytest.mark.parametrize("first", [True, False])
def test_alone_it_fails_together(alone: MpiRanks, first: bool) -> None:
    assert alone.fail_together(first, "no such synapse: é") == "no such synapse: é"


def unanswered(alone: MpiRanks) -> Any:
    """Return a request for a message that nobody sends."""
    return alone._comm.Irecv(np.empty(1, dtype=np.uint8), source=0, tag=99)


def test_waiting_ends_after_the_limit_and_says_where(alone: MpiRanks) -> None:
    alone.limit_s = 0.02
    request = unanswered(alone)
    with pytest.raises(
        RankFailedError,
        match=r"rank 0 of 1 waited 0.02 s in exchange 3 for a message .*run.limit_s",
    ):
        alone._wait([request], "exchange 3")
    request.Cancel()
    request.Wait()


def test_waiting_is_counted(alone: MpiRanks) -> None:
    request = unanswered(alone)
    later = threading.Timer(0.03, request.Cancel)
    later.start()
    alone._wait([request], "exchange 1")
    later.join()
    assert 0.02e9 < alone.times.wait < 5e9
    before = alone.times.wait
    alone._wait([], "nothing")
    assert alone.times.wait == before


class Calls:
    """Where ranks ask each other whether they wait: some of three ranks answer."""

    def __init__(self, answering: list[int]) -> None:
        self.asked: list[int] = []
        self._answering, self._answers = answering, list[int]()

    def Send(self, word: Any, dest: int, tag: int) -> None:
        self.asked.append(dest)
        if dest in self._answering:
            self._answers.append(dest)

    def Iprobe(self, tag: int, status: Any) -> bool:
        if tag == mpi_ranks._ANSWER and self._answers:
            status.source = self._answers[0]
            return True
        return False

    def Recv(self, word: Any, source: int, tag: int) -> None:
        self._answers.remove(source)


@pytest.mark.parametrize(
    ("answering", "named"),
    [([], "rank 0, rank 2"), ([0], "rank 2"), ([0, 2], "a message that got lost")],
)
def test_ranks_that_do_not_answer_are_named(
    alone: MpiRanks, monkeypatch: pytest.MonkeyPatch, answering: list[int], named: str
) -> None:
    monkeypatch.setattr(mpi_ranks, "ANSWER_S", 0.02)
    calls = Calls(answering)
    alone._calls, alone.rank, alone.size = calls, 1, 3
    with pytest.raises(RankFailedError, match=f"rank 1 of 3 waited 10 s in a sum for {named}; "):
        alone._give_up("a sum")
    assert calls.asked == [0, 2]


def test_the_end_takes_all_with_the_exit_code(alone: MpiRanks) -> None:
    codes: list[int] = []

    class Ending:
        def Abort(self, code: int) -> None:
            codes.append(code)

    alone._comm = Ending()
    alone.end_all(5)
    assert codes == [5]
