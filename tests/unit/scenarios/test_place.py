"""How the work of a scenario is cut: parts of a minibatch, replicas, layers."""

import numpy as np
import pytest

from biosim.errors import BiosimError, ScenarioError
from biosim.network import Network, NetworkError, Population
from biosim.spiking.description import SpikeList
from scenarios import Place
from scenarios.data import digits
from scenarios.reading import read_tree, resolve, resolve_any
from scenarios.scenario import Blocks
from scenarios.tasks.schema import TaskScenario


@pytest.mark.parametrize(
    ("given", "ranks", "replicas"),
    [
        ({}, 4, 1),
        ({"parts": 4}, 1, 1),
        ({"parts": 4}, 4, 4),
        ({"parts": 4}, 6, 2),
        ({"parts": 4}, 3, 1),
        ({"parts": 4, "replicas": 2}, 4, 2),
        ({"parts": 4, "strategy": "layers"}, 4, 1),
        ({"parts": 4, "strategy": "replicas"}, 2, 2),
        ({"parts": 4, "strategy": "replicas", "replicas": 2}, 6, 2),
    ],
)
def test_ranks_are_dealt_out_to_replicas(given, ranks: int, replicas: int) -> None:
    assert Place(**given).replicas_on(ranks) == replicas


@pytest.mark.parametrize(
    ("given", "ranks", "message"),
    [
        ({"parts": 4, "replicas": 4}, 6, "place.replicas is 4 and there are 6 ranks; expected"),
        (
            {"parts": 4, "strategy": "replicas"},
            3,
            "place.strategy is replicas on 3 ranks and place.parts is 4; expected a multiple",
        ),
    ],
)
def test_ranks_that_cannot_be_dealt_out_are_refused(given, ranks: int, message: str) -> None:
    with pytest.raises(ScenarioError, match=message):
        Place(**given).replicas_on(ranks)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["place.replicas=2", "place.strategy=layers", "place.parts=2"],
            "place: place.replicas is 2 and place.strategy is layers, which has one",
        ),
        (
            ["place.replicas=3", "place.parts=4"],
            "place: place.replicas is 3 and place.parts is 4; expected a multiple",
        ),
        (["place.parts=0"], "place.parts: got 0; expected greater than or equal to 1"),
        (
            ["place.strategy=blocks"],
            "place.strategy: got 'blocks'; blocks are of neurons that spike, and layers stay whole",
        ),
        (["place.strategy=best"], "place.strategy: got 'best'; expected 'auto', 'layers'"),
        (["place=3"], "place: got 3; expected"),
    ],
)
def test_a_table_that_contradicts_itself_is_refused(overrides: list[str], message: str) -> None:
    with pytest.raises(BiosimError, match=message):
        resolve(read_tree("digits"), overrides)


@pytest.mark.parametrize(
    ("given", "ranks", "reason"),
    [
        ({}, 4, "place.strategy is auto: layers, as place.parts is 1 and replicas share parts"),
        ({"parts": 4}, 3, "auto: layers, as no number divides 4 parts and 3 ranks"),
        ({"parts": 4}, 6, "auto: 2 replicas, the most that divide 4 parts and 6 ranks"),
        ({"parts": 4, "replicas": 2}, 4, "place.replicas is 2"),
        ({"parts": 4, "strategy": "layers"}, 4, "place.strategy is layers"),
        ({"parts": 4, "strategy": "replicas"}, 2, "place.strategy is replicas"),
    ],
)
def test_one_line_says_why_there_are_so_many_replicas(given, ranks: int, reason: str) -> None:
    network = resolve(read_tree("digits")).wire(digits())
    who, why = Place(**given).lines(network, ranks)
    assert who.startswith(f"{ranks} ranks: ")
    assert why.endswith(reason)
    assert Place().lines(network, 1) == ["1 rank: layers hidden1, hidden2, output"]


@pytest.mark.parametrize("scenario", ["brunel", "digits_spiking"])
def test_neurons_that_spike_are_cut_in_blocks_and_in_no_other_way(scenario: str) -> None:
    tree = read_tree(scenario)
    for strategy in ("auto", "blocks"):
        found = resolve_any(tree, [f"place.strategy={strategy}"])
        assert not isinstance(found, TaskScenario)
        assert found.place.strategy == strategy
    for setting, message in (
        ("strategy=layers", "place.strategy: got 'layers'; layers and replicas are of networks of"),
        ("strategy=best", "place.strategy: got 'best'; expected 'auto' or 'blocks'"),
        ("parts=2", "place.parts: unknown key"),
    ):
        with pytest.raises(ScenarioError, match=message):
            resolve_any(tree, [f"place.{setting}"])


def test_one_line_says_why_there_are_blocks() -> None:
    network = Network((Population("told", 300, SpikeList(np.array([0]), np.array([0]))),), ())
    assert Blocks(strategy="blocks").lines(network, 2) == [
        "2 ranks: blocks of 256 neurons: rank 0 has 256 of 300, rank 1 44",
        "place.strategy is blocks: neurons that spike are cut in blocks",
    ]
    assert len(Blocks().lines(network, 1)) == 1


def test_a_task_on_one_rank_has_no_place() -> None:
    with pytest.raises(ScenarioError, match="place: unknown key; known are name, task"):
        resolve_any(read_tree("reward_choice"), ["place.strategy=auto"])


def test_minibatches_have_equal_parts() -> None:
    scenario = resolve(read_tree("digits"), ["place.parts=3", "run.batch_size=32"])
    with pytest.raises(ScenarioError, match=r"place.parts is 3 and run.batch_size is 32; expected"):
        scenario.wire(digits())
    resolve(read_tree("digits"), ["place.parts=4", "run.batch_size=32"]).wire(digits())


def test_pretended_ranks_that_cannot_be_dealt_out_are_refused_before_anything_runs() -> None:
    given = ["place.parts=4", "place.replicas=4"]
    for ranks in (1, 4):  # one rank says nothing of how many there will be
        resolve(read_tree("digits"), [*given, f"run.pretend_ranks={ranks}"]).wire(digits())
    with pytest.raises(ScenarioError, match=r"replicas is 4 and there are 3 ranks; expected"):
        resolve(read_tree("digits"), [*given, "run.pretend_ranks=3"]).wire(digits())


def test_a_rule_that_needs_whole_minibatches_is_refused_before_anything_runs() -> None:
    persistent = ["rule.name=equilibrium_propagation", "rule.persistent=true", "run.batch_size=32"]
    with pytest.raises(NetworkError, match=r"keeps the state of every sample.*ask for 1"):
        resolve(read_tree("digits"), [*persistent, "place.parts=2"]).wire(digits())
    resolve(read_tree("digits"), persistent).wire(digits())
