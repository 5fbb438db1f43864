"""What a scheduler knows of a job, in Slurm's words, whoever says it."""

from __future__ import annotations

from dataclasses import dataclass, replace

WAITING = {"PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "RESV_DEL_HOLD"}
RUNNING = {"RUNNING", "COMPLETING", "STAGE_OUT", "SIGNALING", "SUSPENDED", "STOPPED", "RESIZING"}
ENDED = {
    "COMPLETED",
    "FAILED",
    "CANCELLED",
    "TIMEOUT",
    "OUT_OF_MEMORY",
    "NODE_FAIL",
    "BOOT_FAIL",
    "PREEMPTED",
    "DEADLINE",
    "REVOKED",
    "SPECIAL_EXIT",
    "LAUNCH_FAILED",
    "RECONFIG_FAIL",
}
GONE = "GONE"
"""Nobody knows the job any more, and nobody said how it ended."""


@dataclass(frozen=True)
class JobState:
    """One job.

    Args:
        job: its id, of an array with the task: "123_4".
        state: a word of Slurm's, or `GONE`.
        code: its exit code; None while nobody knows it.
        signal: that killed it; 0 if none did.
        reason: why it waits or how it ended, as the scheduler has it.
        begin: date; "" if it has not begun.
        end: date; "" if it has not ended.
        restarts: how often it was put back into the queue.
        node: where it is, or was.
        source: who says all that.
    """

    job: str
    state: str
    code: int | None = None
    signal: int = 0
    reason: str = ""
    begin: str = ""
    end: str = ""
    restarts: int = 0
    node: str = ""
    source: str = ""

    @property
    def waits(self) -> bool:
        """Whether it is to begin, or to begin again."""
        return self.state in WAITING

    @property
    def runs(self) -> bool:
        """Whether it is there."""
        return self.state in RUNNING

    @property
    def over(self) -> bool:
        """Whether nothing more comes of it."""
        return not (self.waits or self.runs)

    def known_as(self, job: str) -> JobState:
        """Return the same under another id."""
        return replace(self, job=job)
