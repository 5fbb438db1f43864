"""What a report says of layers' representations is what numpy makes of their activity."""

from __future__ import annotations

import json

import numpy as np
import pytest
import xarray as xr

from hpc import report_representations
from hpc.report_representations import representations

LABELS = np.array([1, 0, 1, 0, 2, 2, 0, 1])


def run_with(committed: int = 100, labels: bool = True, **activity: np.ndarray) -> xr.DataTree:
    """The tree of a run with this activity, (snapshot, sample, neuron), by layer."""
    found = {"/": xr.Dataset(attrs={"committed_epoch": committed})}
    for name, values in activity.items():
        coords = {"snapshot": [0, 3], "label": ("sample", LABELS)}
        found[f"/activity/{name}"] = xr.Dataset(
            {"activity": (("snapshot", "sample", "neuron"), values)},
            coords=coords if labels else {"snapshot": [0, 3]},
        )
    return xr.DataTree.from_dict(found)


def activity(neurons: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(2, len(LABELS), neurons))


def cka(x: np.ndarray, y: np.ndarray) -> float:
    """Kornblith et al. (2019), eq. 3, with Gram matrices."""
    centre = np.eye(len(x)) - 1 / len(x)
    k, m = (centre @ part @ part.T @ centre for part in (x, y))
    return float(np.trace(k @ m) / np.sqrt(np.trace(k @ k) * np.trace(m @ m)))


def test_cka_and_dissimilarities_are_numpys() -> None:
    layers = {"a": activity(5), "b": activity(3, 1), "c": activity(9, 2)}
    found = representations(run_with(**layers))
    json.dumps(found, allow_nan=False)
    assert found is not None
    assert found["epoch"] == 3
    assert found["names"] == ["a", "b", "c"]
    last = [values[1] for values in layers.values()]
    expected = [[cka(x, y) for x in last] for y in last]
    np.testing.assert_allclose(found["cka"], expected, atol=5.1e-3)
    first = [[cka(x, y) for x in (v[0] for v in layers.values())] for y in last]
    assert not np.allclose(found["cka"], first, atol=5.1e-3)
    order = np.argsort(LABELS, kind="stable")
    assert found["label"] == LABELS[order].tolist()
    for layer, values in zip(found["layers"], last, strict=True):
        np.testing.assert_allclose(layer["apart"], 1 - np.corrcoef(values[order]), atol=5.1e-3)


def test_of_a_killed_run_it_is_the_epoch_that_it_reached() -> None:
    found = representations(run_with(committed=1, a=activity(5), b=activity(3, 1)))
    assert found is not None
    assert found["epoch"] == 0
    expected = cka(activity(5)[0], activity(3, 1)[0])
    assert found["cka"][0][1] == pytest.approx(expected, abs=5.1e-3)


def test_without_activity_there_is_nothing() -> None:
    assert representations(None) is None
    assert representations(run_with()) is None
    assert representations(run_with(committed=-1, a=activity(5))) is None
    assert representations(run_with(a=np.full((2, 8, 5), np.nan))) is None


def test_one_layer_has_dissimilarities_alone() -> None:
    found = representations(run_with(a=activity(5)))
    assert found is not None
    assert (found["names"], found["cka"]) == ([], [])
    assert len(found["layers"]) == 1


def test_a_layer_that_diverged_is_none_beside_the_others() -> None:
    found = representations(run_with(a=activity(5), b=np.full((2, 8, 4), np.nan)))
    json.dumps(found, allow_nan=False)
    assert found is not None
    assert found["cka"] == [[1.0, None], [None, None]]
    assert [layer["name"] for layer in found["layers"]] == ["a"]


def test_samples_without_labels_stay_in_their_order() -> None:
    found = representations(run_with(labels=False, a=activity(5)))
    assert found is not None
    assert found["label"] == []
    expected = 1 - np.corrcoef(activity(5)[1])
    np.testing.assert_allclose(found["layers"][0]["apart"], expected, atol=5.1e-3)


def test_of_many_samples_and_layers_some_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report_representations, "MOST_SAMPLES", 4)
    layers = {f"layer{k}": activity(4, k) for k in range(9)}
    found = representations(run_with(**layers))
    assert found is not None
    assert [layer["name"] for layer in found["layers"]] == [f"layer{k}" for k in range(0, 9, 2)]
    assert np.shape(found["layers"][0]["apart"]) == (4, 4)
    assert len(found["label"]) == 4
    assert len(found["cka"]) == 9
    monkeypatch.setattr(report_representations, "MOST_VALUES", 10)
    large = representations(run_with(**layers))
    assert large is not None
    assert large["cka"] == []
