"""What is simulated: data sets, scenario files, and their checks."""

from scenarios.scenario import Checkpoints, Data, Layers, Place, Record, Run, Scenario

__all__ = ["Checkpoints", "Data", "Layers", "Place", "Record", "Run", "Scenario"]
