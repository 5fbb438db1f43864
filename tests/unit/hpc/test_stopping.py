"""A signal ends a run at its next exchange, whole; a second one ends it at once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import biosim
from biosim.contracts import Ranks
from biosim.events import NEVER, PAUSES, STOP
from biosim.ranks import OneRank, PretendRanks, StoppedError
from hpc.progress import Silent
from hpc.run import run
from hpc.stopping import (
    LAUNCHER,
    SIGNALS,
    WARNINGS,
    ByHandError,
    Heeding,
    InterruptedRunError,
    asked,
    code_of,
    heeded,
)
from scenarios.reading import read_tree, resolve_any
from scenarios.tasks.schema import ChoiceTask, RewardChoice

LAYERS = ["network.hidden=[8]", "run.batch_size=32", "data.samples=300", "run.epochs=50"]


class AskedAgainError(Exception):
    """What the handlers raise that were there before."""


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Handlers of a program around."""

    def ended(number: int, frame: object) -> None:
        raise AskedAgainError(number)

    before = {number: signal.signal(number, ended) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def ask(number: int = signal.SIGTERM) -> None:
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_is_told_to_all_ranks_at_the_next_exchange(number: signal.Signals) -> None:
    ranks = Heeding(OneRank())
    with heeded():
        assert ranks.exchange([[]], 7) == ([], 7)
        ask(number)
        assert ranks.exchange([[]], 7) == ([], STOP)
        ranks.post([[]], 7)
        assert ranks.collect() == ([], STOP)
    assert ranks.exchange([[]], 7) == ([], 7)


def test_all_ranks_are_asked_to_end_if_one_is() -> None:
    def program(ranks: Ranks) -> int:
        mine = Heeding(ranks) if ranks.rank == 1 else ranks
        return mine.exchange([[], [], []], NEVER)[1]

    with heeded():
        assert PretendRanks(3).run(program) == [NEVER] * 3
        ask()
        assert PretendRanks(3).run(program) == [STOP] * 3


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_of_a_kind_ends_at_once(
    number: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hpc.stopping.AGAIN_S", 0.0)
    with heeded():
        ask(number)
        with pytest.raises(AskedAgainError, match=str(int(number))):
            ask(number)


def test_a_signal_that_is_handed_on_twice_at_once_is_one() -> None:
    with heeded():
        ask()
        ask()


@pytest.mark.parametrize("number", WARNINGS)
def test_a_second_warning_says_nothing_new(
    number: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hpc.stopping.AGAIN_S", 0.0)
    with heeded():
        ask(number)
        ask(number)
        assert list(asked()) == [number]


@pytest.mark.parametrize("pause", PAUSES)
def test_ranks_that_can_pause_are_told_to(pause: int) -> None:
    ranks = Heeding(OneRank())
    ranks.pause = pause
    with heeded():
        assert ranks.exchange([[]], NEVER) == ([], NEVER)
        ask()
        assert ranks.exchange([[]], NEVER) == ([], pause)
        assert ranks.exchange([[]], STOP) == ([], STOP)  # a failure counts for more
    ranks.due = lambda: True
    assert ranks.exchange([[]], NEVER) == ([], pause)


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGUSR1, 75), (signal.SIGUSR2, 75)],
)
def test_each_kind_of_signal_has_an_exit_code(number: int, code: int) -> None:
    assert code_of(number) == code


def test_signals_of_two_kinds_are_both_heeded() -> None:
    with heeded():
        ask(signal.SIGINT)
        ask(signal.SIGTERM)


def test_a_warning_that_was_blocked_is_heeded_and_blocked_again_at_the_end() -> None:
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, WARNINGS)
    try:
        signal.raise_signal(signal.SIGUSR1)
        with heeded():
            assert list(asked()) == [signal.SIGUSR1]
        signal.raise_signal(signal.SIGUSR1)
        assert signal.sigpending() == {signal.SIGUSR1}
    finally:
        with heeded():  # takes what is pending
            pass
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def test_handlers_are_put_back() -> None:
    before = [signal.getsignal(number) for number in SIGNALS]
    with heeded():
        assert [signal.getsignal(number) for number in SIGNALS] != before
        ask()
    assert [signal.getsignal(number) for number in SIGNALS] == before


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    ranks = Heeding(OneRank())
    with heeded():
        ask(signal.SIGINT)
        assert ranks.exchange([[]], 7) == ([], 7)
        ask(signal.SIGTERM)
        assert ranks.exchange([[]], 7) == ([], STOP)
    assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN


class AsksIn(Silent):
    """A watcher that asks the run to end, once it has come so far."""

    def __init__(self, step: int, times: int = 1) -> None:
        self._step, self._times = step, times

    def step(self, done: int, total: int, note: str) -> None:
        if done == self._step:
            for _ in range(self._times):
                ask()


class AsksFirst(Silent):
    """A watcher that asks the run to end as soon as it hears of it."""

    def __init__(self, number: int) -> None:
        self._number, self._asked = number, False

    def step(self, done: int, total: int, note: str) -> None:
        if not self._asked:
            self._asked = True
            ask(self._number)


@pytest.mark.parametrize("ranks", [1, 2])
def test_a_run_that_is_asked_to_end_keeps_what_it_has(tmp_path: Path, ranks: int) -> None:
    settings = resolve_any(read_tree("digits"), [*LAYERS, f"run.pretend_ranks={ranks}"])
    with heeded(), pytest.raises(StoppedError, match="asked to end by SIGTERM and stopped at tick"):
        run(settings, tmp_path / "out", watcher=AsksIn(2))
    tree = biosim.open_run(tmp_path / "out")
    assert tree.attrs["status"] == "stopped"
    committed = tree.attrs["committed_epoch"]
    assert 2 <= committed < 50
    accuracy = tree["learning/accuracy"].sel(epoch=slice(0, committed))
    assert np.isfinite(accuracy.sel(split="test").values).all()
    told = json.loads((tmp_path / "out" / "progress.json").read_text())
    assert (told["status"], told["epoch"]) == ("stopped", committed)
    assert tree["timing/ranks"].sizes["rank"] == ranks


@pytest.mark.parametrize(
    ("number", "reason", "status"),
    [
        (signal.SIGTERM, StoppedError, "stopped"),
        (signal.SIGINT, ByHandError, "stopped"),
        (signal.SIGUSR1, InterruptedRunError, "interrupted"),
    ],
)
def test_a_task_that_is_asked_to_end_keeps_what_it_has(
    number: signal.Signals, reason: type[StoppedError], status: str, tmp_path: Path
) -> None:
    task = ChoiceTask(trials=400, inputs=10, neurons=5, rest_ms=50)
    with heeded(), pytest.raises(StoppedError, match="asked to end and stopped") as failure:
        run(RewardChoice(task=task), tmp_path / "out", watcher=AsksFirst(number))
    assert type(failure.value) is reason
    tree = biosim.open_run(tmp_path / "out")
    assert tree.attrs["status"] == status
    assert 0 < tree.attrs["committed_tick"] < tree.attrs["ticks"]
    assert json.loads((tmp_path / "out" / "progress.json").read_text())["status"] == status


def test_a_run_that_is_asked_twice_ends_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hpc.stopping.AGAIN_S", 0.0)
    settings = resolve_any(read_tree("digits"), LAYERS)
    with heeded(), pytest.raises(AskedAgainError):
        run(settings, tmp_path / "out", watcher=AsksIn(1, times=2))
    tree = biosim.open_run(tmp_path / "out")
    assert (tree.attrs["status"], tree.attrs["committed_epoch"]) == ("failed", 1)


def test_a_run_ends_once_the_process_that_started_it_is_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("hpc.stopping.LOOKED_EVERY_S", 0.02)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as starter:
        monkeypatch.setenv(LAUNCHER, str(starter.pid))
        with heeded():
            ranks = Heeding(OneRank())
            time.sleep(0.2)
            assert ranks.exchange([[]], 7) == ([], 7)
            starter.kill()
            starter.wait()
            until = time.monotonic() + 10.0
            while ranks.exchange([[]], 7) != ([], STOP):
                assert time.monotonic() < until
                time.sleep(0.02)
