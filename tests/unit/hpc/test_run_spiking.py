"""A run of a spiking network leaves everything that it did, labelled, in its directory."""

from __future__ import annotations

import copy
import filecmp
import json
import re
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

import biosim
from biosim.errors import BiosimError, DivergedError, OutputError
from biosim.simulation import Simulation
from biosim.spiking.recording import MemorySink
from biosim.spiking.spike_store import StoreSink
from biosim.spiking.write_behind import WriteBehind
from hpc.run import run
from hpc.spiking_result import SpikingResult, lines, summary
from scenarios.reading import resolve_any
from scenarios.spiking import SpikingScenario
from scenarios.spiking.checking import check

TREE: dict[str, Any] = {
    "name": "tiny",
    "neurons": {
        "lif": {
            "model": "dv/dt = (I + g - v)/(20*ms) : volt\ndg/dt = -g/(5*ms) : volt\nI : volt",
            "threshold": "v > 10*mV",
            "reset": "v = 0*mV",
            "method": "exact",
            "initial": {"v": "rand()*10*mV", "I": "15*mV"},
        }
    },
    "populations": {
        # More than one block of 256, so that there is something to share out.
        "E": {"size": 300, "neuron": "lif"},
        "I": {"size": 260, "neuron": "lif"},
        "noise": {"kind": "poisson", "size": 10, "rate": "50 Hz"},
    },
    "projections": {
        "rest": {
            "source": "I",
            "target": ["E", "I"],
            "receptor": "g",
            "wiring": {"rule": "fixed_probability", "p": 0.1},
            "weight": "-0.5 mV",
            "delay": "1 ms",
        },
        "learning": {
            "source": "noise",
            "target": "E",
            "receptor": "g",
            "wiring": {"rule": "fixed_in_degree", "n": 5},
            "weight": "1 mV",
            "plasticity": {
                "model": "w : volt\ndpre/dt = -pre/(20*ms) : 1 (event-driven)",
                "on_pre": "receptor += w; pre += 1",
                "on_post": "w = clip(w + pre*0.01*mV, 0*mV, 2*mV)",
                "bounds": {"w": ["0 mV", "2 mV"]},
            },
        },
    },
    "run": {"duration": "120 ms", "seed": 3, "dtype": "float64"},
    "record": {
        "spikes": ["I", {"population": "E", "neurons": [1, 270]}],
        "states": [{"population": "E", "variables": ["v"], "neurons": [270], "every": "10 ms"}],
        "weights": [{"projection": "learning", "every": "40 ms"}],
    },
}


def scenario(*overrides: str) -> SpikingScenario:
    found = resolve_any(copy.deepcopy(TREE), overrides)
    assert isinstance(found, SpikingScenario)
    return found


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> SpikingResult:
    return run(scenario(), tmp_path_factory.mktemp("runs") / "one")


@pytest.fixture(scope="module")
def expected() -> MemorySink:
    """The same network, kept in memory without anything of this package."""
    checked = check(scenario()).described
    sink = MemorySink()
    import torch

    simulation = Simulation(
        checked.network, seed=3, dtype=torch.float64, recording=checked.recording, sink=sink
    )
    simulation.run_to(checked.ticks)
    return sink


def test_what_is_stored_is_what_the_simulation_handed_over(
    done: SpikingResult, expected: MemorySink
) -> None:
    tree = biosim.open_run(done.path)
    for name in ("E", "I"):
        stored = tree[f"spikes/{name}"]
        ticks, neurons = expected.spikes[name]
        assert len(ticks) > 0
        np.testing.assert_array_equal(np.rint(stored.time.values / 1e-4), ticks)
        np.testing.assert_array_equal(stored.neuron.values, neurons)
    assert set(tree["spikes/E"].neuron.values) <= {1, 270}
    assert "noise" not in tree["spikes"].children  # counted, not asked for
    voltage = expected.states["E", "v"]
    np.testing.assert_array_equal(tree["traces/E"].v.values, voltage.values)
    np.testing.assert_allclose(tree["traces/E"].time.values, voltage.ticks * 1e-4)
    assert tree["traces/E"].v.attrs["units"] == "V"
    weights = expected.weights["learning"]
    np.testing.assert_array_equal(tree["weights/learning"].w.values, weights.values["w"])
    # The run ends where the last one is due.
    np.testing.assert_allclose(tree["weights/learning"].time.values, [0.0, 0.04, 0.08, 0.12])
    np.testing.assert_array_equal(tree["neurons/I"].gid.values, np.arange(300, 560))
    np.testing.assert_allclose(tree["neurons/E"].I.values, 0.015)


def test_a_store_has_no_groups_of_other_kinds_of_runs(done: SpikingResult) -> None:
    found = {path.name for path in (done.path / "run.zarr").iterdir() if path.is_dir()}
    assert found == {"neurons", "spikes", "timing", "traces", "weights"}


def test_the_store_says_what_was_run(done: SpikingResult) -> None:
    said = biosim.open_run(done.path).attrs
    assert (said["kind"], said["status"], said["seed"], said["ticks"]) == (
        *("spiking", "complete"),
        *(3, 1200),
    )
    assert resolve_any(said["scenario"]) == scenario()
    assert {"python", "biosim", "numpy", "brian2", "numba"} <= set(said["versions"])
    for key in ("git", "host", "started", "finished", "threads", "ranks"):
        assert key in said
    assert said["committed_tick"] == 1200
    progress = json.loads((done.path / "progress.json").read_text())
    assert (progress["status"], progress["tick"], progress["percent"]) == ("complete", 1200, 100.0)


def test_rates_and_intervals_are_those_of_the_spikes(done: SpikingResult) -> None:
    stored = biosim.open_run(done.path)["spikes/I"]
    times, neurons = stored.time.values, stored.neuron.values
    found = done.activity["I"]
    assert found.spikes == len(times)
    assert found.rate_hz == pytest.approx(len(times) / 260 / 0.12)
    ratios = []
    for neuron in range(260):
        intervals = np.diff(times[neurons == neuron])
        if len(intervals) >= 2:
            ratios.append(intervals.std() / intervals.mean())
    assert len(ratios) > 10
    assert found.cv == pytest.approx(np.mean(ratios), abs=1e-6)
    # Neurons whose spikes are not stored are counted as well.
    assert done.activity["E"].spikes > 100
    assert 0 < done.activity["noise"].rate_hz < 200


def test_synapses_and_events_are_counted(done: SpikingResult) -> None:
    assert done.synapses == pytest.approx(0.1 * 260 * 560 + 5 * 300, rel=0.05)
    assert done.synaptic_events > 1000
    assert done.seconds == pytest.approx(0.12)
    assert done.real_time_factor == pytest.approx(done.wall_s / 0.12)


def test_the_resolution_of_every_receptor_is_told(done: SpikingResult) -> None:
    assert {each.receptor for each in done.resolutions} == {"g"}
    assert {name for each in done.resolutions for name in each.populations} == {"E", "I"}
    for each in done.resolutions:
        assert np.log2(each.step) == round(np.log2(each.step))
        assert each.unit == "V"


def test_the_summary_is_kept_in_the_store(done: SpikingResult) -> None:
    kept = biosim.open_run(done.path).attrs["result"]
    assert lines(kept) == lines(summary(done))
    text = "\n".join(lines(kept))
    assert f"{done.activity['I'].rate_hz:.2f}" in text
    assert "times real time" in text
    assert "ns a synaptic event" in text


def test_a_summary_without_events_or_intervals_has_no_numbers_for_them(tmp_path: Path) -> None:
    tree = {"populations": {"E": TREE["neurons"]["lif"] | {"size": 2, "initial": {}}}}
    quiet = resolve_any(tree, ["run.duration=1 ms", "name=quiet"])
    assert isinstance(quiet, SpikingScenario)
    text = "\n".join(lines(summary(run(quiet, tmp_path / "quiet"))))
    assert "synaptic event" not in text
    assert text.split("\n")[3].split() == ["E", "2", "0.00", "-"]


@pytest.mark.parametrize("settings", [("run.pretend_ranks=2",), ("run.threads=2",)])
def test_the_bytes_of_a_store_do_not_show_who_computed(
    settings: tuple[str, ...], done: SpikingResult, tmp_path: Path
) -> None:
    other = run(scenario(*settings), tmp_path / "other")
    assert other.activity == done.activity
    assert (other.synapses, other.synaptic_events) == (done.synapses, done.synaptic_events)

    def arrays(root: Path) -> list[Path]:
        return sorted(
            p.relative_to(root)
            for p in root.rglob("*")
            if "c" in p.parts and "timing" not in p.parts and p.is_file()
        )

    ours, theirs = done.path / "run.zarr", other.path / "run.zarr"
    assert arrays(ours) == arrays(theirs)
    assert arrays(ours)
    for path in arrays(ours):
        assert filecmp.cmp(ours / path, theirs / path, shallow=False), path


def test_a_run_that_diverges_keeps_what_it_recorded(tmp_path: Path) -> None:
    grows = {
        "size": 2,
        "model": "dv/dt = k*v*v : 1\nk : Hz",
        "threshold": "v > 1e30",
        "method": "euler",
        "initial": {"v": 1, "k": "8 Hz"},
    }
    tree = {
        "populations": {"A": grows},
        "run": {"duration": "1 s"},
        "record": {"states": [{"population": "A", "variables": ["v"], "every": "1 ms"}]},
    }
    given = resolve_any(tree)
    assert isinstance(given, SpikingScenario)
    with pytest.raises(
        DivergedError, match=r"population 'A', neuron 0: v is .* at tick \d+"
    ) as bad:
        run(given, tmp_path / "run")
    assert str(tmp_path / "run") in str(bad.value)
    tree_of_run = biosim.open_run(tmp_path / "run")
    assert tree_of_run.attrs["status"] == "diverged"
    assert tree_of_run.attrs["error"] == str(bad.value)
    v = tree_of_run["traces/A"].v
    assert len(v) == -(-tree_of_run.attrs["committed_tick"] // 10)
    assert np.isfinite(v.values).all()
    assert json.loads((tmp_path / "run/progress.json").read_text())["status"] == "diverged"


def test_a_run_that_is_stopped_can_be_read(tmp_path: Path) -> None:
    class Stops:
        def say(self, line: str) -> None:
            pass

        def step(self, done: int, total: int, note: str) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(scenario(), tmp_path / "run", watcher=Stops())
    tree = biosim.open_run(tmp_path / "run")
    assert tree.attrs["status"] == "failed"
    assert tree.attrs["committed_tick"] == 1000
    assert len(tree["spikes/I"].time) > 0


def test_what_cannot_be_run_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(BiosimError, match=r"projections\.rest\.delay"):
        run(scenario("projections.rest.delay='0.15 ms'"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_an_output_that_exists_is_refused_and_left_alone(
    done: SpikingResult, tmp_path: Path
) -> None:
    before = sorted(done.path.rglob("*"))
    with pytest.raises(OutputError, match="exists; choose another --out"):
        run(scenario(), done.path)
    assert sorted(done.path.rglob("*")) == before


def test_a_run_may_be_replaced(tmp_path: Path) -> None:
    run(scenario("run.duration=1 ms"), tmp_path / "run")
    again = run(scenario("run.duration=2 ms"), tmp_path / "run", overwrite=True)
    attributes = zarr.open_group(str(again.path / "run.zarr"), mode="r").attrs
    assert attributes["ticks"] == 20


def test_a_run_that_waits_for_its_disk_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []

    class Listens:
        def say(self, line: str) -> None:
            said.append(line)

        def step(self, done: int, total: int, note: str) -> None:
            pass

    run(scenario(), tmp_path / "fast", watcher=Listens())
    assert said == []

    def slow(sink: StoreSink, tick: int) -> None:
        time.sleep(0.7)

    monkeypatch.setattr(StoreSink, "commit", slow)
    monkeypatch.setattr("hpc.run_spiking.WriteBehind", partial(WriteBehind, backlog_bytes=2048))
    run(scenario(), tmp_path / "slow", watcher=Listens())
    assert len(said) == 1
    assert re.fullmatch(r"waited [\d.]+ s of [\d.]+ s for the disk, which takes less .*", said[0])


def test_the_watcher_hears_of_every_second_of_the_simulated_time(tmp_path: Path) -> None:
    heard: list[tuple[int, int, str]] = []

    class Listens:
        def say(self, line: str) -> None:
            pass

        def step(self, done: int, total: int, note: str) -> None:
            heard.append((done, total, note))

    run(scenario(), tmp_path / "run", watcher=Listens())
    assert [(done, total) for done, total, _ in heard] == [(1000, 1200), (1200, 1200)]
    assert heard[0][2].startswith("0.1 s, ")
