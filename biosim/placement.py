"""Placement: which rank owns which layer, and one line that says so.

Layers lie on ranks in runs, in the order of the forward pass, so that most of what layers send
stays on a rank; the runs are cut so that the dearest rank is as cheap as it can be. Blocks of
spiking neurons are cut by `biosim.spiking.blocks`. The placement never changes a result.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise

import numpy as np

from biosim.errors import BiosimError
from biosim.network import Network
from biosim.rehearsal import Rehearsal
from biosim.spiking.description import InShard

SHOWN = 6
"""Ranks whose layers are named in a line."""


class PlacementError(BiosimError):
    """A network cannot be placed on so many ranks in this way."""


def placed(network: Network, ranks: int) -> list[int]:
    """Return the rank of each actor: of every population, then of every rank's machine.

    The first and the last population, source and judge, are on rank 0, the others in runs; what
    spikes is on all of them. Of more ranks than layers the last own none.
    """
    owners = [0] * len(network.populations)
    if ranks > 1:
        layers = layers_of(network)
        work = Rehearsal(network).work
        cuts = balanced([work[i].total for i in layers], ranks)
        for rank, (first, end) in enumerate(pairwise(cuts)):
            for i in layers[first:end]:
                owners[i] = rank
    return [*owners, *range(ranks)]


def layers_of(network: Network) -> list[int]:
    """Return the positions of what lies between source and judge and does not spike."""
    inner = range(1, len(network.populations) - 1)
    return [i for i in inner if not isinstance(network.populations[i].model, InShard)]


def balanced(costs: Sequence[int], parts: int) -> list[int]:
    """Return where a sequence is cut so that the dearest of the runs is as cheap as possible.

    Args:
        costs: of each element, not negative.
        parts: most runs to make; none is empty, so there are no more than elements.

    Returns:
        (n_parts + 1,) positions, from 0 to the number of elements.
    """
    n = len(costs)
    parts = min(parts, n)
    if parts < 1:
        return [0]
    ends = [0, *accumulate(costs)]
    # best[j]: the dearest run if the first j elements make k runs; begins[k][j]: its last run.
    best, begins = ends, [[0] * (n + 1)]
    for k in range(1, parts):
        now, begin = [0] * (n + 1), [0] * (n + 1)
        i = k
        for j in range(k + 1, n + 1):
            # What is before grows with the place of the cut, the last run shrinks: the best cut
            # is beside where they cross, which moves on with j.
            while i < j - 1 and best[i] < ends[j] - ends[i]:
                i += 1
            near = [(max(best[c], ends[j] - ends[c]), c) for c in (i - 1, i) if c >= k]
            now[j], begin[j] = min(near)
        best = now
        begins.append(begin)
    cuts = [n]
    for begin in reversed(begins):
        cuts.append(begin[cuts[-1]])
    return cuts[::-1]


def explained(network: Network, ranks: int, replicas: int = 1) -> str:
    """Return in one line who owns what.

    Args:
        network: the description.
        ranks: there are.
        replicas: of the network, each on as many of the ranks.

    Raises:
        PlacementError: the ranks cannot be dealt out to so many replicas.
    """
    if replicas < 1 or ranks % replicas:
        raise PlacementError(
            f"got {replicas} replicas on {ranks} ranks; expected a number that divides the ranks: "
            "every replica has as many"
        )
    said = []
    layers = layers_of(network)
    if layers:
        said.append(_layers_line(network, layers, ranks // replicas, replicas))
    if any(isinstance(p.model, InShard) for p in network.populations):
        said.append(_blocks_line(network, ranks))
    return f"{_counted(ranks, 'rank')}: {'; '.join(said) or 'no layers'}"


def _layers_line(network: Network, layers: Sequence[int], ranks: int, replicas: int) -> str:
    work = [each.total for each in Rehearsal(network).work]
    owners = placed(network, ranks)
    runs = [[i for i in layers if owners[i] == rank] for rank in range(min(ranks, len(layers)))]
    names = [", ".join(_named(network, run)) for run in runs]
    if len(names) > SHOWN:
        names = [*names[: SHOWN - 1], "...", names[-1]]
    said = "layers " if replicas == 1 else f"{replicas} replicas of layers "
    said += " | ".join(names)
    if ranks > 1:
        most = 100 * max(sum(work[i] for i in run) for run in runs) / max(1, sum(work))
        of = "its replica's" if replicas > 1 else "the"
        said += f"; the dearest rank has {most:.0f} % of {of} multiply-adds"
    if ranks > len(layers):
        said += f", and {_counted(ranks - len(layers), 'rank')} none"
        if replicas > 1:
            said += " in each"
    return said


def _named(network: Network, run: Sequence[int]) -> list[str]:
    names = [network.populations[i].name for i in run]
    return names if len(names) <= 3 else [f"{names[0]} to {names[-1]}"]


def _blocks_line(network: Network, ranks: int) -> str:
    from biosim.kernels.noise import BLOCK  # only a network that spikes needs the compiler
    from biosim.spiking.blocks import cuts

    sizes = [p.size for p in network.populations if isinstance(p.model, InShard)]
    owns = np.diff(cuts(sizes, ranks).sum(1)).tolist()
    most, least = max(owns), min(owns)
    said = f"blocks of {BLOCK} neurons: rank {owns.index(most)} has {most:,} of {sum(sizes):,}"
    if least < most:
        said += f", rank {owns.index(least)} {least:,}"
    return said


def _counted(n: int, what: str) -> str:
    return f"{n} {what}{'' if n == 1 else 's'}"
