"""Pair-based STDP: pre before post strengthens, post before pre weakens."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from biosim.spiking.description import SynapseModel
from rules.synaptic import Pairing, Quantity, SynapseRule

STEPS = {
    "additive": ("a_plus*w_max", "a_minus*w_max"),
    "multiplicative": ("a_plus*(w_max - w)", "a_minus*w"),
    "power_law": ("a_plus*w_ref*(w/w_ref)**mu", "a_minus*w"),
}
"""How far a pair of no distance moves the weight, up and down."""

TRACES = {
    # pairing: on_pre after the weight has changed, on_post likewise
    "all": ("apre += 1", "apost += 1"),
    "nearest": ("apre = 1", "apost = 1"),
    # What has counted is gone, so the traces become each synapse's own.
    "immediate": ("apre = 1; apost = 0", "apost = 1; apre = 0"),
}


class Stdp(SynapseRule):
    """Spike-timing-dependent plasticity of pairs of spikes."""

    source: ClassVar[str] = (
        "Song, Miller & Abbott 2000 (additive); Rubin, Lee & Sompolinsky 2001 (multiplicative); "
        "Morrison, Aertsen & Diesmann 2007 (power law)"
    )
    equations: ClassVar[str] = (
        "post spike: w += up(w) apre, then apost rises;  pre spike: w -= down(w) apost, then apre "
        "rises;  up = a_plus w_max | a_plus (w_max - w) | a_plus w_ref (w/w_ref)^mu;  "
        "down = a_minus w_max | a_minus w | a_minus w"
    )
    locality: ClassVar[str] = "none beyond the spikes of its two neurons"

    name: Literal["stdp"] = "stdp"
    weights: Literal["additive", "multiplicative", "power_law"] = Field(
        "additive", description="how a step depends on the weight"
    )
    pairing: Pairing = Field("all", description="all, nearest or immediate pairs of spikes")
    # A- / A+ = 1.05 and tau = 20 ms: Song, Miller & Abbott 2000.
    a_plus: float = Field(0.005, ge=0, description="step of potentiation, a share")
    a_minus: float = Field(0.00525, ge=0, description="step of depression, a share")
    tau_plus_ms: float = Field(20.0, gt=0, description="how long a pre spike potentiates")
    tau_minus_ms: float = Field(20.0, gt=0, description="how long a post spike depresses")
    mu: float = Field(0.4, ge=0, description="exponent (power_law)")
    w_ref: Quantity = Field(1.0, description="weight whose steps are a_plus w_ref (power_law)")

    @model_validator(mode="after")
    def _exponent_is_for_the_power_law(self) -> Self:
        # A stored rule names every parameter: what stands at its default asks for nothing.
        fields = type(self).model_fields
        given = [name for name in ("mu", "w_ref") if getattr(self, name) != fields[name].default]
        if given and self.weights != "power_law":
            raise ValueError(f"{given[0]} is for weights=power_law; leave it out")
        return self

    def synapse(self) -> SynapseModel:
        """Return the equations; see `SynapseRule.synapse`."""
        up, down = STEPS[self.weights]
        arrived, spiked = TRACES[self.pairing]
        own = {}
        if self.weights == "power_law":
            own = {"mu": self.mu, "w_ref": self.reference(self.w_ref)}
        return SynapseModel(
            model=f"""
                w : {self.unit}
                dapre/dt = -apre/tau_plus : 1 (event-driven)
                dapost/dt = -apost/tau_minus : 1 (event-driven)
            """,
            on_pre=f"receptor += w; w = clip(w - {down}*apost, 0*w_max, w_max); {arrived}",
            on_post=f"w = clip(w + {up}*apre, 0*w_max, w_max); {spiked}",
            constants={
                "a_plus": self.a_plus,
                "a_minus": self.a_minus,
                "tau_plus": f"{self.tau_plus_ms!r}*ms",
                "tau_minus": f"{self.tau_minus_ms!r}*ms",
                "w_max": self.w_max,
                **own,
            },
            bounds=self.limits,
        )
