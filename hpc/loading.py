"""What a run that learns from data begins with, once it is known that it may."""

from __future__ import annotations

from pathlib import Path

from biosim.network import Network
from hpc.output import check_free
from hpc.together import by_first, take_part
from scenarios.data import Dataset
from scenarios.disk import check_kept, kept
from scenarios.images.schema import ImagesScenario
from scenarios.scenario import Scenario


def loaded(
    scenario: Scenario | ImagesScenario, out: Path, overwrite: bool, resumed: bool
) -> tuple[Dataset, Network]:
    """Return the data and the network of a run; all ranks call it.

    Args:
        scenario: to run.
        out: directory to make.
        overwrite: replace results that are there.
        resumed: whether the run goes on in the directory: then there is room in it.

    Raises:
        BiosimError: the data, the network or the directory cannot be used.
    """
    ranks = take_part()
    if not resumed:
        by_first(ranks, lambda: check_free(out, overwrite))
    dataset = scenario.data.load()
    network = scenario.wire(dataset)
    if not resumed:
        by_first(ranks, lambda: check_kept(kept(scenario, network, dataset), out))
    return dataset, network
