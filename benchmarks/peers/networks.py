"""The numbers of the five networks, once, for every simulator; NETWORKS.md explains them.

Plain data without imports of simulators, so that each peer's environment can read it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

DT_MS = 0.1


@dataclass(frozen=True)
class Cuba:
    """Integrate-and-fire with exponential currents: Vogels & Abbott 2005, Brette et al. 2007.

    Weights are jumps of `ge` and `gi`, in mV, as in Brian2's example CUBA.
    """

    name: str = "cuba"
    seconds: float = 1.0
    excitatory: int = 3200
    inhibitory: int = 800
    probability: float = 0.02
    we_mv: float = 1.62
    wi_mv: float = -9.0
    tau_m_ms: float = 20.0
    tau_e_ms: float = 5.0
    tau_i_ms: float = 10.0
    threshold_mv: float = -50.0
    reset_mv: float = -60.0
    rest_mv: float = -49.0
    refractory_ms: float = 5.0

    @property
    def neurons(self) -> int:
        return self.excitatory + self.inhibitory

    @property
    def in_degree(self) -> float:
        """Expected synapses that end on a neuron."""
        return self.probability * self.neurons

    def enlarged(self, name: str, neurons: int, in_degree: float) -> Cuba:
        """Return the network at another size, its mean input kept: weight x in-degree."""
        smaller = self.in_degree / in_degree
        excitatory = neurons * self.excitatory // self.neurons
        return replace(
            self,
            name=name,
            excitatory=excitatory,
            inhibitory=neurons - excitatory,
            probability=in_degree / neurons,
            we_mv=self.we_mv * smaller,
            wi_mv=self.wi_mv * smaller,
        )


@dataclass(frozen=True)
class Cobahh:
    """Hodgkin-Huxley with exponential conductances: Brette et al. 2007, benchmark 3.

    At the start v is normal, the conductances are normal and cut off at zero, the gates are
    closed (m = n = h = 0), as in Brian2's example COBAHH (which lets conductances start below
    zero).
    """

    name: str = "cobahh"
    seconds: float = 1.0
    excitatory: int = 3200
    inhibitory: int = 800
    probability: float = 0.02
    we_ns: float = 6.0
    wi_ns: float = 67.0
    c_pf: float = 200.0
    g_leak_ns: float = 10.0
    g_na_ns: float = 20000.0
    g_k_ns: float = 6000.0
    e_leak_mv: float = -60.0
    e_na_mv: float = 50.0
    e_k_mv: float = -90.0
    e_e_mv: float = 0.0
    e_i_mv: float = -80.0
    vt_mv: float = -63.0
    tau_e_ms: float = 5.0
    tau_i_ms: float = 10.0
    threshold_mv: float = -20.0
    refractory_ms: float = 3.0
    v_start_mv: tuple[float, float] = (-65.0, 5.0)
    ge_start_ns: tuple[float, float] = (40.0, 15.0)
    gi_start_ns: tuple[float, float] = (200.0, 120.0)

    @property
    def neurons(self) -> int:
        return self.excitatory + self.inhibitory

    @property
    def in_degree(self) -> float:
        """Expected synapses that end on a neuron."""
        return self.probability * self.neurons


@dataclass(frozen=True)
class Stdp:
    """Pair rule, additive, all-to-all pairing, bounds enforced at every change.

    A pair at time difference d changes the weight by a_plus exp(-d / tau_plus) where the
    post-synaptic spike is later and by -a_minus exp(-d / tau_minus) where it is earlier.
    """

    w_max_mv: float = 0.2
    a_plus_mv: float = 0.002
    a_minus_mv: float = 0.0021
    tau_plus_ms: float = 20.0
    tau_minus_ms: float = 20.0


@dataclass(frozen=True)
class Brunel:
    """Integrate-and-fire with delta synapses: Brunel 2000, model A, asynchronous irregular."""

    name: str = "brunel"
    seconds: float = 0.2
    excitatory: int = 10000
    inhibitory: int = 2500
    from_excitatory: int = 1000
    from_inhibitory: int = 250
    j_mv: float = 0.1
    g: float = 5.0
    eta: float = 2.0
    delay_ms: float = 1.5
    tau_m_ms: float = 20.0
    threshold_mv: float = 20.0
    reset_mv: float = 10.0
    refractory_ms: float = 2.0
    stdp: Stdp | None = None

    @property
    def neurons(self) -> int:
        return self.excitatory + self.inhibitory

    @property
    def in_degree(self) -> float:
        """Synapses that end on a neuron."""
        return float(self.from_excitatory + self.from_inhibitory)

    @property
    def external_hz(self) -> float:
        """Rate of one external train: eta times what alone brings v to the threshold."""
        reach_mv = self.j_mv * self.from_excitatory * self.tau_m_ms / 1000
        return self.eta * self.threshold_mv / reach_mv

    @property
    def external_trains(self) -> int:
        return self.from_excitatory


Network = Cuba | Cobahh | Brunel

CUBA = Cuba()
NETWORKS: dict[str, Network] = {
    network.name: network
    for network in (
        CUBA,
        CUBA.enlarged("cuba20k", 20000, 1000.0),
        Brunel(),
        Brunel(name="brunel_stdp", stdp=Stdp()),
        Cobahh(),
    )
}

BRUNEL_SMALL = Brunel(
    name="brunel_small",
    seconds=1.0,
    excitatory=2000,
    inhibitory=500,
    from_excitatory=400,
    from_inhibitory=100,
    j_mv=0.25,
)
COMPARED: dict[str, Network] = {
    network.name: network
    for network in (
        *NETWORKS.values(),
        BRUNEL_SMALL,
        replace(
            BRUNEL_SMALL,
            name="brunel_stdp_small",
            stdp=Stdp(w_max_mv=0.5, a_plus_mv=0.005, a_minus_mv=0.00525),
        ),
    )
}
"""Those of the benchmark, and those that only statistics are compared of."""


@dataclass(frozen=True)
class DiehlCook:
    """What one step of Diehl & Cook 2015 is fed with, for the time that it takes.

    The images are made up: as many inputs fire, and as often, as for an average digit of MNIST,
    which has 150 of 784 pixels above zero, of 174 on the average; a quarter of that is the rate
    in Hz. The step is the original's, and an image lasts 350 ms.
    """

    inputs: int = 784
    neurons: int = 400
    active: int = 150
    rate_hz: float = 43.5
    steps: int = 700
    theta_plus_mv: float = 0.05
    dt_ms: float = 0.5


DIEHL_COOK = DiehlCook()
