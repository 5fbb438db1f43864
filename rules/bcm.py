"""BCM by spikes: a triplet rule whose depression slides with the post-synaptic rate."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from biosim.spiking.description import SynapseModel
from rules.synaptic import Quantity, SynapseRule


class Bcm(SynapseRule):
    """Triplet STDP with a sliding threshold: weak activity depresses, strong potentiates.

    With Poisson spikes the mean change goes with pre post (post - theta), where theta slides with
    the square of the post-synaptic rate, and is rho0 at rho0.
    """

    source: ClassVar[str] = (
        "Bienenstock, Cooper & Munro 1982; by spikes: Pfister & Gerstner 2006, mapping to BCM"
    )
    equations: ClassVar[str] = (
        "pre spike: w -= w_ref a2_minus o1 (rate/rho0)^2, then r1 rises;  post spike: w += w_ref "
        "a3_plus r1 o2, then o1, o2 rise;  a2_minus = a3_plus rho0 tau_plus tau_y / tau_minus"
    )
    locality: ClassVar[str] = "none beyond the spikes of its two neurons"

    name: Literal["bcm"] = "bcm"
    w_ref: Quantity = Field(1.0, description="weight that amplitudes are shares of")
    # The minimal fit to visual cortex of triplet_stdp, but for the depression.
    a3_plus: float = Field(6.5e-3, ge=0, description="potentiation by post-pre-post")
    tau_plus_ms: float = Field(16.8, gt=0, description="of r1")
    tau_minus_ms: float = Field(33.7, gt=0, description="of o1")
    tau_y_ms: float = Field(114.0, gt=0, description="of o2")
    rho0_hz: float = Field(10.0, gt=0, description="rate whose threshold is that rate")
    tau_rate_ms: float = Field(1e4, gt=0, description="over which the rate is counted")

    def synapse(self) -> SynapseModel:
        """Return the equations; see `SynapseRule.synapse`."""
        return SynapseModel(
            model=f"""
                w : {self.unit}
                dr1/dt = -r1/tau_plus : 1 (event-driven)
                do1/dt = -o1/tau_minus : 1 (event-driven)
                do2/dt = -o2/tau_y : 1 (event-driven)
                dseen/dt = -seen/tau_rate : 1 (event-driven)
            """,
            on_pre="""
                receptor += w
                w = clip(w - w_ref*a2_minus*o1*seen**2, 0*w_max, w_max)
                r1 += 1
            """,
            on_post="""
                w = clip(w + w_ref*a3_plus*r1*o2, 0*w_max, w_max)
                o1 += 1; o2 += 1
                seen += 1/(rho0*tau_rate)
            """,
            constants={
                "w_max": self.w_max,
                "w_ref": self.reference(self.w_ref),
                "a2_minus": "a3_plus*rho0*tau_plus*tau_y/tau_minus",
                "a3_plus": self.a3_plus,
                "rho0": f"{self.rho0_hz!r}*Hz",
                "tau_plus": f"{self.tau_plus_ms!r}*ms",
                "tau_minus": f"{self.tau_minus_ms!r}*ms",
                "tau_y": f"{self.tau_y_ms!r}*ms",
                "tau_rate": f"{self.tau_rate_ms!r}*ms",
            },
            bounds=self.limits,
        )
