"""Variables may have any name that equations allow, whatever the compiled program calls its own."""

from itertools import cycle

import numpy as np
import pytest
import torch

from biosim.network import Network, Population
from biosim.simulation import Simulation
from biosim.spiking.description import Sparse, Spiking, SynapseModel
from biosim.spiking.recording import MemorySink, Recording, SpikeRecord, StateRecord
from biosim.wiring import AllToAll, FixedInDegree
from tests.unit.biosim.spiking.small import DT, listed, spikes

OF_NEURONS = ("left", "q_left", "ready", "in_left")
OF_SYNAPSES = ("to_g", "in_g", "last")
SOURCE = listed(*[(tick, neuron) for tick in range(1, 80, 2) for neuron in range(0, 20, 3)])


def neurons(names: tuple[str, ...], integration: str) -> tuple[Network, tuple[str, ...]]:
    """Every variable has a reset of its own, the first two are receptors."""
    v, g = names[:2]
    model = [f"d{v}/dt = ({g} - {v})/(10*ms) : 1 (unless refractory)"]
    model += [f"d{x}/dt = -{x}/({5 + i}*ms) : 1" for i, x in enumerate(names[1:])]
    reset = [f"{x} = {0.2 + 0.01 * i}*{x} + 0.01" for i, x in enumerate(names)]
    start = {x: f"{0.01 * (i % 7)}*i" for i, x in enumerate(names)}
    neuron = Spiking("\n".join(model), f"{v} > 0.5", "; ".join(reset), "0.3*ms", method="exact",
                     integration=integration, initial=start)  # fmt: skip
    wired = [
        spikes(f"p{i}", "in", "out", x, Sparse(FixedInDegree(3), 0.1 + 0.01 * i), 2 + i % 3)
        for i, x in enumerate(names[:2])
    ]
    populations = (Population("in", 20, SOURCE), Population("out", 20, neuron))
    return Network(populations, tuple(wired), dt=DT), names


def synapses(names: tuple[str, ...], dense: bool) -> tuple[Network, tuple[str, ...]]:
    """A third are traces of either side each, the others variables that on_pre and on_post set."""
    pre, post, own = names[::3], names[1::3], names[2::3]
    neuron = Spiking("dv/dt = (g-v)/(10*ms) : 1\ndg/dt = -g/(5*ms) : 1", "v > 0.5", "v = 0",
                     method="exact")  # fmt: skip
    model = ["w : 1", *(f"{x} : 1" for x in own)]
    model += [f"d{x}/dt = -{x}/({5 + i}*ms) : 1 (event-driven)" for i, x in enumerate(pre + post)]
    on_pre = [f"{x} += 1" for x in pre] + [f"w = clip(w + 0.01*({' + '.join(post)}), 0, 1)"]
    on_pre += [f"{x} = 0.9*{x} + 0.01*{y}" for x, y in zip(own, cycle(post), strict=False)]
    on_post = [f"{x} += 1" for x in post] + [f"w = clip(w - 0.001*({' + '.join(pre)}), 0, 1)"]
    on_post += [f"{x} = 0.8*{x} + 0.02*{y}" for x, y in zip(own, cycle(pre), strict=False)]
    synapse = SynapseModel("\n".join(model), "; ".join([*on_pre, "g_post += w"]),
                           "; ".join(on_post), bounds={"w": (0, 1)})  # fmt: skip
    wired = Sparse(AllToAll() if dense else FixedInDegree(6), 0.4, synapse=synapse)
    populations = (Population("in", 20, SOURCE), Population("out", 20, neuron))
    return Network(populations, (spikes("p", "in", "out", "g", wired, 2),), dt=DT), own


def outcome(network: Network, seen: tuple[str, ...]) -> list[np.ndarray]:
    plastic = network.projections[0].weights.synapse is not None
    states = () if plastic else (StateRecord("out", seen),)
    sink = MemorySink()
    simulation = Simulation(network, dtype=torch.float64, sink=sink,
                            recording=Recording((SpikeRecord("out"),), states))  # fmt: skip
    simulation.run_to(50)
    snapshot = simulation.snapshot()
    simulation.run_to(60)
    simulation.restore(snapshot)
    simulation.run_to(100)
    assert len(sink.spikes["out"].ticks) > 20
    if not plastic:
        return [*sink.spikes["out"], *(sink.states["out", x].values for x in seen)]
    values = simulation.machine.weights("p")[2]
    return [*sink.spikes["out"], values["w"], *(values[x] for x in seen)]


@pytest.mark.parametrize(
    ("described", "names", "kind"),
    [
        (neurons, OF_NEURONS, "clock"),
        (synapses, OF_SYNAPSES, True),
    ],
)
def test_names_of_variables_change_nothing(described, names: tuple[str, ...], kind) -> None:
    plain = tuple(f"x{i}" for i in range(len(names)))
    expected = outcome(*described(plain, kind))
    found = outcome(*described(names, kind))
    for name, one, other in zip(("ticks", "neurons", *names), expected, found, strict=False):
        np.testing.assert_array_equal(one, other, err_msg=name)
    assert len({array.tobytes() for array in found}) > len(found) // 2, "they differ"
