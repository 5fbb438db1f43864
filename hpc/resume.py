"""Going on with a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hpc.progress import Watcher
from hpc.run import run
from scenarios.reading import AnyScenario


def carry_on(scenario: AnyScenario, out: Path, watcher: Watcher | None = None) -> Any:
    """Run from the beginning, replacing what a killed attempt left."""
    return run(scenario, out, True, watcher)
