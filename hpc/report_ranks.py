"""How the work of a run was shared among its ranks: computing, talking, waiting."""

from __future__ import annotations

from typing import Any

import xarray as xr

Balance = list[dict[str, Any]]
"""For each rank: its number, the seconds it computed, exchanged and waited, bytes, messages."""


def balance(tree: xr.DataTree) -> Balance:
    """Return what each rank did; nothing where there was one rank, or where it is not stored.

    `share` has the parts of compute, exchange and wait in the longest rank's time, in percent.
    """
    timing = tree.children.get("timing")
    if timing is None or "ranks" not in timing.children:
        return []
    stored = timing.children["ranks"].to_dataset(inherit=False)
    parts, counts = ("compute", "exchange", "wait"), ("bytes", "messages")
    # A run may have been killed before it had stored them all.
    if not {*parts, *counts} <= set(stored.data_vars) or stored.sizes["rank"] < 2:
        return []
    longest = max(float(sum(stored[name] for name in parts).max()), 1e-9)  # type: ignore[union-attr]
    return [
        {
            "rank": rank,
            **{name: float(stored[name][rank]) for name in parts},
            **{name: int(stored[name][rank]) for name in counts},
            "share": [100 * float(stored[name][rank]) / longest for name in parts],
        }
        for rank in range(stored.sizes["rank"])
    ]


def balance_lines(tree: xr.DataTree | None) -> list[str]:
    """Return the balance for a terminal: a line a rank, and how far the dearest is off."""
    rows = [] if tree is None else balance(tree)
    if not rows:
        return []
    names = {"rank": 4, "compute s": 11, "exchange s": 12, "wait s": 9, "MB sent": 10}
    head = "".join(f"{name:>{width}}" for name, width in names.items()) + f"{'messages':>10}"
    lines = ["", head]
    lines += [
        f"{row['rank']:>4}{row['compute']:>11.3g}{row['exchange']:>12.3g}{row['wait']:>9.3g}"
        f"{row['bytes'] / 1e6:>10.3g}{row['messages']:>10,}"
        for row in rows
    ]
    return [*lines, imbalance(rows)]


def imbalance(rows: Balance) -> str:
    """Return in a sentence how much more the busiest rank computed than the mean of all."""
    compute = [row["compute"] for row in rows]
    mean = sum(compute) / len(compute)
    if mean <= 0:
        return "no rank computed anything"
    most = max(range(len(rows)), key=compute.__getitem__)
    return f"rank {most} computed longest, {compute[most] / mean:.2f} times the mean"
