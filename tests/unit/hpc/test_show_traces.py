"""What `biosim traces info` says of a run that came to its end, and of one that did not."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import zarr

from biosim import open_run, processes
from biosim.errors import OutputError
from biosim.store import RunStore
from hpc.report_spiking import spiking_table, write_spiking_report
from hpc.show_traces import traces_text
from hpc.stored import stored_scenario
from tests.unit.biosim.spiking.made_up_run import (
    DT_S,
    SIZES,
    TICKS,
    Activity,
    made,
    recorded,
    shares,
    sink_at,
)
from tests.unit.hpc.test_ending import gone

ABOUT = {
    "kind": "spiking",
    "scenario": {"name": "made up"},
    "seed": 3,
    "populations": SIZES,
    "dt_s": DT_S,
    "ticks": TICKS,
    "started": "then",
    "host": "there",
    "ranks": 1,
    "versions": {},
    "git": "none",
    "threads": 1,
}


def killed(path: Path, process: dict[str, object], monkeypatch: pytest.MonkeyPatch) -> Path:
    for module in ("biosim.store", "biosim.spiking.spike_store"):
        monkeypatch.setattr(f"{module}.this_process", lambda: process)
    store = made(path)
    RunStore(store).describe(ABOUT)
    sink = sink_at(store, shares(1)[0])
    Activity().play(sink, shares(1)[0], stop=405)
    sink.flush()
    return path


def test_of_a_killed_run_it_says_how_far_it_came_and_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = traces_text(killed(tmp_path, gone(), monkeypatch)).splitlines()
    assert told[0].startswith("status    running, but no process writes it any more; ")
    assert told[0].endswith(f"biosim traces repair {tmp_path} finishes it")
    assert told[1] == "stored    everything before tick 405 (0.0405 s)"
    assert any(re.match(r"spikes/E/time .* [\d,]+ +in logs$", line) for line in told)


def test_a_run_that_goes_on_is_running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = traces_text(killed(tmp_path, processes.this_process(), monkeypatch))
    assert told.splitlines()[0] == "status    running"


def test_bytes_on_disk_are_those_of_the_files(tmp_path: Path) -> None:
    store = recorded(tmp_path)
    RunStore(store).finish({**ABOUT, "status": "complete"})
    told = traces_text(tmp_path)
    files = [path for path in (store / "spikes/E/by_time/step").rglob("*") if path.is_file()]
    expected = f"{sum(path.stat().st_size for path in files):,}"
    (line,) = [line for line in told.splitlines() if line.startswith("spikes/E/time ")]
    assert line.split()[-1] == expected
    assert line.split()[-2] != expected, "8 bytes a spike in memory"
    total = sum(path.stat().st_size for path in store.rglob("*") if path.is_file())
    assert f"on disk   {total:,} bytes" in told
    assert "stored    " not in told


def test_a_store_that_does_not_say_its_scenario_is_refused_in_one_line(tmp_path: Path) -> None:
    store = recorded(tmp_path)
    RunStore(store).finish({**ABOUT, "status": "complete"})
    root = zarr.open_group(str(store), mode="r+")
    del root.attrs["scenario"]
    line = r"does not say its 'scenario': that attribute .* is gone"
    for read in (traces_text, spiking_table, write_spiking_report):
        with pytest.raises(OutputError, match=line):
            read(tmp_path)
    with pytest.raises(OutputError, match="the run does not say its scenario; take a copy"):
        stored_scenario(open_run(tmp_path))
