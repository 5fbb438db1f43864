"""Which populations are event-driven, decided from the description alone."""

from dataclasses import replace

import numpy as np
import pytest

from biosim.network import Network, NetworkError, Population
from biosim.spiking.description import PoissonInput, Sparse, Spiking, StepCurrent, SynapseModel
from biosim.spiking.layout import Layout
from biosim.spiking.recording import Recording, SpikeRecord
from biosim.wiring import FixedInDegree
from tests.contract.spiking_cases import listed
from tests.unit.biosim.spiking.small import DOUBLE, DT, pairs_of, run, spikes

DELTA = Spiking(
    "dv/dt = -v/(20*ms) : volt (unless refractory)",
    threshold="v > 20*mV",
    reset="v = 10*mV",
    refractory="2*ms",
    method="exact",
)
CURRENT = replace(
    DELTA, model="dv/dt = (g - v)/(20*ms) : volt (unless refractory)\ndg/dt = -g/(5*ms) : volt"
)
PARAMETER = replace(DELTA, model="dv/dt = (I - v)/(20*ms) : volt (unless refractory)\nI : volt")


def network(neuron: Spiking, in_degree: int = 100, synapse: SynapseModel | None = None, stimuli=()):
    receptor = "g" if "dg/dt" in neuron.model else "v"
    weight = "30*mV" if receptor == "g" else "3*mV"
    wired = Sparse(FixedInDegree(in_degree), weight, synapse=synapse)
    return Network(
        (Population("in", 200, listed(200, 1000, 0.002)), Population("out", 300, neuron)),
        (spikes("p", "in", "out", receptor, wired, 2),),
        dt=DT,
        stimuli=stimuli,
    )


def by_events(*described, **more) -> bool:
    (sheet,) = Layout(network(*described, **more)).sheets
    return sheet.code.event


def with_reset(neuron: Spiking, **changes) -> Spiking:
    return replace(neuron, **changes)


AUTO = [
    ("delta synapses, seldom", DELTA, {}, True),
    ("exponential currents, seldom", CURRENT, {}, True),
    ("no leak", replace(DELTA, model="dv/dt = 0*volt/ms : volt"), {}, True),
    ("a parameter that is zero where nothing is said", PARAMETER, {}, True),
    ("many synapses", DELTA, {"in_degree": 400}, False),
    ("much input", replace(DELTA, expected_rate_hz=40.0), {}, False),
    ("next to no input", replace(DELTA, expected_rate_hz=0.1), {"in_degree": 20_000}, True),
    ("not by the exact method", replace(DELTA, method="euler"), {}, False),
    (
        "no exact solution",
        replace(DELTA, model="dv/dt = -v**2/(20*ms*volt) : volt", method="euler"),
        {},
        False,
    ),
    ("it never rests", replace(DELTA, model="dv/dt = (30*mV - v)/(20*ms) : volt"), {}, False),
    ("no threshold", replace(DELTA, threshold=None, reset=None, refractory=None), {}, False),
    ("asked not to be", replace(DELTA, integration="clock"), {}, False),
    ("noise", replace(DELTA, model="dv/dt = -v/(20*ms) + mV*(1/ms)**0.5*xi : volt",
                      method="euler"), {}, False),
    ("a condition", replace(DELTA, refractory="v > 15*mV"), {}, False),
    ("Poisson input",
     DELTA, {"stimuli": (PoissonInput("d", "out", "v", "1*Hz", "1*mV"),)}, False),
    ("a step current",
     PARAMETER, {"stimuli": (StepCurrent("s", "out", "I", (5,), (1.0,)),)}, False),
    ("synapses that have equations",
     DELTA, {"synapse": SynapseModel("w : volt", "v_post += w",
                                     bounds={"w": ("0*mV", "5*mV")})}, False),
]  # fmt: skip


@pytest.mark.parametrize(("neuron", "more", "expected"), [row[1:] for row in AUTO],
                         ids=[row[0] for row in AUTO])  # fmt: skip
def test_auto_decides_by_the_description(neuron: Spiking, more: dict, expected: bool) -> None:
    assert by_events(neuron, **more) is expected


def test_who_asks_gets_it_where_auto_would_not() -> None:
    asked = replace(DELTA, integration="event", expected_rate_hz=1000.0)
    assert by_events(asked)
    driven = (PoissonInput("d", "out", "v", "1*Hz", "1*mV"),)
    assert by_events(replace(DELTA, integration="event"), stimuli=driven)
    never_rests = replace(DELTA, model="dv/dt = (30*mV - v)/(20*ms) : volt", integration="event")
    assert by_events(never_rests)


REFUSED = [
    (replace(DELTA, method="euler"), {}, "method 'euler' is not exact for its equations"),
    (replace(DELTA, refractory="v > 15*mV"), {}, "its refractoriness ends on a condition"),
    (replace(DELTA, model="dv/dt = -v/(20*ms) + mV*(1/ms)**0.5*xi : volt", method="euler"), {},
     "it draws random numbers at every tick"),
    (replace(DELTA, threshold="v > 20*mV and rand() < 0.5"), {},
     "it draws random numbers at every tick"),
    (replace(DELTA, reset="v = 10*mV*rand()"), {}, "it draws random numbers at every tick"),
    (replace(DELTA, threshold=None, reset=None, refractory=None), {}, "it has no threshold"),
    (replace(CURRENT, model="dv/dt = -v/(20*ms) : volt (unless refractory)\n"
                            "dg/dt = (v - g)/(5*ms) : volt"), {},
     "'g' depends on 'v', which stands still while refractory"),
    (PARAMETER, {"stimuli": (StepCurrent("s", "out", "I", (5,), (1.0,)),)},
     "a step current sets one of its parameters while neurons sleep"),
    (DELTA, {"synapse": SynapseModel("w : volt", "v_post += w", bounds={"w": ("0*mV", "5*mV")})},
     "synapses with equations end on it"),
]  # fmt: skip


def test_an_integration_of_another_name_is_refused() -> None:
    with pytest.raises(NetworkError, match="'out' has integration='events'; expected 'auto', 'cl"):
        Layout(network(replace(DELTA, integration="events")))


@pytest.mark.parametrize(("neuron", "more", "reason"), REFUSED)
def test_who_asks_for_what_cannot_be_is_told_why(neuron, more: dict, reason: str) -> None:
    message = rf"'out' cannot be event-driven: {reason}.*; ask for integration='clock' or 'auto'"
    with pytest.raises(NetworkError, match=message):
        Layout(network(replace(neuron, integration="event"), **more))


@pytest.mark.parametrize("neuron", [DELTA, CURRENT])
def test_both_ways_spike_in_the_same_ticks(neuron: Spiking) -> None:
    found = {}
    for way in ("clock", "event"):
        described = network(replace(neuron, integration=way), in_degree=30)
        sink, _ = run(described, 1000, Recording((SpikeRecord("out"),)), dtype=DOUBLE)
        found[way] = pairs_of(sink)
    assert found["event"] == found["clock"]
    assert len(found["clock"]) > 300
    assert len(np.unique([neuron for _, neuron in found["clock"]])) > 100
