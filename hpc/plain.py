"""Numbers of a page as JSON takes them, which knows none that is not finite."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np


def plain(values: Iterable[float | np.floating], digits: int | None = None) -> list[float | None]:
    """Return numbers as JSON takes them, None for those that are not finite.

    Args:
        values: (n,).
        digits: that are kept of each, wherever its point is; None for all.
    """
    return [
        (float(v) if digits is None else float(f"{v:.{digits}g}")) if math.isfinite(v) else None
        for v in values
    ]
