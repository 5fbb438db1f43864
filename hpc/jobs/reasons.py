"""Why a job ended, in a line that also says what to do about it.

Why more than the scheduler's word is read: not every cluster watches memory, and where none does,
a job that took too much is killed by the system, or fails to get more; both look like any failure.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Sequence

from hpc.jobs.logs import complaint
from hpc.jobs.state import GONE, JobState

GO_ON = "biosim resubmit goes on from its newest checkpoint"
ANEW = "it has no checkpoint, biosim resubmit begins it anew"

MEMORY = re.compile(
    r"\boom[-_ ]kill|out of memory|exceeded memory limit|MemoryError|Cannot allocate memory"
    r"|can't allocate memory|bad_alloc|Unable to allocate",
    re.IGNORECASE,
)
OVER_MEMORY = re.compile(
    r"(slurmstepd|srun).*(oom|out of memory|exceeded memory limit)", re.IGNORECASE
)
TIME = re.compile(r"CANCELLED AT .* DUE TO TIME LIMIT")
NODE = re.compile(r"CANCELLED AT .* DUE TO NODE FAILURE")
ROOM = re.compile(r"CANCELLED AT .* DUE TO PREEMPTION")

OF_NODES = {"NODE_FAIL", "BOOT_FAIL", "LAUNCH_FAILED", "RECONFIG_FAIL"}


def outcome(
    state: JobState, said: Sequence[str], memory: str = "", advice: str = GO_ON
) -> tuple[str, str]:
    """Return how a job that is over ended, in a word or two, and why in a line.

    Args:
        state: as the scheduler has it; not COMPLETED.
        said: the last lines of what it wrote as errors.
        memory: that was asked for, such as "4 GiB"; "" if nothing was.
        advice: what to do where nothing is wrong with the run.
    """
    lines = list(said)
    # Of one that was begun again they may be of an earlier attempt: the scheduler knows better.
    words = "\n".join(lines) if state.state == GONE else ""
    lack = next((line.strip() for line in reversed(lines) if MEMORY.search(line)), "")
    if state.state == "OUT_OF_MEMORY" or OVER_MEMORY.search(lack):
        asked = f"the {memory} that were" if memory else "was"
        return (
            "out of memory",
            f"it took more memory than {asked} asked for; submit with more --memory",
        )
    if state.state == "TIMEOUT" or TIME.search(words):
        limit = f" ({state.reason})" if state.reason.startswith("limit") else ""
        return "time limit", f"its time was over{limit}; {advice}"
    if state.state == "DEADLINE":
        return "time limit", f"its deadline had come; {advice}"
    if state.state in OF_NODES or NODE.search(words):
        where = f" {state.node}" if state.node else ""
        return "node failure", f"its node{where} failed; {advice}"
    if state.state == "PREEMPTED" or ROOM.search(words):
        return "pre-empted", f"it had to make room; {advice}"
    if lack:
        return "out of memory", f"{lack}; submit with more --memory"
    if state.state == "CANCELLED":
        by = f" {state.reason}" if state.reason.startswith("by ") else ""
        if not by and state.reason:
            by = f": {state.reason}"
        return "cancelled", f"it was cancelled{by}; {advice}"
    if state.state == GONE:
        return "gone", f"{state.reason or 'the scheduler does not know it any more'}; {advice}"
    return "failed", _failure(state, lines, advice)


def _failure(state: JobState, lines: list[str], advice: str) -> str:
    killer = state.signal or (state.code - 128 if state.code and 128 < state.code < 192 else 0)
    told = complaint(lines)
    if killer == signal.SIGKILL:
        return (
            "it was killed by SIGKILL, likely because the machine was out of memory; see how much "
            "biosim plan says that it takes"
        )
    if state.code == 75:
        return f"it was warned and has stored where it stands; {advice}"
    if state.code == 143 or killer == signal.SIGTERM:
        return f"it was asked to end by SIGTERM; {advice}"
    if told:
        return told
    if killer:
        return f"it was killed by {_named(killer)}"
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    code = "without an exit code" if state.code is None else f"with exit code {state.code}"
    return f"it ended {code}" + (f"; its last line: {last}" if last else " and said nothing")


def _named(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
