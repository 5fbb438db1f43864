"""Which neurons are advanced at every tick, and which only when something happens.

Why from the description and never from a measurement: every machine has to decide alike.
"""

from __future__ import annotations

from biosim.equations.evaluate import evaluate
from biosim.kernels.emit import renamed
from biosim.kernels.event_sheets import ceilings, unsolvable
from biosim.kernels.sheets import SheetCode
from biosim.network import Network, NetworkError
from biosim.spiking.description import PoissonInput, Sparse, Spiking, StepCurrent

WORTH = 0.3
"""Events a neuron and tick below which being event-driven pays (`benchmarks`)."""

AGES_S = 1e4
"""Seconds after which a neuron without input is at rest."""


def by_events(network: Network, population: int, sheet: SheetCode) -> bool:
    """Return whether a population is event-driven.

    "auto" chooses it where the exact solution is known, the neurons rest without input, and the
    expected input rate times the in-degree is small.

    Raises:
        NetworkError: it is asked for, and the equations do not allow it; or what is asked for is
            neither.
    """
    name = network.populations[population].name
    model = network.populations[population].model
    assert isinstance(model, Spiking)
    if model.integration not in ("auto", "clock", "event"):
        raise NetworkError(
            f"population {name!r} has integration={model.integration!r}; expected 'auto', 'clock' "
            "or 'event'"
        )
    if model.integration == "clock":
        return False
    reason = unsolvable(sheet)
    if any(isinstance(s, StepCurrent) and s.target == name for s in network.stimuli):
        reason = "a step current sets one of its parameters while neurons sleep"
    ending = [p.weights for p in network.projections if p.target == name]
    if any(isinstance(weights, Sparse) and weights.synapse is not None for weights in ending):
        reason = "synapses with equations end on it, which read it or move with it"
    if any(not isinstance(weights, Sparse) for weights in ending):
        reason = "an adapter sets one of its parameters while neurons sleep"
    if model.integration == "event":
        if reason:
            raise NetworkError(
                f"population {name!r} cannot be event-driven: {reason}; ask for "
                "integration='clock' or 'auto'"
            )
        return True
    if reason or sheet.code.threshold is None or not _rests(sheet):
        return False
    rate = 0.0
    for projection in network.projections:
        if projection.target == name and isinstance(projection.weights, Sparse):
            sizes = network.size(projection.source), network.size(name)
            rate += model.expected_rate_hz * projection.weights.wiring.synapses(*sizes) / sizes[1]
    driven = any(isinstance(s, PoissonInput) and s.target == name for s in network.stimuli)
    assert network.dt is not None
    return not driven and rate * network.dt < WORTH


def _rests(sheet: SheetCode) -> bool:
    """Return whether a neuron that was left alone may sleep."""
    code = sheet.code
    assert code.jump is not None
    assert code.threshold is not None
    names = {v.name: 0.0 for v in code.variables}
    names |= {"elapsed": AGES_S, "t": 0.0, "i": 0.0, "N": 1.0}
    moved = dict(names)
    for a in code.jump:
        value = evaluate(a.expression, names)
        if a.name in {v.name for v in code.variables}:
            moved[a.name] = value
        else:
            names[a.name] = value
    return not bool(evaluate(renamed(code.threshold, ceilings(sheet)), moved))
