"""Affinities against loops; a dynamic connectome that was planted is found."""

import importlib
from types import ModuleType

import numpy as np
import pytest
import xarray as xr

from biosim.analysis import binning, connectome, dynamic_connectome, kernel_rate, pairwise_affinity
from biosim.errors import AnalysisError
from tests.unit.biosim.analysis.trains import columns, poisson

needs_tensorly = pytest.mark.skipif(
    importlib.util.find_spec("tensorly") is None, reason="no tensorly: pip install '.[analysis]'"
)


def activity() -> xr.DataArray:
    values = np.random.default_rng(0).normal(size=(2, 50, 4))
    return xr.DataArray(values, dims=("run", "time", "neuron"), coords={"neuron": [3, 5, 6, 8]})


def planted() -> tuple[xr.DataArray, np.ndarray, np.ndarray]:
    """Two groups of neurons, active together in turn; the second not in the last run."""
    chance = np.random.default_rng(1)
    affinity = np.zeros((3, 40, 15))
    one, two = np.triu_indices(6, 1)
    first, second = (one < 3) & (two < 3), (one >= 3) & (two >= 3)
    affinity[:, :20, first] = 2.0
    affinity[:2, 25:, second] = 1.0
    affinity += 0.01 * chance.random(affinity.shape)
    named = xr.DataArray(
        affinity,
        dims=("run", "time", "pair"),
        coords={"first": ("pair", one), "second": ("pair", two), "time": np.arange(40) * 0.1},
    )
    return named, first, second


def test_affinity_is_the_product_of_scores_above_the_mean() -> None:
    found = pairwise_affinity(activity())
    assert found.dims == ("run", "time", "pair")
    for run in range(2):
        values = activity().values[run]
        scores = (values - values.mean(axis=0)) / values.std(axis=0)
        for pair in range(6):
            i, j = ([3, 5, 6, 8].index(int(found[end][pair])) for end in ("first", "second"))
            together = np.where((scores[:, i] > 0) & (scores[:, j] > 0), scores[:, i], 0)
            np.testing.assert_allclose(found[run, :, pair], together * scores[:, j])
    assert float(found.min()) == 0.0


def test_without_variation_affinity_is_zero_and_what_is_missing_stays_so() -> None:
    values = activity()
    values[:, :, 1] = 0.1
    values[0, 3, 2] = np.nan
    found = pairwise_affinity(values)
    with_constant = (found.first == 5) | (found.second == 5)
    with_missing = (found.first == 6) | (found.second == 6)
    assert np.isnan(found[0, :, with_missing.values]).all()
    assert float(found[1, :, with_constant.values].max()) == 0.0
    assert pairwise_affinity(values[0, :, :1]).shape == (1, 50, 0)
    assert pairwise_affinity(values[:, :0]).shape == (2, 0, 6)


def test_affinities_that_cannot_be_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AnalysisError, match=r"^got the dimension 'snapshot'; expected \['run', "):
        pairwise_affinity(activity().expand_dims("snapshot"))
    with pytest.raises(AnalysisError, match=r"expected \['time', 'neuron'\]: rename yours"):
        pairwise_affinity(activity().rename(time="t"))
    monkeypatch.setattr(binning, "MOST_BYTES", 1000)
    with pytest.raises(AnalysisError, match=r"^the affinities would take .*: choose fewer neurons"):
        pairwise_affinity(activity())


@needs_tensorly
def test_a_planted_connectome_is_found_with_its_times_and_runs() -> None:
    affinity, first, second = planted()
    found = dynamic_connectome(affinity, 2)
    assert float(found.error) < 0.02
    assert float(found.strength[0]) > float(found.strength[1])
    one, two = affinity["first"].values, affinity["second"].values
    for component, group in enumerate((first, second)):
        pattern = found.pattern.values[component]
        np.testing.assert_allclose(pattern, pattern.T)
        assert pattern[one, two][group].min() > 20 * pattern[one, two][~group].max()
        np.testing.assert_array_equal(np.diagonal(pattern), 0.0)
    times, runs = found.time_factor.values, found.run_factor.values
    assert times[:20, 0].min() > 20 * times[20:, 0].max()
    assert times[25:, 1].min() > 20 * times[:25, 1].max()
    assert runs[2, 1] < 0.05 < 0.3 < runs[2, 0]
    np.testing.assert_allclose(np.linalg.norm(times, axis=0), 1.0)
    assert all(float(found[name].min()) >= 0.0 for name in ("strength", "run_factor", "pattern"))
    np.testing.assert_allclose(found.time, affinity.time)


@needs_tensorly
def test_the_error_is_of_what_the_factors_make_up_and_falls_with_their_number() -> None:
    affinity, _, _ = planted()
    one, two = (dynamic_connectome(affinity, components) for components in (1, 2))
    fitted = np.einsum(
        "k,rk,tk,kp->rtp",
        two.strength,
        two.run_factor,
        two.time_factor,
        two.pattern.values[:, affinity["first"], affinity["second"]],
    )
    left = np.linalg.norm(affinity.values - fitted) / np.linalg.norm(affinity.values)
    assert float(two.error) == pytest.approx(left)
    assert float(one.error) > 0.3  # the negative control: too few components
    xr.testing.assert_identical(dynamic_connectome(affinity, 2), two)


@needs_tensorly
def test_one_component_is_a_rank_one_tensor_whatever_its_unit() -> None:
    chance = np.random.default_rng(3)
    run, time, pair = chance.random(2), chance.random(30), chance.random(6)
    affinity = pairwise_affinity(activity()).isel(time=slice(30)).copy()
    for unit in (1.0, 1e9):
        affinity.values = unit * np.einsum("r,t,p->rtp", run, time, pair)
        found = dynamic_connectome(affinity, 1)
        assert float(found.error) < 1e-6
        assert float(found.strength[0]) == pytest.approx(np.linalg.norm(affinity), rel=1e-6)
        expected = time / np.linalg.norm(time)
        np.testing.assert_allclose(found.time_factor[:, 0], expected, atol=1e-6)


@needs_tensorly
def test_it_goes_on_from_rates_of_spikes() -> None:
    rates = kernel_rate(columns(poisson()), 0.2, 0.1)
    found = dynamic_connectome(pairwise_affinity(rates), 2)
    assert dict(found.sizes) == {"component": 2, "run": 1, "time": 200, "neuron": 7, "other": 7}
    assert float(found.pattern.sel(neuron=6).max()) == 0.0


@needs_tensorly
def test_nothing_has_no_strength_and_what_is_missing_has_no_factors() -> None:
    affinity, _, _ = planted()
    none = dynamic_connectome(affinity * 0.0, 2)
    assert float(none.strength.max()) == 0.0
    assert np.isnan(none.error)
    broken = affinity.copy()
    broken[0, 1, 2] = np.nan
    missing = dynamic_connectome(broken, 2)
    assert np.isnan(missing.strength).all()
    assert np.isnan(missing.time_factor).all()
    alone = dynamic_connectome(pairwise_affinity(activity()[:, :, :1]), 1)
    assert float(alone.strength[0]) == 0.0


@needs_tensorly
def test_what_cannot_be_factorised_is_refused() -> None:
    affinity, _, _ = planted()
    with pytest.raises(AnalysisError, match=r"^got affinities below 0; expected none"):
        dynamic_connectome(-affinity, 2)
    with pytest.raises(AnalysisError, match=r"^got 0 components; expected 1 or more"):
        dynamic_connectome(affinity, 0)
    with pytest.raises(AnalysisError, match=r"^the affinities do not say which neurons a pair is"):
        dynamic_connectome(affinity.drop_vars("first"), 2)


def test_without_tensorly_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> ModuleType:
        raise ImportError(name)

    monkeypatch.setattr(connectome.importlib, "import_module", absent)
    with pytest.raises(AnalysisError, match=r"^a dynamic connectome needs tensorly, which is not "):
        dynamic_connectome(planted()[0], 2)
