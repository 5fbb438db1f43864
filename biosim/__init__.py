"""biosim: an event-driven engine for networks that learn without backpropagation's shortcuts."""

from biosim.errors import BiosimError
from biosim.locality import Local, LocalityError, Reads
from biosim.network import Network, Pathway, Phase, Population, Projection
from biosim.ranks import OneRank, PretendRanks
from biosim.runs import open_runs
from biosim.simulation import Simulation
from biosim.traces import open_run

__version__ = "0.1.0"

__all__ = [
    "BiosimError",
    "Local",
    "LocalityError",
    "Network",
    "OneRank",
    "Pathway",
    "Phase",
    "Population",
    "PretendRanks",
    "Projection",
    "Reads",
    "Simulation",
    "open_run",
    "open_runs",
]
