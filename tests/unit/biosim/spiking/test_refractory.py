"""How long a spike keeps a neuron from moving and from hearing: spikes of Brian2 2.9."""

import numpy as np
import pytest

from biosim.network import Network, Population
from biosim.spiking.description import Sparse, Spiking
from biosim.spiking.recording import Recording, SpikeRecord
from biosim.wiring import AllToAll
from tests.unit.biosim.spiking.small import DOUBLE, DT, listed, pairs_of, run, spikes

NONE = [8, 17, 26, 35, 43, 52]
NO_TIME = [8, 17, 26, 35, 44, 53]
"""What arrives between a spike and the next state update is not heard."""
TWO_TICKS = [8, 18, 28, 38, 48, 58]


def described(refractory: object) -> Network:
    neuron = Spiking(
        "dv/dt = 1/ms : 1 (unless refractory)\npause : second",
        threshold="v > 0.955",
        reset="v -= 1",
        refractory=refractory,
        method="euler",
        initial={"pause": "i*0.2*ms"},
    )
    source = Population("in", 1, listed(*((tick, 0) for tick in range(60))))
    wired = spikes("p", "in", "out", "v", Sparse(AllToAll(), 0.013))
    return Network((source, Population("out", 2, neuron)), (wired,), dt=DT)


@pytest.mark.parametrize(
    ("refractory", "expected"),
    [
        (None, (NONE, NONE)),
        ("0*ms", (NO_TIME, NO_TIME)),
        (0.0, (NO_TIME, NO_TIME)),
        ("0.1*ms", (NO_TIME, NO_TIME)),
        ("0.2*ms", (TWO_TICKS, TWO_TICKS)),
        ("pause", (NO_TIME, TWO_TICKS)),
        ("pause - 0.1*ms", (NO_TIME, NO_TIME)),
    ],
)
def test_neurons_are_shut_until_the_next_update_or_longer(refractory, expected) -> None:
    sink, _ = run(described(refractory), 60, Recording((SpikeRecord("out"),)), dtype=DOUBLE)
    found = np.array(pairs_of(sink))
    for neuron in (0, 1):
        assert found[found[:, 1] == neuron, 0].tolist() == expected[neuron]
