"""The state of an actor becomes a tree of plain values, and comes back as it was."""

import json
from typing import Any, ClassVar, NamedTuple

import numpy as np
import pytest
import torch

from biosim.checkpoints.tree import Taken, tree_of
from biosim.errors import OutputError
from biosim.events import Event, Kind, Mode, Presentation


class Inner:
    state_names: ClassVar[tuple[str, ...]] = ("weight", "count")

    def __init__(self, weight: torch.Tensor, count: int = 0) -> None:
        self.weight, self.count, self.kept = weight, count, "as it was built"


class Comes:
    state_names: ClassVar[tuple[str, ...]] = ("at",)

    def __init__(self, at: Any) -> None:
        self.at = at


class Other(NamedTuple):
    n: int


def back(value: Any, there: Any = None, types: tuple[type, ...] = ()) -> Any:
    arrays: dict[str, Any] = {}
    node = json.loads(json.dumps(tree_of(value, "state", arrays)))
    return Taken(arrays, "cpu", types).value(node, there)


DTYPES = [torch.float32, torch.float64, torch.int64, torch.uint8, torch.bool]
NESTED = [[1, [2, None]], (1, (2.5, "x")), {1: 2, "a": {(1, 2): 3}}]
PLAIN = [None, True, False, 0, -3, 1 << 62, 0.1, float("inf"), "text", "", [], {}, ()]


@pytest.mark.parametrize("value", [*PLAIN, *NESTED])
def test_plain_values_come_back_with_their_types(value: Any) -> None:
    found = back(value)
    assert found == value
    assert type(found) is type(value)


def test_numbers_that_are_none_come_back() -> None:
    assert np.isnan(back(float("nan")))


@pytest.mark.parametrize("dtype", DTYPES)
def test_tensors_and_arrays_come_back_to_the_bit(dtype: torch.dtype) -> None:
    tensor = torch.tensor([[0, 1], [1, 0]], dtype=dtype)
    found = back({"t": tensor, "a": tensor.numpy(), "none": torch.tensor(3.0)})
    assert found["t"].dtype == dtype
    assert torch.equal(found["t"], tensor)
    assert isinstance(found["a"], np.ndarray)
    assert found["none"].shape == ()


def test_what_is_restored_is_no_view_of_what_was_stored() -> None:
    arrays: dict[str, Any] = {}
    node = tree_of(torch.zeros(2), "x", arrays)
    assert node == {"tensor": "x", "on": "cpu"}
    assert list(arrays) == ["x"]


def test_an_event_and_its_presentation_come_back() -> None:
    at = Presentation(1, 2, 3, Mode.PROBE, 1)
    event = Event(7, Kind.ACTIVITY, 0, 1, 2, at, None)
    assert back([event]) == [event]
    assert isinstance(back([event])[0], Event)


def test_an_object_takes_over_what_is_stored_and_keeps_the_rest() -> None:
    there = {"a": Inner(torch.zeros(2))}
    mine = there["a"]
    found = back({"a": Inner(torch.ones(2), 4)}, there)
    assert found["a"] is mine
    assert (mine.count, mine.weight.tolist(), mine.kept) == (4, [1, 1], "as it was built")


def test_what_comes_and_goes_is_made_anew() -> None:
    found = back({7: Comes({"x": torch.ones(1)})}, {}, (Comes,))
    assert isinstance(found[7], Comes)
    assert found[7].at["x"].tolist() == [1]
    with pytest.raises(OutputError, match="holds a Comes where a new simulation has NoneType"):
        back({7: Comes(1)}, {})
    with pytest.raises(OutputError, match="holds a Comes where a new simulation has Inner"):
        back(Comes(1), Inner(torch.zeros(1)))


def test_entries_of_any_keys_do_not_take_each_others_arrays() -> None:
    value = {(1,): torch.tensor(1), 0: torch.tensor(2), "a b": torch.tensor(3), 2: torch.tensor(4)}
    assert {key: int(each) for key, each in back(value).items()} == {(1,): 1, 0: 2, "a b": 3, 2: 4}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (object(), r"state/x holds a object, which a checkpoint cannot store; list its attributes"),
        (np.int64(3), "state/x holds a int64, which a checkpoint cannot store"),
        ({1, 2}, "state/x holds a set, which"),
        (lambda: None, "state/x holds a function, which"),
        (Other(1), "state/x holds a Other, which a checkpoint cannot store"),
    ],
)
def test_a_state_that_cannot_be_stored_is_refused(value: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        tree_of({"x": value}, "state", {})


def test_a_tree_of_another_version_is_refused() -> None:
    with pytest.raises(OutputError, match=r"holds \['what'\], which this version does not know"):
        Taken({}).value({"what": 1})
    with pytest.raises(OutputError, match="which this version does not know"):
        Taken({}).value({"named": "Other", "values": [1]})
    with pytest.raises(OutputError, match="a checkpoint lacks the array state/x"):
        Taken({}).value({"tensor": "state/x", "on": "cpu"})
