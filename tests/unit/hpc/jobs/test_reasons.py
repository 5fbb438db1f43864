"""Why a job ended: what schedulers, the system and Python leave of it."""

from __future__ import annotations

import pytest

from hpc.jobs.reasons import outcome
from hpc.jobs.state import GONE, JobState

TRACEBACK = [
    "digits: 3/8 accuracy 80.00 % (forward)",
    "Traceback (most recent call last):",
    '  File "x.py", line 3, in <module>',
    "    raise ValueError('that is wrong')",
    "ValueError: that is wrong",
    "srun: error: n1: task 0: Exited with exit code 1",
]
ALLOCATION = "numpy._core._exceptions._ArrayMemoryError: Unable to allocate 74.5 GiB for an array"
CUDA = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 MiB"
STEP_KILL = "srun: error: n1: task 0: Out Of Memory"
OOM_KILL = "slurmstepd: error: Detected 1 oom_kill event in StepId=7.batch. Some of the step"
LIMIT = "slurmstepd: error: *** JOB 7 ON n1 CANCELLED AT 2026-01-05T10:00:04 DUE TO TIME LIMIT ***"
NODE = (
    "slurmstepd: error: *** JOB 7 ON n1 CANCELLED AT 2026-01-05T10:0 DUE TO NODE FAILURE, SEE ***"
)
ROOM = "slurmstepd: error: *** JOB 7 ON n1 CANCELLED AT 2026-01-05T10:00:04 DUE TO PREEMPTION ***"


@pytest.mark.parametrize(
    ("state", "said", "how", "why"),
    [
        (JobState("7", "OUT_OF_MEMORY", signal=125), [], "out of memory", "more memory than was"),
        (JobState("7", "FAILED", 1), [ALLOCATION], "out of memory", "Unable to allocate 74.5 GiB"),
        (JobState("7", "FAILED", 1), [*TRACEBACK[:-2], CUDA], "out of memory", "CUDA out of memo"),
        (
            JobState("7", "FAILED", 137),
            [OOM_KILL],
            "out of memory",
            "more memory than was asked for",
        ),
        (JobState("7", "FAILED", signal=9), [], "failed", "SIGKILL, likely because the machine"),
        (JobState("7", "FAILED", 137), ["biosim: so far"], "failed", "likely because the machine"),
        (JobState("7", "TIMEOUT"), TRACEBACK, "time limit", "goes on from its newest checkpoint"),
        (JobState("7", "TIMEOUT", reason="limit of 5 s"), [], "time limit", "over (limit of 5 s);"),
        (JobState("7", "DEADLINE"), [], "time limit", "its deadline had come"),
        (JobState("7", "NODE_FAIL", node="n1"), [], "node failure", "its node n1 failed"),
        (JobState("7", "BOOT_FAIL"), [], "node failure", "its node failed"),
        (JobState("7", "PREEMPTED"), [], "pre-empted", "it had to make room"),
        (JobState("7", "CANCELLED", reason="by user 5"), [], "cancelled", "cancelled by user 5;"),
        (
            JobState("7", "CANCELLED", reason="DependencyNeverSatisfied"),
            [],
            "cancelled",
            ": Depend",
        ),
        (JobState("7", "CANCELLED", signal=15), TRACEBACK, "cancelled", "it was cancelled;"),
        (JobState("7", GONE), [LIMIT], "time limit", "its time was over"),
        (JobState("7", GONE), [NODE], "node failure", "its node failed"),
        (JobState("7", GONE), [ROOM], "pre-empted", "make room"),
        (JobState("7", GONE), [], "gone", "the scheduler does not know it any more"),
        (JobState("7", GONE, reason="so it is"), [], "gone", "so it is; biosim resubmit"),
        (JobState("7", "FAILED", 1), TRACEBACK, "failed", "ValueError: that is wrong"),
        (JobState("7", "FAILED", 2), ["biosim: no such rule", ""], "failed", "no such rule"),
        (JobState("7", "FAILED", 75), [], "failed", "it was warned and has stored"),
        (JobState("7", "FAILED", 143), ["biosim: stopped"], "failed", "asked to end by SIGTERM"),
        (JobState("7", "FAILED", signal=11), [], "failed", "it was killed by SIGSEGV"),
        (JobState("7", "FAILED", signal=63), [], "failed", "it was killed by signal 63"),
        (JobState("7", "FAILED", 3), ["oh", " "], "failed", "exit code 3; its last line: oh"),
        (JobState("7", "FAILED"), [], "failed", "without an exit code and said nothing"),
    ],
)
def test_each_end_is_explained(state: JobState, said: list[str], how: str, why: str) -> None:
    found = outcome(state, said)
    assert found[0] == how
    assert why in found[1]


def test_what_an_earlier_attempt_wrote_does_not_explain_a_failure() -> None:
    assert outcome(JobState("7", "FAILED", 1), [LIMIT, *TRACEBACK])[0] == "failed"


def test_the_memory_that_was_asked_for_is_said() -> None:
    for state, said in (
        (JobState("7", "OUT_OF_MEMORY"), []),
        (JobState("7", "FAILED"), [OOM_KILL]),
        (JobState("7", "FAILED", 137), [STEP_KILL]),
    ):
        assert "than the 4 GiB that were asked for" in outcome(state, said, "4 GiB")[1]


def test_the_word_memory_alone_is_no_lack_of_it() -> None:
    lines = ["biosim: the memory of the rule is unknown"]
    assert outcome(JobState("7", "FAILED", 2), lines)[0] == "failed"
