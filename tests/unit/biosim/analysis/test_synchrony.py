"""The synchrony chi of traces and of spikes."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from biosim.analysis import spike_synchrony, synchrony
from biosim.analysis.spikes import spike_columns
from biosim.errors import AnalysisError
from biosim.traces import open_run
from tests.unit.biosim.analysis.trains import columns, poisson
from tests.unit.biosim.spiking.made_up_run import recorded


def traces(values: np.ndarray) -> xr.DataArray:
    return xr.DataArray(values, dims=("time", "neuron"))


def naive(values: np.ndarray) -> float:
    return float(np.sqrt(values.mean(axis=1).var() / values.var(axis=0).mean()))


@pytest.mark.parametrize("small", [True, False])
def test_it_is_what_the_paper_defines(request: pytest.FixtureRequest, small: bool) -> None:
    if small:
        request.getfixturevalue("small_parts")
    # Around -65 mV: sums of squares would cancel.
    values = -0.065 + 1e-6 * np.random.default_rng(12).normal(size=(500, 8)).cumsum(axis=1)
    assert float(synchrony(traces(values))) == pytest.approx(naive(values), rel=1e-9)
    counts = [np.histogram(train, np.linspace(0, 20, 201))[0] for train in poisson()]
    found = float(spike_synchrony(columns(poisson()), 0.1))
    assert found == pytest.approx(naive(np.stack(counts, axis=1)), rel=1e-12)


def test_it_is_one_together_and_one_by_root_n_apart() -> None:
    chance = np.random.default_rng(13)
    together = np.repeat(chance.normal(size=(20_000, 1)), 25, axis=1)
    assert float(synchrony(traces(together))) == pytest.approx(1.0)
    apart = chance.normal(size=(20_000, 25))
    assert float(synchrony(traces(apart))) == pytest.approx(0.2, rel=0.05)
    train = poisson()[3]
    assert float(spike_synchrony(columns([train, train]), 0.1)) == pytest.approx(1.0)


def test_it_goes_through_the_other_dimensions() -> None:
    values = np.random.default_rng(14).normal(size=(3, 40, 5))
    values[1, 7, 2] = np.nan
    values[2] = -65.3
    found = synchrony(xr.DataArray(values, dims=("run", "time", "neuron")))
    assert found.dims == ("run",)
    np.testing.assert_allclose(found, [naive(values[0]), np.nan, np.nan])


def test_it_goes_on_from_what_a_run_recorded(tmp_path: Path) -> None:
    tree = open_run(recorded(tmp_path))
    values = tree["traces/E"].v
    assert float(synchrony(values)) == pytest.approx(naive(values.values.astype(float)))
    assert 0 < float(spike_synchrony(tree["spikes/E"], 0.001)) < 1


def test_it_is_undefined_where_nothing_varies() -> None:
    assert np.isnan(spike_synchrony(spike_columns([], [], 1.0, size=3), 0.1))
    assert np.isnan(spike_synchrony(spike_columns([], [], 1.0), 0.1))
    assert np.isnan(synchrony(traces(np.empty((0, 3)))))
    one = spike_synchrony(spike_columns([0.5], [0], 1.0), 0.1)
    assert float(one) == pytest.approx(1.0)
    with pytest.raises(AnalysisError, match=r"expected \['time', 'neuron'\]: rename yours"):
        synchrony(traces(np.ones((3, 3))).rename(time="t"))
