"""The peers' half of the benchmarks, as far as it runs without any peer."""

import re
import sys
from collections.abc import Callable
from dataclasses import fields
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from benchmarks.peers import activity, bars, beside, environments, measure, microcircuit
from benchmarks.peers.environments import Missing, Peer, python_of
from benchmarks.peers.networks import NETWORKS, Brunel, Cobahh, Cuba, DiehlCook, Stdp
from benchmarks.peers.sides import Asked, interleaved

PAGE = Path(environments.__file__).with_name("NETWORKS.md")

# --- numbers


@pytest.mark.parametrize("kind", [Cuba, Cobahh, Brunel, Stdp])
def test_the_page_tells_the_numbers_that_are_simulated(kind: type) -> None:
    page = PAGE.read_text(encoding="utf-8")
    section = page[page.index(f"| `{kind.__name__}` |") :].split("\n\n")[0]
    told = dict(re.findall(r"^\| `(\w+)` \| ([^|]+?) \|", section, flags=re.MULTILINE))
    made = {f.name: repr(f.default) for f in fields(kind) if f.name not in ("name", "stdp")}
    assert {name: told.get(name) for name in made} == made


def test_the_enlarged_network_keeps_the_mean_input() -> None:
    small, large = NETWORKS["cuba"], NETWORKS["cuba20k"]
    assert isinstance(small, Cuba)
    assert isinstance(large, Cuba)
    assert (large.neurons, large.excitatory) == (20000, 16000)
    assert large.in_degree == pytest.approx(1000)
    for name in ("we_mv", "wi_mv"):
        assert getattr(large, name) * large.in_degree == pytest.approx(
            getattr(small, name) * small.in_degree
        )


def test_the_external_rate_is_twice_what_reaches_the_threshold() -> None:
    network = Brunel()
    mean_mv = network.external_hz * network.external_trains * network.j_mv * network.tau_m_ms / 1000
    assert mean_mv == pytest.approx(2 * network.threshold_mv)
    assert network.external_hz == pytest.approx(20)


def test_the_made_up_image_has_the_rate_of_an_average_digit() -> None:
    image = DiehlCook()
    assert image.rate_hz == pytest.approx(174 / 4)
    assert image.steps * image.dt_ms == 350


@pytest.mark.parametrize("name", NETWORKS)
def test_biosim_describes_as_many_synapses_as_the_peers(name: str) -> None:
    from benchmarks.peers import biosim_networks

    network = NETWORKS[name]
    described = biosim_networks.build(network, True, False)
    assert sum(population.size for population in described.populations) == network.neurons
    expected = sum(
        p.weights.wiring.synapses(described.size(p.source), described.size(p.target))  # type: ignore[union-attr]
        for p in described.projections
    )
    assert expected == pytest.approx(network.in_degree * network.neurons)
    assert not biosim_networks.build(network, False, False).projections


# --- statistics of spikes


def trains(make: Callable[[int], Any], n: int) -> tuple[Any, Any]:
    each = [np.asarray(make(i)) for i in range(n)]
    return np.concatenate(each), np.repeat(np.arange(n), [len(t) for t in each])


def test_clocks_are_regular_and_poisson_trains_are_not() -> None:
    draws = np.random.default_rng(0)
    regular = activity.of_spikes(*trains(lambda i: np.arange(0.001 * i, 10, 0.1), 50), 50, 10.0)
    random = activity.of_spikes(*trains(lambda i: np.sort(draws.uniform(0, 10, 200)), 50), 50, 10.0)
    assert regular["cv"] == pytest.approx(0, abs=1e-9)
    assert random["cv"] == pytest.approx(1, abs=0.05)
    assert random["correlation"] == pytest.approx(0, abs=0.02)
    assert random["steady_rate_hz"] == pytest.approx(20, rel=0.03)


def test_neurons_that_fire_together_are_correlated() -> None:
    shared = np.sort(np.random.default_rng(0).uniform(0, 5, 100))
    found = activity.of_spikes(*trains(lambda i: shared, 10), 10, 5.0)
    assert found["correlation"] == pytest.approx(1)


def test_the_order_of_spikes_does_not_matter() -> None:
    draws = np.random.default_rng(1)
    times, neurons = draws.uniform(0, 3, 500), draws.integers(0, 20, 500)
    order = draws.permutation(500)
    assert activity.of_spikes(times, neurons, 20, 3.0) == activity.of_spikes(
        times[order], neurons[order], 20, 3.0
    )


def test_what_is_too_short_has_no_statistics() -> None:
    nothing = activity.of_spikes(np.array([0.05]), np.array([0]), 4, 0.1)
    assert nothing == {"steady_rate_hz": None, "cv": None, "correlation": None}


def test_weights_are_told_as_shares_below_what_lies_between_bounds_and_start() -> None:
    found = activity.of_weights(np.array([0.0, 0.25, 0.25, 0.5]), 0.5)
    assert (found["weight_mean_mv"], found["weight_sd_mv"]) == pytest.approx((0.25, 0.1767767))
    shares = found["weight_shares"]
    assert isinstance(shares, list)
    assert len(shares) == activity.WEIGHT_BINS
    assert [shares[k] for k in (0, 99, 100, 199)] == [0.25, 0.25, 0.75, 0.75]


def test_memory_is_read_from_a_status_file() -> None:
    status = "Name:\tmain\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\n"
    assert activity.memory(status) == {"rss_bytes": 1 << 20, "peak_rss_bytes": 2 << 20}
    assert activity.memory("") == {"rss_bytes": None, "peak_rss_bytes": None}


def test_a_time_between_steps_is_refused() -> None:
    assert activity.steps(1.5, 0.1) == 15
    with pytest.raises(ValueError, match=r"1\.55 ms is no whole number of steps of 0\.1 ms"):
        activity.steps(1.55, 0.1)


# --- ratios


def test_ratios_are_of_neighbours() -> None:
    # The machine became ten times slower half-way; the ratio did not.
    assert bars.paired([2.0, 20.0, 22.0], [1.0, 10.0, 11.0]) == 2.0


def test_the_mean_of_ratios_is_geometric() -> None:
    assert bars.geometric_mean([2.0, 8.0]) == pytest.approx(4.0)


def test_static_synapses_are_taken_off_the_plastic_ones() -> None:
    assert bars.bytes_a_synapse(1800, 1000, 100) == 8.0
    assert bars.bytes_a_plastic_synapse(1600 + 400, 50, 100, 8.0) == 16.0


@pytest.mark.parametrize(
    ("value", "least", "said"),
    [(4.0, True, "4 yes"), (3.9, True, "4 NO"), (4.1, False, "4 NO"), (None, True, "4 -")],
)
def test_a_bar_is_kept_or_not(value: float | None, least: bool, said: str) -> None:
    assert bars.verdict(value, 4.0, least=least) == said


# --- measuring


def test_sides_take_turns_and_one_that_fails_is_left_out(
    capsys: pytest.CaptureFixture[str],
) -> None:
    calls = []

    def side(name: str, seed: int) -> measure.Measured:
        calls.append((name, seed))
        if name == "b" and seed == 2:
            raise Missing("it broke")
        return {"seed": seed}

    found = interleaved({name: partial(side, name) for name in "ab"}, 3)
    assert calls == [("a", 1), ("b", 1), ("a", 2), ("b", 2), ("a", 3)]
    assert found == {"a": [{"seed": 1}, {"seed": 2}, {"seed": 3}]}
    assert "skipped b: it broke" in capsys.readouterr().out


def test_a_script_that_fails_gives_its_last_line_as_the_reason() -> None:
    with pytest.raises(Missing, match=r"no_such_script cuba: .*No module named"):
        measure.run_script(sys.executable, "no_such_script", ["cuba"], 1)


def test_the_table_gives_ratios_bars_and_the_mean(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seconds = {"NEST": 3.0, "float32": 0.1, "Brian2": 0.15, "float64": 0.12}

    def faked(network: str, asked: Asked, *options: str) -> dict[str, Any]:
        return {
            side: lambda seed, s=s: {"simulate_s": s * seed, "rate_hz": 5.0}
            for side, s in seconds.items()
        }

    monkeypatch.setattr(beside, "simulators", faked)
    beside.speed(Asked(("cuba", "brunel"), 3, 1))
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["cuba", "6", "0.2", "0.3", "0.24", "30", "12", "yes", "1.5", "2", "NO"] in lines
    assert ["geometric", "mean", "30", "20", "yes", "1.5", "4", "NO"] in lines
    assert ["brunel", "5.00", "5.00", "5.00", "5.00"] in lines


def test_the_microcircuit_is_held_against_its_bars_and_published_rates(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def own(scale: float, seconds: float, seed: int) -> dict[str, Any]:
        rates = {name: rate * scale for name, rate in microcircuit.PUBLISHED_HZ.items()}
        return {
            "scale": scale,
            "seconds": seconds,
            "build_s": 30.0,
            "simulate_s": 2 * seconds,
            "peak_rss_bytes": 17e9,
            **{n: {"steady_rate_hz": r * seed, "cv": 0.8} for n, r in rates.items()},
        }

    def nest(scale: float, seconds: float, seed: int) -> dict[str, Any]:
        raise Missing("there is none")

    monkeypatch.setattr(microcircuit, "of_biosim", own)
    monkeypatch.setattr(microcircuit, "of_nest", nest)
    microcircuit.microcircuit(Asked((), 3, 1))
    said = capsys.readouterr().out
    lines = [line.split() for line in said.splitlines()]
    assert ["30", "17", "16", "NO", "2", "3", "yes"] in lines
    assert ["L5E", "7.57", "7.57", "1.00", "0.8"] in lines
    assert ["L5E", "-", "1.514", "+-", "0.757", "-", "0.800", "+-", "0.000"] in lines
    assert "skipped NEST: there is none" in said


# --- environments


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> SimpleNamespace:
    """An empty folder for environments, and calls that only pretend to install."""
    seen = SimpleNamespace(folder=tmp_path / ".bench", calls=[], fails="")

    def call(peer: Peer, *command: str) -> str:
        seen.calls.append(command)
        if seen.fails and seen.fails in command:
            raise Missing(f"{peer.package}: it does not work")
        python = peer.folder / "bin" / "python"
        python.parent.mkdir(parents=True, exist_ok=True)
        python.touch()
        return f"{peer.folder / 'packages'}\n"

    monkeypatch.setattr(environments, "ROOT", tmp_path)
    monkeypatch.setattr(environments, "BENCH", seen.folder)
    monkeypatch.setattr(environments, "_call", call)
    return seen


def peer(**changes: Any) -> Peer:
    parts: dict[str, Any] = {
        "name": "toy",
        "package": "toy-simulator",
        "installs": (("toy-simulator==1.0",),),
        "modules": {"stub/__init__.py": "x = 1\n"},
        "proof": "import toy",
    }
    return Peer(**{**parts, **changes})


def test_an_environment_is_made_once(bench: SimpleNamespace) -> None:
    python = python_of(peer())
    assert python == bench.folder / "toy" / "bin" / "python"
    assert (bench.folder / "toy/packages/stub/__init__.py").read_text() == "x = 1\n"
    made = len(bench.calls)
    assert made
    assert python_of(peer()) == python
    assert len(bench.calls) == made


def test_another_recipe_makes_it_anew(bench: SimpleNamespace) -> None:
    python_of(peer())
    made = len(bench.calls)
    python_of(peer(installs=(("toy-simulator==1.1",),)))
    assert len(bench.calls) == 2 * made


def test_a_peer_that_does_not_work_is_missing_and_not_tried_again(bench: SimpleNamespace) -> None:
    bench.fails = "import toy"
    broken = peer()
    for _ in range(2):
        with pytest.raises(Missing, match="toy-simulator: it does not work"):
            python_of(broken)
    assert [command[-1] for command in bench.calls].count("import toy") == 1


def test_a_peer_without_its_compiler_is_missing(bench: SimpleNamespace) -> None:
    with pytest.raises(Missing, match=r"toy-simulator needs no-such-program, .* on the PATH"):
        python_of(peer(programs=("no-such-program",)))
    assert not bench.calls


def test_no_commit_can_take_the_environments_in(bench: SimpleNamespace) -> None:
    python_of(peer())
    assert (bench.folder / ".gitignore").read_text() == "*\n"
