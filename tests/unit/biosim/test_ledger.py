import torch

from biosim.events import Event, Kind, Mode, Presentation
from biosim.ledger import LayerCount, Ledger, LedgerTotals
from biosim.network import Network, Population, Projection
from biosim.populations import Graded, Judge, Source
from biosim.populations.source import Plain
from biosim.ranks import OneRank, PretendRanks
from biosim.wiring import Dense

NETWORK = Network(
    populations=(
        Population("input", 3, Source(Plain)),
        Population("output", 2, Graded("softmax")),
        Population("judge", 2, Judge()),
    ),
    projections=(
        Projection("up", "input", "output", "x", "basal", weights=Dense("normal", 1.0)),
        Projection("score", "output", "judge", "activity", "score"),
    ),
)


def event(projection: int, payload: torch.Tensor | None, mode: Mode = Mode.LEARN) -> Event:
    return Event(1, Kind.ACTIVITY, 0, 1, projection, Presentation(0, 0, 0, mode), payload)


def test_bytes_are_those_of_the_payload_by_projection() -> None:
    ledger = Ledger(NETWORK)
    ledger.sent(event(0, torch.zeros(5, 3)))
    ledger.sent(event(0, torch.zeros(5, 3, dtype=torch.float64)))
    ledger.sent(event(1, torch.zeros(5, dtype=torch.uint8)))
    assert ledger.sent_bytes == [5 * 3 * (4 + 8), 5]
    assert ledger.sent_events == [2, 1]


def test_a_bare_signal_is_an_event_without_bytes() -> None:
    ledger = Ledger(NETWORK)
    ledger.sent(event(0, None))
    assert (ledger.sent_bytes, ledger.sent_events) == ([0, 0], [1, 0])


def test_only_learning_is_counted() -> None:
    ledger = Ledger(NETWORK)
    ledger.sent(event(0, torch.zeros(5, 3), Mode.ANSWER))
    ledger.sent(event(0, torch.zeros(5, 3), Mode.PROBE))
    assert ledger.sent_events == [0, 0]


def test_the_lag_of_updates_is_summed_and_its_most_kept() -> None:
    count = LayerCount()
    for lag in (2, 7, 0):
        count.updated(lag)
    assert (count.updates, count.lag_ticks, count.lag_ticks_max) == (3, 9, 7)


def test_the_peak_of_held_bytes_is_kept() -> None:
    count = LayerCount()
    for held in (20, 70, 0):
        count.held(held)
    assert count.held_bytes_max == 70


def test_ranks_together_have_what_each_counted() -> None:
    def program(ranks):
        ledger = Ledger(NETWORK)
        # A population lives on one rank only.
        ledger.layers[ranks.rank].samples = 10 + ranks.rank
        ledger.layers[ranks.rank].held(100 * (1 + ranks.rank))
        ledger.layers[ranks.rank].updated(3)
        ledger.sent(event(ranks.rank, torch.zeros(2, 3)))
        return ledger.gathered(ranks)

    one, other = PretendRanks(2, 30.0).run(program)
    assert one == other
    assert one.sent_bytes == [24, 24]
    assert one.sent_events == [1, 1]
    counted = {"updates": 1, "lag_ticks": 3, "lag_ticks_max": 3}
    assert one.layers == [
        LayerCount(samples=10, held_bytes_max=100, **counted),
        LayerCount(samples=11, held_bytes_max=200, **counted),
        LayerCount(),
    ]


def test_one_rank_has_its_own_counts() -> None:
    ledger = Ledger(NETWORK)
    ledger.layers[1].feedback = 5
    totals = ledger.gathered(OneRank())
    assert totals == LedgerTotals(
        [0, 0], [0, 0], [LayerCount(), LayerCount(feedback=5), LayerCount()]
    )


def test_counts_beyond_32_bits_survive() -> None:
    ledger = Ledger(NETWORK)
    ledger.layers[0].forward = 2**50 + 1
    assert ledger.gathered(OneRank()).layers[0].forward == 2**50 + 1


def test_bytes_a_sample_are_over_all_learning_samples() -> None:
    totals = LedgerTotals([600, 0], [3, 0], [LayerCount(samples=50), LayerCount()])
    assert totals.samples == 50
    assert totals.bytes_per_sample(0) == 12.0
    assert LedgerTotals([0], [0], []).bytes_per_sample(0) == 0.0


def test_what_all_replicas_count_alike_is_counted_once() -> None:
    def program(ranks):
        ledger = Ledger(NETWORK, first=ranks.rank == 0)
        count = ledger.layers[1]
        count.updated(3, stale=2)
        count.samples, count.forward = 5, 7
        count.held(100)
        ledger.sent(event(0, torch.zeros(2, 3)))
        return ledger.gathered(ranks)

    one, other = PretendRanks(2, 30.0).run(program)
    assert one == other
    assert one.sent_events == [2, 0]
    assert one.layers[1] == LayerCount(
        samples=10, updates=1, lag_ticks=3, lag_ticks_max=3, stale_updates=2, stale_updates_max=2,
        held_bytes_max=200, forward=14,
    )  # fmt: skip
