"""The same network in Brian2: the oracle of the tests, and of users who want to check.

Brian2 is imported only when something is run, and without its warnings. What it cannot be given
is refused: graded populations, noise, and random sources whose spikes are not replayed.

Where the two differ by design: Brian2 lets `on_post` see input that arrived in the same step,
here all code of a tick's events reads neurons as they were before its input; and Brian2 adds
input one by one, here it is summed in fixed point.
"""

from biosim.brian_twin.checking import check, nudged
from biosim.brian_twin.parting import Parting, compare
from biosim.brian_twin.running import run

__all__ = ["Parting", "check", "compare", "nudged", "run"]
