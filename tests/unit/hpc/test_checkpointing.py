"""A checkpoint is due by ticks, by the clock, or when a run is asked to end; then it ends."""

import signal
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import biosim
from biosim.checkpoints.directory import FOLDER, CheckpointError, begin, complete
from biosim.contracts import Ranks
from biosim.events import NEVER, PAUSE, PAUSE_WHEN_QUIET
from biosim.ranks import OneRank, PretendRanks, StoppedError
from hpc import checkpointing, stopping
from hpc.checkpointing import GRACE_S, WARNING_S, Checkpointing, found_checkpoint, settled
from hpc.stopping import ByHandError, Heeding, InterruptedRunError
from scenarios.scenario import Checkpoints

SCENARIO = {"name": "one", "rule": {"lr": 0.1}, "run": {"seed": 1, "threads": 2}}


@pytest.fixture(autouse=True)
def stored(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[int, Any]]]:
    """The ticks at which something was stored, with what was said."""
    found: list[tuple[int, Any]] = []

    def store(simulation: Any, folder: Path, said: Any, beside: Any, keep: int, own: Any) -> None:
        found.append((simulation.engine.now, said))

    monkeypatch.setattr(checkpointing, "store", store)
    monkeypatch.delenv(WARNING_S, raising=False)
    monkeypatch.delenv(GRACE_S, raising=False)
    yield found
    stopping._asked.clear()


def at(tick: int) -> Any:
    return SimpleNamespace(engine=SimpleNamespace(now=tick))


def ask(number: signal.Signals, ago_s: float = 0.0) -> None:
    stopping._asked[number] = time.monotonic() - ago_s


def made(
    tick: int | None = None, ranks: Ranks | None = None, **settings: Any
) -> tuple[Checkpointing, Heeding]:
    heeding = Heeding(ranks or OneRank())
    out = Path("runs") / "one"
    return Checkpointing(out, SCENARIO, Checkpoints(**settings), heeding, tick), heeding


# --- when


def test_the_next_tick_is_after_this_one() -> None:
    stores, _ = made(ticks=10)
    assert [stores.until(tick) for tick in (0, 1, 9, 10, 11)] == [10, 10, 10, 20, 20]
    assert made()[0].until(5) == NEVER


def test_ticks_and_the_clock_ask_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    clock_s = [1000.0]
    monkeypatch.setattr(checkpointing.time, "monotonic", lambda: clock_s[0])
    stores, _ = made(ticks=10, minutes=2)
    assert not stores.asks(9)
    assert stores.asks(10)
    clock_s[0] += 121
    assert stores.due()
    assert stores.asks(9)
    assert not stores.asks(10, only_to_end=True)
    stores.take(at(9), {})
    assert not stores.due()
    assert not stores.asks(9)


def test_what_goes_on_does_not_store_at_once_what_it_comes_from(
    stored: list[tuple[int, Any]],
) -> None:
    stores, _ = made(tick=100, ticks=10)
    assert not stores.asks(105)
    assert stores.asks(110)
    stores.take(at(100), {})
    assert stored == []


def test_slow_ones_are_taken_more_rarely(monkeypatch: pytest.MonkeyPatch) -> None:
    clock_s = [0.0]

    def slow(*given: Any) -> None:
        clock_s[0] += 30

    monkeypatch.setattr(checkpointing.time, "monotonic", lambda: clock_s[0])
    monkeypatch.setattr(checkpointing, "store", slow)
    stores, _ = made(minutes=1)
    stores.take(at(1), {})
    clock_s[0] += 30 / checkpointing.SHARE - 1
    assert not stores.due()
    clock_s[0] += 2
    assert stores.due()


def test_only_the_clock_of_rank_0_counts() -> None:
    def program(ranks: Ranks) -> tuple[bool, bool]:
        stores, _ = made(ranks=ranks, minutes=1e-9)
        return stores.due(), stores.asks(1)

    assert PretendRanks(2, 30).run(program) == [(True, True), (False, True)]


def test_a_simulation_is_let_pause_only_inside() -> None:
    stores, ranks = made(minutes=1e-9, ticks=10)
    with stores.pausing():
        assert ranks.pause == PAUSE
        assert ranks.exchange([[]], NEVER)[1] == PAUSE
    assert ranks.exchange([[]], NEVER)[1] == NEVER
    with stores.pausing(only_if_asked=True):
        assert ranks.exchange([[]], NEVER)[1] == NEVER
        ask(signal.SIGUSR1)
        assert ranks.exchange([[]], NEVER)[1] == PAUSE
    assert ranks.pause is None


def test_replicas_are_stored_by_ticks_once_nothing_is_under_way() -> None:
    stores, ranks = made(ticks=10)
    for tick, wake in ((9, NEVER), (10, PAUSE_WHEN_QUIET)):
        with stores.pausing(when_quiet=at(tick)):
            assert ranks.exchange([[]], NEVER)[1] == wake
            assert ranks.exchange([[]], 5)[1] == 5


def test_who_asks_by_itself_is_not_ended_in_between() -> None:
    stores, ranks = made()
    ask(signal.SIGTERM)
    with stores.asking():
        assert ranks.exchange([[]], 7)[1] == 7
        assert ranks.exchange([[]], NEVER)[1] == NEVER
        assert stores.asks(1, only_to_end=True)
    assert ranks.exchange([[]], 7)[1] < 0, "outside, it is"


# --- what is stored, and how a run ends


def test_what_a_checkpoint_says(stored: list[tuple[int, Any]]) -> None:
    stores, _ = made()
    assert stores.tick is None
    stores.take(at(7), {"epoch": 2})
    ((tick, said),) = stored
    assert (tick, stores.tick) == (7, 7)
    assert said["scenario"] == SCENARIO
    assert said["biosim"] == biosim.__version__
    assert said["position"] == {"epoch": 2}
    stores.take(at(7), {"epoch": 2})
    assert len(stored) == 1, "it stands there already"


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (signal.SIGTERM, StoppedError),
        (signal.SIGINT, ByHandError),
        (signal.SIGUSR1, InterruptedRunError),
        (signal.SIGUSR2, InterruptedRunError),
    ],
)
def test_a_run_that_is_asked_to_end_is_stored_and_ends(
    number: signal.Signals, kind: type[StoppedError], stored: list[tuple[int, Any]]
) -> None:
    stores, _ = made()
    ask(number)
    expected = (
        f"asked to end by {number.name} and stopped at tick 1,234: its newest checkpoint is of "
        "1,234; go on by biosim run --resume runs/one"
    )
    with pytest.raises(StoppedError, match=expected) as failure:
        stores.take(at(1234), {})
    assert type(failure.value) is kind
    assert len(stored) == 1


def test_of_two_signals_the_one_that_ends_for_good_counts() -> None:
    stores, _ = made()
    ask(signal.SIGUSR1)
    ask(signal.SIGTERM)
    with pytest.raises(StoppedError, match="SIGTERM"):
        stores.take(at(1), {})


@pytest.mark.parametrize(
    ("number", "variable"), [(signal.SIGUSR1, WARNING_S), (signal.SIGTERM, GRACE_S)]
)
def test_without_time_left_nothing_is_begun(
    number: signal.Signals,
    variable: str,
    monkeypatch: pytest.MonkeyPatch,
    stored: list[tuple[int, Any]],
) -> None:
    stores, _ = made()
    monkeypatch.setenv(variable, "30")
    ask(number, ago_s=31)
    with pytest.raises(StoppedError, match="no checkpoint; there was no time left for another one"):
        stores.take(at(5), {})
    stores, _ = made(tick=3)
    with pytest.raises(StoppedError, match="is of 3; there was no time left"):
        stores.take(at(5), {})
    assert stored == []
    ask(number, ago_s=20)
    with pytest.raises(StoppedError, match="is of 5; go on"):
        stores.take(at(5), {})
    assert len(stored) == 1


@pytest.mark.parametrize("text", ["", "soon", "-1", "1e3", "1.2.3"])
def test_a_time_that_is_none_is_not_known(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    stores, _ = made()
    monkeypatch.setenv(GRACE_S, text)
    ask(signal.SIGTERM, ago_s=1e6)
    with pytest.raises(StoppedError, match="is of 5; go on"):
        stores.take(at(5), {})


def test_the_last_one_took_as_long_as_the_next_will(monkeypatch: pytest.MonkeyPatch) -> None:
    stores, _ = made(tick=3)
    stores._took_s = 25.0
    monkeypatch.setenv(GRACE_S, "30")
    ask(signal.SIGTERM, ago_s=10)
    with pytest.raises(StoppedError, match="there was no time left"):
        stores.take(at(5), {})


# --- what a run goes on from


def kept(out: Path, **said: Any) -> Path:
    path = begin(out / FOLDER, 5)
    about = {"biosim": biosim.__version__, "scenario": SCENARIO, "now": 5, **said}
    return complete(path, about, 1)


def test_a_checkpoint_of_this_scenario_is_found(tmp_path: Path) -> None:
    path = kept(tmp_path)
    assert found_checkpoint(tmp_path, SCENARIO).path == path
    other = {**SCENARIO, "run": {"seed": 1, "threads": 4}, "checkpoint": {"minutes": 1}}
    assert found_checkpoint(tmp_path, other).path == path


def test_a_run_without_one_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="has no checkpoint to go on from; run it from the b"):
        found_checkpoint(tmp_path, SCENARIO)
    begin(tmp_path / FOLDER, 5)
    with pytest.raises(CheckpointError, match="has no checkpoint to go on from"):
        found_checkpoint(tmp_path, SCENARIO)


def test_another_version_is_refused(tmp_path: Path) -> None:
    kept(tmp_path, biosim="0.0.1")
    with pytest.raises(
        CheckpointError, match=f"written by biosim 0.0.1, and this is {biosim.__version__}, which"
    ):
        found_checkpoint(tmp_path, SCENARIO)


@pytest.mark.parametrize(
    ("scenario", "message"),
    [
        ({**SCENARIO, "rule": {"lr": 0.2}}, "rule.lr was 0.1 and is 0.2; resume with"),
        ({**SCENARIO, "rule": {}}, "rule.lr was 0.1 and is not set"),
        ({**SCENARIO, "more": 1}, "more was not set and is 1"),
        ({**SCENARIO, "run": {"seed": 2}}, "run.seed was 1 and is 2"),
    ],
)
def test_another_scenario_is_refused(tmp_path: Path, scenario: Any, message: str) -> None:
    kept(tmp_path)
    with pytest.raises(CheckpointError, match=f"is of another scenario: {message}"):
        found_checkpoint(tmp_path, scenario)


def test_what_a_run_keeps_to_its_end_has_its_seed_and_no_threads() -> None:
    found = settled({**SCENARIO, "checkpoint": {"keep": 3}})
    assert found == {"name": "one", "rule.lr": 0.1, "run.seed": 1}
