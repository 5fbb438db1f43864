"""What a run will store is said before it begins, and held against the room there is."""

from __future__ import annotations

from pathlib import Path

import pytest

from biosim.errors import OutputError
from biosim.spiking.layout import Layout
from hpc.run import run
from scenarios.disk import room
from scenarios.reading import read_tree, resolve_any
from scenarios.spiking import SpikingScenario
from scenarios.spiking.disk import Stored, check_disk, stored
from scenarios.spiking.network import Described
from tests.unit.hpc.test_run_spiking import scenario


def stores(found: object, rates_hz: dict[int, float] | None = None) -> Stored:
    assert isinstance(found, SpikingScenario)
    described = Described(found)
    layout = Layout(described.network)
    return stored(layout, described.recording, described.ticks, found.run.dtype, rates_hz)


def sizes(store: Path) -> dict[str, int]:
    return {
        kind: sum(
            path.stat().st_size
            for path in (store / kind).rglob("*")
            if path.is_file() and "c" in path.parts
        )
        for kind in ("spikes", "traces", "weights")
    }


LARGE = (
    "run.duration=2 s",
    "record.states=[{population='E', variables=['v'], every='0.5 ms'}]",
    "record.weights=[{projection='learning', every='10 ms'}]",
)


def test_what_is_stored_is_about_what_was_expected(tmp_path: Path) -> None:
    given = scenario(*LARGE, "record.spikes=true")
    done = run(given, tmp_path / "run")
    names = list(Described(given).network.population_at)
    rates = {i: done.activity[name].rate_hz for i, name in enumerate(names)}
    expected, found = stores(given, rates), sizes(tmp_path / "run/run.zarr")
    # Half a megabyte of spikes shrinks less well than a long recording.
    assert found["spikes"] == pytest.approx(expected.spike_bytes, rel=0.5)
    assert 0.5 * expected.state_bytes < found["traces"] <= 1.02 * expected.state_bytes
    assert 0.3 * expected.weight_bytes < found["weights"] <= 1.02 * expected.weight_bytes
    assert stores(given).spike_bytes != expected.spike_bytes  # without the rates it is a guess


def test_less_is_stored_of_less() -> None:
    whole = stores(scenario(*LARGE))
    half = stores(
        scenario(
            *LARGE[:1],
            "record.states=[{population='E', variables=['v'], every='1 ms'}]",
            "record.weights=[{projection='learning', every='10 ms', during=[['0 s', '1 s']]}]",
        )
    )
    assert half.state_bytes == whole.state_bytes / 2
    assert half.weight_bytes == pytest.approx(whole.weight_bytes / 2, rel=0.02)
    some = stores(scenario("record.states=[{population='E', variables=['v'], neurons=30}]"))
    every = stores(scenario("record.states=[{population='E', variables=['v']}]"))
    assert some.state_bytes == pytest.approx(every.state_bytes / 10, rel=0.05)
    assert stores(scenario("record={spikes=false}")).total_bytes == 0
    assert stores(scenario("record={spikes=false}")).line() == "nothing is recorded"


def test_more_is_needed_on_the_way_than_in_the_end() -> None:
    found = stores(scenario(*LARGE))
    assert found.total_bytes < found.most_bytes < 3 * found.total_bytes


def test_spikes_at_stretches_of_time_are_counted_for_these() -> None:
    tree = read_tree("brunel")
    whole, part = (
        stores(resolve_any(tree, ["run.duration=2 s", f"record.spikes=[{each}]"]))
        for each in (
            "{population='E'}",
            "{population='E', during=[['0.5 s', '1 s'], ['1.5 s', '2 s']]}",
        )
    )
    assert whole.spike_bytes == pytest.approx(4.2 * 10_000 * 10 * 2)
    assert part.spike_bytes == pytest.approx(whole.spike_bytes / 2)


def test_a_run_that_would_fill_the_disk_is_refused_with_the_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = Stored(2.0**30, 0.0, 2.0**31, 2.0**32)
    check_disk(found, tmp_path, 2.0**32)
    with pytest.raises(OutputError, match=r"1.0 GiB of spikes, 2.0 GiB of weights: 3.0 GiB in .*"):
        check_disk(found, tmp_path, 2.0**32 - 1)
    monkeypatch.setattr("scenarios.disk.room", lambda out: 1000.0)
    out = tmp_path / "run"
    with pytest.raises(OutputError, match=r"on the way; .*/run has room for 1.0 KiB: record less"):
        run(scenario(), out)
    assert not out.exists()


def test_the_room_is_that_of_the_disk_that_a_directory_will_be_on(tmp_path: Path) -> None:
    assert room(tmp_path / "not" / "there") == pytest.approx(room(tmp_path), rel=0.5)
    assert room(tmp_path) > 0
