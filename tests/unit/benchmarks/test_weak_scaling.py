"""One rank of many, alone: it does as much as it would among the others."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.dry_ranks import DryRanks
from benchmarks.weak_scaling import DELAY, RATE_HZ, Size, main, network, table, verdict
from biosim.ranks import PretendRanks
from biosim.simulation import Simulation

SMALL = Size(256, 256, 400)
RANKS, TICKS = 3, 2100


def test_a_dry_rank_reaches_as_many_synapses_as_one_among_others() -> None:
    def program(ranks) -> int:
        simulation = Simulation(network(RANKS, SMALL), ranks=ranks, overlap=False)
        simulation.run_to(TICKS)
        assert simulation.machine is not None
        return simulation.machine.synaptic_events

    among = np.mean(PretendRanks(RANKS, 60.0).run(program))
    dry = DryRanks(RANKS, SMALL.neurons, RATE_HZ * 1e-4, DELAY, TICKS)
    assert program(dry) == pytest.approx(among, rel=0.25)
    assert dry.came_packets > 0
    silent = DryRanks(RANKS, SMALL.neurons, 0.0, DELAY, TICKS)
    assert program(silent) != pytest.approx(among, rel=0.25)


def row(ranks: int, compute_s: float, exchange_s: float, mib: float) -> dict[str, float]:
    return {
        "ranks": ranks, "compute_s": compute_s, "exchange_s": exchange_s, "resident_mib": mib,
        "packets_s": 0.1, "wanted": 512.0 * ranks, "rate_hz": 9.0, "build_s": 1.0,
        "peak_mib": mib,
    }  # fmt: skip


def test_the_verdict_says_how_far_it_stays_flat_and_where_the_exchange_takes_longer() -> None:
    rows = [row(1, 1.0, 0.0, 100), row(4, 1.2, 0.5, 110), row(16, 2.0, 3.0, 120)]
    assert verdict(rows) == (
        "Memory is flat within 1.3 up to 16 ranks (at most 1.20 times), computing is flat within "
        "1.3 up to 4 ranks (at most 2.00 times). Packets and exchange together take longer than "
        "computing from 16 ranks on."
    )
    assert verdict(rows[:2]).endswith("on none of these numbers of ranks.")


def test_it_is_flat_only_up_to_where_it_first_is_not() -> None:
    rows = [row(1, 1.0, 0.0, 100), row(4, 1.5, 0.0, 110), row(16, 1.2, 0.0, 120)]
    assert "computing is flat within 1.3 up to 1 rank only (at most 1.50" in verdict(rows)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--one", "4"], "--one 4 needs --size: dense, wide"),
        (["--one", "0", "--size", "wide"], "got ranks [0]; expected numbers from 1 up"),
        (["--ranks", "4", "16"], "got ranks [4, 16]; expected numbers from 1 up"),
        (["--ranks", "1", "16", "4"], "got ranks [1, 16, 4]; expected numbers from 1 up"),
    ],
)
def test_numbers_that_cannot_be_measured_are_refused(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(words)
    assert said in capsys.readouterr().err


def test_the_table_has_a_line_a_number_of_ranks() -> None:
    lines = table(SMALL, [row(1, 1.0, 0.0, 100), row(4, 1.2, 0.5, 110)]).splitlines()
    assert len(lines) == 4
    assert lines[3].startswith("| 4 | 2,048 | 100.0 | 9.0 | 1.0 | 110 | 110 | 1.200 | 1.20 | 0.100")
