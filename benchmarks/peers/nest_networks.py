"""NEST's five networks: `python -m benchmarks.peers.nest_networks NETWORK --json`.

Runs in NEST's own environment, in the repository's root. Where NEST's order within a step
differs from the one of NETWORKS.md, a parameter is shifted, with the reason beside it.
"""

from __future__ import annotations

import math
import time
from typing import Any

import nest
import numpy as np

from benchmarks.peers import activity
from benchmarks.peers.networks import COMPARED, DT_MS, Brunel, Cobahh, Cuba, Network

WEIGHTS_OF = 500
"""Neurons whose plastic synapses are looked at."""


def cuba(network: Cuba, seed: int, synapses: bool) -> Any:
    # With C = tau_m the current of w pA moves v by w mV x dt / tau_m: the peers' `ge` in mV.
    neurons = nest.Create(
        "iaf_psc_exp",
        network.neurons,
        params={
            "C_m": network.tau_m_ms,
            "tau_m": network.tau_m_ms,
            "tau_syn_ex": network.tau_e_ms,
            "tau_syn_in": network.tau_i_ms,
            "E_L": network.rest_mv,
            "V_th": network.threshold_mv,
            "V_reset": network.reset_mv,
            # NEST holds v for one step more than Brian2 does.
            "t_ref": network.refractory_ms - DT_MS,
            "V_m": nest.random.uniform(network.reset_mv, network.threshold_mv),
        },
    )
    if synapses:
        connect_at_random(neurons, network, network.we_mv, network.wi_mv)
    return neurons


def cobahh(network: Cobahh, seed: int, synapses: bool) -> Any:
    draws = np.random.default_rng(seed)
    n = network.neurons
    neurons = nest.Create(
        "hh_cond_exp_traub",
        n,
        params={
            "C_m": network.c_pf,
            "g_L": network.g_leak_ns,
            "g_Na": network.g_na_ns,
            "g_K": network.g_k_ns,
            "E_L": network.e_leak_mv,
            "E_Na": network.e_na_mv,
            "E_K": network.e_k_mv,
            "E_ex": network.e_e_mv,
            "E_in": network.e_i_mv,
            "V_T": network.vt_mv,
            "tau_syn_ex": network.tau_e_ms,
            "tau_syn_in": network.tau_i_ms,
            "t_ref": network.refractory_ms,
            "V_m": nest.random.normal(*network.v_start_mv),
            "Act_m": 0.0,
            "Act_n": 0.0,
            "Inact_h": 0.0,
        },
    )
    # A conductance cannot be set, but one early spike of a weight for each neuron adds it.
    for (mean, sd), sign in ((network.ge_start_ns, 1), (network.gi_start_ns, -1)):
        start = np.maximum(draws.normal(mean, sd, n), 0.0) * sign
        source = nest.Create("spike_generator", params={"spike_times": [DT_MS]})
        nest.Connect(source, neurons, "all_to_all", {"weight": start[:, None], "delay": DT_MS})
    if synapses:
        # The sign chooses the receptor.
        connect_at_random(neurons, network, network.we_ns, -network.wi_ns)
    return neurons


def connect_at_random(neurons: Any, network: Cuba | Cobahh, we: float, wi: float) -> None:
    # One step is the least delay that NEST has; Brian2's delay of zero is less by one step.
    rule = {"rule": "pairwise_bernoulli", "p": network.probability}
    for sources, weight in (
        (neurons[: network.excitatory], we),
        (neurons[network.excitatory :], wi),
    ):
        nest.Connect(sources, neurons, rule, {"weight": weight, "delay": DT_MS})


def brunel(network: Brunel, seed: int, synapses: bool) -> Any:
    decay = math.exp(-DT_MS / network.tau_m_ms)
    neurons = nest.Create(
        "iaf_psc_delta",
        network.neurons,
        params={
            "tau_m": network.tau_m_ms,
            "E_L": 0.0,
            # NEST tests the threshold after the step's input, Brian2 one decay later.
            "V_th": network.threshold_mv / decay,
            "V_reset": network.reset_mv,
            "t_ref": network.refractory_ms,
            "V_m": nest.random.uniform(network.reset_mv, network.threshold_mv),
        },
    )
    if network.stdp:
        neurons.tau_minus = network.stdp.tau_minus_ms
    external = nest.Create(
        "poisson_generator", params={"rate": network.external_hz * network.external_trains}
    )
    static = {"delay": network.delay_ms, "weight": network.j_mv}
    nest.Connect(external, neurons, "all_to_all", static)
    if not synapses:
        return neurons
    e, i = neurons[: network.excitatory], neurons[network.excitatory :]
    from_e = {"rule": "fixed_indegree", "indegree": network.from_excitatory}
    from_i = {"rule": "fixed_indegree", "indegree": network.from_inhibitory}
    if network.stdp:
        rule = network.stdp
        plastic = {
            "synapse_model": "stdp_synapse",
            **static,
            "Wmax": rule.w_max_mv,
            # The two exponents of the additive rule.
            "mu_plus": 0.0,
            "mu_minus": 0.0,
            "lambda": rule.a_plus_mv / rule.w_max_mv,
            "alpha": rule.a_minus_mv / rule.a_plus_mv,
            "tau_plus": rule.tau_plus_ms,
        }
        nest.Connect(e, e, from_e, plastic)
        nest.Connect(e, i, from_e, static)
    else:
        nest.Connect(e, neurons, from_e, static)
    nest.Connect(i, neurons, from_i, {**static, "weight": -network.g * network.j_mv})
    return neurons


def build(network: Network, seed: int, synapses: bool) -> Any:
    match network:
        case Cuba():
            return cuba(network, seed, synapses)
        case Cobahh():
            return cobahh(network, seed, synapses)
        case Brunel():
            return brunel(network, seed, synapses)


def connections() -> int:
    models = ("static_synapse", "stdp_synapse")
    return sum(nest.GetDefaults(model, "num_connections") for model in models)


def devices(network: Network) -> int:
    """Return how many of the connections carry what comes from outside."""
    return network.neurons * {"Cuba": 0, "Cobahh": 2, "Brunel": 1}[type(network).__name__]


def main() -> None:
    asked = activity.arguments(str(__doc__), list(COMPARED)).parse_args()
    network = COMPARED[asked.network]
    seconds = asked.seconds = asked.seconds or network.seconds
    nest.verbosity = nest.VerbosityLevel.ERROR
    nest.ResetKernel()
    nest.set(resolution=DT_MS, local_num_threads=asked.threads, rng_seed=asked.seed)
    began = time.perf_counter()
    neurons = build(network, asked.seed, not asked.without_synapses)
    synapses = 0 if asked.without_synapses else connections() - devices(network)
    if asked.record:
        recorder = nest.Create("spike_recorder")
        nest.Connect(neurons, recorder)
    nest.Prepare()
    built = time.perf_counter()
    nest.Run(seconds * 1000)
    simulated = time.perf_counter()
    measured: dict[str, object] = {
        "simulator": "NEST",
        "version": nest.__version__,
        "neurons": network.neurons,
        "synapses": synapses,
        "build_s": built - began,
        "simulate_s": simulated - built,
        "spikes": nest.local_spike_counter,
        "rate_hz": nest.local_spike_counter / network.neurons / seconds,
        **activity.memory(),
    }
    nest.Cleanup()
    if asked.record:
        events = recorder.events
        # NEST stamps a spike with the end of its step.
        measured |= activity.of_spikes(
            events["times"] / 1000, events["senders"] - 1, network.neurons, seconds
        )
        if isinstance(network, Brunel) and network.stdp and not asked.without_synapses:
            plastic = nest.GetConnections(target=neurons[:WEIGHTS_OF], synapse_model="stdp_synapse")
            measured |= activity.of_weights(np.asarray(plastic.weight), network.stdp.w_max_mv)
    activity.say(asked, measured)


if __name__ == "__main__":
    main()
