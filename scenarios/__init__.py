"""What is simulated: data sets, scenario files, and their checks."""

from scenarios.scenario import Data, Layers, Place, Record, Run, Scenario

__all__ = ["Data", "Layers", "Place", "Record", "Run", "Scenario"]
