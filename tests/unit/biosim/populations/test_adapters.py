"""Encoder and counter by themselves, and wiring that cannot be."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch

from biosim.equations.code import EquationError
from biosim.errors import BiosimError
from biosim.events import NEVER, Event, Kind, Mode, Presentation, Window
from biosim.network import Network, NetworkError, Population, Projection
from biosim.populations import Graded, RateEncoder, Source, SpikeCounter
from biosim.populations.adapters import ONE
from biosim.populations.source import Plain
from biosim.spiking.description import PoissonSource, Sparse, SpikeList, Spiking
from biosim.spiking.layout import Layout
from biosim.wiring import AllToAll, Dense
from tests.unit.biosim.populations.harness import AT, advanced, arriving, built

NEURONS = Spiking("dv/dt = (drive - v)/(5*ms) : 1\ndrive : 1", "v > 1", "v = 0", method="exact")
PIXELS, CELLS = 3, 4
X = torch.tensor([[0.0, 0.5, 1.0], [1.0, 0.0, 0.25]])


def network(
    encoder: RateEncoder | None = None,
    counter: SpikeCounter | None = None,
    more: Sequence[Population] = (),
    joined: Sequence[Projection] = (),
    **changed: Projection,
) -> Network:
    """Images -> encoder -> input -> cells -> counter -> output."""
    projections = {
        "x": Projection("x", "images", "encoder", "x", "activity"),
        "drive": Projection("drive", "encoder", "input", "drive", "rate", delay=2),
        "rows": Projection("rows", "encoder", "counter", "rows", "rows", delay=4),
        "up": Projection(
            "up", "input", "cells", "spikes", "v", Kind.SPIKE, weights=Sparse(AllToAll(), 0.2)
        ),
        "spikes": Projection("spikes", "cells", "counter", "spikes", "spikes"),
        "count": Projection(
            "count", "counter", "output", "count", "basal", weights=Dense("normal", 1.0)
        ),
    }
    return Network(
        populations=(
            Population("images", PIXELS, Source(Plain)),
            Population("encoder", PIXELS, encoder or RateEncoder(5, "100*Hz")),
            Population("input", PIXELS, PoissonSource(0.0)),
            Population("cells", CELLS, NEURONS),
            Population("counter", CELLS, counter or SpikeCounter()),
            Population("output", 2, Graded("softmax")),
            *more,
        ),
        projections=(*(projections | changed).values(), *joined),
        dt=0.001,
    )


def drives(events: Sequence[Event], wired: Network, name: str = "drive") -> list:
    """Tick of arrival and drive of what is sent by a projection."""
    at = wired.projection_at[name]
    return [(e.tick, e.payload.tolist()) for e in events if e.projection == at]


# --- the encoder


def test_rows_are_presented_one_after_the_other_and_then_none() -> None:
    wired = network()
    encoder = built(wired, "encoder")
    sent = encoder.advance(Window(10, 99), [arriving(wired, "x", X, tick=10)])
    assert drives(sent, wired) == [
        (12, [[0.0, 50.0, 100.0]]),
        (17, [[100.0, 0.0, 25.0]]),
        (22, [[0.0, 0.0, 0.0]]),
    ]
    assert {e.presentation for e in sent} == {AT}


def test_rows_may_be_followed_by_a_rest_of_the_lowest_drive() -> None:
    wired = network(RateEncoder(5, high="100*Hz", low="10*Hz", rest=3))
    encoder = built(wired, "encoder")
    sent = encoder.advance(Window(0, 99), [arriving(wired, "x", X, tick=0)])
    low = [[10.0, 10.0, 10.0]]
    assert drives(sent, wired) == [
        (2, [[10.0, 55.0, 100.0]]),
        (7, low),
        (10, [[100.0, 10.0, 32.5]]),
        (15, low),
    ]
    assert wired.populations[1].model.presented(2) == 16


def test_a_counter_is_told_when_each_row_begins_and_how_long_it_lasts() -> None:
    wired = network(RateEncoder(5, "100*Hz", rest=3))
    sent = built(wired, "encoder").advance(Window(0, 9), [arriving(wired, "x", X, tick=7)])
    assert drives(sent, wired, "rows") == [(11, [[0, 5], [8, 5]])]


def test_windows_do_not_matter_to_the_encoder() -> None:
    wired = network(RateEncoder(5, "100*Hz", rest=2))
    came = arriving(wired, "x", X, tick=3)
    whole = built(wired, "encoder").advance(Window(3, 40), [came])
    cut, encoder, wakes = [], built(wired, "encoder"), []
    for tick in range(3, 40):
        cut += advanced(encoder, *([came] if tick == 3 else []), tick=tick)
        wakes.append(encoder.next_wake())
    assert drives(cut, wired) == drives(whole, wired)
    assert sorted(set(wakes)) == [8, 10, 15, NEVER]


def test_a_presentation_may_begin_when_the_last_one_ends() -> None:
    wired = network()
    encoder = built(wired, "encoder")
    first, second = (arriving(wired, "x", X[:1], tick=tick) for tick in (0, 5))
    sent = encoder.advance(Window(0, 99), [first, second])
    row, none = [[0.0, 50.0, 100.0]], [[0.0, 0.0, 0.0]]
    assert drives(sent, wired) == [(2, row), (7, row), (12, none)]


@pytest.mark.parametrize("rest", [0, 2])
def test_a_presentation_during_another_is_refused(rest: int) -> None:
    wired = network(RateEncoder(5, "100*Hz", rest=rest))
    encoder = built(wired, "encoder")
    free = 10 + 2 * rest
    inbox = [arriving(wired, "x", X, tick=0), arriving(wired, "x", X, tick=free - 1)]
    message = (
        rf"'encoder' \(rate encoder\) got rows at tick {free - 1} while it presents others until "
        rf"tick {free}; let 2 rows take {free} ticks: a longer period or phase"
    )
    with pytest.raises(NetworkError, match=message):
        encoder.advance(Window(0, 99), inbox)


@pytest.mark.parametrize("shape", [(2, 4), (3,)])
def test_rows_of_another_size_are_refused(shape: tuple[int, ...]) -> None:
    wired = network()
    came = arriving(wired, "x", torch.zeros(shape), tick=0)
    with pytest.raises(NetworkError, match=r"got activity of shape .*expected \(n_rows, 3\)"):
        built(wired, "encoder").advance(Window(0, 9), [came])


def test_a_drive_has_the_unit_of_what_it_drives() -> None:
    cells = Spiking("dv/dt = (I/nA - v)/(5*ms) : 1\nI : amp", "v > 1", "v = 0")
    there = Population("more", PIXELS, cells)
    current = Projection("drive", "encoder", "more", "drive", "I")
    wired = network(RateEncoder(5, high="2*nA", low="1*nA"), more=[there], drive=current)
    sent = built(wired, "encoder").advance(Window(0, 1), [arriving(wired, "x", X, tick=0)])
    ((_, ((*row,),)),) = drives(sent, wired)
    assert row == pytest.approx([1e-9, 1.5e-9, 2e-9])
    rates = network(RateEncoder(5, high="2*nA"))
    with pytest.raises(EquationError, match=r"population 'encoder', high '2\*nA'"):
        built(rates, "encoder")


def test_a_drive_has_one_range_for_all_neurons() -> None:
    with pytest.raises(NetworkError, match=r"'encoder', high: got shape \(3,\); expected one numb"):
        built(network(RateEncoder(5, high=np.ones(3))), "encoder")


# --- the counter


def spikes(wired: Network, tick: int, *neurons: int, name: str = "spikes") -> Event:
    return arriving(wired, name, torch.tensor(neurons), tick)._replace(kind=Kind.SPIKE)


def rows(wired: Network, tick: int, *times: tuple[int, int], at: Presentation = AT) -> Event:
    return arriving(wired, "rows", torch.tensor(times), tick, at)


def counted(wired: Network, inbox: list[Event], counter=None, end: int = 99) -> list:
    counter = counter or built(wired, "counter")
    sent = counter.advance(Window(0, end), sorted(inbox, key=lambda event: event[:4]))
    return [(event.tick, event.payload.tolist()) for event in sent]


def test_spikes_are_counted_by_neuron_in_the_row_in_which_they_arrive() -> None:
    wired = network()
    inbox = [
        rows(wired, 10, (0, 5), (8, 5)),
        spikes(wired, 9, 0, 1, 2, 3),  # before
        spikes(wired, 10, 1),
        spikes(wired, 14, 1, 3),
        spikes(wired, 15, 0, 1),  # in the rest
        spikes(wired, 17, 2),
        spikes(wired, 18, 2, 3),
        spikes(wired, 22, 2),
        spikes(wired, 23, 0),  # after
    ]
    assert counted(wired, inbox) == [(24, [[0, 2, 0, 1], [0, 0, 2, 1]])]


def test_the_counts_are_sent_when_the_last_row_ends() -> None:
    wired = network()
    counter = built(wired, "counter")
    assert counter.next_wake() == NEVER
    assert counted(wired, [rows(wired, 3, (0, 5), (5, 5))], counter, end=13) == []
    assert counter.next_wake() == 13
    (sent,) = counter.advance(Window(13, 14), [])
    assert (sent.tick, sent.presentation) == (14, AT)
    assert counter.next_wake() == NEVER


def test_presentations_are_counted_apart() -> None:
    wired = network()
    inbox = [
        rows(wired, 0, (0, 5)),
        spikes(wired, 4, 0),
        rows(wired, 5, (0, 5), at=AT._replace(batch=1)),
        spikes(wired, 5, 1),
    ]
    assert counted(wired, inbox) == [(6, [[1, 0, 0, 0]]), (11, [[0, 1, 0, 0]])]


def test_counts_of_several_populations_add_up() -> None:
    again = Projection("again", "twins", "counter", "spikes", "spikes")
    wired = network(more=[Population("twins", CELLS, NEURONS)], joined=[again])
    inbox = [rows(wired, 0, (0, 9)), spikes(wired, 4, 0, 2), spikes(wired, 4, 2, name="again")]
    assert counted(wired, inbox) == [(10, [[1, 0, 2, 0]])]


def test_filtered_counts_decay_until_the_end_of_the_row() -> None:
    wired = network(counter=SpikeCounter(tau="4*ms"))
    inbox = [rows(wired, 0, (0, 10), (10, 20)), spikes(wired, 3, 0), spikes(wired, 9, 0)]
    inbox += [spikes(wired, 12, 1)]
    ((_, (first, second)),) = counted(wired, inbox)
    assert first[0] == pytest.approx(math.exp(-7 / 4) + math.exp(-1 / 4), abs=2 / ONE)
    assert second[1] == pytest.approx(math.exp(-18 / 4), abs=2 / ONE)
    assert (first[1:], second[0]) == ([0, 0, 0], 0)


def test_counts_of_a_probe_are_kept_until_they_are_asked_for() -> None:
    wired = network()
    counter = built(wired, "counter")
    probe = AT._replace(mode=Mode.PROBE)
    counted(wired, [rows(wired, 0, (0, 5), at=probe), spikes(wired, 1, 2)], counter)
    assert counter.activity().tolist() == [[0, 0, 1, 0]]
    assert counter.activity() is None


@pytest.mark.parametrize("tau", ["0*ms", "-1*ms"])
def test_a_time_constant_is_more_than_nothing(tau: str) -> None:
    with pytest.raises(NetworkError, match=r"'counter' \(spike counter\) has a tau of .* than 0"):
        built(network(counter=SpikeCounter(tau=tau)), "counter")


# --- wiring that cannot be


@pytest.mark.parametrize(
    ("projection", "message"),
    [
        (
            Projection("p", "cells", "output", "spikes", "basal"),
            "'p' from 'cells' to 'output' joins what spikes to what does not; put an adapter",
        ),
        (
            Projection("p", "output", "cells", "activity", "drive", weights=Dense("normal", 1)),
            "'p' from 'output' to 'cells' joins what spikes to what does not; put an adapter",
        ),
        (
            Projection("p", "counter", "cells", "count", "drive"),
            "'p' from 'counter' to 'cells' joins what spikes to what does not; put an adapter",
        ),
        (
            Projection("p", "input", "cells", "spikes", "v", weights=Dense("normal", 1)),
            "'p' from 'input' to 'cells' has Dense weights; both spike: give it Sparse ones",
        ),
        (
            Projection("p", "input", "cells", "spikes", "v"),
            "'p' from 'input' to 'cells' has no weights; both spike: give it Sparse ones",
        ),
        (
            Projection("p", "images", "output", "x", "basal", weights=Sparse(AllToAll(), 1)),
            "'p' from 'images' to 'output' has Sparse weights; expected two populations that spike",
        ),
        (
            Projection("p", "encoder", "output", "drive", "basal"),
            "'p' from 'encoder' to 'output' carries 'drive'; an adapter sends 'drive' to pop",
        ),
        (
            Projection("p", "encoder", "input", "rows", "rate"),
            "'p' from 'encoder' to 'input' carries 'rows'; an adapter sends 'drive' to popula",
        ),
        (
            Projection("p", "cells", "counter", "spikes", "rows"),
            "'p' from 'cells' to 'counter' ends at 'rows'; what spikes ends at 'spikes' of an",
        ),
        (
            Projection("p", "output", "counter", "activity", "spikes"),
            "'p' from 'output' to 'counter' ends at 'spikes'; what spikes ends at 'spikes' of",
        ),
        (
            Projection("p", "cells", "counter", "spikes", "spikes", weights=Dense("normal", 1)),
            "'p' from 'cells' to 'counter' has Dense weights; to and from what spikes an adapter",
        ),
        (
            Projection("p", "input", "counter", "spikes", "spikes"),
            "'p' from 'input' to 'counter' joins 3 neurons to 4; an adapter has as many as",
        ),
        (
            Projection("p", "encoder", "input", "drive", "v"),
            "'p' sets 'v' of 'input', a PoissonSource; what can be set: rate",
        ),
        (
            Projection("p", "cells", "counter", "v", "spikes"),
            "'p' carries 'v' of 'cells'; an adapter gets 'spikes'",
        ),
    ],
)
def test_spikes_and_graded_activity_meet_at_adapters_only(projection, message: str) -> None:
    with pytest.raises(BiosimError, match=message) as refused:
        network(joined=[projection])
    assert "\n" not in str(refused.value)


def test_a_spike_list_cannot_be_driven() -> None:
    listed = SpikeList(np.array([0]), np.array([1]))
    drive = Projection("p", "encoder", "listed", "drive", "rate")
    with pytest.raises(BiosimError, match=r"'p' sets 'rate' of 'listed', a SpikeList; .*: none"):
        network(more=[Population("listed", PIXELS, listed)], joined=[drive])


def test_an_encoder_gets_rows_from_one_projection() -> None:
    again = Projection("again", "images", "encoder", "x", "activity")
    with pytest.raises(NetworkError, match=r"'encoder' .* is reached by 2 projections; expected "):
        network(joined=[again])


def test_a_counter_needs_spikes_and_rows() -> None:
    message = "'counter' .* needs the spikes of a population and one projection that carries 'rows'"
    whole = network()
    kept = {name: [p for p in whole.projections if p.name != name] for name in ("rows", "spikes")}
    for projections in kept.values():
        with pytest.raises(NetworkError, match=message):
            replace(whole, projections=tuple(projections))
    not_rows = Projection("rows", "images", "counter", "x", "rows")
    with pytest.raises(NetworkError, match=rf"{message}.* it has 'x' to 'rows', 'spikes' to"):
        network(rows=not_rows)


@pytest.mark.parametrize(("ticks", "rest"), [(0, 0), (2.5, 0), (5, -1)])
def test_rows_take_whole_ticks(ticks, rest) -> None:
    message = f"presents rows for {ticks} ticks with a rest of {rest}; expected whole numbers"
    with pytest.raises(NetworkError, match=message):
        RateEncoder(ticks, "100*Hz", rest=rest)


def to_cells(receptor: str, name: str = "p") -> Projection:
    return Projection(name, "wide", "cells", "drive", receptor)


WIDE = (
    Population("wide", CELLS, RateEncoder(5, 1.0)),
    Population("features", CELLS, Source(Plain)),
)
FED = Projection("fed", "features", "wide", "x", "activity")


def test_only_a_declared_parameter_can_be_driven() -> None:
    Layout(network(more=WIDE, joined=[FED, to_cells("drive")]))
    message = r"'p' sets 'I' of 'cells'; its parameters are drive: declare it, such as 'I : amp'"
    with pytest.raises(NetworkError, match=message):
        Layout(network(more=WIDE, joined=[FED, to_cells("I")]))


def test_a_parameter_is_driven_by_one_adapter() -> None:
    twice = [FED, to_cells("drive"), to_cells("drive", "q")]
    with pytest.raises(NetworkError, match="'p' and 'q' both set 'drive' of 'cells'; an adapter"):
        Layout(network(more=WIDE, joined=twice))


def test_what_never_spikes_cannot_be_counted() -> None:
    silent = Population("silent", CELLS, Spiking("dv/dt = -v/(5*ms) : 1"))
    again = Projection("p", "silent", "counter", "spikes", "spikes")
    with pytest.raises(NetworkError, match="'p' takes the spikes of 'silent', which has no thresh"):
        Layout(network(more=[silent], joined=[again]))


def test_neurons_that_an_adapter_drives_are_not_event_driven() -> None:
    def wired(integration: str) -> Network:
        whole = network(more=WIDE, joined=[FED, to_cells("drive")])
        cells = replace(NEURONS, integration=integration)
        return replace(
            whole,
            populations=tuple(
                replace(p, model=cells) if p.name == "cells" else p for p in whole.populations
            ),
        )

    assert not any(sheet.code.event for sheet in Layout(wired("auto")).sheets)
    with pytest.raises(NetworkError, match="'cells' cannot be event-driven: an adapter sets one"):
        Layout(wired("event"))
