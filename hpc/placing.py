"""What a run on several ranks says of its placement before it begins, and why it is so."""

from __future__ import annotations

from biosim.contracts import Ranks
from biosim.network import Network
from biosim.placement import explained
from hpc.progress import Watcher
from scenarios.scenario import Place


def say_placement(
    watcher: Watcher, network: Network, ranks: Ranks, place: Place | None = None
) -> None:
    """Let rank 0 say which rank owns what, if there are several.

    Args:
        watcher: is told.
        network: the description.
        ranks: of the run.
        place: of a scenario of layers.
    """
    if ranks.size == 1 or ranks.rank > 0:
        return
    if place is None:
        watcher.say(explained(network, ranks.size))
        return
    each = ranks.size // place.replicas_on(ranks.size)
    line = explained(network, ranks.size, each)
    watcher.say(f"{line} ({_reason(place, ranks.size)})")


def _reason(place: Place, ranks: int) -> str:
    if place.strategy != "auto" or place.replicas is not None:
        asked = f"place.strategy is {place.strategy}"
        return asked if place.replicas is None else f"{asked}, place.replicas {place.replicas}"
    if place.parts == 1:
        return "auto: minibatches have no parts that replicas could share; see place.parts"
    replicas = place.replicas_on(ranks)
    return (
        f"auto: {replicas} is the most that divides both {ranks} ranks and the {place.parts} parts "
        "of a minibatch"
    )
