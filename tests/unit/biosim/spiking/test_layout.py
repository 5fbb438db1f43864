from dataclasses import replace

import numpy as np
import pytest

from biosim.equations.code import EquationError
from biosim.network import Network, NetworkError, Population, Projection
from biosim.spiking.description import (
    PoissonInput,
    PoissonSource,
    Sparse,
    Spiking,
    StepCurrent,
    SynapseModel,
)
from biosim.spiking.layout import Layout, decays
from biosim.wiring import OneToOne
from tests.unit.biosim.spiking.small import COUNTER, DT, GROWING, counter, listed, spikes

STATIC = Sparse(OneToOne(), 1.0)
LEARNING = Sparse(OneToOne(), 1.0, synapse=GROWING)


def network(*projections: Projection, out: Spiking = COUNTER, **more) -> Network:
    populations = (
        Population("in", 50, listed((1, 2))),
        Population("out", 50, out),
        Population("other", 50, counter(x=2.0)),
    )
    return Network(populations, projections, **{"dt": DT, **more})


def test_populations_of_one_code_share_a_sheet_whatever_they_start_from() -> None:
    layout = Layout(network())
    assert [sheet.populations for sheet in layout.sheets] == [(1, 2)]
    assert layout.sheet_of(1) == layout.sheet_of(2) == 0
    assert layout.sources == [0]


@pytest.mark.parametrize(
    "other",
    [
        replace(COUNTER, threshold="v > 0.6"),
        replace(COUNTER, reset="v = 0"),
        replace(COUNTER, refractory=1e-3),
        replace(COUNTER, model=COUNTER.model + "y : 1\n"),
    ],
)
def test_populations_of_different_code_do_not(other: Spiking) -> None:
    assert [sheet.populations for sheet in Layout(network(out=other)).sheets] == [(1,), (2,)]


def test_constants_are_part_of_the_code_and_their_names_are_not() -> None:
    def named(**constants: str) -> Spiking:
        (name,) = constants
        return Spiking(f"dv/dt = -v/{name} : 1", "v > 1", "v = 0", constants=constants)

    def sheets(one: Spiking, other: Spiking) -> int:
        populations = (Population("a", 3, one), Population("b", 3, other))
        return len(Layout(Network(populations, (), dt=DT)).sheets)

    assert sheets(named(tau="10*ms"), named(taum="10*ms")) == 1
    assert sheets(named(tau="10*ms"), named(tau="20*ms")) == 2


def test_a_sheet_has_the_receptors_of_all_its_populations() -> None:
    to_x = PoissonInput("noise", "other", "x", "1*Hz", 1.0)
    layout = Layout(network(spikes("p", "in", "out", "v", STATIC), stimuli=(to_x,)))
    assert layout.sheets[0].code.receptors == ("v", "x")
    assert layout.inputs() == [to_x]


def test_populations_that_learn_have_traces_of_their_own() -> None:
    synapse = replace(
        GROWING,
        model="w : 1\ndpost/dt = -post/(10*ms) : 1 (event-driven)",
        on_pre="v_post += w; w = clip(w - post, 0, 2)",
        on_post="post += 1",
        initial={},
    )
    learning = Sparse(OneToOne(), 1.0, synapse=synapse)
    layout = Layout(network(spikes("p", "in", "out", "v", learning)))
    assert [sheet.populations for sheet in layout.sheets] == [(1,), (2,)]
    ((name, decayed),) = layout.sheets[0].code.traces
    assert name == "_p0_post"
    assert decays(layout.plastic[0].code, 0, DT) == [(name, decayed)]
    np.testing.assert_allclose(eval(decayed, {name: 1.0, "exp": np.exp}), np.exp(-1e-4 / 1e-2))


def test_variables_may_be_named_like_what_is_kept_beside_them() -> None:
    # Names of the kernels' own begin with a line.
    names = ("left", "ready", "in_v", "n", "flags", "gid", "spiked", "awake", "mark", "ids")
    model = "\n".join(["dv/dt = -v/(10*ms) : 1", *(f"{name} : 1" for name in names)])
    neuron = Spiking(model, "v > 1", "v = 0", refractory="2*ms", method="euler")
    layout = Layout(network(spikes("p", "in", "out", "v", STATIC), out=neuron))
    code = layout.sheets[0].code
    assert len(set(code.arrays)) == len(code.arrays)
    assert set(names) <= set(code.arrays)


BACKWARDS = SynapseModel("w : 1", on_pre="v_post += w", on_post="v_post += 1")


def later(ticks: float) -> Sparse:
    return replace(LEARNING, synapse=replace(GROWING, delay_post=ticks))


ERRORS = [
    (network(dt=None), NetworkError, "spiking populations but no dt; give the length of a tick"),
    (network(dt=0.0), NetworkError, r"got dt=0\.0; expected the length of a tick in seconds"),
    (network(dt=float("nan")), NetworkError, "got dt=nan; expected the length of a tick"),
    (
        network(spikes("p", "out", "in", "v", STATIC)),
        NetworkError,
        "'p' has sparse synapses from 'out' to 'in'; expected a population that spikes and one",
    ),
    (
        network(spikes("p", "out", "other", "v", STATIC), out=replace(COUNTER, threshold=None)),
        NetworkError,
        "'p' starts at 'out', which has no threshold and never spikes; give its model one",
    ),
    (
        network(spikes("p", "in", "out", "ge", STATIC)),
        NetworkError,
        "projection 'p' ends at receptor 'ge' of 'out'; its equations have v, x, I, grow",
    ),
    (
        network(spikes("p", "in", "out", "n", STATIC)),
        NetworkError,
        "projection 'p' ends at receptor 'n' of 'out'; its equations have v, x",
    ),
    (
        network(stimuli=(PoissonInput("noise", "out", "ge", "1*Hz", 1.0),)),
        NetworkError,
        "input 'noise' ends at receptor 'ge' of 'out'; its equations have v, x",
    ),
    (
        network(stimuli=(PoissonInput("noise", "in", "v", "1*Hz", 1.0),)),
        NetworkError,
        "input 'noise' goes to 'in'; expected one of the populations with equations: out, other",
    ),
    (
        network(stimuli=(PoissonInput("noise", "nobody", "v", "1*Hz", 1.0),)),
        NetworkError,
        "input 'noise' goes to 'nobody'; expected one of the populations",
    ),
    (
        network(
            spikes(
                "p",
                "in",
                "out",
                "v",
                Sparse(OneToOne(), 1.0, synapse=BACKWARDS),
            )
        ),
        EquationError,
        "projection 'p', on_post: 'v' of the neuron is changed, which only on_pre may do",
    ),
    *(
        (
            network(spikes("p", "in", "out", "v", later(ticks))),
            NetworkError,
            f"'p' has a delay_post of {ticks} ticks; expected a whole number from 0 to 65535",
        )
        for ticks in (-1, 1.5, 65_536)
    ),
]


@pytest.mark.parametrize(("wrong", "error", "message"), ERRORS)
def test_what_a_network_lacks_is_told(wrong: Network, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        Layout(wrong)


READING = Sparse(
    OneToOne(),
    1.0,
    synapse=SynapseModel("w : 1", "v_post += w*I_pre", bounds={"w": (0, 1), "I_pre": (0, 1)}),
)


def test_what_synapses_read_of_the_source_may_not_change() -> None:
    Layout(network(spikes("p", "out", "other", "v", READING)))
    changing = replace(COUNTER, reset="v = 0; I = 1")
    with pytest.raises(NetworkError, match="'p' reads I_pre, which its reset changes in 'out'"):
        Layout(network(spikes("p", "out", "other", "v", READING), out=changing))
    step = StepCurrent("step", "out", "I", (5,), (1.0,))
    message = "'p' reads I_pre, which step current 'step' changes in 'out'; expected a parameter"
    with pytest.raises(NetworkError, match=message):
        Layout(network(spikes("p", "out", "other", "v", READING), stimuli=(step,)))
    drive = PoissonInput("drive", "out", "I", "1*Hz", 1.0)
    with pytest.raises(NetworkError, match="'p' reads I_pre, which input 'drive' changes in 'out'"):
        Layout(network(spikes("p", "out", "other", "v", READING), stimuli=(drive,)))
    adding = replace(READING, synapse=SynapseModel("w : 1", "I_post += w", bounds={"w": (0, 1)}))
    for receptor, weights in (("I", STATIC), ("v", adding)):
        projections = (
            spikes("p", "out", "other", "v", READING),
            spikes("q", "in", "out", receptor, weights),
        )
        with pytest.raises(NetworkError, match="'p' reads I_pre, which projection 'q' changes in"):
            Layout(network(*projections))


def test_inputs_have_names_of_their_own() -> None:
    # Under one name they would draw the same numbers.
    drive = PoissonInput("drive", "out", "v", "1*Hz", 1.0)
    with pytest.raises(NetworkError, match="two inputs are named 'drive'; give each a name"):
        network(stimuli=(drive, replace(drive, receptor="x")))


def test_random_sources_are_sources() -> None:
    noise = Population("noise", 10, PoissonSource("10*Hz"))
    layout = Layout(Network((noise, Population("out", 10, COUNTER)), (), dt=DT))
    assert layout.sources == [0]
    assert layout.first == {1: 0, 0: 10}
