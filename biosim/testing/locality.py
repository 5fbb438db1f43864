"""Law 1, locality: the update of a part is that part of the update.

Why integers: sums and products of small integers are exact in float64 whatever their order, so
that a part and the whole may be compared bit for bit. Rows are a power of two, so that a mean
over them is exact as well.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from biosim.contracts import Memory, Plasticity
from biosim.locality import (
    Local,
    LocalityError,
    View,
    axis_shape,
    restrict,
    restrict_by_axis,
)
from biosim.plasticity import PARAMETER_AXIS

SIDES = ("pre", "post", "synapse", "signals")

many_examples = settings(
    max_examples=20,
    deadline=None,
    # One suite is inherited by many classes, each of which runs the same method.
    suppress_health_check=[HealthCheck.differing_executors, HealthCheck.too_slow],
)


@dataclass(frozen=True)
class Part:
    """A projection in one example, and the neurons of it that are kept.

    Args:
        n_rows: samples, a power of two.
        n_pre: pre-synaptic neurons.
        n_post: post-synaptic neurons.
        pre: positions of the pre-synaptic neurons that are kept, in any order.
        post: positions of the post-synaptic neurons that are kept, in any order.
        updates: how many updates follow each other, so that memory matters.
        seed: of the integers that are seen.
    """

    n_rows: int
    n_pre: int
    n_post: int
    pre: tuple[int, ...]
    post: tuple[int, ...]
    updates: int
    seed: int


@st.composite
def parts(draw: st.DrawFn) -> Part:
    """Choose a projection of up to 6 by 6 neurons, and some of them on either side."""
    n_pre, n_post = draw(st.integers(1, 6)), draw(st.integers(1, 6))

    def some(n: int) -> tuple[int, ...]:
        kept = st.lists(st.sampled_from(range(n)), min_size=1, max_size=n, unique=True)
        return tuple(draw(kept))

    return Part(
        n_rows=draw(st.sampled_from((2, 4, 8))),
        n_pre=n_pre,
        n_post=n_post,
        pre=some(n_pre),
        post=some(n_post),
        updates=draw(st.integers(1, 4)),
        seed=draw(st.integers(0, 10_000)),
    )


class LocalityLaws:
    """update(restrict(seen)) == restrict(update(seen)), for changes and memory.

    What the plasticity is given to see is what it declares and nothing else, so that reading
    anything undeclared raises `LocalityError` in every one of these tests.

    Args:
        exact: whether the arithmetic on integers is exact, so that bits are compared.
        tolerance: otherwise, how far apart two changes may be, for changes of the order of one.
    """

    exact: ClassVar[bool] = True
    tolerance: ClassVar[float] = 1e-9

    def plasticity(self) -> Plasticity:
        """Return the plasticity to test."""
        raise NotImplementedError("say which plasticity to test: define plasticity(self)")

    def variable(
        self, side: str, name: str, shape: tuple[int, ...], numbers: torch.Generator
    ) -> Tensor | float:
        """Return values for one declared variable; override it for one of your own meaning.

        Args:
            side: "pre", "post", "synapse" or "signals".
            name: of the variable.
            shape: (n_rows, n_pre), (n_rows, n_post), (n_post, n_pre) or (n_rows, 1).
            numbers: to draw from.
        """
        if name == "goodness":
            shape = (shape[0], 1)
        if name == "weight_sum":
            shape = (1, shape[1])
        if name == "progress":
            return int(torch.randint(0, 16, (), generator=numbers)) / 16
        if name == "polarity":
            signs = torch.ones(shape, dtype=torch.float64)
            signs[shape[0] // 2 :] = -1.0
            return signs
        never_negative = side == "signals" or name in ("share", "gain", "goodness")
        least, most = (0, 4) if never_negative else (-4, 5)
        return torch.randint(least, most, shape, generator=numbers).double()

    @many_examples
    @given(part=parts())
    def test_the_update_of_a_part_is_that_part_of_the_update(self, part: Part) -> None:
        """Neurons that are taken away change nothing for those that stay."""
        plasticity, numbers = self.plasticity(), torch.Generator().manual_seed(part.seed)
        pre, post = torch.tensor(part.pre), torch.tensor(part.post)
        whole = self._memory(part.n_pre, part.n_post)
        rest = {
            name: restrict_by_axis(value, plasticity.memory[name], pre, post)
            for name, value in whole.items()
        }
        for _ in range(part.updates):
            seen = self._seen(part, numbers)
            changes, whole = plasticity.update(seen, _handed_over(whole))
            got, rest = plasticity.update(restrict(seen, pre, post), _handed_over(rest))
            for what, one, other, axes in (
                ("change", changes, got, PARAMETER_AXIS),
                ("memory", whole, rest, plasticity.memory),
            ):
                for name, value in one.items():
                    expected = restrict_by_axis(value, axes[name], pre, post)
                    self._compare(f"the {what} of {name!r}", other[name], expected)

    @many_examples
    @given(part=parts())
    def test_declared_shapes_are_right(self, part: Part) -> None:
        """Changes and memory lie on their axes, in the dtype of what is seen."""
        plasticity, numbers = self.plasticity(), torch.Generator().manual_seed(part.seed)
        axes = plasticity.memory
        seen = self._seen(part, numbers)
        changes, memory = plasticity.update(seen, self._memory(part.n_pre, part.n_post))
        assert "weight" in changes, "an update must give the change of the weight"
        assert changes.keys() <= PARAMETER_AXIS.keys(), (
            f"an update gave {sorted(changes)}; a synapse has {sorted(PARAMETER_AXIS)}"
        )
        assert memory.keys() == axes.keys(), (
            f"an update gave back the memory {sorted(memory)}; it declares {sorted(axes)}"
        )
        for values, declared in ((changes, PARAMETER_AXIS), (memory, axes)):
            for name, value in values.items():
                shape = axis_shape(declared[name], part.n_pre, part.n_post)
                assert value.shape == shape, f"{name}: {tuple(value.shape)}, expected {shape}"
                dtype = torch.float32 if declared[name] == "shared" else torch.float64
                assert value.dtype == dtype, f"{name} became {value.dtype}, expected {dtype}"

    @many_examples
    @given(part=parts())
    def test_an_update_leaves_what_it_sees_as_it_is(self, part: Part) -> None:
        """What is seen belongs to the population; only memory is handed over."""
        seen = self._seen(part, torch.Generator().manual_seed(part.seed))
        again = self._seen(part, torch.Generator().manual_seed(part.seed))
        self.plasticity().update(seen, self._memory(part.n_pre, part.n_post))
        for side in SIDES:
            for name, value in getattr(seen, side).values().items():
                before = torch.as_tensor(getattr(again, side).values()[name])
                assert torch.equal(torch.as_tensor(value), before), (
                    f"an update changed {side}.{name} in place: make a new tensor"
                )

    def test_every_variable_must_be_declared(self) -> None:
        """Without its declaration, a read fails and says what to declare.

        A variable that is declared and never read fails here too: the card of the rule would
        say that a synapse knows more than it uses.
        """
        plasticity, reads = self.plasticity(), self.plasticity().reads
        declared = [(side, name) for side in SIDES for name in getattr(reads, side)]
        for side, name in declared:
            seen = self._seen(SMALL, torch.Generator().manual_seed(0))
            values = dict(getattr(seen, side).values())
            del values[name]
            setattr(seen, side, View(side, values))
            advice = f"read {side}.{name}; .*add '{name}' to Reads({side}=...)"
            with pytest.raises(LocalityError, match=_pattern(advice)):
                plasticity.update(seen, self._memory(SMALL.n_pre, SMALL.n_post))

    def _memory(self, n_pre: int, n_post: int) -> Memory:
        # As `biosim.populations.synapses` makes it.
        return {
            name: torch.zeros(
                axis_shape(axis, n_pre, n_post),
                dtype=torch.float32 if axis == "shared" else torch.float64,
            )
            for name, axis in self.plasticity().memory.items()
        }

    def _seen(self, part: Part, numbers: torch.Generator) -> Local:
        reads = self.plasticity().reads
        shapes = {
            "pre": (part.n_rows, part.n_pre),
            "post": (part.n_rows, part.n_post),
            "synapse": (part.n_post, part.n_pre),
            "signals": (part.n_rows, 1),
        }
        sides: dict[str, Any] = {
            side: {
                name: self.variable(side, name, shapes[side], numbers)
                for name in getattr(reads, side)
            }
            for side in SIDES
        }
        return Local(**sides)

    def _compare(self, what: str, got: Tensor, expected: Tensor) -> None:
        if self.exact:
            same = torch.equal(got, expected)
        else:
            same = torch.allclose(got, expected, rtol=self.tolerance, atol=self.tolerance)
        apart = float((got - expected).abs().max()) if got.shape == expected.shape else math.nan
        assert same, (
            f"{what} depends on neurons that were taken away, by up to {apart:.3g}: it is\n{got}\n"
            f"without them and\n{expected}\nwith them. What needs the whole population is a signal "
            "that the population computes: declare it in Reads"
        )


SMALL = Part(n_rows=4, n_pre=3, n_post=2, pre=(0,), post=(0,), updates=1, seed=0)


def _handed_over(memory: Memory) -> Memory:
    # An update may change what it is given in place.
    return {name: value.clone() for name, value in memory.items()}


def _pattern(advice: str) -> str:
    return re.escape(advice).replace(re.escape(".*"), ".*")
