import pytest
import torch

from biosim.errors import BiosimError
from biosim.locality import (
    LAYER_WIDE,
    Local,
    LocalityError,
    Offers,
    Reads,
    View,
    axis_shape,
    restrict,
    restrict_by_axis,
)

SIDES = ["pre", "post", "synapse", "signals"]


def seen() -> Local:
    """Two rows, three pre-synaptic and four post-synaptic neurons."""
    return Local(
        pre={"activity": torch.arange(6.0).reshape(2, 3)},
        post={
            "apical": torch.arange(8.0).reshape(2, 4),
            "goodness": torch.tensor([[5.0], [6.0]]),
            "weight_sum": torch.tensor([[1.0, 2.0, 3.0, 4.0]]),
        },
        synapse={"weight": torch.arange(12.0).reshape(4, 3)},
        signals={"polarity": torch.tensor([[1.0], [-1.0]]), "progress": 0.25},
    )


@pytest.mark.parametrize("side", SIDES)
def test_reading_what_is_not_declared_says_what_to_declare(side: str) -> None:
    declared = ", ".join(getattr(seen(), side).values())
    advice = (
        rf"^plasticity read {side}\.trace; it declares {declared} there; "
        rf"add 'trace' to Reads\({side}=\.\.\.\) if a synapse could know it$"
    )
    with pytest.raises(LocalityError, match=advice):
        _ = getattr(seen(), side).trace


def test_reading_where_nothing_is_declared_says_so() -> None:
    with pytest.raises(LocalityError, match=r"read pre\.activity; it declares nothing there"):
        _ = View("pre", {}).activity


def test_a_user_can_mend_it() -> None:
    assert issubclass(LocalityError, BiosimError)


def test_what_is_declared_is_read_as_it_is() -> None:
    at = seen()
    assert at.pre.activity is at.pre.values()["activity"]
    assert at.signals.progress == 0.25


@pytest.mark.parametrize("side", SIDES)
def test_nothing_can_be_written_into_a_view(side: str) -> None:
    with pytest.raises(AttributeError):
        getattr(seen(), side).note = torch.zeros(1)


def test_a_restriction_keeps_the_neurons_that_are_asked_for() -> None:
    part = restrict(seen(), pre=torch.tensor([2, 0]), post=torch.tensor([1]))
    assert part.pre.activity.tolist() == [[2.0, 0.0], [5.0, 3.0]]
    assert part.post.apical.tolist() == [[1.0], [5.0]]
    assert part.synapse.weight.tolist() == [[5.0, 3.0]]
    assert part.post.weight_sum.tolist() == [[2.0]]


def test_a_restriction_keeps_one_number_a_row_and_all_signals() -> None:
    part = restrict(seen(), pre=torch.tensor([0]), post=torch.tensor([3, 1]))
    assert part.post.goodness.tolist() == [[5.0], [6.0]]
    assert part.signals.polarity.tolist() == [[1.0], [-1.0]]
    assert part.signals.progress == 0.25


@pytest.mark.parametrize(
    ("axis", "kept"),
    [("pre", [2.0]), ("post", [3.0, 1.0]), ("synapse", [[11.0], [5.0]]), ("shared", 7.0)],
)
def test_memory_is_restricted_along_its_axis(axis, kept) -> None:
    whole = {
        "pre": torch.arange(3.0),
        "post": torch.arange(4.0),
        "synapse": torch.arange(12.0).reshape(4, 3),
        "shared": torch.tensor(7.0),
    }[axis]
    part = restrict_by_axis(whole, axis, torch.tensor([2]), torch.tensor([3, 1]))
    assert part.tolist() == kept


@pytest.mark.parametrize(
    ("axis", "shape"), [("pre", (3,)), ("post", (4,)), ("synapse", (4, 3)), ("shared", ())]
)
def test_memory_has_the_shape_of_its_axis(axis, shape) -> None:
    assert axis_shape(axis, n_pre=3, n_post=4) == shape


OFFERS = Offers(("activity",), ("gain", "apical"), (), ("apical", "settled"))


@pytest.mark.parametrize(
    ("reads", "message"),
    [
        (
            Reads(post=("calcium",), on="apical"),
            r"plasticity Mine declares post\.calcium; population 'here' has gain, apical there",
        ),
        (
            Reads(signals=("reward",), on="apical"),
            r"plasticity Mine declares signals\.reward; population 'here' has nothing there",
        ),
        (
            Reads(synapse=("delay",), on="apical"),
            r"plasticity Mine declares synapse\.delay; population 'here' has weight there",
        ),
        (
            Reads(on="activity"),
            "plasticity Mine wakes on 'activity'; population 'here' wakes its synapses on "
            "apical, settled",
        ),
    ],
)
def test_a_declaration_that_a_population_cannot_meet_is_refused(reads, message: str) -> None:
    with pytest.raises(LocalityError, match=message):
        OFFERS.check("here", "Mine", reads)


def test_a_declaration_that_a_population_meets_is_accepted() -> None:
    OFFERS.check("here", "Mine", Reads(("activity",), ("apical",), ("weight",), (), "settled"))


def test_signals_are_added_once_and_nothing_else_changes() -> None:
    reads = Reads(("a",), ("b",), ("weight",), ("polarity",), "settled")
    more = reads.with_signals("progress", "polarity")
    assert more == Reads(("a",), ("b",), ("weight",), ("polarity", "progress"), "settled")
    assert more.with_signals("progress") == more


def test_a_card_lists_what_is_declared_and_marks_what_is_layer_wide() -> None:
    reads = Reads(pre=("activity",), post=("share",), synapse=("weight",), signals=("progress",))
    assert reads.lines() == [
        "pre.activity",
        f"post.share (layer-wide: {LAYER_WIDE['share']})",
        "synapse.weight",
        "signals.progress",
    ]
