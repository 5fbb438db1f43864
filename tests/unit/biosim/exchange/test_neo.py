"""Neo: blocks with units and provenance, and Elephant's statistics on them."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import elephant.spike_train_dissimilarity
import neo
import numpy as np
import pytest
import quantities as pq

from biosim.errors import OutputError
from biosim.exchange import neo_block, write_neo
from tests.unit.biosim.exchange.runs import (
    ATTRIBUTES,
    STARTED,
    finished,
    in_stretches,
    killed,
    of_spikes,
    trains,
)


def test_every_recorded_neuron_is_a_train_in_its_group(tmp_path: Path) -> None:
    tree = finished(tmp_path / "run")
    block = neo_block(tree)
    assert [group.name for group in block.groups] == ["E", "I", "silent"]
    assert [len(group.spiketrains) for group in block.groups] == [70, 4, 5]
    truth = trains(tree)
    for train in block.segments[0].spiketrains:
        name, neuron = train.annotations["population"], train.annotations["neuron"]
        mine = [tick * 1e-4 for tick, who in truth[name] if who == neuron]
        np.testing.assert_allclose(train.rescale("s").magnitude, mine, atol=1e-9)
        assert float(train.t_stop.rescale("s")) == pytest.approx(0.073)


def test_states_are_signals_with_unit_clock_and_neurons(tmp_path: Path) -> None:
    tree = finished(tmp_path / "run")
    signals = {signal.name: signal for signal in neo_block(tree).segments[0].analogsignals}
    assert set(signals) == {"E.v", "E.ge", "E.w", "I.v"}
    assert signals["E.v"].units == pq.V
    assert float(signals["E.v"].sampling_rate.rescale("Hz")) == pytest.approx(1e4)
    np.testing.assert_array_equal(signals["E.v"].magnitude, tree["traces/E"].v.values)
    assert signals["E.w"].array_annotations["neuron"].tolist() == [1, 40, 69]
    assert signals["E.w"].units == pq.dimensionless


def test_the_pickle_reads_back_with_scenario_seed_and_start(tmp_path: Path) -> None:
    write_neo(finished(tmp_path / "run"), tmp_path / "a.pkl")
    block = neo.io.PickleIO(str(tmp_path / "a.pkl")).read_block()
    assert block.name == "made_up"
    assert block.annotations["seed"] == 7
    assert block.rec_datetime.isoformat() == STARTED
    noted = json.loads(block.annotations["provenance"])
    assert noted["scenario"] == ATTRIBUTES["scenario"]


def test_of_a_killed_run_what_was_committed_is_in_the_block(tmp_path: Path) -> None:
    tree = killed(tmp_path / "run", 300)
    found = neo_block(tree, ["E"]).segments[0].spiketrains
    assert sum(map(len, found)) == len(trains(tree)["E"]) > 0
    assert float(found[0].t_stop) == pytest.approx(0.03)


def test_stretches_that_were_recorded_are_epochs(tmp_path: Path) -> None:
    segment = neo_block(in_stretches(tmp_path / "run")).segments[0]
    (epoch,) = segment.epochs
    assert epoch.name == "E"
    np.testing.assert_allclose(epoch.times.rescale("s").magnitude, [0.01, 0.04])
    np.testing.assert_allclose(epoch.durations.rescale("s").magnitude, [0.02, 0.02])
    assert [float(segment.spiketrains[0].t_start), float(segment.spiketrains[0].t_stop)] == [
        pytest.approx(0.01),
        pytest.approx(0.06),
    ]


def test_more_neurons_than_neo_bears_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules["biosim.exchange.neo_block"], "MOST", 70)
    tree = finished(tmp_path / "run")
    assert len(neo_block(tree, ["E"]).segments[0].spiketrains) == 70
    with pytest.raises(OutputError, match=r"79 were recorded; choose with --population some"):
        neo_block(tree)


def test_elephant_gives_victor_purpura_distances_of_an_exported_run(tmp_path: Path) -> None:
    # Source: Victor and Purpura 1996: a spike that is moved by dt costs q dt, one that is added 1.
    spikes = [(100, 0), (500, 0), (110, 1), (500, 1), (100, 2)]
    tree = of_spikes(tmp_path / "run", {"E": (4, spikes)}, 1e-3, 1000)
    found = elephant.spike_train_dissimilarity.victor_purpura_distance(
        neo_block(tree).segments[0].spiketrains, cost_factor=20.0 * pq.Hz
    )
    expected = [[0.0, 0.2, 1.0, 2.0], [0.2, 0.0, 1.2, 2.0], [1.0, 1.2, 0.0, 1.0], [2, 2, 1, 0]]
    np.testing.assert_allclose(found, expected, atol=1e-9)


# Elephant's own use of Quantities.
@pytest.mark.filterwarnings("ignore:The 'copy' argument in Quantity is deprecated")
def test_elephant_finds_the_pattern_of_an_exported_run_and_none_without_one(
    tmp_path: Path,
) -> None:
    from elephant import spade

    rng = np.random.default_rng(5)
    noise = [(int(t), n) for n in range(4) for t in np.unique(rng.integers(0, 2000, 6))]
    pattern = [(t + 3 * n, n) for t in range(50, 2000, 200) for n in range(3)]

    def most(spikes: list[tuple[int, int]], name: str) -> int:
        tree = of_spikes(tmp_path / name, {"E": (4, sorted(set(spikes)))}, 1e-3, 2000)
        found = spade.spade(
            neo_block(tree).segments[0].spiketrains,
            bin_size=1 * pq.ms,
            winlen=8,
            min_spikes=3,
            min_occ=3,
            n_surr=0,
        )["patterns"]
        return max((len(p["times"]) for p in found if sorted(p["neurons"]) == [0, 1, 2]), default=0)

    assert most(noise + pattern, "with") == 10
    assert most(noise, "without") == 0
