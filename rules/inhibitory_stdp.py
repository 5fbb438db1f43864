"""Inhibitory STDP: inhibition grows until its target fires at a rate that is given."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from biosim.spiking.description import SynapseModel
from rules.synaptic import SynapseRule


class InhibitoryStdp(SynapseRule):
    """Symmetric STDP of inhibitory synapses, with a target for the post-synaptic rate.

    The weight is a conductance, or a current that the neuron subtracts: it is never negative.
    """

    source: ClassVar[str] = "Vogels, Sprekeler, Zenke, Clopath & Gerstner 2011"
    equations: ClassVar[str] = (
        "pre spike: w += eta w_max (apost - 2 rho0 tau), then apre rises;  "
        "post spike: w += eta w_max apre, then apost rises"
    )
    locality: ClassVar[str] = "none beyond the spikes of its two neurons"

    name: Literal["inhibitory_stdp"] = "inhibitory_stdp"
    # Their eta of 0.01 for weights up to 100.
    eta: float = Field(1e-4, ge=0, description="step of a pair, a share of w_max")
    rho0_hz: float = Field(3.0, ge=0, description="rate of the target neuron aimed at")
    tau_ms: float = Field(20.0, gt=0, description="how long a spike of either side counts")

    def synapse(self) -> SynapseModel:
        """Return the equations; see `SynapseRule.synapse`."""
        return SynapseModel(
            model=f"""
                w : {self.unit}
                dapre/dt = -apre/tau : 1 (event-driven)
                dapost/dt = -apost/tau : 1 (event-driven)
            """,
            on_pre="""
                receptor += w
                w = clip(w + eta*w_max*(apost - 2*rho0*tau), 0*w_max, w_max)
                apre += 1
            """,
            on_post="w = clip(w + eta*w_max*apre, 0*w_max, w_max); apost += 1",
            constants={
                "w_max": self.w_max,
                "eta": self.eta,
                "rho0": f"{self.rho0_hz!r}*Hz",
                "tau": f"{self.tau_ms!r}*ms",
            },
            bounds=self.limits,
        )
