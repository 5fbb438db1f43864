"""What a rank does in these tests: the runs of a list, one after the other.

    mpiexec -n N python program.py LIST.json [cheat]

The list has a scenario, overrides and a directory for each run. A cheat draws by the rank.
"""

import json
import sys
from pathlib import Path

from biosim.draws import Draws
from hpc import run
from hpc.together import take_part
from scenarios.reading import read_tree, resolve_any, with_rule


def cheat() -> None:
    """Let every rank draw numbers of its own."""
    honest = Draws.__init__

    def dishonest(self: Draws, seed: int, purpose: str) -> None:
        honest(self, seed + 1000 * take_part().rank, purpose)

    Draws.__init__ = dishonest


def main(listed: str, *how: str) -> None:
    if "cheat" in how:
        cheat()
    for entry in json.loads(Path(listed).read_text(encoding="utf-8")):
        tree = entry["scenario"]
        tree = read_tree(tree) if isinstance(tree, str) else tree
        if entry.get("rule"):
            tree = with_rule(tree, entry["rule"])
        run(resolve_any(tree, entry["overrides"]), entry["out"])


if __name__ == "__main__":
    main(*sys.argv[1:])
