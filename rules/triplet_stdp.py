"""Triplet STDP: a slow trace of either side's own spikes scales what a pair does."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from biosim.spiking.description import SynapseModel
from rules.synaptic import Quantity, SynapseRule

Fit = Literal[
    "visual_cortex",
    "visual_cortex_minimal",
    "visual_cortex_nearest",
    "visual_cortex_nearest_minimal",
    "hippocampus",
    "hippocampus_minimal",
    "hippocampus_nearest",
    "hippocampus_nearest_minimal",
]

COLUMNS = ("a2_plus", "a3_plus", "a2_minus", "a3_minus", "tau_x_ms", "tau_y_ms")
PUBLISHED: dict[Fit, tuple[float | None, ...]] = {
    # Pfister & Gerstner 2006, tables 3 and 4. NEST has the first one; NESTML's model of nearest
    # neighbours has other numbers, which are in neither table.
    "visual_cortex": (5e-10, 6.2e-3, 7e-3, 2.3e-4, 101.0, 125.0),
    "visual_cortex_minimal": (0.0, 6.5e-3, 7.1e-3, 0.0, None, 114.0),
    "visual_cortex_nearest": (8.8e-11, 5.3e-2, 6.6e-3, 3.1e-3, 714.0, 40.0),
    "visual_cortex_nearest_minimal": (0.0, 5e-2, 8e-3, 0.0, None, 40.0),
    "hippocampus": (6.1e-3, 6.7e-3, 1.6e-3, 1.4e-3, 946.0, 27.0),
    "hippocampus_minimal": (5.3e-3, 8e-3, 3.5e-3, 0.0, None, 40.0),
    "hippocampus_nearest": (4.6e-3, 9.1e-3, 3e-3, 7.5e-9, 575.0, 47.0),
    "hippocampus_nearest_minimal": (4.6e-3, 9.1e-3, 3e-3, 0.0, None, 48.0),
}
"""Fits to experiments; "minimal" ones leave out what does not help, and with it tau_x."""


def published(fit: Fit) -> dict[str, Any]:
    """Return the parameters of a published fit."""
    pairing = "nearest" if "nearest" in fit else "all"
    values = zip(COLUMNS, PUBLISHED[fit], strict=True)
    return {"pairing": pairing} | {name: value for name, value in values if value is not None}


class TripletStdp(SynapseRule):
    """STDP of triplets of spikes, whose potentiation grows with the rate of pairing."""

    source: ClassVar[str] = "Pfister & Gerstner 2006, eqs. 3 and 4, tables 3 and 4"
    equations: ClassVar[str] = (
        "pre spike: w -= w_ref o1 (a2_minus + a3_minus r2), then r1, r2 rise;  "
        "post spike: w += w_ref r1 (a2_plus + a3_plus o2), then o1, o2 rise"
    )
    locality: ClassVar[str] = "none beyond the spikes of its two neurons"

    name: Literal["triplet_stdp"] = "triplet_stdp"
    w_max: Quantity = Field(3.0, description="greatest weight, with its unit")
    w_ref: Quantity = Field(1.0, description="weight that amplitudes are shares of")
    fit: Fit = Field("visual_cortex", description="published set that parameters default to")
    pairing: Literal["all", "nearest"] = Field("all", description="traces add up, or restart at 1")
    a2_plus: float = Field(5e-10, ge=0, description="potentiation by a pair")
    a3_plus: float = Field(6.2e-3, ge=0, description="more by post-pre-post")
    a2_minus: float = Field(7e-3, ge=0, description="depression by a pair")
    a3_minus: float = Field(2.3e-4, ge=0, description="more by pre-post-pre")
    tau_plus_ms: float = Field(16.8, gt=0, description="of r1")
    tau_minus_ms: float = Field(33.7, gt=0, description="of o1")
    tau_x_ms: float = Field(101.0, gt=0, description="of r2")
    tau_y_ms: float = Field(125.0, gt=0, description="of o2")

    @model_validator(mode="before")
    @classmethod
    def _published(cls, given: Any) -> Any:
        fit = given.get("fit", "visual_cortex") if isinstance(given, dict) else None
        # What cannot be a key is refused like any other name.
        known: Fit | None = next((name for name in PUBLISHED if name == fit), None)
        return given if known is None else {**published(known), **given}

    def synapse(self) -> SynapseModel:
        """Return the equations; see `SynapseRule.synapse`."""
        # The slow traces are read before their own spike raises them: the paper's t - epsilon.
        rises = "+= 1" if self.pairing == "all" else "= 1"
        return SynapseModel(
            model=f"""
                w : {self.unit}
                dr1/dt = -r1/tau_plus : 1 (event-driven)
                dr2/dt = -r2/tau_x : 1 (event-driven)
                do1/dt = -o1/tau_minus : 1 (event-driven)
                do2/dt = -o2/tau_y : 1 (event-driven)
            """,
            on_pre=f"""
                receptor += w
                w = clip(w - w_ref*o1*(a2_minus + a3_minus*r2), 0*w_max, w_max)
                r1 {rises}; r2 {rises}
            """,
            on_post=f"""
                w = clip(w + w_ref*r1*(a2_plus + a3_plus*o2), 0*w_max, w_max)
                o1 {rises}; o2 {rises}
            """,
            constants={
                "w_max": self.w_max,
                "w_ref": self.reference(self.w_ref),
                "a2_plus": self.a2_plus,
                "a3_plus": self.a3_plus,
                "a2_minus": self.a2_minus,
                "a3_minus": self.a3_minus,
                "tau_plus": f"{self.tau_plus_ms!r}*ms",
                "tau_minus": f"{self.tau_minus_ms!r}*ms",
                "tau_x": f"{self.tau_x_ms!r}*ms",
                "tau_y": f"{self.tau_y_ms!r}*ms",
            },
            bounds=self.limits,
        )
