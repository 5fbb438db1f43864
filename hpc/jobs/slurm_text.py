"""What Slurm's commands print about jobs, understood: pure functions of text.

Why text and not `--json`: the plugin that prints it is not everywhere, and its names have changed
with every release; these forms are documented and have stayed since Slurm 14.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from hpc.jobs.state import JobState

SACCT_FIELDS = "JobID,State,ExitCode,Start,End,NodeList,Reason"
SQUEUE_FORMAT = "%i|%T|%S|%e|%N|%r"

KEY = re.compile(r"(?:^|\s)([A-Za-z][\w/:]*)=")
TASKS = re.compile(r"(\d+)_\[?([\d,:-]+)(?:%\d+)?\]?")
NOTHING = ("", "Unknown", "None", "N/A", "(null)", "Invalid")


def sacct_states(text: str) -> dict[str, JobState]:
    """Return jobs by id from `sacct --parsable2 --noheader --format=SACCT_FIELDS`.

    A job is out of memory if any of its steps was: the step that Slurm kills is often a line of
    its own, and the job only "FAILED".
    """
    found: dict[str, JobState] = {}
    for line in text.splitlines():
        parts = line.split("|")
        if len(parts) < 7:
            continue
        name, state, codes, begin, end, node = (part.strip() for part in parts[:6])
        job, _, step = name.partition(".")
        word = _word(state)
        if step:
            known = found.get(job)
            if word == "OUT_OF_MEMORY" and known is not None and known.state == "FAILED":
                found[job] = replace(known, state="OUT_OF_MEMORY")
            continue
        code, number = _codes(codes)
        one = JobState(
            job=job,
            state=word,
            code=code,
            signal=number,
            reason=_told("|".join(parts[6:])) or _by_whom(state),
            begin=_begin(word, begin, node),
            end=_told(end),
            node="" if node.startswith("None") else node,
            source="sacct",
        )
        found |= {each: one.known_as(each) for each in tasks(job)}
    return {job: _without_code(state) for job, state in found.items()}


def squeue_states(text: str) -> dict[str, JobState]:
    """Return jobs by id from `squeue --array --states=all --noheader --format=SQUEUE_FORMAT`.

    It tells no exit codes.
    """
    found: dict[str, JobState] = {}
    for line in text.splitlines():
        parts = line.split("|", 5)
        if len(parts) < 6:
            continue
        name, state, begin, end, node, reason = (part.strip() for part in parts)
        one = JobState(
            job=name,
            state=_word(state),
            reason=_told(reason),
            begin=_begin(_word(state), begin, node),
            end=_told(end),
            node=node,
            source="squeue",
        )
        found |= {each: one.known_as(each) for each in tasks(name)}
    return found


def scontrol_states(text: str) -> dict[str, JobState]:
    """Return jobs by id from `scontrol --oneliner show job`, or from lines of jobcomp/filetxt."""
    found: dict[str, JobState] = {}
    for line in text.splitlines():
        pairs = _pairs(line)
        if "JobId" not in pairs or "JobState" not in pairs:
            continue
        name = pairs["JobId"]
        if "ArrayJobId" in pairs and "ArrayTaskId" in pairs:
            name = f"{pairs['ArrayJobId']}_{pairs['ArrayTaskId']}"
        code, number = _codes(pairs.get("ExitCode", ""))
        word = _word(pairs["JobState"])
        restarts = pairs.get("Restarts", "0")
        one = JobState(
            job=name,
            state=word,
            code=code,
            signal=number,
            reason=_told(pairs.get("Reason", "")),
            begin=_begin(word, pairs.get("StartTime", ""), pairs.get("NodeList", "")),
            end=_told(pairs.get("EndTime", "")),
            restarts=int(restarts) if restarts.isdecimal() else 0,
            node=_told(pairs.get("NodeList", "")),
            source="scontrol" if "JobName" in pairs else "jobcomp",
        )
        found |= {each: _without_code(one.known_as(each)) for each in tasks(name)}
    return found


def completion_file(text: str) -> str | None:
    """Return the file in which ended jobs are listed, from `scontrol show config`; None if none."""
    said = {
        key.strip(): value.strip()
        for key, equals, value in (line.partition("=") for line in text.splitlines())
        if equals
    }
    return said.get("JobCompLoc") if said.get("JobCompType") == "jobcomp/filetxt" else None


def tasks(name: str) -> Iterator[str]:
    """Yield the ids of single jobs: "7_[0-2,5%2]" stands for four of them."""
    parts = TASKS.fullmatch(name)
    if parts is None:
        yield name
        return
    for piece in parts[2].split(","):
        span, _, step = piece.partition(":")
        first, _, last = span.partition("-")
        for task in range(int(first), int(last or first) + 1, int(step or 1)):
            yield f"{parts[1]}_{task}"


def grouped(jobs: Iterable[str]) -> list[str]:
    """Return ids as scancel takes them, those of an array together: "7_[0-2,5]"."""
    alone: list[str] = []
    arrays: dict[str, list[int]] = {}
    for job in jobs:
        array, mark, task = job.partition("_")
        if mark and task.isdecimal():
            arrays.setdefault(array, []).append(int(task))
        else:
            alone.append(job)
    return alone + [f"{array}_[{_spans(found)}]" for array, found in arrays.items()]


def _spans(numbers: Iterable[int]) -> str:
    spans: list[list[int]] = []
    for number in sorted(set(numbers)):
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return ",".join(f"{a}-{b}" if b > a else f"{a}" for a, b in spans)


def _pairs(line: str) -> Mapping[str, str]:
    """Return the first value of every key of a line "Key=value Other=value with spaces"."""
    marks = list(KEY.finditer(line))
    ends = [mark.start() for mark in marks] + [len(line)]
    found: dict[str, str] = {}
    for mark, end in zip(marks, ends[1:], strict=True):
        found.setdefault(mark[1], line[mark.end() : end].strip())
    return found


def _word(state: str) -> str:
    """Return one word of what may be "CANCELLED by 1000" or "CANCELLED+"."""
    return state.split()[0].rstrip("+").upper() if state.split() else ""


def _begin(state: str, told: str, node: str) -> str:
    """Return when a job began: Slurm has a date also for one that is to begin, or never did."""
    on_none = node.startswith("None") or not _told(node)
    return "" if state == "PENDING" or on_none else _told(told)


def _by_whom(state: str) -> str:
    who = state.partition(" by ")[2]
    return f"by user {who}" if who else ""


def _codes(text: str) -> tuple[int | None, int]:
    code, _, number = text.partition(":")
    if not code.isdecimal():
        return None, 0
    return int(code), int(number) if number.isdecimal() else 0


def _without_code(state: JobState) -> JobState:
    """Return a state without an exit code where there is none yet, or a signal came instead."""
    return state if state.over and not state.signal else replace(state, code=None)


def _told(text: str) -> str:
    return "" if text.strip() in NOTHING else text.strip()
