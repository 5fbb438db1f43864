"""One run: a scenario in, a directory of results out."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, overload

from biosim.checkpoints.directory import Checkpoint
from biosim.processes import showing_life
from biosim.store import STORE, sign_of
from hpc.progress import Watcher
from hpc.run_layers import Result, run_layers
from hpc.world import speaks
from scenarios.images.schema import ImagesScenario
from scenarios.reading import AnyScenario
from scenarios.scenario import Scenario
from scenarios.spiking.schema import SpikingScenario
from scenarios.tasks.schema import TaskScenario

if TYPE_CHECKING:
    from hpc.run_tasks import TaskResult
    from hpc.spiking_result import SpikingResult


@overload
def run(
    scenario: Scenario | ImagesScenario,
    out: str | Path,
    overwrite: bool = False,
    watcher: Watcher | None = None,
) -> Result: ...
@overload
def run(
    scenario: SpikingScenario,
    out: str | Path,
    overwrite: bool = False,
    watcher: Watcher | None = None,
) -> SpikingResult: ...
@overload
def run(
    scenario: TaskScenario,
    out: str | Path,
    overwrite: bool = False,
    watcher: Watcher | None = None,
) -> TaskResult: ...
def run(
    scenario: AnyScenario,
    out: str | Path,
    overwrite: bool = False,
    watcher: Watcher | None = None,
) -> Result | SpikingResult | TaskResult:
    """Run a scenario and store what it does in the directory `out`.

    Args:
        scenario: what to simulate: layers or spiking neurons that learn from data, a spiking
            network, or a task.
        out: directory to make.
        overwrite: replace results that are there.
        watcher: is told after every epoch.

    Raises:
        BiosimError: the scenario, its data or the directory cannot be used; nothing is written.
        DivergedError: a weight became infinite or not a number; what was recorded is kept.
        StoppedError: a signal asked it to end; `hpc.resume` goes on from its checkpoint.
    """
    return run_from(None, scenario, Path(out), overwrite, watcher)


def run_from(
    checkpoint: Checkpoint | None,
    scenario: AnyScenario,
    out: Path,
    overwrite: bool,
    watcher: Watcher | None,
) -> Result | SpikingResult | TaskResult:
    """Run a scenario from a checkpoint of it in the same directory, or from the beginning.

    Args:
        checkpoint: to go on from; None for the beginning.
        scenario: as in `run`, like the others.
        out: directory.
        overwrite: replace results that are there.
        watcher: is told how far it is.

    Raises:
        BiosimError: as `run`.
    """
    # An epoch, or merging what was recorded, may take longer than `biosim traces repair` waits.
    with showing_life(sign_of(out / STORE)) if speaks() else nullcontext():
        if isinstance(scenario, SpikingScenario):
            # Only a network that spikes needs Brian2's parser and the kernels' compiler.
            from hpc.run_spiking import run_spiking

            return run_spiking(scenario, out, overwrite, watcher, checkpoint)
        if isinstance(scenario, TaskScenario):
            from hpc.run_tasks import run_task

            return run_task(scenario, out, overwrite, watcher)
        if isinstance(scenario, ImagesScenario):
            from hpc.run_images import run_images

            return run_images(scenario, out, overwrite, watcher, checkpoint)
        return run_layers(scenario, out, overwrite, watcher, checkpoint)
