"""biosim's five networks: `python -m benchmarks.peers.biosim_networks NETWORK --json`."""

from __future__ import annotations

import importlib
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch

import biosim
from benchmarks.peers import activity
from benchmarks.peers.activity import steps
from benchmarks.peers.networks import COMPARED, DT_MS, Brunel, Cobahh, Cuba, Network, Stdp
from biosim.equations.brian import brian
from biosim.events import Kind
from biosim.network import Network as Described
from biosim.network import Population, Projection
from biosim.simulation import Simulation
from biosim.spiking.description import PoissonInput, Sparse, Spiking, SynapseModel
from biosim.spiking.recording import MemorySink, Recording, SpikeRecord, WeightRecord
from biosim.wiring import FixedInDegree, FixedProbability

HODGKIN_HUXLEY = """
dv/dt = (gl*(el - v) + ge*(ee - v) + gi*(ei - v)
         - g_na*(m*m*m)*h*(v - e_na) - g_k*(n*n*n*n)*(v - e_k)) / c : volt
dm/dt = alpha_m*(1 - m) - beta_m*m : 1
dn/dt = alpha_n*(1 - n) - beta_n*n : 1
dh/dt = alpha_h*(1 - h) - beta_h*h : 1
dge/dt = -ge / tau_e : siemens
dgi/dt = -gi / tau_i : siemens
alpha_m = 0.32*(mV**-1)*4*mV / exprel((13*mV - v + vt)/(4*mV))/ms : Hz
beta_m = 0.28*(mV**-1)*5*mV / exprel((v - vt - 40*mV)/(5*mV))/ms : Hz
alpha_h = 0.128*exp((17*mV - v + vt)/(18*mV))/ms : Hz
beta_h = 4. / (1 + exp((40*mV - v + vt)/(5*mV)))/ms : Hz
alpha_n = 0.032*(mV**-1)*5*mV / exprel((15*mV - v + vt)/(5*mV))/ms : Hz
beta_n = .5*exp((10*mV - v + vt)/(40*mV))/ms : Hz
"""


class Counting(MemorySink):
    """Counts spikes; keeps nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0
        self.spikes = self._count

    def _count(self, population: str, ticks: Any, neurons: Any) -> None:
        self.count += len(ticks)


def cuba(network: Cuba, synapses: bool) -> Described:
    model = Spiking(
        model="""dv/dt  = (ge + gi - (v - rest)) / tau_m : volt (unless refractory)
                 dge/dt = -ge / tau_e : volt
                 dgi/dt = -gi / tau_i : volt""",
        threshold="v > threshold",
        reset="v = reset",
        refractory=f"{network.refractory_ms}*ms",
        method="exact",
        constants={
            "rest": f"{network.rest_mv}*mV",
            "threshold": f"{network.threshold_mv}*mV",
            "reset": f"{network.reset_mv}*mV",
            "tau_m": f"{network.tau_m_ms}*ms",
            "tau_e": f"{network.tau_e_ms}*ms",
            "tau_i": f"{network.tau_i_ms}*ms",
        },
        initial={"v": "reset + rand() * (threshold - reset)"},
    )
    return at_random(model, network, f"{network.we_mv}*mV", f"{network.wi_mv}*mV", synapses)


def cobahh(network: Cobahh, synapses: bool) -> Described:
    (v, v_sd), (ge, ge_sd), (gi, gi_sd) = (
        network.v_start_mv,
        network.ge_start_ns,
        network.gi_start_ns,
    )
    model = Spiking(
        model=HODGKIN_HUXLEY,
        threshold="v > threshold",
        refractory=f"{network.refractory_ms}*ms",
        method="exponential_euler",
        constants={
            "c": f"{network.c_pf}*pF",
            "gl": f"{network.g_leak_ns}*nS",
            "g_na": f"{network.g_na_ns}*nS",
            "g_k": f"{network.g_k_ns}*nS",
            "el": f"{network.e_leak_mv}*mV",
            "e_na": f"{network.e_na_mv}*mV",
            "e_k": f"{network.e_k_mv}*mV",
            "ee": f"{network.e_e_mv}*mV",
            "ei": f"{network.e_i_mv}*mV",
            "vt": f"{network.vt_mv}*mV",
            "tau_e": f"{network.tau_e_ms}*ms",
            "tau_i": f"{network.tau_i_ms}*ms",
            "threshold": f"{network.threshold_mv}*mV",
        },
        initial={
            "v": f"({v} + {v_sd} * randn()) * mV",
            "ge": f"clip({ge} + {ge_sd} * randn(), 0, 1000) * nS",
            "gi": f"clip({gi} + {gi_sd} * randn(), 0, 1000) * nS",
        },
    )
    return at_random(model, network, f"{network.we_ns}*nS", f"{network.wi_ns}*nS", synapses)


def at_random(
    model: Spiking, network: Cuba | Cobahh, we: str, wi: str, synapses: bool
) -> Described:
    populations = (
        Population("e", network.excitatory, model),
        Population("i", network.inhibitory, model),
    )
    wiring = FixedProbability(network.probability)
    projections = [
        projection(source, target, receptor, 1, Sparse(wiring, weight))
        for source, receptor, weight in (("e", "ge", we), ("i", "gi", wi))
        for target in ("e", "i")
        if synapses
    ]
    return Described(populations, tuple(projections), dt=DT_MS / 1000)


def brunel(network: Brunel, synapses: bool, as_nest: bool) -> Described:
    model = Spiking(
        model="dv/dt = -v / tau_m : volt (unless refractory)",
        threshold="v > threshold",
        reset="v = reset",
        refractory=f"{network.refractory_ms}*ms",
        method="exact",
        constants={
            "tau_m": f"{network.tau_m_ms}*ms",
            "threshold": f"{network.threshold_mv}*mV",
            "reset": f"{network.reset_mv}*mV",
        },
        initial={"v": "reset + rand() * (threshold - reset)"},
    )
    populations = (
        Population("e", network.excitatory, model),
        Population("i", network.inhibitory, model),
    )
    external = tuple(
        PoissonInput(
            f"external to {name}",
            name,
            "v",
            f"{network.external_hz}*Hz",
            f"{network.j_mv}*mV",
            network.external_trains,
        )
        for name in ("e", "i")
    )
    delay = steps(network.delay_ms, DT_MS)
    pathways = [
        (source, target, Sparse(FixedInDegree(number), f"{weight}*mV"))
        for source, number, weight in (
            ("e", network.from_excitatory, network.j_mv),
            ("i", network.from_inhibitory, -network.g * network.j_mv),
        )
        for target in ("e", "i")
    ]
    if network.stdp:
        rule = stdp(network.stdp, f"{network.j_mv}*mV", delay, as_nest)
        wiring = FixedInDegree(network.from_excitatory)
        pathways[0] = ("e", "e", Sparse(wiring, f"{network.j_mv}*mV", synapse=rule))
    projections = [
        projection(source, target, "v", delay, weights)
        for source, target, weights in pathways
        if synapses
    ]
    return Described(populations, tuple(projections), dt=DT_MS / 1000, stimuli=external)


def stdp(rule: Stdp, start: str, delay: int, as_nest: bool) -> SynapseModel:
    """Return the pair rule in biosim's convention or in NEST's; see brian2_networks.py."""
    model = """w : volt
               dpre/dt = -pre / tau_plus : 1 (event-driven)
               dpost/dt = -post / tau_minus : 1 (event-driven)"""
    on_pre = """w = clip(w - a_minus * post, 0*volt, w_max)
                v_post += w
                pre += 1"""
    on_post = """w = clip(w + a_plus * pre, 0*volt, w_max)
                 post += 1"""
    if as_nest:
        model += "\nseen : volt\narrival : second"
        on_pre += "\nseen = w\narrival = t"
        on_post = on_post.replace("a_plus * pre", "a_plus * (pre - int(t - arrival < 0.05*ms))")
    return SynapseModel(
        model=model,
        on_pre=on_pre,
        on_post=on_post,
        constants={
            "tau_plus": f"{rule.tau_plus_ms}*ms",
            "tau_minus": f"{rule.tau_minus_ms}*ms",
            "a_plus": f"{rule.a_plus_mv}*mV",
            "a_minus": f"{rule.a_minus_mv}*mV",
            "w_max": f"{rule.w_max_mv}*mV",
        },
        initial={"seen": start, "arrival": "-1*second"} if as_nest else {},
        bounds={"w": ("0*mV", f"{rule.w_max_mv}*mV")},
        delay_post=2 * delay - 1 if as_nest else 0,
    )


def projection(source: str, target: str, receptor: str, delay: int, weights: Sparse) -> Projection:
    name = f"{source} to {target}"
    return Projection(name, source, target, "spikes", receptor, Kind.SPIKE, delay, weights)


def build(network: Network, synapses: bool, as_nest: bool) -> Described:
    match network:
        case Cuba():
            return cuba(network, synapses)
        case Cobahh():
            return cobahh(network, synapses)
        case Brunel():
            return brunel(network, synapses, as_nest)


def smaller(network: Network) -> Network:
    """Return the network with a tenth of its neurons, which runs the same kernels."""
    few = {"excitatory": network.excitatory // 10, "inhibitory": network.inhibitory // 10}
    if isinstance(network, Brunel):
        few["from_excitatory"] = network.from_excitatory // 10
        few["from_inhibitory"] = network.from_inhibitory // 10
    return replace(network, **few)


def of_recorded(sink: MemorySink, network: Network, seconds: float) -> Mapping[str, object]:
    """Return the statistics of what a sink holds."""
    e, i = sink.spikes["e"], sink.spikes["i"]
    neurons = np.concatenate([e.neurons, i.neurons.astype(np.int64) + network.excitatory])
    times = np.concatenate([e.ticks, i.ticks]) * (DT_MS / 1000)
    found: dict[str, object] = dict(
        activity.of_spikes(times, neurons.astype(np.int64), network.neurons, seconds)
    )
    if isinstance(network, Brunel) and network.stdp and "e to e" in sink.weights:
        values = sink.weights["e to e"].values
        w = values.get("seen", values["w"])[-1]
        found |= activity.of_weights(np.asarray(w, np.float64) * 1000, network.stdp.w_max_mv)
    return found


def main() -> None:
    parser = activity.arguments(str(__doc__), list(COMPARED))
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float32")
    parser.add_argument("--small", action="store_true", help="a tenth of the neurons, same code")
    asked = parser.parse_args()
    network = COMPARED[asked.network]
    if asked.small:
        network = smaller(network)
    seconds = asked.seconds = asked.seconds or network.seconds
    ticks = steps(seconds * 1000, DT_MS)
    described = build(network, not asked.without_synapses, asked.as_nest)
    # What is imported late is imported before the clock starts.
    brian()
    importlib.import_module("biosim.spiking.machine")
    sink = MemorySink() if asked.record else Counting()
    plastic = bool(asked.record and described.projections and getattr(network, "stdp", None))
    recording = Recording(
        spikes=(SpikeRecord("e"), SpikeRecord("i")),
        weights=(WeightRecord("e to e", ticks - 1),) if plastic else (),
    )
    began = time.perf_counter()
    simulation = Simulation(
        described,
        seed=asked.seed,
        dtype=getattr(torch, asked.dtype),
        threads=asked.threads,
        recording=recording,
        sink=sink,
    )
    built = time.perf_counter()
    # Kernels are compiled, or read from the cache, at their first call.
    simulation.run_to(1)
    ready = time.perf_counter()
    simulation.run_to(ticks)
    simulated = time.perf_counter()
    memory = activity.memory()
    spikes = (
        sink.count
        if isinstance(sink, Counting)
        else sum(len(sink.spikes[name].ticks) for name in ("e", "i"))
    )
    measured: dict[str, object] = {
        "simulator": f"biosim {asked.dtype}",
        "version": getattr(biosim, "__version__", "unknown"),
        "neurons": network.neurons,
        "build_s": built - began,
        "first_tick_s": ready - built,
        "simulate_s": simulated - ready,
        "spikes": spikes,
        "rate_hz": spikes / network.neurons / seconds,
        **memory,
    }
    if isinstance(sink, MemorySink) and not isinstance(sink, Counting):
        measured |= of_recorded(sink, network, seconds)
    activity.say(asked, measured)


if __name__ == "__main__":
    main()
