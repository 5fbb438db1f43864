"""What the laws compare by: bits, and where they differ."""

from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
import pytest
import torch

from biosim.events import Mode, Presentation
from biosim.testing import assert_same


@dataclass(frozen=True)
class Fields:
    value: torch.Tensor

    @cached_property
    def total(self) -> float:
        return float(self.value.sum())


class Slots:
    __slots__ = ("missing", "value")

    def __init__(self, value: object) -> None:
        self.value = value


class Plain:
    def __init__(self, value: object) -> None:
        self._value = value


ALIKE = [
    lambda: 3,
    lambda: "a",
    lambda: None,
    lambda: torch.tensor([1.0, float("nan")]),
    lambda: torch.tensor(7),
    lambda: torch.tensor([True, False]),
    lambda: torch.zeros(0, 3),
    lambda: torch.arange(6.0).reshape(2, 3).t(),
    lambda: np.arange(3),
    lambda: {"a": [1, (torch.ones(2),)], "b": {}},
    lambda: {1, 2},
    lambda: Presentation(0, 1, 2, Mode.LEARN),
    lambda: Slots(torch.ones(2)),
    lambda: Plain([torch.ones(2)]),
    lambda: Plain(None),
    lambda: object(),
    lambda: len,
    lambda: partial(max, 3),
]


@pytest.mark.parametrize("make", ALIKE)
def test_what_is_made_alike_is_the_same(make) -> None:
    assert_same(make(), make(), "made alike")


def test_a_cache_is_no_part_of_a_dataclass() -> None:
    one, other = Fields(torch.ones(2)), Fields(torch.ones(2))
    assert one.total == 2.0
    assert_same(one, other, "made alike")


@pytest.mark.parametrize(
    ("got", "expected", "message"),
    [
        (1, 2, "the result is 1, expected 2"),
        (1, 1.0, "the result is a int, expected a float"),
        (torch.zeros(3), torch.tensor([0.0, 0.5, -2.0]), "differs in 2 of 3 entries, by up to 2"),
        (torch.zeros(1), -torch.zeros(1), "differs in 1 of 1 entries, by up to 0"),
        (torch.zeros(2), torch.zeros(3), r"is \(2,\) of torch.float32, expected \(3,\)"),
        (torch.zeros(2), torch.zeros(2).double(), r"expected \(2,\) of torch.float64"),
        (np.zeros(2), np.ones(2), "differs in 2 of 2 entries"),
        ({"a": 1}, {"b": 1}, r"has \['a'\], expected \['b'\]"),
        ({"a": [0, {"b": 1}]}, {"a": [0, {"b": 2}]}, r"\['a'\]\[1\]\['b'\] is 1, expected 2"),
        ([1], [1, 2], "has 1 entries, expected 2"),
        ({1}, {2}, r"is \{1\}, expected \{2\}"),
        (Fields(torch.ones(1)), Fields(torch.zeros(1)), r"\['value'\] differs in 1 of 1"),
        (Slots(1), Slots(2), r"\['value'\] is 1, expected 2"),
        (Plain(1), Plain(2), r"\['_value'\] is 1, expected 2"),
    ],
)
def test_a_difference_is_found_and_placed(got, expected, message: str) -> None:
    with pytest.raises(AssertionError, match=f"^nothing should differ, but: .*{message}"):
        assert_same(got, expected, "nothing should differ")


def test_only_the_first_differences_are_told() -> None:
    with pytest.raises(AssertionError) as raised:
        assert_same(list(range(9)), list(range(1, 10)), "nothing should differ")
    assert str(raised.value).count("expected") == 3


def test_arrays_without_entries_are_the_same() -> None:
    assert_same(np.zeros(0, np.int64), np.zeros(0, np.int64), "nothing")
    with pytest.raises(AssertionError, match=r"is \(0,\) of torch.int32, expected \(0,\) of"):
        assert_same(np.zeros(0, np.int32), np.zeros(0, np.int64), "nothing")
