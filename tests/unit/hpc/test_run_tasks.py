"""A task's run stores what the task made of its network, and is reported like a spiking run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import biosim
from biosim.errors import OutputError
from hpc.report_learning import plots
from hpc.report_spiking import is_spiking, spiking_table, write_spiking_report
from hpc.run import run
from hpc.run_tasks import TaskResult, found_lines
from scenarios.tasks import hidden_pattern, reward_choice
from scenarios.tasks.pattern_input import drawn
from scenarios.tasks.schema import ChoiceTask, HiddenPattern, PatternTask, RewardChoice, TaskRun
from tests.unit.hpc.test_report import Page

# Three parts of the input, the last of which is short; twice.
PATTERN = HiddenPattern(
    name="<small>",
    task=PatternTask(seconds=12.0, repeats=2, weight=0.5),
    run=TaskRun(seed=3),
)
CHOICES = RewardChoice(task=ChoiceTask(trials=25, inputs=10, neurons=5, rest_ms=50))


@pytest.fixture(scope="module")
def pattern(tmp_path_factory: pytest.TempPathFactory) -> TaskResult:
    return run(PATTERN, tmp_path_factory.mktemp("runs") / "pattern")


@pytest.fixture(scope="module")
def choices(tmp_path_factory: pytest.TempPathFactory) -> TaskResult:
    return run(CHOICES, tmp_path_factory.mktemp("runs") / "choices")


def test_the_store_has_the_scenario_and_how_it_ended(pattern: TaskResult) -> None:
    said = biosim.open_run(pattern.path).attrs
    assert (said["status"], said["task"], said["seed"]) == ("complete", "hidden_pattern", 3)
    assert said["scenario"] == PATTERN.model_dump(mode="json")
    assert said["found"] == dict(pattern.found)
    assert said["ticks"] == 240_000
    assert {"python", "biosim", "brian2", "numba"} <= said["versions"].keys()
    progress = json.loads((pattern.path / "progress.json").read_text(encoding="utf-8"))
    assert (progress["status"], progress["percent"]) == ("complete", 100.0)


def test_curves_and_weights_are_those_of_the_task(pattern: TaskResult) -> None:
    judged, weights = hidden_pattern.run(PATTERN)
    assert pattern.found["hits"] == judged.hits
    assert pattern.found["false_alarms_hz"] == judged.false_alarms_hz
    tree = biosim.open_run(pattern.path)
    curves = tree["learning"]
    np.testing.assert_allclose(curves.end, [5, 10, 12, 17, 22, 24])
    # Of the last time that the input is shown, weighed by how often the pattern is in a part.
    given = drawn(PATTERN.task, 3)
    counts = np.histogram(given.starts, [0, 50_000, 100_000, 120_000])[0]
    assert np.average(curves.hits[3:], weights=counts) == pytest.approx(judged.hits)
    np.testing.assert_allclose(curves.start[len(given.starts) :], given.starts * 1e-4 + 12)
    stored = tree["weights/afferents-neuron"]
    np.testing.assert_array_equal(stored.w[-1], weights.astype(np.float32))
    np.testing.assert_array_equal(stored.w[0], np.float32(0.5))
    np.testing.assert_allclose(stored.time, [0, 5, 10, 12, 17, 22, 24])


def test_latencies_are_those_of_the_stored_spikes(pattern: TaskResult) -> None:
    tree = biosim.open_run(pattern.path)
    spikes = np.rint(tree["spikes/neuron"].time.values * 1e4).astype(np.int64)
    starts = np.rint(tree["learning"].start.values * 1e4).astype(np.int64)
    latency, alarms = hidden_pattern.heard(spikes, starts)
    np.testing.assert_array_equal(tree["learning"].latency, latency)
    seconds = np.diff(tree["learning"].end, prepend=0)
    assert (tree["learning"].false_alarms * seconds).sum() == pytest.approx(alarms)
    assert len(spikes) > 0


def test_choices_are_those_of_the_task_with_any_number_of_threads(
    choices: TaskResult, tmp_path: Path
) -> None:
    right = biosim.open_run(choices.path)["learning"].right.values
    np.testing.assert_array_equal(right, reward_choice.run(CHOICES))
    threads = CHOICES.model_copy(update={"run": TaskRun(threads=2)})
    again = biosim.open_run(run(threads, tmp_path / "run").path)
    np.testing.assert_array_equal(again["learning"].right, right)
    assert choices.found["trials"] == 13
    assert choices.found["first"] == pytest.approx(right[:13].mean())
    assert choices.found["last"] == pytest.approx(right[-13:].mean())


def test_another_seed_gives_other_choices(choices: TaskResult, tmp_path: Path) -> None:
    other = run(CHOICES.model_copy(update={"run": TaskRun(seed=1)}), tmp_path / "run")
    curves = [biosim.open_run(path)["learning"] for path in (choices.path, other.path)]
    assert (curves[0].spikes_left != curves[1].spikes_left).any()


@pytest.mark.parametrize("name", ["pattern", "choices"])
def test_the_report_has_figures_of_the_task_and_loads_nothing(
    name: str, request: pytest.FixtureRequest
) -> None:
    done = request.getfixturevalue(name)
    assert is_spiking(done.path)
    page = Page(write_spiking_report(done.path).read_text(encoding="utf-8"))
    assert set(page.loads) == {"data:,"}
    titles = [plot.title for plot in plots(biosim.open_run(done.path))]
    assert (
        titles
        == {
            "pattern": ["Hits", "False alarms", "Latency", "Weights of afferents-neuron"],
            "choices": ["Right choices", "Weights of stimuli-left", "Weights of stimuli-right"],
        }[name]
    )
    assert all(title in page.text for title in titles)
    table = spiking_table(done.path)
    for line in found_lines(done.found):
        assert line in page.text
        assert line in table


def test_what_is_drawn_is_what_is_stored(choices: TaskResult, pattern: TaskResult) -> None:
    right = biosim.open_run(choices.path)["learning"].right.values
    drawn_right = plots(biosim.open_run(choices.path))[0].traces[0]
    assert drawn_right.x == [20, 21, 22, 23, 24, 25]
    assert drawn_right.y[0] == pytest.approx(100 * right[:20].mean())
    assert drawn_right.y[-1] == pytest.approx(100 * right[-20:].mean())
    start, within, others = plots(biosim.open_run(pattern.path))[3].traces
    assert sum(start.y) == 2000
    assert sum(within.y) == sum(others.y) == 1000


def test_a_run_that_was_stopped_keeps_what_it_had(tmp_path: Path) -> None:
    class Stops:
        def say(self, line: str) -> None:
            pass

        def step(self, done: int, total: int, note: str) -> None:
            if done == 100_000:
                raise RuntimeError("out of power")

    with pytest.raises(RuntimeError):
        run(PATTERN, tmp_path / "run", watcher=Stops())
    tree = biosim.open_run(tmp_path / "run")
    assert tree.attrs["status"] == "failed"
    assert np.isfinite(tree["learning"].hits).sum() == 2
    assert (
        "failed: out of power"
        in Page(write_spiking_report(tmp_path / "run").read_text(encoding="utf-8")).text
    )


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (
            {"hits": 0.0, "false_alarms_hz": 0.0, "latency_ms": None, "found": False},
            ["hits 0.0 %, false alarms 0.000 Hz, latency -,", "the pattern is not found"],
        ),
        (
            {"hits": 0.95, "false_alarms_hz": 0.01, "latency_ms": 4.26, "found": True},
            ["hits 95.0 %, false alarms 0.010 Hz, latency 4.3 ms,", "the pattern is found"],
        ),
        (
            {"trials": 100, "first": 0.5, "last": 0.98},
            ["right choices: 50.0 % of the first 100 trials, 98.0 % of the last 100"],
        ),
    ],
)
def test_lines_say_how_well_it_was_done(found: dict[str, Any], said: list[str]) -> None:
    for line, start in zip(found_lines(found), said, strict=True):
        assert line.startswith(start)


def test_results_that_are_there_stay(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mine.txt").write_text("mine")
    with pytest.raises(OutputError, match="exists"):
        run(CHOICES, tmp_path / "run")
