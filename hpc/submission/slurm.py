"""Jobs of Slurm: scripts and `sbatch` by submitit, the command of the job our own.

Why not submitit's own command, which unpickles a callable in the job: its handlers checkpoint on
rank 0 alone, take SIGTERM and SIGUSR2 for themselves before ours are there, and a job could not be
given to sbatch again by hand. What is taken from it is the text of the script, the array and the
number of the job; those functions are private, so the version is pinned and tests hold the text.

Why the shell that started the ranks asks for the requeue, and not rank 0: in a container there is
no scontrol, and a requeue kills what has not ended yet.
"""

from __future__ import annotations

import contextlib
import io
import re
import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from submitit.core.utils import FailedJobError, FailedSubmissionError
from submitit.slurm.slurm import SlurmExecutor

from hpc.jobs.record import LOGS
from hpc.stopping import INTERRUPTED
from hpc.submission.amounts import clock_text, mebibytes, seconds
from hpc.submission.command import mpiexec, preparation, program
from hpc.submission.description import Description
from hpc.submission.site import SubmissionError

SCRIPTS = "scripts"
LIMIT_S = 60
"""After which sbatch is given up: with all nodes down it waits for ever."""

NEVER = re.compile(
    r"Partition(Config|NodeLimit|TimeLimit)|BadConstraints|Invalid(Account|QOS)|\w+PerJobLimit"
)
"""Reasons of a job that waits, which time alone does not mend."""

UNDECIDED, LOOKED_S = "None", 2.0
"""The reason of a job that the scheduler has not looked at, and how long that is awaited."""

AFTER = f"""\
code=$?
if [ "$code" -eq {INTERRUPTED} ]; then
    job="${{SLURM_ARRAY_JOB_ID:+${{SLURM_ARRAY_JOB_ID}}_$SLURM_ARRAY_TASK_ID}}"
    scontrol requeue "${{job:-$SLURM_JOB_ID}}"
fi
exit $code"""

FORWARDED = """\
job=$!
trap 'kill -USR1 $job' USR1
trap 'kill -USR2 $job' USR2
trap : TERM
wait $job; code=$?
while kill -0 $job 2>/dev/null; do wait $job; code=$?; done"""


class Sbatch(SlurmExecutor):
    """Submits scripts whose command is given; writes nothing until it does.

    Args:
        out: directory of the submission.
        name: of the job.
        job: described.
        entries: indices of those that it runs; several are an array.
        link: place in a chain, from 0.
        after: number of the job before it in the chain.
        chained: whether another one of the chain goes on, so that no job asks to be run again.
    """

    def __init__(
        self,
        out: Path,
        name: str,
        job: Description,
        entries: Sequence[int],
        link: int = 0,
        after: str | None = None,
        chained: bool = False,
    ) -> None:
        super().__init__(out / SCRIPTS)
        self._job, self._out = job, out
        several = len(entries) > 1
        index = '"${entries[$SLURM_ARRAY_TASK_ID]}"' if several else str(entries[0])
        listed = [f"entries=({' '.join(map(str, entries))})"] if several else []
        self.command = program(job, out, index)
        again = job.requeue and not chained
        teardown = AFTER if again else "exit $?"
        if not job.by_srun:
            self.command = f"{mpiexec(job)} {self.command} &"
            teardown = f"{FORWARDED}\n" + (AFTER.partition("\n")[2] if again else "exit $code")
        self.update_parameters(
            job_name=name,
            nodes=job.nodes,
            time=clock_text(seconds(job.time)) if job.time else None,
            use_srun=job.by_srun,
            srun_args=self._srun_args() if job.by_srun else None,
            setup=[*listed, *preparation(job, link)],
            teardown=[*teardown.split("\n"), ""],
            wckey=None,
            stderr_to_stdout=True,  # the file that is named below is the one
            additional_parameters=self._parameters(job, several, after),
        )
        if several:
            self.parameters["array_parallelism"] = job.at_once or len(entries)
            self.parameters["map_count"] = len(entries)

    def text(self) -> str:
        """Return the script."""
        return str(self._make_submission_file_text(self.command, ""))

    def give(self) -> str:
        """Write the script, give it to sbatch, and return the number of the job.

        Raises:
            SubmissionError: sbatch refuses, in its own words, or does not answer.
        """
        try:
            # What sbatch says is said once, by the error.
            with contextlib.redirect_stderr(io.StringIO()):
                job = self._submit_command(self.command)
        except FailedJobError as problem:
            raise SubmissionError(_refusal(problem)) from None
        except FailedSubmissionError as problem:
            raise SubmissionError(f"sbatch gave no number of a job: {problem}") from None
        for link in (self._out / SCRIPTS).glob(".submission_file_*"):
            link.unlink()
        return str(job.job_id)

    @classmethod
    def affinity(cls) -> int:
        """Say that scripts can be made, also where there is no Slurm."""
        return 2

    def _make_submission_command(self, submission_file_path: Path) -> list[str]:
        return ["timeout", str(LIMIT_S), "sbatch", str(submission_file_path)]

    def _srun_args(self) -> list[str]:
        job = self._job
        # All ranks write where the job does: one file a job. Slurm does not hand on the cores.
        cores = [f"--cpus-per-task={job.cpus_per_task}"] if job.cpus_per_task else []
        return ["--output=all", "--error=all", *cores, *job.launcher[1:]]

    def _parameters(self, job: Description, several: bool, after: str | None) -> dict[str, Any]:
        number = "%A_%a" if several else "%j"
        lead = f"{job.signal}@{seconds(job.lead)}"
        found: dict[str, Any] = {
            "ntasks": job.ranks,
            "ntasks_per_node": job.ranks_per_node,
            "output": str(self._out / LOGS / f"{number}.out"),
            "error": str(self._out / LOGS / f"{number}.err"),
            # Only the shell can tell mpiexec; srun's ranks are told by Slurm itself.
            "signal": lead if job.by_srun else f"B:{lead}",
            # Also in a chain: a job that had to make room ends by SIGTERM, as a cancelled one does,
            # and no later one takes that up.
            "requeue" if job.requeue else "no_requeue": True,
            "cpus_per_task": job.cpus_per_task,
            "gpus_per_node": job.gpus_per_node or None,
            "mem": f"{mebibytes(job.memory)}M" if job.memory else None,
            "partition": job.partition,
            "account": job.account,
            "constraint": job.constraint,
            "qos": job.qos,
            **job.options,
        }
        if after:  # one that was asked for holds for the first job of a chain
            found["dependency"] = f"afterany:{after}"
        return {key: value for key, value in found.items() if value not in (None, False)}


def check_there() -> None:
    """Check that there is a Slurm to submit to.

    Raises:
        SubmissionError: there is none.
    """
    if shutil.which("sbatch") is None:
        raise SubmissionError(
            "no Slurm on this machine: sbatch is not on the path; submit on a login node of the "
            "cluster, look at the script by --dry-run, or run here by --scheduler local, which "
            "the site file may hold"
        )


def hopeless(number: str) -> str | None:
    """Return why a job that Slurm has taken will never start, in Slurm's word; None if it may."""
    until = time.monotonic() + LOOKED_S
    while time.monotonic() < until:
        try:
            asked = ["squeue", "--noheader", "--states=PENDING", "--format=%r", f"--jobs={number}"]
            done = subprocess.run(
                asked, capture_output=True, text=True, timeout=LIMIT_S, check=False
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        reason = done.stdout.split("\n")[0].strip()
        if NEVER.fullmatch(reason):
            return reason
        if reason != UNDECIDED:
            return None
        time.sleep(0.25)
    return None


def cancel(jobs: Sequence[str]) -> None:
    """Cancel jobs, as well as it goes."""
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        subprocess.run(["scancel", *jobs], capture_output=True, timeout=LIMIT_S, check=False)


def _refusal(problem: FailedJobError) -> str:
    cause = problem.__cause__
    if getattr(cause, "returncode", None) == 124:
        return (
            f"sbatch did not answer in {LIMIT_S} s: the controller is down, or no node is up; see "
            "sinfo, and squeue --me for a job that came to be all the same"
        )
    lines = [
        line.removeprefix("sbatch: ").removeprefix("error: ") for line in str(problem).split("\n")
    ]
    said = "; ".join(line.strip() for line in lines if line.strip())
    return f"Slurm refuses the job: {said or f'sbatch ended with {cause}'}"
