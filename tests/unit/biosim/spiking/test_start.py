"""Where a run begins, and the order of spikes."""

import numpy as np

from biosim.events import Kind
from biosim.network import Network, Population, Projection
from biosim.spiking.description import Sparse, SpikeList, Spiking, SynapseModel
from biosim.spiking.start import drawn_start, in_order
from biosim.wiring import FixedInDegree, Pairs

NONE = np.zeros(0, dtype=np.int64)
MODEL = Spiking("v : 1\nu : 1\ng : 1", initial={"v": "i/N", "u": "v + rand()"})


def network(*sparse: Sparse) -> Network:
    return Network(
        (Population("a", 6, SpikeList(NONE, NONE)), Population("b", 4, MODEL)),
        tuple(
            Projection(f"p{i}", "a", "b", "spikes", "g", Kind.SPIKE, 3, each)
            for i, each in enumerate(sparse)
        ),
        dt=1e-3,
    )


def test_variables_start_as_described() -> None:
    found = drawn_start(network(), 0).variables["b"]
    assert found["v"].tolist() == [0.0, 0.25, 0.5, 0.75]
    drawn = found["u"] - found["v"]
    assert ((drawn > 0) & (drawn < 1)).all()
    assert len(set(drawn)) == 4
    assert found["g"].tolist() == [0.0] * 4


def test_synapses_come_by_target_with_their_own_weights_and_delays() -> None:
    pairs = Sparse(Pairs([5, 0, 2], [3, 1, 1]), np.array([5.0, 0.0, 2.0]), np.arange(1, 4) * 1e-3)
    found = drawn_start(network(pairs), 0).synapses["p0"]
    assert found.targets.tolist() == [1, 1, 3]
    assert found.sources.tolist() == [0, 2, 5]
    assert found.weights.tolist() == [0.0, 2.0, 5.0]
    assert found.delays.tolist() == [2, 3, 1]


def test_a_projections_own_delay_and_further_variables_of_its_synapses() -> None:
    synapse = SynapseModel(
        "w : 1\nuse : 1", on_pre="receptor += w*use", initial={"use": "0.5*rand()"},
        bounds={"w": (0, 1), "use": (0, 1)},
    )  # fmt: skip
    rule = Sparse(FixedInDegree(3), 0.5, synapse=synapse)
    found = drawn_start(network(rule), 7).synapses["p0"]
    assert found.targets.tolist() == np.repeat(np.arange(4), 3).tolist()
    assert set(found.delays.tolist()) == {3}
    assert found.weights.tolist() == [0.5] * 12
    assert list(found.others) == ["use"]
    assert ((found.others["use"] > 0) & (found.others["use"] < 0.5)).all()


def test_another_seed_is_another_start() -> None:
    rule = Sparse(FixedInDegree(3), 0.5)
    one, again, other = (drawn_start(network(rule), seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one.synapses["p0"].sources, again.synapses["p0"].sources)
    np.testing.assert_array_equal(one.variables["b"]["u"], again.variables["b"]["u"])
    assert (one.synapses["p0"].sources != other.synapses["p0"].sources).any()
    assert (one.variables["b"]["u"] != other.variables["b"]["u"]).all()


def test_spikes_come_by_tick_and_then_by_neuron() -> None:
    found = in_order([3, 1, 3, 1], [0, 9, 2, 4])
    assert found.ticks.tolist() == [1, 1, 3, 3]
    assert found.neurons.tolist() == [4, 9, 0, 2]
