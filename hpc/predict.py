"""Trained weights applied to new samples."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from biosim.errors import DataError, OutputError
from biosim.events import Course
from biosim.simulation import Simulation
from biosim.traces import open_run
from hpc.stored import stored_parameters, stored_scenario
from scenarios.data import encode_labels, load_inputs


@dataclass(frozen=True)
class Prediction:
    """What a network answers.

    Args:
        labels: (n_samples,) what the data set calls the class that is answered.
        scores: (n_samples, n_classes) by which it is chosen; larger is more likely.
        accuracy: share answered correctly, where the file has labels.
    """

    labels: npt.NDArray[Any]
    scores: npt.NDArray[np.float64]
    accuracy: float | None


def predict(path: str | Path, file: str | Path) -> Prediction:
    """Answer for the samples of a file with the last stored weights of a run.

    Args:
        path: directory of a run.
        file: .npz or Zarr store with x (n_samples, n_features), and y if there are labels.

    Raises:
        OutputError: there is no run, or it stored no weights.
        DataError: the file cannot be used, or its samples have another number of features.
    """
    tree = open_run(path)
    scenario, data = stored_scenario(tree), tree.attrs["data"]
    x, y = load_inputs(file)
    if x.shape[1] != data["features"]:
        raise DataError(
            f"{file} has {x.shape[1]} features a sample; {path} learnt from {data['features']}"
        )
    network = scenario.wire_for(
        data["features"],
        data["classes"],
        data["samples"]["train"],
        tree["data"]["mean"].to_numpy(),
    )
    settings = scenario.run
    dtype = getattr(torch, settings.dtype)
    simulation = Simulation(
        network, Course(1, 1, data["samples"]["train"]), settings.seed, None, "cpu", dtype
    )
    simulation.load(stored_parameters(path))
    phases = next(iter(scenario.rule.ways.values()))
    scores = simulation.answer(torch.from_numpy(x).to(dtype), phases, settings.epochs)
    assert scores is not None
    answered = scores.argmax(1).numpy()
    names = tuple(data["labels"])
    accuracy = None
    if y is not None:
        accuracy = float((answered == encode_labels(str(file), y, names)).mean())
    return Prediction(np.asarray(names)[answered], scores.double().numpy(), accuracy)


def write_prediction(out: Path, prediction: Prediction) -> None:
    """Write labels and scores as .npz.

    Raises:
        OutputError: `out` exists or cannot be written.
    """
    if out.suffix != ".npz":
        raise OutputError(f"{out} is not an .npz file; give --out a name that ends in .npz")
    try:
        with out.open("xb") as file:
            np.savez_compressed(file, labels=prediction.labels, scores=prediction.scores)
    except FileExistsError:
        raise OutputError(f"{out} exists; choose another --out") from None
    except OSError as problem:
        raise OutputError(f"{out} cannot be written ({problem.strerror})") from None
