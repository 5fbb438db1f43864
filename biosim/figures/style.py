"""How all figures look: sizes of print, colours that the colour-blind tell apart, few lines."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.cm import ScalarMappable
from matplotlib.colorbar import Colorbar
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogFormatter, MaxNLocator

COLOURS = (
    *("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#222222", "#999999"),
    *("#332288", "#882255", "#999933", "#117733"),
)
"""Okabe and Ito's palette ("Color universal design", 2008) without yellow, too light for a line on
white; then Tol's muted scheme (2021)."""

SEQUENTIAL = "cividis"
"""Nuñez, Anderton and Renslow (2018), PLOS ONE 13, e0199239."""
DIVERGING = "RdBu_r"
MM = 1 / 25.4

MOST_PANELS = 12
PREFIXES = {0: "", -3: "m", -6: "µ", -9: "n", -12: "p", -15: "f"}

STYLE: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Arial", "Helvetica"],
    "font.size": 8,
    "axes.labelsize": 8,
    "axes.titlesize": 8,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.prop_cycle": f"cycler(color={list(COLOURS)!r})",
    "axes.axisbelow": True,
    "axes.formatter.useoffset": False,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.minor.width": 0.4,
    "ytick.minor.width": 0.4,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "lines.linewidth": 1.0,
    "figure.dpi": 100,
    "savefig.dpi": 300,
    # Letters stay letters, that a journal's office can search and edit.
    "svg.fonttype": "none",
    "pdf.fonttype": 42,
    # What names parts of an SVG must not be drawn anew each time.
    "svg.hashsalt": "biosim",
}


def new_figure(width_mm: float, height_mm: float) -> Figure:
    """Return an empty figure of this size, which arranges its parts itself."""
    return Figure(figsize=(width_mm * MM, height_mm * MM), layout="constrained")


def colour(number: int) -> str:
    """Return the colour of the population or projection of this number."""
    return COLOURS[number % len(COLOURS)]


def panels(
    known: int, width_mm: float, each_mm: float, across: int = 3
) -> tuple[Figure, list[Axes]]:
    """Return a figure with so many axes, a row after the other, and the axes.

    Of more than a page takes there are the first `MOST_PANELS`, and the figure says so.
    """
    count = min(known, MOST_PANELS)
    columns = min(across, count)
    rows = -(-count // columns)
    drawn = new_figure(width_mm, rows * each_mm)
    axes = drawn.subplots(rows, columns, squeeze=False).ravel().tolist()
    for empty in axes[count:]:
        empty.remove()
    if count < known:
        drawn.supxlabel(
            f"{count} of {known}; choose others by their names", fontsize=7, x=0.0, ha="left"
        )
    return drawn, axes[:count]


def colour_bar(axes: Axes, image: ScalarMappable, label: str) -> Colorbar:
    """Put the scale of an image beside its axes."""
    bar: Colorbar = axes.get_figure(root=True).colorbar(image, ax=axes)  # type: ignore[union-attr]
    bar.set_label(label)
    bar.outline.set(visible=False)
    return bar


def unit_label(what: str, unit: str | None) -> str:
    """Return the label of an axis: what is shown and its unit, if it has one."""
    return what if unit in (None, "", "1") else f"{what} ({unit})"


def prefixed(values: npt.ArrayLike, unit: str) -> tuple[float, str]:
    """Return by what SI values are multiplied to be short, and in which unit: 2e-12 F are 2 pF."""
    sizes = np.abs(np.asarray(values, dtype=np.float64))
    largest = float(sizes[np.isfinite(sizes)].max(initial=0.0))
    if unit not in ("V", "A", "S", "F", "s") or largest == 0:
        return 1.0, unit
    power = 3 * int(np.clip(np.floor(np.log10(largest) / 3 + 1e-9), -5, 0))
    return 10.0**-power, PREFIXES[power] + unit


def plain_logs(axis: Axis) -> None:
    """Label a logarithmic axis with numbers as they are spoken: 0.1, 1, 10."""
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    # Numbers between powers of ten only where there is hardly one of those.
    axis.set_minor_formatter(LogFormatter(minor_thresholds=(1.2, 0.5)))


def whole_ticks(axes: Axes) -> None:
    """Let the ticks along x be whole numbers: epochs."""
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
