"""What Slurm's commands print, in the forms that its manual pages give."""

from __future__ import annotations

import pytest

from hpc.jobs.slurm_text import (
    completion_file,
    grouped,
    sacct_states,
    scontrol_states,
    squeue_states,
    tasks,
)

SACCT = """\
41|COMPLETED|0:0|2026-01-05T10:00:01|2026-01-05T10:09:30|n1|None
41.batch|COMPLETED|0:0|2026-01-05T10:00:01|2026-01-05T10:09:30|n1|
42_0|FAILED|1:0|2026-01-05T10:00:01|2026-01-05T10:00:09|n1|None
42_0.0|FAILED|1:0|2026-01-05T10:00:02|2026-01-05T10:00:08|n1|
42_1|OUT_OF_MEMORY|0:125|2026-01-05T10:00:01|2026-01-05T10:01:09|n2|None
42_1.batch|OUT_OF_MEMORY|0:125|2026-01-05T10:00:01|2026-01-05T10:01:09|n2|
42_2|FAILED|137:0|2026-01-05T10:00:01|2026-01-05T10:01:09|n2|None
42_2.0|OUT_OF_MEMORY|0:125|2026-01-05T10:00:01|2026-01-05T10:01:09|n2|
42_3|TIMEOUT|0:0|2026-01-05T10:00:01|2026-01-05T11:00:09|n2|None
42_3.batch|CANCELLED|0:15|2026-01-05T10:00:01|2026-01-05T11:00:09|n2|
42_4|CANCELLED by 1000|0:0|None|2026-01-05T10:00:09|None assigned|None
42_5|NODE_FAIL|1:0|2026-01-05T10:00:01|2026-01-05T10:00:09|n2|None
42_[6-7%2]|PENDING|0:0|Unknown|Unknown|None assigned|JobArrayTaskLimit
43|RUNNING|0:0|2026-01-05T10:00:01|Unknown|n[1-2]|None
44|CANCELLED+|0:15|2026-01-05T10:00:01|2026-01-05T10:00:09|n1|None
"""


def test_sacct_tells_states_codes_times_and_nodes() -> None:
    found = sacct_states(SACCT)
    assert {job: state.state for job, state in found.items()} == {
        "41": "COMPLETED", "42_0": "FAILED", "42_1": "OUT_OF_MEMORY", "42_2": "OUT_OF_MEMORY",
        "42_3": "TIMEOUT", "42_4": "CANCELLED", "42_5": "NODE_FAIL", "42_6": "PENDING",
        "42_7": "PENDING", "43": "RUNNING", "44": "CANCELLED",
    }  # fmt: skip
    assert (found["42_0"].code, found["42_0"].signal, found["42_0"].node) == (1, 0, "n1")
    assert found["42_4"].reason == "by user 1000"
    assert (found["42_4"].begin, found["42_4"].node) == ("", "")
    assert (found["42_6"].reason, found["42_6"].waits) == ("JobArrayTaskLimit", True)
    assert (found["43"].code, found["43"].runs, found["43"].end) == (None, True, "")
    assert (found["44"].code, found["44"].signal) == (None, 15)
    assert found["41"].begin == "2026-01-05T10:00:01"


def test_a_step_out_of_memory_does_not_change_a_job_that_ended_well() -> None:
    text = "7|COMPLETED|0:0|a|b|n1|None\n7.0|OUT_OF_MEMORY|0:125|a|b|n1|\n"
    assert sacct_states(text)["7"].state == "COMPLETED"


def test_lines_that_are_none_of_sacct_are_left_out() -> None:
    assert sacct_states("Slurm accounting storage is disabled\n\n") == {}


SQUEUE = """\
42_0|RUNNING|2026-01-05T10:00:01|2026-01-05T11:00:01|n1|None
42_1|PENDING|2026-01-05T12:00:00|N/A||(Resources)
42_[2-3]|PENDING|N/A|N/A||Dependency
50|COMPLETING|2026-01-05T10:00:01|2026-01-05T10:10:00|n1|None
51|OUT_OF_MEMORY|2026-01-05T10:00:01|2026-01-05T10:10:00|n1|OutOfMemory
52|PENDING|N/A|N/A||ReqNodeNotAvail, UnavailableNodes:n1|n2
"""


def test_squeue_tells_states_and_why_jobs_wait() -> None:
    found = squeue_states(SQUEUE)
    assert {job: state.state for job, state in found.items()} == {
        "42_0": "RUNNING", "42_1": "PENDING", "42_2": "PENDING", "42_3": "PENDING",
        "50": "COMPLETING", "51": "OUT_OF_MEMORY", "52": "PENDING",
    }  # fmt: skip
    assert found["42_1"].begin == ""  # when it is expected to begin is no begin
    assert found["42_3"].reason == "Dependency"
    assert found["50"].runs
    assert found["51"].over
    assert found["52"].reason == "ReqNodeNotAvail, UnavailableNodes:n1|n2"
    assert all(state.code is None for state in found.values())


SCONTROL = (
    "JobId=12 ArrayJobId=10 ArrayTaskId=1 JobName=digits UserId=me(1000) GroupId=me(1000) "
    "MCS_label=N/A Priority=4294901757 Nice=0 Account=(null) QOS=(null) JobState=FAILED "
    "Reason=NonZeroExitCode Dependency=(null) Requeue=1 Restarts=2 BatchFlag=1 Reboot=0 "
    "ExitCode=137:0 RunTime=00:00:03 TimeLimit=00:01:00 TimeMin=N/A "
    "SubmitTime=2026-01-05T10:00:00 EligibleTime=2026-01-05T10:00:00 AccrueTime=Unknown "
    "StartTime=2026-01-05T10:00:01 EndTime=2026-01-05T10:00:04 Deadline=N/A "
    "Partition=debug AllocNode:Sid=host:1 ReqNodeList=(null) ExcNodeList=(null) NodeList=n1 "
    "BatchHost=n1 NumNodes=1 NumCPUs=1 NumTasks=1 CPUs/Task=1 ReqB:S:C:T=0:0:*:* "
    "Command=/home/me/JobState=PENDING x.sh WorkDir=/home/me Comment=a b c \n"
    "JobId=10 ArrayJobId=10 ArrayTaskId=2-4:2,7%1 JobName=digits JobState=PENDING "
    "Reason=JobArrayTaskLimit Restarts=0 ExitCode=0:0 StartTime=2026-01-06T00:00:00 "
    "EndTime=Unknown NodeList=(null)\n"
    "JobId=20 JobName=other JobState=CANCELLED Reason=None Restarts=0 ExitCode=0:15 "
    "StartTime=2026-01-05T10:00:01 EndTime=2026-01-05T10:00:04 NodeList=n2\n"
)

COMPLETIONS = (
    "JobId=12 UserId=me(1000) GroupId=me(1000) Name=digits JobState=NODE_FAIL Partition=debug "
    "TimeLimit=1 StartTime=2026-01-05T10:00:01 EndTime=2026-01-05T10:00:04 NodeList=n1 NodeCnt=1 "
    "ProcCnt=1 WorkDir=/home/me ReservationName= Tres=cpu=1,node=1,billing=1 Account= QOS= "
    "WcKey= Cluster=unknown SubmitTime=2026-01-05T10:00:00 EligibleTime=2026-01-05T10:00:00 "
    "ArrayJobId=10 ArrayTaskId=1 DerivedExitCode=0:0 ExitCode=1:0 \n"
)


def test_scontrol_tells_codes_and_restarts() -> None:
    found = scontrol_states(SCONTROL)
    assert set(found) == {"10_1", "10_2", "10_4", "10_7", "20"}
    failed, killed = found["10_1"], found["20"]
    assert (failed.state, failed.code, failed.restarts) == ("FAILED", 137, 2)
    assert (failed.node, failed.source) == ("n1", "scontrol")
    assert (killed.code, killed.signal) == (None, 15)
    assert (found["10_7"].state, found["10_7"].begin) == ("PENDING", "")


def test_a_job_that_was_cancelled_before_it_began_has_no_begin() -> None:
    line = "JobId=18 Name=x JobState=CANCELLED StartTime=2026-01-05T10:00:01 NodeList=(null)"
    assert scontrol_states(line)["18"].begin == ""
    assert scontrol_states(line.replace("(null)", "n1"))["18"].begin == "2026-01-05T10:00:01"


def test_the_file_of_ended_jobs_is_read_by_the_same_words() -> None:
    state = scontrol_states(COMPLETIONS)["10_1"]
    assert (state.state, state.code, state.source) == ("NODE_FAIL", 1, "jobcomp")
    assert scontrol_states("slurm_load_jobs error: Invalid job id specified\n") == {}


def test_the_place_of_that_file_is_what_slurm_says() -> None:
    config = "JobCompHost = localhost\nJobCompLoc = /var/log/jobs\nJobCompType = jobcomp/filetxt\n"
    assert completion_file(config) == "/var/log/jobs"
    assert completion_file(config.replace("filetxt", "none")) is None
    assert completion_file("") is None


@pytest.mark.parametrize(
    ("name", "single"),
    [
        ("7", ["7"]),
        ("7_3", ["7_3"]),
        ("7_[0-2,5]", ["7_0", "7_1", "7_2", "7_5"]),
        ("7_[1-5:2%3]", ["7_1", "7_3", "7_5"]),
        ("7_4%2", ["7_4"]),
        ("local-7", ["local-7"]),
    ],
)
def test_arrays_stand_for_their_tasks(name: str, single: list[str]) -> None:
    assert list(tasks(name)) == single


def test_tasks_are_named_together_as_scancel_takes_them() -> None:
    jobs = ["9", "7_5", "7_0", "7_1", "7_2", "8_3", "7_1"]
    assert grouped(jobs) == ["9", "7_[0-2,5]", "8_[3]"]
    assert {one for name in grouped(jobs) for one in tasks(name)} == set(jobs)
