"""Reward-modulated STDP: pairs leave a memory, and dopamine turns it into a change of weight."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from biosim.spiking.description import SynapseModel
from rules.synaptic import SynapseRule


class RewardStdp(SynapseRule):
    """STDP that is written to an eligibility, and read out while there is dopamine.

    `Machine.modulate(projection, "dopamine", amount)` brings reward.
    """

    source: ClassVar[str] = (
        "Izhikevich 2007, eqs. 1 to 3; a baseline of dopamine as in NEST's stdp_dopamine_synapse"
    )
    equations: ClassVar[str] = (
        "c += STDP(pre, post);  dc/dt = -c/tau_c;  dw/dt = rate w_max c (dopamine - baseline);  "
        "ddopamine/dt = -dopamine/tau_d"
    )
    locality: ClassVar[str] = "dopamine is one number for the whole projection"

    name: Literal["reward_stdp"] = "reward_stdp"
    rate_hz: float = Field(1.0, ge=0, description="share of w_max a second, at c = dopamine = 1")
    a_plus: float = Field(0.1, description="eligibility of pre before post")
    a_minus: float = Field(0.12, description="of post before pre, taken away")
    tau_plus_ms: float = Field(20.0, gt=0, description="how long a pre spike counts")
    tau_minus_ms: float = Field(20.0, gt=0, description="how long a post spike counts")
    tau_c_ms: float = Field(1000.0, gt=0, description="of the eligibility")
    tau_d_ms: float = Field(200.0, gt=0, description="of dopamine")
    baseline: float = Field(0.0, description="dopamine at which nothing changes")

    def synapse(self) -> SynapseModel:
        """Return the equations; see `SynapseRule.synapse`."""
        # Between events the weight is free to leave its bounds; none of it is ever sent.
        return SynapseModel(
            model=f"""
                dw/dt = rate*w_max*c*(dopamine - baseline) : {self.unit} (clock-driven)
                dc/dt = -c/tau_c : 1 (event-driven)
                ddopamine/dt = -dopamine/tau_d : 1 (clock-driven, shared)
                dapre/dt = -apre/tau_plus : 1 (event-driven)
                dapost/dt = -apost/tau_minus : 1 (event-driven)
            """,
            on_pre="""
                w = clip(w, 0*w_max, w_max)
                receptor += w
                c -= a_minus*apost
                apre += 1
            """,
            on_post="w = clip(w, 0*w_max, w_max); c += a_plus*apre; apost += 1",
            constants={
                "w_max": self.w_max,
                "rate": f"{self.rate_hz!r}*Hz",
                "a_plus": self.a_plus,
                "a_minus": self.a_minus,
                "baseline": self.baseline,
                "tau_c": f"{self.tau_c_ms!r}*ms",
                "tau_d": f"{self.tau_d_ms!r}*ms",
                "tau_plus": f"{self.tau_plus_ms!r}*ms",
                "tau_minus": f"{self.tau_minus_ms!r}*ms",
            },
            bounds=self.limits,
        )
