"""Tuning, class selectivity and sparseness against loops and known cases."""

import numpy as np
import pytest
import xarray as xr

from biosim.analysis import class_selectivity, sparseness, tuning
from biosim.errors import AnalysisError

LABELS = xr.DataArray(np.tile([4, 0, 9], 10), dims="sample")


def activity(seed: int = 0) -> xr.DataArray:
    values = np.random.default_rng(seed).exponential(size=(2, 30, 5))
    return xr.DataArray(
        values,
        dims=("snapshot", "sample", "neuron"),
        coords={"snapshot": [0, 7]},
        attrs={"units": "Hz"},
    )


def test_tuning_is_the_mean_by_label() -> None:
    found = tuning(activity(), LABELS)
    assert found.dims == ("snapshot", "label", "neuron")
    for label in (0, 4, 9):
        expected = activity().values[:, LABELS.values == label].mean(axis=1)
        np.testing.assert_allclose(found.sel(label=label), expected)
    assert found.attrs["units"] == "Hz"


def test_selectivity_is_what_the_paper_defines() -> None:
    found = class_selectivity(activity(), LABELS)
    means = tuning(activity(), LABELS).values
    for snapshot in range(2):
        for neuron in range(5):
            best, *others = sorted(means[snapshot, :, neuron], reverse=True)
            expected = (best - np.mean(others)) / (best + np.mean(others))
            assert float(found[snapshot, neuron]) == pytest.approx(expected)
    assert found.snapshot.values.tolist() == [0, 7]
    assert found.attrs["units"] == "1"


def test_a_neuron_for_one_label_is_one_and_one_for_all_zero() -> None:
    values = np.zeros((30, 4))
    values[LABELS.values == 9, 0] = 3.0
    values[:, 1] = 2.0
    values[:, 3] = -1.0
    found = class_selectivity(xr.DataArray(values, dims=("sample", "neuron")), LABELS)
    np.testing.assert_allclose(found, [1.0, 0.0, np.nan, np.nan])


def test_what_is_missing_is_missing_for_its_label_and_neuron() -> None:
    values = activity()
    values[0, 0, 2] = np.nan  # label 4
    found = tuning(values, LABELS)
    np.testing.assert_array_equal(np.isnan(found.values).nonzero(), [[0], [1], [2]])
    selectivity = class_selectivity(values, LABELS)
    np.testing.assert_array_equal(np.isnan(selectivity.values).nonzero(), [[0], [2]])
    one = class_selectivity(values, xr.zeros_like(LABELS))
    assert np.isnan(one).all()
    nobody = tuning(values[:, :0], LABELS[:0])
    assert nobody.shape == (2, 0, 5)
    alone = class_selectivity(values[:, :0], LABELS[:0])
    assert alone.shape == (2, 5)
    assert np.isnan(alone).all()


def test_labels_that_do_not_belong_are_refused() -> None:
    with pytest.raises(AnalysisError, match=r"^got 30 and 29 along 'sample'"):
        tuning(activity(), LABELS[:29])
    with pytest.raises(
        AnalysisError, match=r"^got labels with \['sample', 'run'\]; expected \['sa"
    ):
        tuning(activity(), LABELS.expand_dims({"run": 2}, axis=1))
    with pytest.raises(AnalysisError, match=r"expected \['trial'\]: rename yours"):
        class_selectivity(activity(), LABELS, sample="trial")


@pytest.mark.parametrize("dim", ["sample", "neuron"])
def test_sparseness_is_what_the_paper_defines(dim: str) -> None:
    values = activity()
    count = values.sizes[dim]
    ratio = values.mean(dim) ** 2 / (values**2).mean(dim)
    expected = (1 - ratio) / (1 - 1 / count)
    xr.testing.assert_allclose(sparseness(values, dim).drop_attrs(), expected.drop_attrs())


def test_sparseness_is_zero_for_all_alike_and_one_for_one_alone() -> None:
    values = np.array(
        [[1.0, 1, 1, 1], [0, 5, 0, 0], [0, 0, 0, 0], [1, -1, 1, 1], [1, np.nan, 1, 1]]
    )
    found = sparseness(xr.DataArray(values, dims=("neuron", "sample")))
    np.testing.assert_allclose(found, [0, 1, np.nan, np.nan, np.nan], atol=1e-12)
    vector = xr.DataArray([0.0, 3.0], dims="sample")
    assert float(sparseness(vector)) == pytest.approx(1.0)
    assert np.isnan(sparseness(vector[:1]))
    with pytest.raises(AnalysisError, match=r"expected \['trial'\]: rename yours"):
        sparseness(vector, "trial")
