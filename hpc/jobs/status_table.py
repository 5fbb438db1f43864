"""The status of submissions for a terminal: plain text, a row an entry, then why some ended."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from hpc.jobs.status import COMPLETE, RUNNING, WAITING, EntryStatus, SubmissionStatus

WIDTH = 100
COLUMNS = ("entry", "job", "state", "done", "speed", "left", "accuracy")
NUMBERS = ("done", "speed", "left", "accuracy")


def status_text(found: SubmissionStatus) -> str:
    """Return the status of a submission as text."""
    submission = found.submission
    title = (
        f"{found.out}: {submission.scenario}, {submission.scheduler}, submitted "
        f"{submission.created.replace('T', ' ')[:19]}"
    )
    parts = [title, *([f"note: {found.note}"] if found.note else [])]
    parts += [aligned([_row(entry) for entry in found.entries])]
    parts += reasons(found.entries)
    parts.append(summary_line(found))
    return "\n".join(parts)


def summary_line(found: SubmissionStatus) -> str:
    """Return one line with how many entries are in each state."""
    counts = ", ".join(f"{number} {state}" for state, number in found.counts().items())
    total = len(found.entries)
    noun = "entry" if total == 1 else "entries"
    return f"{total} {noun}: {counts}"


def reasons(entries: Sequence[EntryStatus]) -> list[str]:
    """Return lines that say why entries wait or ended, those of one reason together."""
    by_reason: dict[tuple[str, str], list[str]] = {}
    for each in entries:
        if each.why:
            by_reason.setdefault((each.state, each.why), []).append(each.entry.name)
    lines = []
    for (state, why), names in by_reason.items():
        told = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        lines += textwrap.wrap(
            f"{told}: {state}: {why}",
            WIDTH,
            subsequent_indent="    ",
            break_long_words=False,
            break_on_hyphens=False,
        )
    return lines


def aligned(rows: Sequence[dict[str, str]]) -> str:
    """Return rows as a table, numbers to the right; columns without anything are left out."""
    names = [name for name in COLUMNS if name == "entry" or any(row[name] for row in rows)]
    lines = [dict(zip(names, names, strict=True)), *rows]
    widths = {name: max(len(line[name]) for line in lines) for name in names}
    return "\n".join(
        "  ".join(
            f"{line[name] or '-':{'>' if name in NUMBERS else '<'}{widths[name]}}" for name in names
        ).rstrip()
        for line in lines
    )


def duration(seconds: float) -> str:
    """Return a time as people say it: "45 s", "12 min", "3 h 05 min", "2 d 4 h"."""
    whole = round(seconds)
    if whole < 90:
        return f"{whole} s"
    minutes = round(whole / 60)
    if minutes < 90:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes:02d} min"
    return f"{hours // 24} d {hours % 24} h"


def _row(each: EntryStatus) -> dict[str, str]:
    progress = each.progress
    done = ""
    if each.state == COMPLETE:
        done = "100 %"
    elif progress.percent is not None:
        done = f"{progress.percent:.0f} %"
    accuracy = next(iter(progress.accuracy.values()), None)
    left = progress.seconds_left
    return {
        "entry": each.entry.name,
        "job": "" if each.job is None else each.job.job,
        "state": each.state,
        "done": done,
        "speed": progress.speed if each.state in (RUNNING, COMPLETE) else "",
        "left": duration(left) if left is not None and each.state in (RUNNING, WAITING) else "",
        "accuracy": "" if accuracy is None else f"{100 * accuracy:.2f} %",
    }
