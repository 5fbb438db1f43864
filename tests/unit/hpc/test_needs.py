"""What a scenario needs grows with what it does, and is what a run then takes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from biosim.errors import ScenarioError
from hpc.calibration import LayerSpeed, SpikeSpeed
from hpc.needs import needs
from hpc.submission.proposal import MEMORY_MARGIN
from scenarios.reading import read_tree, resolve_any


@pytest.fixture(autouse=True)
def same_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measure nothing: what is compared is to differ by what is asked for only."""
    monkeypatch.setattr("hpc.needs.layer_speed", lambda *given: LayerSpeed(1e-9, 1e-5))
    speed = SpikeSpeed(1e-8, 1e-7, 1e-9, 1e-6)
    monkeypatch.setattr("hpc.needs.spike_speed", lambda *given: speed)


def of(name: str, *overrides: str, ranks: int = 1):
    return needs(resolve_any(read_tree(name), overrides), ranks)


@pytest.mark.parametrize(
    ("name", "less", "more"),
    [
        ("digits", "run.epochs=10", "run.epochs=100"),
        ("digits_spiking", "run.epochs=1", "run.epochs=10"),
        ("hidden_pattern", "task.seconds=1", "task.seconds=10"),
        ("reward_choice", "task.trials=10", "task.trials=100"),
    ],
)
def test_ten_times_as_long_takes_nearly_ten_times_the_time(name: str, less: str, more: str) -> None:
    assert 5 < of(name, more).run_s / of(name, less).run_s < 11


def test_a_spiking_network_takes_time_by_its_duration() -> None:
    short, long = (of("cuba", f"run.duration={n} s") for n in (1, 4))
    assert long.run_s == pytest.approx(4 * short.run_s)
    assert long.memory_bytes == short.memory_bytes


def test_larger_layers_need_more_memory() -> None:
    small, large = (of("digits", f"network.hidden=[{n},{n}]") for n in (32, 4096))
    # A square of weights, in single precision and twice.
    assert large.memory_bytes - small.memory_bytes > 2 * 4 * 4096**2


def test_ranks_share_a_spiking_network() -> None:
    alone, together = (of("brunel", ranks=ranks) for ranks in (1, 4))
    assert together.memory_bytes < alone.memory_bytes
    assert together.run_s < alone.run_s


def test_a_task_runs_on_one_rank() -> None:
    with pytest.raises(ScenarioError, match="a task, which runs on one rank; got 2"):
        of("reward_choice", ranks=2)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "overrides"),
    [
        ("digits", ["run.epochs=3"]),
        ("cuba", ["run.duration=100 ms"]),
        ("hidden_pattern", ["task.seconds=2", "task.repeats=1"]),
    ],
)
def test_a_run_takes_less_memory_than_a_job_is_given(
    name: str, overrides: list[str], tmp_path: Path
) -> None:
    code = (
        "import resource, sys; from hpc.cli import app\n"
        "app(sys.argv[1:], standalone_mode=False)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    words = ["run", name, *overrides, "--out", str(tmp_path / "run")]
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    unit = 1 if sys.platform == "darwin" else 1024
    taken = int(done.stdout.splitlines()[-1]) * unit
    given = MEMORY_MARGIN * of(name, *overrides).memory_bytes
    assert taken < given < 3 * taken
