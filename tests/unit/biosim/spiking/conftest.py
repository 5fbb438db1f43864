import pytest

from biosim.spiking import append_log, finalising, spike_store


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything is cut many times, as in a long run."""
    monkeypatch.setattr(append_log, "CHUNK_VALUES", 256)
    monkeypatch.setattr(spike_store, "CHUNK_VALUES", 256)
    monkeypatch.setattr(spike_store, "ROW_BUFFER_BYTES", 8192)
    for name, value in {"CHUNK": 64, "SHARD": 512, "BUCKET": 700, "BUFFER_VALUES": 4096}.items():
        monkeypatch.setattr(finalising, name, value)
