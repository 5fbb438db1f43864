"""Populations: what kinds of neurons there are, one kind a file."""

from biosim.populations.adapters import RateEncoder, SpikeCounter
from biosim.populations.denoising import Denoising
from biosim.populations.graded import Graded
from biosim.populations.judge import Judge
from biosim.populations.settling import Settling
from biosim.populations.source import Source

__all__ = ["Denoising", "Graded", "Judge", "RateEncoder", "Settling", "Source", "SpikeCounter"]
