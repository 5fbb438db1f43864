"""Submitting again what did not come to its end: it goes on from its checkpoints."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from biosim.errors import BiosimError
from hpc.jobs import local
from hpc.jobs.record import Entry, chosen, load
from hpc.jobs.slurm import SlurmError
from hpc.jobs.status import COMPLETE, UNKNOWN, narrowed, status


def resubmit(
    out: Path, names: Sequence[str] = (), failed: bool = False, at_once: int | None = None
) -> list[Entry]:
    """Submit entries again; return them with their new jobs.

    Args:
        out: directory of the submission.
        names: of entries, their indices, or ids of their jobs.
        failed: all that failed, died, were cancelled or never submitted, of those that are named
            if some are.
        at_once: of the local executor, jobs at a time; as before if left out.

    Raises:
        OutputError: there is no submission or no such entry.
        BiosimError: nothing is asked for or to be done, an entry is complete or not over, or the
            scheduler refuses.
    """
    if not (names or failed):
        raise BiosimError("nothing to resubmit; give --failed, or names of entries")
    whole = status(out)
    found = narrowed(whole, chosen(whole.submission, names))
    if any(each.state == UNKNOWN for each in found.entries):
        raise SlurmError(found.note)
    wanted = [each for each in found.entries if each.died]
    if failed and not wanted:
        counts = ", ".join(f"{number} {state}" for state, number in found.counts().items())
        raise BiosimError(f"no entry of {out} has failed ({counts}); there is nothing to resubmit")
    if not failed and (other := next((e for e in found.entries if not e.died), None)) is not None:
        over = other.state == COMPLETE
        advice = "submit it anew for another run" if over else "cancel it first, or let it end"
        raise BiosimError(f"{other.entry.name} is {other.state}; {advice}")
    indices = [each.entry.index for each in wanted]
    if whole.submission.scheduler == "local":
        local.submit(out, at_once, indices)
    else:
        # It needs what only submitting needs: submitit, templates, the parser of site files.
        from hpc.submission.submit import submit_again

        submit_again(out, indices)
    again = load(out)
    return [again.entries[index] for index in indices]
