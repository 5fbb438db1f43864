"""Everything about the runs of a submission that can be refused, refused before it is written."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from hpc.jobs.record import SUBMISSION
from hpc.output import check_free
from hpc.stored import check_start
from hpc.submission.entries import PlannedRun
from hpc.submission.site import COMMAND_LINE, Settled, SubmissionError
from scenarios.data import Dataset
from scenarios.disk import check_kept, kept
from scenarios.images.schema import ImagesScenario
from scenarios.reading import AnyScenario
from scenarios.scenario import Data, Scenario
from scenarios.spiking.schema import SpikingScenario
from scenarios.tasks.schema import TaskScenario

NODE_LOCAL = tuple(Path(place) for place in ("/tmp", "/var/tmp", "/dev/shm", "/run"))
"""Where each machine has a disk of its own."""


def check_out(out: Path) -> None:
    """Check that a directory can be made for a submission.

    Args:
        out: absolute.

    Raises:
        BiosimError: it is there, cannot be made, or has a name that schedulers do not understand.
    """
    if any(sign in str(out) for sign in "%\n\"'\\$`"):
        raise SubmissionError(
            f"--out: got {str(out)!r}; expected a path without %, $, quotes and backslashes, which "
            "schedulers read as their own"
        )
    if out.is_dir() and any(out.iterdir()):
        submitted = (out / SUBMISSION).is_file()
        raise SubmissionError(
            f"{out} exists; choose another --out"
            + (f", or see biosim status {out}" if submitted else "")
        )
    check_free(out, False)


def check_local(known: Settled) -> None:
    """Check that a job asks for nothing that this machine has no scheduler for.

    What the site file of a cluster says of its nodes is not asked of this machine, where the
    command line chooses it in place of the cluster.

    Raises:
        SubmissionError: it does.
    """
    job, instead = known.description, known.origins.get("scheduler") == COMMAND_LINE
    if job.nodes > 1:
        raise SubmissionError(
            f"nodes is {job.nodes} and this machine is one; give --tasks for ranks"
        )
    for key in ("container", "modules", "setup", "python"):
        asked = known.origins.get(key) == COMMAND_LINE or not instead
        if getattr(job, key) and asked:
            raise SubmissionError(
                f"{key} is for jobs on other machines; here runs have the environment of biosim "
                "itself: leave it out"
            )


def local_to_a_node(out: Path) -> str | None:
    """Return a line for who submits from where nodes do not see it."""
    if any(out.is_relative_to(place) for place in NODE_LOCAL):
        return (
            f"{out} may be on this machine only; jobs need an --out on a disk that nodes share, or "
            "they end without a word"
        )
    return None


def variants(runs: Iterable[PlannedRun]) -> list[AnyScenario]:
    """Return the scenarios that differ in more than their seed, the first seed of each."""
    found: list[AnyScenario] = []
    known: list[AnyScenario] = []
    for run in runs:
        without = run.scenario.model_copy(
            update={"run": run.scenario.run.model_copy(update={"seed": 0})}
        )
        if without not in known:
            known.append(without)
            found.append(run.scenario)
    return found


def without_device(scenario: AnyScenario) -> AnyScenario:
    """Return a scenario that can be checked here: a machine that submits may have no GPU."""
    if getattr(scenario.run, "device", "cpu") == "cpu":
        return scenario
    return scenario.model_copy(update={"run": scenario.run.model_copy(update={"device": "cpu"})})


def check_runs(scenarios: Iterable[AnyScenario], ranks: int, out: Path) -> None:
    """Check that scenarios can be run: their data, their networks, and the ranks they are to have.

    Args:
        scenarios: that differ in more than their seed.
        ranks: of each job.
        out: directory in which they store.

    Raises:
        BiosimError: one of them cannot.
    """
    data: dict[Data, Dataset] = {}
    for scenario in scenarios:
        _check_ranks(scenario, ranks)
        if isinstance(scenario, SpikingScenario):
            _check_spiking(scenario, ranks)
            continue
        if isinstance(scenario, TaskScenario):
            from scenarios.tasks.checking import check as check_task

            check_task(scenario)
            continue
        if scenario.data not in data:
            data[scenario.data] = scenario.data.load()
        dataset = data[scenario.data]
        network = scenario.wire(dataset)
        scenario.place.lines(network, ranks)
        if isinstance(scenario, Scenario):
            check_start(scenario, network)
        check_kept(kept(scenario, network, dataset), out)


def _check_ranks(scenario: AnyScenario, ranks: int) -> None:
    if ranks == 1:
        return
    if isinstance(scenario, TaskScenario):
        raise SubmissionError(
            f"{scenario.name} is a task, which runs on one rank, and the job has {ranks}; expected "
            "--tasks 1"
        )
    if scenario.run.pretend_ranks > 1:
        raise SubmissionError(
            f"run.pretend_ranks is {scenario.run.pretend_ranks} and the job has {ranks} ranks; "
            "expected 1: ranks are either processes or pretended"
        )


def _check_spiking(scenario: SpikingScenario, ranks: int) -> None:
    from scenarios.spiking.checking import check, tried
    from scenarios.spiking.memory import available_bytes
    from scenarios.spiking.network import Described

    network, run = Described(scenario).network, scenario.run
    scenario.place.lines(network, ranks)
    _, needs = tried(network, run.seed, run.threads * run.pretend_ranks, run.dtype)
    free = available_bytes()
    if free is None or needs.total_bytes < free:  # a cluster's nodes may hold what this one cannot
        check(scenario)


def unused_gpus(scenarios: Iterable[AnyScenario], gpus: int) -> str | None:
    """Return a line for who asks for GPUs that no run uses, or for runs on GPUs that none has."""
    used = [
        isinstance(each, Scenario | ImagesScenario)
        and getattr(each.run, "device", "cpu").startswith("cuda")
        for each in scenarios
    ]
    if gpus and not any(used):
        return f"gpus_per_node is {gpus} and run.device is cpu: give run.device=cuda to use them"
    if not gpus and any(used):
        return "run.device is cuda and gpus_per_node is 0: give --gpus-per-node if jobs have none"
    return None
