"""The errors that a user can mend."""

__all__ = [
    "AnalysisError",
    "BiosimError",
    "DataError",
    "DivergedError",
    "OutputError",
    "ScenarioError",
]


class BiosimError(Exception):
    """An error that the user can mend: its message is one line that says how.

    The command line prints the message without a traceback and exits with status 2.
    Anything else that is raised is a defect of biosim and keeps its traceback.

    Args:
        message: what came, what was expected and what to do. Line breaks, which other
            libraries' messages bring along, become spaces.
    """

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(line.strip() for line in message.splitlines() if line.strip()))


class AnalysisError(BiosimError):
    """An analysis is asked of columns that have not the form, or of figures that make no sense."""


class DataError(BiosimError):
    """A data set is missing, damaged or not of the expected form."""


class ScenarioError(BiosimError):
    """A scenario, or an option that overrides a part of it, asks for something impossible."""


class OutputError(BiosimError):
    """The place where a run writes its results, or reads stored ones, cannot be used."""


class DivergedError(BiosimError):
    """A simulation left the finite numbers and was stopped."""
