"""What a plasticity may see: declared, restricted, and printed for anyone who asks.

Why a view instead of an argument list: an undeclared read must fail where it happens, with
the declaration that would allow it, and the declaration is what `biosim explain` prints and
what every run stores.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from biosim.errors import BiosimError

Axis = Literal["pre", "post", "synapse", "shared"]
"""How a plastic memory lies: (n_pre,), (n_post,), (n_post, n_pre), or one number for all."""

Moment = Literal["activity", "apical", "settled"]
"""When a plasticity wakes: with the forward activity, with the error, or at a phase's end."""

LAYER_WIDE = {
    "goodness": "sum of squared activity over the population, one number a row",
    "share": "softmax of the drive over the population",
    "weight_sum": "sum of the projection's weights that end on a neuron, (1, n_post)",
}
"""Population signals that the engine computes from more than one neuron or synapse."""


class LocalityError(BiosimError):
    """A plasticity read what it did not declare."""


@dataclass(frozen=True)
class Reads:
    """The variables that a plasticity sees, and when it wakes.

    Args:
        pre: variables of the pre-synaptic neuron, each (n_rows, n_pre).
        post: variables of the post-synaptic neuron, each (n_rows, n_post); those in
            `LAYER_WIDE` are computed over the whole population by the engine.
        synapse: variables of the synapse, each (n_post, n_pre).
        signals: scalars a row (n_rows, 1), or one number for all.
        on: the moment at which it wakes.
    """

    pre: tuple[str, ...] = ()
    post: tuple[str, ...] = ()
    synapse: tuple[str, ...] = ()
    signals: tuple[str, ...] = ()
    on: Moment = "activity"

    def with_signals(self, *names: str) -> Reads:
        """Return the same reads and these signals."""
        more = tuple(name for name in names if name not in self.signals)
        return Reads(self.pre, self.post, self.synapse, self.signals + more, self.on)

    def lines(self) -> list[str]:
        """Return one line a declared variable, for a card."""
        rows = []
        for side in ("pre", "post", "synapse", "signals"):
            for name in getattr(self, side):
                wide = f" (layer-wide: {LAYER_WIDE[name]})" if name in LAYER_WIDE else ""
                rows.append(f"{side}.{name}{wide}")
        return rows


@dataclass(frozen=True)
class Offers:
    """What a kind of population lets the plasticities of its synapses see, and when.

    Args:
        pre: variables of what arrives.
        post: variables of the population.
        signals: scalars a row, or one number for all.
        moments: when a plasticity may wake.
        synapse: variables of a synapse.
    """

    pre: tuple[str, ...]
    post: tuple[str, ...]
    signals: tuple[str, ...]
    moments: tuple[Moment, ...]
    synapse: tuple[str, ...] = ("weight",)

    def check(self, population: str, plasticity: str, reads: Reads) -> None:
        """Check a declaration against what there is.

        Raises:
            LocalityError: a variable or moment is declared that this population does not have.
        """
        for side in ("pre", "post", "synapse", "signals"):
            has = getattr(self, side)
            for name in getattr(reads, side):
                if name not in has:
                    raise LocalityError(
                        f"plasticity {plasticity} declares {side}.{name}; population "
                        f"{population!r} has {', '.join(has) or 'nothing'} there"
                    )
        if reads.on not in self.moments:
            raise LocalityError(
                f"plasticity {plasticity} wakes on {reads.on!r}; population {population!r} "
                f"wakes its synapses on {', '.join(self.moments) or 'nothing'}"
            )


class View:
    """The declared variables of one side; any other raises `LocalityError`."""

    __slots__ = ("_side", "_values")

    def __init__(self, side: str, values: Mapping[str, Tensor | float]) -> None:
        self._side = side
        self._values = values

    def __getattr__(self, name: str) -> Tensor:
        try:
            return self._values[name]  # type: ignore[return-value]
        except KeyError:
            declared = ", ".join(self._values) or "nothing"
            raise LocalityError(
                f"plasticity read {self._side}.{name}; it declares {declared} there; "
                f"add {name!r} to Reads({self._side}=...) if a synapse could know it"
            ) from None

    def values(self) -> Mapping[str, Tensor | float]:
        """Return what is declared, by name."""
        return self._values


class Local:
    """Everything that one plasticity sees at one moment."""

    __slots__ = ("post", "pre", "signals", "synapse")

    def __init__(
        self,
        pre: Mapping[str, Tensor | float],
        post: Mapping[str, Tensor | float],
        synapse: Mapping[str, Tensor | float],
        signals: Mapping[str, Tensor | float],
    ) -> None:
        self.pre = View("pre", pre)
        self.post = View("post", post)
        self.synapse = View("synapse", synapse)
        self.signals = View("signals", signals)


def restrict(seen: Local, pre: Tensor, post: Tensor) -> Local:
    """Return what is seen when only some neurons exist.

    Args:
        seen: what the whole projection sees.
        pre: (k,) positions of the pre-synaptic neurons that are kept.
        post: (m,) positions of the post-synaptic neurons that are kept.
    """
    return Local(
        pre={name: value[:, pre] for name, value in _tensors(seen.pre)},
        # One number a row, such as the goodness, is the same for every neuron.
        post={
            name: value if value.shape[1] == 1 else value[:, post]
            for name, value in _tensors(seen.post)
        },
        synapse={name: value[post][:, pre] for name, value in _tensors(seen.synapse)},
        signals=dict(seen.signals.values()),
    )


def restrict_by_axis(value: Tensor, axis: Axis, pre: Tensor, post: Tensor) -> Tensor:
    """Return the part of a memory or a change that belongs to the kept neurons."""
    if axis == "shared":
        return value
    if axis == "synapse":
        return value[post][:, pre]
    return value[pre if axis == "pre" else post]


def axis_shape(axis: Axis, n_pre: int, n_post: int) -> tuple[int, ...]:
    """Return the shape of a memory on this axis."""
    shapes: dict[Axis, tuple[int, ...]] = {
        "pre": (n_pre,),
        "post": (n_post,),
        "synapse": (n_post, n_pre),
        "shared": (),
    }
    return shapes[axis]


def _tensors(view: View) -> list[tuple[str, Tensor]]:
    return [(name, torch.as_tensor(value)) for name, value in view.values().items()]
