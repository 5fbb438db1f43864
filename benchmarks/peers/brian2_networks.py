"""Brian2's five networks as C++ standalone: `python -m benchmarks.peers.brian2_networks NETWORK`.

Runs in Brian2's own environment, in the repository's root. A network is compiled once, under
`.bench/brian2/compiled/`, and the program run again for every seed. Arithmetic and compiler
options are Brian2's own (float64, -O3 -ffast-math -march=native).
"""

from __future__ import annotations

from typing import Any

import brian2 as b

from benchmarks.peers import activity
from benchmarks.peers.brian2_program import compiled, order_by_source, run
from benchmarks.peers.networks import COMPARED, DT_MS, Brunel, Cobahh, Cuba, Network, Stdp


def cuba(network: Cuba, synapses: bool) -> list[Any]:
    neurons = b.NeuronGroup(
        network.neurons,
        """dv/dt  = (ge + gi - (v - rest)) / tau_m : volt (unless refractory)
           dge/dt = -ge / tau_e : volt
           dgi/dt = -gi / tau_i : volt""",
        threshold="v > threshold",
        reset="v = reset",
        refractory=network.refractory_ms * b.ms,
        method="exact",
        namespace={
            "rest": network.rest_mv * b.mV,
            "threshold": network.threshold_mv * b.mV,
            "reset": network.reset_mv * b.mV,
            "tau_m": network.tau_m_ms * b.ms,
            "tau_e": network.tau_e_ms * b.ms,
            "tau_i": network.tau_i_ms * b.ms,
        },
    )
    neurons.v = "reset + rand() * (threshold - reset)"
    if not synapses:
        return [neurons]
    return [neurons, *at_random(neurons, network, network.we_mv * b.mV, network.wi_mv * b.mV)]


def cobahh(network: Cobahh, synapses: bool) -> list[Any]:
    neurons = b.NeuronGroup(
        network.neurons,
        """dv/dt = (gl*(el - v) + ge*(ee - v) + gi*(ei - v)
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
           beta_n = .5*exp((10*mV - v + vt)/(40*mV))/ms : Hz""",
        threshold="v > threshold",
        refractory=network.refractory_ms * b.ms,
        method="exponential_euler",
        namespace={
            "c": network.c_pf * b.pF,
            "gl": network.g_leak_ns * b.nS,
            "g_na": network.g_na_ns * b.nS,
            "g_k": network.g_k_ns * b.nS,
            "el": network.e_leak_mv * b.mV,
            "e_na": network.e_na_mv * b.mV,
            "e_k": network.e_k_mv * b.mV,
            "ee": network.e_e_mv * b.mV,
            "ei": network.e_i_mv * b.mV,
            "vt": network.vt_mv * b.mV,
            "tau_e": network.tau_e_ms * b.ms,
            "tau_i": network.tau_i_ms * b.ms,
            "threshold": network.threshold_mv * b.mV,
        },
    )
    neurons.v = f"({network.v_start_mv[0]!r} + {network.v_start_mv[1]!r} * randn()) * mV"
    for name, (mean, sd) in (("ge", network.ge_start_ns), ("gi", network.gi_start_ns)):
        setattr(neurons, name, f"clip({mean!r} + {sd!r} * randn(), 0, inf) * nS")
    if not synapses:
        return [neurons]
    return [neurons, *at_random(neurons, network, network.we_ns * b.nS, network.wi_ns * b.nS)]


def at_random(neurons: Any, network: Cuba | Cobahh, we: Any, wi: Any) -> list[Any]:
    made = []
    e, i = neurons[: network.excitatory], neurons[network.excitatory :]
    for source, receptor, weight in ((e, "ge", we), (i, "gi", wi)):
        synapses = b.Synapses(source, neurons, on_pre=f"{receptor} += w", namespace={"w": weight})
        synapses.connect(p=network.probability)
        made.append(synapses)
    return made


def brunel(network: Brunel, synapses: bool, as_nest: bool) -> list[Any]:
    neurons = b.NeuronGroup(
        network.neurons,
        "dv/dt = -v / tau_m : volt (unless refractory)",
        threshold="v > threshold",
        reset="v = reset",
        refractory=network.refractory_ms * b.ms,
        method="exact",
        namespace={
            "tau_m": network.tau_m_ms * b.ms,
            "threshold": network.threshold_mv * b.mV,
            "reset": network.reset_mv * b.mV,
        },
    )
    neurons.v = "reset + rand() * (threshold - reset)"
    j = network.j_mv * b.mV
    made = [
        neurons,
        b.PoissonInput(neurons, "v", network.external_trains, network.external_hz * b.Hz, j),
    ]
    if not synapses:
        return made
    e, i = neurons[: network.excitatory], neurons[network.excitatory :]
    # Delivered after the update of its step, so one step less than NEST and biosim say.
    delay = (network.delay_ms - DT_MS) * b.ms
    pathways = [(i, neurons, network.from_inhibitory, -network.g * j)]
    if network.stdp:
        made += plastic(e, network, network.stdp, delay, as_nest)
        pathways.append((e, i, network.from_excitatory, j))
    else:
        pathways.append((e, neurons, network.from_excitatory, j))
    for source, target, number, weight in pathways:
        static = b.Synapses(
            source, target, on_pre="v_post += w", delay=delay, namespace={"w": weight}
        )
        with_in_degree(static, number)
        made.append(static)
    return made


def plastic(e: Any, network: Brunel, rule: Stdp, delay: Any, as_nest: bool) -> list[Any]:
    """Return the E->E synapses with the pair rule, in Brian2's convention or in NEST's."""
    model = """w : volt
               dpre/dt = -pre / tau_plus : 1 (event-driven)
               dpost/dt = -post / tau_minus : 1 (event-driven)"""
    on_pre = """w = clip(w - a_minus * post, 0*volt, w_max)
                v_post += w
                pre += 1"""
    on_post = """w = clip(w + a_plus * pre, 0*volt, w_max)
                 post += 1"""
    if as_nest:
        # In NEST a coincident pair changes nothing, and a weight is what its last pre-synaptic
        # spike found: later potentiation waits for the next.
        model += "\nseen : volt\narrival : second"
        on_pre += "\nseen = w\narrival = t"
        on_post = on_post.replace("a_plus * pre", "a_plus * (pre - int(t - arrival < dt/2))")
    synapses = b.Synapses(
        e,
        e,
        model,
        on_pre=on_pre,
        on_post=on_post,
        delay={"pre": delay},
        namespace={
            "tau_plus": rule.tau_plus_ms * b.ms,
            "tau_minus": rule.tau_minus_ms * b.ms,
            "a_plus": rule.a_plus_mv * b.mV,
            "a_minus": rule.a_minus_mv * b.mV,
            "w_max": rule.w_max_mv * b.mV,
        },
    )
    with_in_degree(synapses, network.from_excitatory)
    synapses.w = network.j_mv * b.mV
    if as_nest:
        # NEST's delay is dendritic: the post-synaptic spike reaches the synapse one delay after
        # it happened, the pre-synaptic one at once; both are seen one delay later here.
        synapses.post.delay = (2 * network.delay_ms - DT_MS) * b.ms
        synapses.seen = network.j_mv * b.mV
        synapses.arrival = -1 * b.second
    return [synapses]


def with_in_degree(synapses: Any, number: int) -> None:
    synapses.connect(i=f"int(rand() * N_pre) for _k in range({number})")
    # Brian2 leaves the synapses in the order of their targets, and a delivery then jumps from one
    # cache line to the next: 2.5 times slower. In the order of sources it is at its best, as it
    # is after connect(p=...).
    order_by_source(synapses)


def build(network: Network, synapses: bool, as_nest: bool) -> list[Any]:
    match network:
        case Cuba():
            return cuba(network, synapses)
        case Cobahh():
            return cobahh(network, synapses)
        case Brunel():
            return brunel(network, synapses, as_nest)


def main() -> None:
    asked = activity.arguments(str(__doc__), list(COMPARED)).parse_args()
    network = COMPARED[asked.network]
    asked.seconds = asked.seconds or network.seconds
    folder = compiled(
        network, asked, lambda: build(network, not asked.without_synapses, asked.as_nest)
    )
    activity.say(asked, run(folder, network.neurons, asked))


if __name__ == "__main__":
    main()
