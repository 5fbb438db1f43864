"""Parts so small that every carry from one to the next is used."""

import pytest

from biosim.analysis import binning, moments, rates, spikes, trials


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spikes, "PART", 11)
    monkeypatch.setattr(binning, "BAND_VALUES", 40)
    monkeypatch.setattr(moments, "BLOCK_VALUES", 30)
    monkeypatch.setattr(trials, "MOST_HITS", 5)
    monkeypatch.setattr(rates, "BLOCK_VALUES", 1)
