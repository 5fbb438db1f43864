"""The store of a run of layers: its arrays, and what its root says."""

from __future__ import annotations

from typing import Any

import numpy as np

from biosim.network import Network
from biosim.recorder import EPOCH
from biosim.store import RunStore
from hpc.provenance import git_state, host, now, versions
from rules.card import facts
from scenarios.data import Dataset
from scenarios.scenario import Scenario

SPLITS = ("train", "validation", "test")


def described(dataset: Dataset) -> dict[str, Any]:
    """Return what a store says of a data set."""
    return {
        "name": dataset.name,
        "description": dataset.description,
        "features": dataset.features,
        "classes": dataset.classes,
        "labels": list(dataset.labels),
        "shape": list(dataset.shape),
        "samples": {name: len(getattr(dataset, name)) for name in SPLITS},
    }


def allocate(
    store: RunStore,
    scenario: Scenario,
    dataset: Dataset,
    splits: list[str],
    evaluated: list[int],
) -> None:
    """Make the arrays that fill up as epochs go by; rank 0 only.

    Args:
    store: of the run.
    scenario: what is run.
    dataset: what is learnt from.
    splits: of the data set, that are evaluated.
    evaluated: epochs after which they are.
    """
    ways = list(scenario.rule.ways)
    store.write_names("learning/split", splits, "split")
    store.write_names("learning/way", ways, "way")
    rows = len(evaluated)
    for group in ("learning", "timing"):
        store.write(f"{group}/epoch", evaluated, ["epoch"], EPOCH)
    store.allocate(
        "learning/accuracy",
        (rows, len(splits), len(ways)),
        np.float64,
        ["epoch", "split", "way"],
        {"units": "1", "long_name": "share of samples answered correctly"},
    )
    for name, unit in (("learning", "s"), ("samples_per_second", "s-1")):
        store.allocate(f"timing/{name}", (rows,), np.float64, ["epoch"], {"units": unit})
    store.write("data/mean", dataset.train.x.mean(axis=0), ["feature"], {"units": "1"})


def attributes(
    scenario: Scenario, network: Network, dataset: Dataset, ranks: int
) -> dict[str, Any]:
    """Return what the root of the store says from the beginning."""
    return {
        "scenario": scenario.model_dump(mode="json"),
        "rule": scenario.rule.name,
        "seed": scenario.run.seed,
        "card": facts(scenario.rule, network),
        "data": described(dataset),
        "versions": versions(),
        "git": git_state(),
        "host": host(),
        "ranks": ranks,
        "started": now(),
    }
