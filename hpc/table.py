"""The table of a comparison for a terminal: plain text, aligned, with what its columns mean."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Collection, Mapping, Sequence

from hpc.summary import DIRECTIONS, Row, count, percent

MEANING = (
    "Test accuracy: the rule's own way of answering after the last epoch, mean over finished "
    "seeds ± half the 95 % confidence interval (Student's t); least: the worst seed. samples/s: "
    "learning only, median over seeds. up, down, broadcast, label: bytes that crossed "
    "projections for a learning sample. lag: most ticks from a layer's forward pass to its "
    "update. stale: most updates of the layer that came in between. held: peak bytes that layers "
    "keep meanwhile. mult.-adds: of dense products, or of spikes at synapses, for a learning "
    "sample. transp.: weight transport, the same weights used at both of their ends."
)
SUPERVISED = (
    " * supervised read-out: it learns from labels beside the rule, by the delta rule, or by "
    "counting for which class a neuron spikes most."
)
WORDS = ("rule", "other ways %", "transp.", "phases")


def table(rows: Sequence[Row]) -> str:
    """Return rows as plain text, about a hundred columns wide, with what the columns mean."""
    names = [row.label + (" *" if row.supervised_readout else "") for row in rows]
    answers, costs, unfinished = [], [], []
    for name, row in zip(names, rows, strict=True):
        accuracy = row.accuracy
        others = [f"{way} {percent(row.test[way].mean)}" for way in list(row.test)[1:]]
        sent = {way: count(row.bytes_per_sample[way]) for way in DIRECTIONS[:4]}
        answers.append(
            {
                "rule": name,
                "seeds": row.seeds,
                "test accuracy %": f"{percent(accuracy.mean)} ± {percent(accuracy.half_width):>5}",
                "least": percent(min(accuracy, default=math.nan)),
                "samples/s": count(row.samples_per_second),
                "other ways %": ", ".join(others),
            }
        )
        costs.append(
            {"rule": name}
            | sent
            | {
                "lag": count(row.lag_ticks_max),
                "stale": count(row.stale_updates_max),
                "held": count(row.held_bytes),
                "mult.-adds": count(sum(row.multiply_adds.values())),
                "transp.": row.weight_transport or "-",
                "phases": ", ".join(row.phases) or "-",
            }
        )
        unfinished += [
            f"  {name}, seed {'-' if run.seed is None else run.seed}: {run.status}; {run.error}"
            for run in row.runs
            if not run.finished
        ]
    meaning = MEANING + (SUPERVISED if any(row.supervised_readout for row in rows) else "")
    scenarios = ", ".join(dict.fromkeys(row.scenario for row in rows if row.scenario))
    parts = [f"scenario {scenarios or '-'}", aligned(answers, WORDS), aligned(costs, WORDS)]
    parts.append(textwrap.fill(meaning, 100, break_on_hyphens=False))
    if unfinished:
        parts.append("\n".join(["Not finished, and not in any number above:", *unfinished]))
    return "\n\n".join(parts)


def aligned(rows: Sequence[Mapping[str, str]], words: Collection[str]) -> str:
    """Return rows of the same columns as plain text: numbers to the right, `words` to the left."""
    columns = [(name, [name, *(row[name] for row in rows)]) for name in rows[0]]
    padded = [
        [f"{cell:{'<' if name in words else '>'}{max(map(len, cells))}}" for cell in cells]
        for name, cells in columns
    ]
    return "\n".join("  ".join(line).rstrip() for line in zip(*padded, strict=True))
