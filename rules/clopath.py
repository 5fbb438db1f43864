"""Voltage-based STDP: what counts of the post-synaptic neuron is its voltage, not its spikes."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar, Literal

from pydantic import Field

from biosim.spiking.description import Spiking, SynapseModel
from rules.synaptic import SynapseRule


class Clopath(SynapseRule):
    """STDP by the voltage of the post-synaptic neuron and two running means of it.

    `neuron` adds the means to a neuron whose voltage is `v` and shows its spikes: a depolarised
    neuron potentiates while v exceeds theta_plus.
    """

    source: ClassVar[str] = (
        "Clopath, Buesing, Vasilaki & Gerstner 2010, eqs. 1 to 3, table 1 (visual cortex); "
        "without the homeostasis of a_ltd, and means without delay"
    )
    equations: ClassVar[str] = (
        "pre spike: w -= w_max a_ltd [u_minus - theta_minus]+, then x rises;  "
        "dw/dt = w_max a_ltp x [v - theta_plus]+ [u_plus - theta_minus]+"
    )
    locality: ClassVar[str] = (
        "none beyond spikes of the pre- and voltage of the post-synaptic neuron"
    )

    name: Literal["clopath"] = "clopath"
    a_ltd_per_mv: float = Field(14e-5, ge=0, description="depression, a share of w_max a mV")
    a_ltp_per_mv2_ms: float = Field(
        8e-5, ge=0, description="potentiation, a share of w_max a mV^2 ms"
    )
    theta_minus_mv: float = Field(-70.6, description="of the means, above which weights change")
    theta_plus_mv: float = Field(-45.3, description="of the voltage, above which they grow")
    tau_x_ms: float = Field(15.0, gt=0, description="how long a pre spike potentiates")
    tau_minus_ms: float = Field(10.0, gt=0, description="of the mean that depresses")
    tau_plus_ms: float = Field(7.0, gt=0, description="of the mean that potentiates")

    def synapse(self) -> SynapseModel:
        """Return the equations; see `SynapseRule.synapse`."""
        return SynapseModel(
            model=f"""
                dw/dt = w_max*a_ltp*x*above*calm : {self.unit} (clock-driven)
                dx/dt = -x/tau_x : 1 (event-driven)
                above = clip(v_post - theta_plus, 0*mV, inf*mV) : volt
                calm = clip(u_plus_post - theta_minus, 0*mV, inf*mV) : volt
            """,
            on_pre="""
                w = clip(w, 0*w_max, w_max)
                receptor += w
                low = clip(u_minus_post - theta_minus, 0*mV, inf*mV)
                w = clip(w - w_max*a_ltd*low, 0*w_max, w_max)
                x += 1
            """,
            constants={
                "w_max": self.w_max,
                "a_ltd": f"{self.a_ltd_per_mv!r}/mV",
                "a_ltp": f"{self.a_ltp_per_mv2_ms!r}/(mV**2*ms)",
                "theta_minus": f"{self.theta_minus_mv!r}*mV",
                "theta_plus": f"{self.theta_plus_mv!r}*mV",
                "tau_x": f"{self.tau_x_ms!r}*ms",
            },
            bounds=self.limits,
        )

    def neuron(self, model: Spiking) -> Spiking:
        """Return the neuron with the running means of its voltage `v`.

        Args:
            model: with a variable `v` in volt.
        """
        return replace(
            model,
            model=f"""{model.model}
                du_minus/dt = (v - u_minus)/tau_u_minus : volt
                du_plus/dt = (v - u_plus)/tau_u_plus : volt""",
            constants={
                **model.constants,
                "tau_u_minus": f"{self.tau_minus_ms!r}*ms",
                "tau_u_plus": f"{self.tau_plus_ms!r}*ms",
            },
        )
