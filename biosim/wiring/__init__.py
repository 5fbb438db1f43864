"""Wiring: which neurons are joined, by what weight and delay; built by the owner of the target."""

from biosim.wiring.dense import Dense, Tied, fan_in, glorot, kaiming
from biosim.wiring.explicit import Connectome, Pairs, Weighted, from_matrix, from_table
from biosim.wiring.rules import (
    AllToAll,
    FixedInDegree,
    FixedProbability,
    FixedTotal,
    OneToOne,
    Wiring,
)

__all__ = [
    "AllToAll",
    "Connectome",
    "Dense",
    "FixedInDegree",
    "FixedProbability",
    "FixedTotal",
    "OneToOne",
    "Pairs",
    "Tied",
    "Weighted",
    "Wiring",
    "fan_in",
    "from_matrix",
    "from_table",
    "glorot",
    "kaiming",
]
