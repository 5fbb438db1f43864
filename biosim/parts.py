"""Minibatches that are learnt in parts, and replicas of the network that share the parts out.

How many parts a minibatch has belongs to what is simulated: a sum of floats depends on how it is
cut. Who computes which part does not matter: every part gives a direction, directions are added
in the order of the parts, and every replica takes the same step.

Why directions are no events: each takes time, and steps would come later than those of a
minibatch that is whole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from biosim.contracts import Ranks
from biosim.network import Network, NetworkError
from biosim.ranks import OneRank

Direction = Mapping[str, Tensor]
"""What a part asks of each parameter: "weight" (n_post, n_pre), "bias" (n_post,)."""


SMALL_BYTES = 16384
"""Directions of a part up to this size are not sliced."""


@dataclass(frozen=True)
class Share:
    """Which parts of every minibatch a replica learns from, and who learns from the others.

    Args:
        parts: of a minibatch that is learnt.
        replicas: of the network, each of which has equally many of them.
        replica: which one this is.
        ranks: how this rank talks to others.
        copies: the ranks that own what this rank owns, in the order of their replicas.
    """

    parts: int = 1
    replicas: int = 1
    replica: int = 0
    ranks: Ranks = field(default_factory=OneRank)
    copies: Sequence[int] = (0,)

    @property
    def own(self) -> range:
        """The parts of this replica."""
        each = self.parts // self.replicas
        return range(each * self.replica, each * (self.replica + 1))

    def take(self, given: list[Direction], direction: Direction) -> None:
        """Keep the direction of the next own part, in place of which a sum may be kept.

        The first replica has the first parts: it adds them up as they come.

        Args:
            given: what was kept of the parts before.
            direction: of this part; handed over, and changed in place.
        """
        if self.replica or not given:
            given.append(direction)
            return
        for name, each in direction.items():
            given[0][name].add_(each)

    def mean(self, given: Sequence[Direction]) -> dict[str, Tensor]:
        """Return the mean direction over all parts; all replicas call it together.

        Of what is large, each replica adds up one slice and gives the sum to the others, so that
        what it sends and receives does not grow with their number.

        Args:
            given: what `take` kept of the own parts; handed over, and changed in place.
        """
        everyone, me = range(self.replicas), self.replica
        flat = [[each.contiguous().view(-1) for each in part.values()] for part in given]
        whole = self._whole(sum(each.nbytes for each in flat[0]))
        cut = _uncut if whole else self._slice
        mine = [[cut(each, me) for each in part] for part in flat]
        came = [
            mine
            if r == me
            else [[torch.empty_like(each) for each in mine[0]] for _ in range(self._kept(r))]
            for r in everyone
        ]
        self._trade(
            [[cut(each, r) for part in flat for each in part] for r in everyone],
            [[each for part in parts for each in part] for parts in came],
        )
        first, *rest = (part for parts in came for part in parts)
        for i, total in enumerate(first):
            for part in rest:
                total.add_(part[i])
            total.div_(self.parts)
        mean = first
        if not whole:
            mean = flat[0]  # the others have what was in it
            for each, total in zip(mean, first, strict=True):
                cut(each, me).copy_(total)
            self._trade([first for _ in everyone], [[cut(m, r) for m in mean] for r in everyone])
        named = zip(given[0].items(), mean, strict=True)
        return {name: each.view(like.shape) for (name, like), each in named}

    def sent(self, sizes: Sequence[int], number_bytes: int) -> tuple[int, int]:
        """Return the bytes and the tensors that this replica sends in one call of `mean`.

        Args:
            sizes: numbers of each tensor of a direction.
            number_bytes: of a number.
        """
        others, kept, total = self.replicas - 1, self._kept(self.replica), sum(sizes)
        if self._whole(total * number_bytes):
            return kept * others * total * number_bytes, kept * others * len(sizes)
        mine = sum(self._cut(n, self.replica + 1) - self._cut(n, self.replica) for n in sizes)
        sent = kept * (total - mine) + others * mine
        return sent * number_bytes, (kept + 1) * others * len(sizes)

    def added(self, sizes: Sequence[int], number_bytes: int) -> int:
        """Return the bytes of all directions that this replica has at hand in `mean`.

        Args:
            sizes: numbers of each tensor of a direction.
            number_bytes: of a number.
        """
        if self.parts == 1:
            return 0
        total = sum(sizes) * number_bytes
        came = sum(self._kept(r) for r in range(self.replicas) if r != self.replica)
        share = total if self._whole(total) else total / self.replicas
        return self._kept(self.replica) * total + round(came * share)

    def _whole(self, nbytes: int) -> bool:
        """Return whether directions of this size are given whole to everyone."""
        # To meet once more would take longer. Of two parts, as much crosses either way.
        return self.parts == 2 or nbytes <= SMALL_BYTES

    def _kept(self, replica: int) -> int:
        """Return how many directions `take` keeps of a replica's parts."""
        return 1 if replica == 0 else len(self.own)

    def _slice(self, flat: Tensor, replica: int) -> Tensor:
        return flat[self._cut(len(flat), replica) : self._cut(len(flat), replica + 1)]

    def _cut(self, n: int, replica: int) -> int:
        return n * replica // self.replicas

    def _trade(self, given: list[list[Tensor]], taken: list[list[Tensor]]) -> None:
        """Trade with the other replicas; both lists are by replica."""
        if self.replicas > 1:
            others = [(r, rank) for r, rank in enumerate(self.copies) if r != self.replica]
            self.ranks.trade(
                {rank: given[r] for r, rank in others}, {rank: taken[r] for r, rank in others}
            )


def _uncut(flat: Tensor, replica: int) -> Tensor:
    return flat


def check_parts(network: Network, parts: int, replicas: int = 1, ranks: int = 1) -> None:
    """Check that minibatches can be learnt in parts, by so many replicas on so many ranks.

    Raises:
        NetworkError: numbers do not divide each other, or a population or plasticity needs the
            whole minibatch.
    """
    if parts < 1 or replicas < 1 or parts % replicas or ranks % replicas:
        raise NetworkError(
            f"got {replicas} replicas for {parts} parts of a minibatch on {ranks} ranks; expected "
            "a number that divides both: every replica has as many parts, and as many ranks"
        )
    if parts == 1:
        return
    for population in network.populations:
        reason = getattr(population.model, "uncut", None)
        if reason is not None:
            raise NetworkError(
                f"population {population.name!r} {reason}; its minibatches cannot be learnt in "
                f"{parts} parts: ask for 1"
            )
        for plasticity in network.plasticities(population.name):
            of = getattr(plasticity, "of", None)
            if of is None or not hasattr(plasticity, "step") or of.memory:
                raise NetworkError(
                    f"plasticity {type(plasticity).__name__} of population {population.name!r} "
                    f"cannot learn a minibatch in {parts} parts; expected a direction without "
                    "memory and a step along it, such as Sgd: wrap it, or ask for 1 part"
                )


def check_rows(batch_size: int, parts: int) -> None:
    """Check that a minibatch of so many rows has equal parts.

    Raises:
        NetworkError: it has not.
    """
    if batch_size % parts:
        raise NetworkError(
            f"got minibatches of {batch_size} rows in {parts} parts; expected parts of equal "
            "size: ask for a number of parts that divides the rows"
        )
