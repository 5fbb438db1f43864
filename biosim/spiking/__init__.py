"""Spiking networks: what they are made of, what is recorded, and the shards that advance them."""

from biosim.spiking.description import (
    Normal,
    PoissonInput,
    PoissonSource,
    Sparse,
    SpikeList,
    Spiking,
    StepCurrent,
    SynapseModel,
    Uniform,
)
from biosim.spiking.recording import (
    MemorySink,
    Recording,
    SpikeRecord,
    StateRecord,
    WeightRecord,
)

__all__ = [
    "MemorySink",
    "Normal",
    "PoissonInput",
    "PoissonSource",
    "Recording",
    "Sparse",
    "SpikeList",
    "SpikeRecord",
    "Spiking",
    "StateRecord",
    "StepCurrent",
    "SynapseModel",
    "Uniform",
    "WeightRecord",
]
