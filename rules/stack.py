"""What a rule is given to wire: sizes of the layers, and what is known of the data."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from biosim.contracts import Plasticity
from biosim.network import Population, Projection
from biosim.populations import Graded
from biosim.populations.activations import ActivationName
from biosim.wiring import Dense, kaiming

INPUT, OUTPUT, JUDGE = "input", "output", "judge"


@dataclass(frozen=True)
class Stack:
    """The layers of a network before a rule has wired them.

    Args:
        inputs: features of a sample.
        hidden: units of each hidden layer, from the input up.
        classes: number of classes.
        samples: number of learning samples.
        mean: (inputs,) mean of each feature over the learning samples.
        activation: of the hidden layers; None for the rule's own.
    """

    inputs: int
    hidden: tuple[int, ...]
    classes: int
    samples: int
    mean: Tensor
    activation: ActivationName | None = None

    @property
    def layers(self) -> list[str]:
        """Names from the input to the last hidden layer."""
        return [INPUT, *(f"hidden{i + 1}" for i in range(len(self.hidden)))]

    def size(self, name: str) -> int:
        """Return the units of the layer of that name."""
        if name == OUTPUT:
            return self.classes
        return (self.inputs, *self.hidden)[self.layers.index(name)]

    def hidden_populations(
        self, activation: ActivationName = "relu", competition: float | None = None
    ) -> list[Population]:
        """Return the hidden layers as graded populations."""
        model = Graded(self.activation or activation, competition)
        return [Population(name, self.size(name), model) for name in self.layers[1:]]


def forward(
    stack: Stack,
    source: str,
    target: str,
    plasticity: Plasticity | None,
    carries: str = "activity",
    scale: float = 1.0,
    phases: tuple[str, ...] | None = None,
    learns: tuple[str, ...] | None = None,
    inputs: int | None = None,
) -> Projection:
    """Return the projection from one layer up to another, with He's initial weights.

    Args:
        stack: the layers.
        source: name of the lower layer.
        target: name of the upper layer.
        plasticity: of its synapses.
        carries: variable of the lower layer; the input always sends `x`.
        scale: factor of the initial weights.
        phases: phases in which it carries anything; None for all.
        learns: phases in which the plasticity wakes; None for all.
        inputs: units of the source, where they are not the stack's.
    """
    n_pre = stack.size(source) if inputs is None else inputs
    return Projection(
        name=f"{source}-{target}",
        source=source,
        target=target,
        carries="x" if source == INPUT else carries,
        receptor="basal",
        weights=Dense("normal", scale * kaiming(n_pre)),
        plasticity=plasticity,
        phases=phases,
        learns=learns,
    )
