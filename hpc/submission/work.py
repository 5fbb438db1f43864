"""What a job does: go on with one entry of a submission, and say by the exit code how it ended.

Why a program of its own and not the callable that submitit would unpickle: submitit's handlers
stand in the way of those that let all ranks make a checkpoint together, a container need not have
submitit, and a script that holds the whole command can be read, and given to `sbatch` again.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from pathlib import Path

from biosim.checkpoints.directory import FOLDER, newest
from biosim.errors import BiosimError, OutputError
from biosim.ranks import StoppedError
from hpc.jobs.progress import read_progress
from hpc.jobs.record import ENTRIES, load
from hpc.progress import Bar
from hpc.resume import carry_on
from hpc.stopping import STOPPED, InterruptedRunError, exit_code, heeded
from hpc.together import failing_together, first, take_part, wait_for_all
from hpc.world import speaks
from scenarios.reading import AnyScenario, resolve_any

DIRECTORY = "directory"
"""Of `cluster` in `submission.json`: where the user was."""

LINK = "BIOSIM_LINK"
"""Variable with a job's place in its chain, from 0."""

ENDED = {"failed": 1, "diverged": 2, "stopped": STOPPED}
"""How a run may have ended that the next job of a chain does not take up, with its exit code."""


def work(out: Path, index: int) -> int:
    """Go on with an entry of a submission; return the exit code.

    Args:
        out: directory of the submission.
        index: of the entry.
    """
    try:
        with heeded():
            return _worked(out, index)
    except BiosimError as problem:
        if speaks():
            print(f"biosim: {problem}", file=sys.stderr, flush=True)
        if isinstance(problem, StoppedError):
            wait_for_all()
            return exit_code(problem)
        return 2


def _worked(out: Path, index: int) -> int:
    with failing_together():
        scenario, path = entry(out, index)
    if (code := _ended_before(path)) is not None:
        return code
    stood = _stood(path) if first() and read_progress(path).status == "interrupted" else None
    try:
        with Bar(f"{path.relative_to(out)}") as bar:
            carry_on(scenario, path, bar)
    except StoppedError as reason:
        warned = first() and isinstance(reason, InterruptedRunError)
        if not take_part().agree(warned and stood == _stood(path)):
            raise
        if speaks():
            print(
                f"biosim: {path} came no further than {stood or 'its beginning'} in this job, "
                "which was warned, as the one before: begin and warning leave it no time; give "
                "more --time, or a shorter --lead",
                file=sys.stderr,
                flush=True,
            )
        wait_for_all()
        return 2
    if first():
        print(f"results in {path}", flush=True)
    return 0


def entry(out: Path, index: int) -> tuple[AnyScenario, Path]:
    """Return the scenario of an entry and the directory of its run.

    Raises:
        OutputError: the entry cannot be read here, or its run not be written.
    """
    path = out / ENTRIES / f"{index:04d}.json"
    here = socket.gethostname()
    try:
        tables = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeError) as problem:
        raise OutputError(
            f"{path} cannot be read on {here} ({getattr(problem, 'strerror', None) or problem}); "
            "submit with an --out on a disk that all nodes share"
        ) from None
    except ValueError as problem:
        raise OutputError(f"{path} is damaged: {problem}; submit again") from None
    submission = load(out)
    run = out / submission.entries[index].path
    there = next(each for each in (run, *run.parents) if each.exists())
    if not os.access(there, os.W_OK | os.X_OK):
        raise OutputError(
            f"{there} cannot be written on {here}; submit with an --out that jobs may write"
        )
    if os.path.isdir(directory := str(submission.cluster.get(DIRECTORY, ""))):
        os.chdir(directory)  # relative paths of data are the user's, not the job's
    return resolve_any(tables), run


def _ended_before(run: Path) -> int | None:
    """Return the exit code of a run that a chain is not to take up again, and say so.

    A user who cancels a job does not want the next one of its chain to raise it; what fails, fails
    again. A job that the scheduler itself runs again, and one that is submitted anew, do take up.
    """
    if os.environ.get(LINK, "0") == "0" or os.environ.get("SLURM_RESTART_COUNT", "0") != "0":
        return None
    status = read_progress(run).status
    code = ENDED.get(status)
    if code is not None and speaks():
        print(
            f"biosim: {run} is {status}: this job of its chain does nothing; see biosim status",
            file=sys.stderr,
        )
    return code


def _stood(run: Path) -> str:
    """Return the name of the newest checkpoint of a run; "" if it has none.

    Why a job that was warned is held against it: where the time is up before the first step, each
    would be put back into the queue by the one before, for ever.
    """
    found = newest(run / FOLDER)
    return "" if found is None else found.name


def main() -> None:
    """Do what the command line says: the directory of a submission, the index of an entry."""
    sys.exit(work(Path(sys.argv[1]).absolute(), int(sys.argv[2])))


if __name__ == "__main__":
    main()
