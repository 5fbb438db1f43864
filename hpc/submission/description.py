"""What a job asks of a scheduler, in words that no scheduler owns.

One description serves Slurm, PBS, LSF and the local executor: the site file, the command line and
`submission.json` hold the same keys.
"""

from __future__ import annotations

import re
import shlex
from pathlib import PurePath
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from hpc.submission.amounts import Memory, Time, seconds
from scenarios.scenario import Table

Scheduler = Literal["slurm", "local", "pbs", "lsf"]
LAUNCHERS = ("srun", "mpiexec", "mpirun")

Count = Annotated[int, Field(ge=1)]
NAME = re.compile(r"[^\s\"'`$;<>\\#]+")
OPTION = re.compile(r"[A-Za-z][\w-]*")
OWN = re.compile(
    r"account|array|constraint|cpus-per-task|error|gpus-per-node|mem|nodes|ntasks(-per-node)?"
    r"|open-mode|output|partition|qos|(no-)?requeue|signal|time"
)
"""Options of sbatch that have a key of their own, or that status, logs and requeueing rest on:
an array of another length would let several jobs write one run."""


def _line(text: str) -> str:
    if not text.strip() or "\n" in text:
        raise ValueError("expected one line of text")
    return text


def _name(text: str) -> str:
    if not NAME.fullmatch(text):
        raise ValueError("expected a name without spaces, quotes and signs of the shell")
    return text


def _option(text: str) -> str:
    if not OPTION.fullmatch(text):
        raise ValueError("expected the long name of an option, such as mail-type")
    option = text.replace("_", "-")
    if OWN.fullmatch(option):
        raise ValueError("expected an option that biosim does not set itself")
    return option


Line = Annotated[str, AfterValidator(_line)]
Name = Annotated[str, AfterValidator(_name)]
Options = dict[Annotated[str, AfterValidator(_option)], bool | int | Line]


class Description(Table):
    """What one job asks for; None is left to the scheduler or proposed."""

    nodes: Count = Field(1, description="machines")
    tasks: Count | None = Field(None, description="ranks, on all nodes together")
    tasks_per_node: Count | None = Field(None, description="ranks on each node")
    cpus_per_task: Count | None = Field(None, description="cores of each rank")
    gpus_per_node: Annotated[int, Field(ge=0)] = Field(0, description="GPUs on each node")
    memory: Memory | None = Field(None, description="of each node, such as 4 GiB")
    time: Time | None = Field(None, description="limit of one job, such as 2 h")
    partition: Name | None = Field(None, description="or queue")
    account: Name | None = Field(None, description="that pays")
    constraint: Name | None = Field(None, description="features that nodes must have")
    qos: Name | None = Field(None, description="quality of service")
    modules: tuple[Name, ...] = Field((), description="that are loaded before anything runs")
    setup: tuple[Line, ...] = Field((), description="lines of shell that make the environment")
    mpi: Line | None = Field(None, description="srun --mpi=pmix, srun --mpi=pmi2, or mpiexec")
    container: Line | None = Field(None, description="image that apptainer runs biosim in")
    container_options: tuple[Line, ...] = Field((), description="of apptainer exec")
    python: Line | None = Field(None, description="interpreter on the nodes; the one that submits")
    signal: Literal["USR1", "USR2"] = Field("USR1", description="warns before the time is up")
    lead: Time = Field("5 min", description="from the warning to the end; for a checkpoint")
    grace: Time = Field("30 s", description="from SIGTERM to SIGKILL, as the cluster has it")
    requeue: bool = Field(True, description="after a warning or a lost node, run again")
    at_once: Count | None = Field(None, description="jobs of an array that run at a time")
    options: Options = Field({}, description="of the scheduler, as they stand: exclusive = true")

    @field_validator("mpi")
    @classmethod
    def _a_launcher_starts_the_ranks(cls, text: str | None) -> str | None:
        try:
            words = shlex.split(text or "srun")
        except ValueError:
            words = []
        if not words or PurePath(words[0]).name not in LAUNCHERS:
            raise ValueError("expected srun --mpi=..., mpiexec or mpirun, with their options")
        return text

    @model_validator(mode="after")
    def _ranks_fit_on_the_nodes(self) -> Self:
        each, tasks = self.tasks_per_node, self.tasks
        if tasks is not None and tasks < self.nodes:
            raise ValueError(
                f"tasks is {tasks} and nodes is {self.nodes}; expected at least a rank a node"
            )
        if tasks is not None and each is not None and tasks > each * self.nodes:
            raise ValueError(
                f"tasks is {tasks}, more than tasks_per_node, {each}, times nodes, {self.nodes}; "
                "leave one of them out"
            )
        return self

    @model_validator(mode="after")
    def _the_warning_comes_in_time(self) -> Self:
        if self.time is not None and seconds(self.lead) > seconds(self.time) / 2:
            raise ValueError(
                f"lead is {self.lead} and time is {self.time}; expected a warning in the second "
                "half of the job: a shorter lead, or more time"
            )
        return self

    @property
    def ranks(self) -> int:
        """How many processes there are on all nodes; one a GPU where nothing else is said."""
        each = self.tasks_per_node or self.gpus_per_node or 1
        return self.tasks or self.nodes * each

    @property
    def ranks_per_node(self) -> int:
        """The most on one node."""
        return self.tasks_per_node or -(-self.ranks // self.nodes)

    @property
    def launcher(self) -> list[str]:
        """Words of the command that starts ranks, with its options."""
        return shlex.split(self.mpi or "srun")

    @property
    def by_srun(self) -> bool:
        """Whether Slurm starts the ranks itself."""
        return PurePath(self.launcher[0]).name == "srun"

    def stored(self) -> dict[str, Any]:
        """Return the description for `submission.json`, with figures in the units of programs."""
        found: dict[str, Any] = self.model_dump(mode="json", exclude_none=True)
        found |= {
            "ranks": self.ranks,
            "threads": self.cpus_per_task or 1,
            "warning_s": seconds(self.lead),
            "grace_s": seconds(self.grace),
        }
        return found if self.time is None else {**found, "time_s": seconds(self.time)}
