"""Running scenarios: one run, comparisons, the report, the command line."""

from hpc.run import run
from hpc.run_layers import Result

__all__ = ["Result", "run"]
