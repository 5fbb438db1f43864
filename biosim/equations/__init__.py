"""Equations with units, in Brian2's language, to scalar code."""

from biosim.equations.code import (
    Assign,
    Effect,
    EquationError,
    NeuronCode,
    SynapseCode,
    Trace,
    Variable,
)
from biosim.equations.neurons import neuron_code
from biosim.equations.synapses import synapse_code

__all__ = [
    "Assign",
    "Effect",
    "EquationError",
    "NeuronCode",
    "SynapseCode",
    "Trace",
    "Variable",
    "neuron_code",
    "synapse_code",
]
