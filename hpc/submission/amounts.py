"""Times and amounts of memory as people write them, and as schedulers want to have them."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BeforeValidator

UNITS_S = {"s": 1, "min": 60, "h": 3600, "day": 86400, "days": 86400}
UNITS_BYTES = {
    "MB": 10**6, "GB": 10**9, "TB": 10**12, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40,
}  # fmt: skip
CLOCK = re.compile(r"(?:(\d+)-)?(\d+):(\d\d):(\d\d)")


def seconds(text: str) -> int:
    """Return a time such as "90 min", "1.5 h", "2 days", "12:00:00" or "1-12:00:00" in seconds.

    A bare number is refused: it is minutes for one scheduler and seconds for another.

    Raises:
        ValueError: it is none, or nothing.
    """
    found = 0.0
    if clock := CLOCK.fullmatch(text.strip()):
        days, hours, minutes, rest = (int(part or 0) for part in clock.groups())
        found = days * 86400 + hours * 3600 + minutes * 60 + rest
    elif parts := re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-z]+)", text.strip()):
        found = float(parts[1]) * UNITS_S.get(parts[2], 0)
    if found < 1:
        raise ValueError("expected a time with its unit, such as 90 min, 2 h or 1-12:00:00")
    return round(found)


def clock_text(duration_s: float) -> str:
    """Return a time as schedulers write it, in whole minutes up: "1:30:00" or "1-12:00:00"."""
    minutes = -(-int(duration_s) // 60)
    days, hours = divmod(minutes // 60, 24)
    text = f"{hours:02d}:{minutes % 60:02d}:00"
    return f"{days}-{text}" if days else text


def size_bytes(text: str) -> int:
    """Return an amount of memory such as "500 MB" or "4 GiB" in bytes.

    Raises:
        ValueError: it is none, or nothing.
    """
    parts = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(\w+)", text.strip())
    found = float(parts[1]) * UNITS_BYTES.get(parts[2], 0) if parts else 0.0
    if found < 1:
        raise ValueError("expected memory with its unit, such as 500 MiB or 4 GiB")
    return round(found)


def mebibytes(text: str) -> int:
    """Return an amount of memory in whole MiB, rounded up."""
    return -(-size_bytes(text) // 2**20)


def memory_text(size: float) -> str:
    """Return an amount of memory that is enough for so many bytes, in round figures."""
    if size > 4 * 2**30:
        return f"{-(-int(size) // 2**30)} GiB"
    return f"{-(-int(size) // (100 * 2**20)) * 100} MiB"


def _checked_time(given: Any) -> Any:
    if isinstance(given, str):
        seconds(given)
        return given.strip()
    raise ValueError("expected a time with its unit in quotes, such as '90 min', '2 h'")


def _checked_memory(given: Any) -> Any:
    if isinstance(given, str):
        size_bytes(given)
        return given.strip()
    raise ValueError("expected memory with its unit in quotes, such as '500 MiB', '4 GiB'")


Time = Annotated[str, BeforeValidator(_checked_time)]
"""Text that `seconds` understands."""

Memory = Annotated[str, BeforeValidator(_checked_memory)]
"""Text that `size_bytes` understands."""
