"""What several attempts at one run recorded reads as what one would have, up to any tick."""

from pathlib import Path

import pytest
import zarr

from biosim.errors import OutputError
from biosim.spiking.attempts import attempts, next_attempt
from biosim.spiking.finalising import finalise
from biosim.spiking.spike_store import StoreSink
from biosim.traces import open_run
from tests.unit.biosim.spiking.made_up_run import (
    DT_S,
    RECORDING,
    SIZES,
    TICKS,
    UNITS,
    Activity,
    differences,
    in_memory,
    made,
    recorded,
    shares,
)


def attempt(store: Path, owners: int, begins: int, stop: int, number: int) -> None:
    for share in shares(owners):
        sink = StoreSink(
            store, RECORDING, SIZES, share, DT_S, UNITS, 1e9, attempt=number, begins=begins
        )
        # Of a run that goes on, what was due at its first tick has been recorded before.
        Activity().play(sink, share, begins, stop)
        sink.flush()


# The third is resumed from an older checkpoint than the second; 450 is the tick of a snapshot.
@pytest.mark.parametrize(
    ("starts", "finished"),
    [([450], True), ([301], False), ([300, 300], True), ([450, 210], True), ([450, 210], False)],
)
def test_attempts_on_any_owners_read_as_one(
    tmp_path: Path, starts: list[int], finished: bool
) -> None:
    store = made(tmp_path)
    attempt(store, 1, 0, 615, 0)  # further than where any goes on
    for n, start in enumerate(starts, 1):
        assert next_attempt(store, start) == n
        assert attempts(store) == n + 1
        attempt(store, 1 + n % 3, start, TICKS if n == len(starts) else 600, n)
    if finished:
        assert finalise(store) == TICKS
    assert differences(open_run(store), in_memory()) == []


def test_an_attempt_that_recorded_nothing_reads_as_what_was_there(tmp_path: Path) -> None:
    store = made(tmp_path)
    attempt(store, 2, 0, TICKS, 0)
    next_attempt(store, 400)
    assert differences(open_run(store), in_memory(400)) == []


def test_what_was_not_stored_is_missed(tmp_path: Path) -> None:
    store = made(tmp_path)
    attempt(store, 2, 0, 300, 0)
    with pytest.raises(OutputError, match="until tick 300, and is to go on at 310: what is in"):
        next_attempt(store, 310)
    assert attempts(store) == 1, "nothing has changed"


def test_a_run_that_has_been_finished_takes_no_more(tmp_path: Path) -> None:
    store = recorded(tmp_path)
    with pytest.raises(OutputError, match="has been finished, and takes no more: run it from"):
        next_attempt(store, 300)


def test_a_run_that_was_killed_while_it_was_finished_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = made(tmp_path)
    attempt(store, 2, 0, TICKS, 0)
    with monkeypatch.context() as patch:
        patch.setattr("biosim.spiking.finalising._rows", killed)
        with pytest.raises(ZeroDivisionError):
            finalise(store)
    assert "committed_tick" in zarr.open_group(store)["spikes/E"].attrs
    with pytest.raises(OutputError, match="killed while it was being finished, and takes no more"):
        next_attempt(store, 300)
    assert finalise(store) == TICKS
    assert differences(open_run(store), in_memory()) == []


def killed(*given: object) -> None:
    raise ZeroDivisionError
