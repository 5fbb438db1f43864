"""Running scenarios: one run, comparisons, the report, the command line."""

from hpc.run import Result, run

__all__ = ["Result", "run"]
