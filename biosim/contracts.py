"""Every contract that a plug-in implements. Read this first.

A learning rule is three choices: which pathways it wires, which phases it runs, which
plasticity its synapses have. The machine knows these contracts and no rule; what a rule has to
have is in `rules/rule.py`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, Protocol

from torch import Tensor

from biosim.events import Event, Presentation, Tick, Window
from biosim.locality import Axis, Local, Reads

if TYPE_CHECKING:
    from biosim.network import Projection
    from biosim.populations.site import Site

Memory = dict[str, Tensor]
"""A plasticity's own variables, by name; each lies on the axis that it declares."""


class Plasticity(Protocol):
    """Local arithmetic at a synapse. It keeps no state of its own."""

    @property
    def reads(self) -> Reads:
        """What it sees and when it wakes."""

    @property
    def memory(self) -> Mapping[str, Axis]:
        """The names of its own variables, and the axis of each."""

    def update(self, seen: Local, memory: Memory) -> tuple[Mapping[str, Tensor], Memory]:
        """Return the change of each parameter, and the memory.

        "weight" has shape (n_post, n_pre), "bias" (n_post,). The memory is handed over: its
        tensors may be changed in place and given back.
        """


class Stepping(Plasticity, Protocol):
    """A plasticity that goes a step along a direction, and so can learn a minibatch in parts.

    `update` is a step along what `of` gives. In parts, `of` gives a direction for each, and the
    step goes along their mean.
    """

    @property
    def of(self) -> Plasticity:
        """What gives the direction: a mean over rows, in tensors of its own.

        It has no memory.
        """

    def step(
        self, direction: Mapping[str, Tensor], progress: float, memory: Memory
    ) -> tuple[Mapping[str, Tensor], Memory]:
        """Return the change of each parameter, and the memory, which is handed over.

        Args:
            direction: of each parameter, in its shape.
            progress: share of the learning that is over, in [0, 1).
            memory: as in `update`.
        """


class Actor(Protocol):
    """A population with the synapses that end on it, owned by one rank."""

    state_names: ClassVar[tuple[str, ...]]
    """The attributes that the future depends on: what a snapshot copies, and a checkpoint stores.

    They are plain values, tensors, arrays, and lists, dicts and tuples of them; other objects in
    them have `state_names` of their own. Those that come and go are made from `state_types`, an
    attribute that lists their classes.
    """

    def advance(self, window: Window, inbox: list[Event]) -> list[Event]:
        """Deal with the events of the window, which come in content order; return new ones."""

    def next_wake(self) -> Tick:
        """Return when it wants to wake without an event: a tick, WHEN_QUIET or NEVER."""

    def parameters(self) -> dict[str, dict[str, Tensor]]:
        """Return {projection: {"weight": (n_post, n_pre), "bias": (n_post,)}}."""

    def activity(self) -> Tensor | None:
        """Return and forget the activity of the last probe: (n_samples, n_units)."""


class Model(Protocol):
    """What kind of population it is: a frozen description that can make its actor.

    One that cannot learn a minibatch in parts says why in an attribute `uncut`.
    """

    def actor(self, site: Site) -> Actor:
        """Return the population's actor, on the rank that owns it."""

    def check(
        self, name: str, incoming: Sequence[Projection], outgoing: Sequence[Projection]
    ) -> None:
        """Raise NetworkError if a projection uses a receptor or variable it does not have."""


class Encoder(Protocol):
    """What a source sends for a minibatch; a rule supplies it."""

    state_names: ClassVar[tuple[str, ...]]
    """The attributes that the future depends on, as of an `Actor`; () if there are none."""

    def encode(
        self, phase: int, at: Presentation, samples: Tensor, x: Tensor, y: Tensor
    ) -> Mapping[str, Tensor]:
        """Return {variable: payload} for one phase.

        Args:
            phase: position in the rule's phases.
            at: epoch, minibatch, part and mode.
            samples: (n_rows,) positions in the data set, the entities of random draws. No row
                may depend on another: a minibatch that is learnt in parts comes part by part.
            x: (n_rows, n_features) inputs.
            y: (n_rows,) labels.
        """

    def listen(self, samples: Tensor, scores: Tensor) -> None:
        """Take class scores (n_rows, n_classes) that the network sent back."""


class Ranks(Protocol):
    """Who takes part. Every rank enters every call but `trade`, also with nothing to say."""

    rank: int
    size: int

    def connect(self, to: Collection[int]) -> None:
        """Promise to send to these ranks and no others from now on."""

    def post(self, outgoing: Sequence[list[Event]], wake: Tick) -> None:
        """Begin to send `outgoing[r]` to rank r; payloads must not change afterwards."""

    def collect(self) -> tuple[list[Event], Tick]:
        """Return what came in the first exchange that was posted and not yet collected.

        With it comes the earliest wake of all ranks; STOP or PAUSE if one was asked to.
        """

    def exchange(self, outgoing: Sequence[list[Event]], wake: Tick) -> tuple[list[Event], Tick]:
        """Post and collect."""

    def trade(
        self, given: Mapping[int, Sequence[Tensor]], taken: Mapping[int, Sequence[Tensor]]
    ) -> None:
        """Give each of these ranks contiguous tensors, and put what it gives into others.

        Only ranks that name each other take part, with as many tensors of the same sizes and
        types. It may come at any time between `post` and `collect`.
        """

    def agree(self, flag: bool) -> bool:
        """Return whether any rank raises the flag."""

    def sum(self, counts: Tensor) -> Tensor:
        """Return the counts, integers (n,), summed over ranks."""
