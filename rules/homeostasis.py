"""Homeostasis: thresholds rise with every spike, and weights scale towards a rate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar, Literal

from pydantic import Field

from biosim.equations.code import EquationError
from biosim.spiking.description import Spiking, SynapseModel
from rules.synaptic import SynapseRule


class Homeostasis(SynapseRule):
    """Synaptic scaling of a neuron's weights, and an adaptive threshold of the neuron.

    `neuron` adds the threshold; both work alone.
    """

    source: ClassVar[str] = (
        "scaling: van Rossum, Bi & Turrigiano 2000, without the integral term; threshold: "
        "Diehl & Cook 2015"
    )
    equations: ClassVar[str] = (
        "dw/dt = w (1 - rate/rho0) / tau_w;  drate/dt = -rate/tau_rate, post spike: rate += "
        "1/tau_rate;  neuron: spike if v > threshold + theta, then theta += step;  "
        "dtheta/dt = -theta/tau_theta"
    )
    locality: ClassVar[str] = "none beyond the spikes of the post-synaptic neuron"

    name: Literal["homeostasis"] = "homeostasis"
    rho0_hz: float = Field(5.0, gt=0, description="rate of the post-synaptic neuron aimed at")
    tau_w_ms: float = Field(1e5, gt=0, description="of the scaling of weights")
    tau_rate_ms: float = Field(1e4, gt=0, description="over which spikes are counted")
    # Diehl & Cook 2015, with the time constant of their code.
    theta_step_mv: float = Field(0.05, ge=0, description="rise of the threshold with a spike")
    tau_theta_ms: float = Field(1e7, gt=0, description="of the fall of the threshold")

    def synapse(self) -> SynapseModel:
        """Return the equations of scaling; see `SynapseRule.synapse`."""
        return SynapseModel(
            model=f"""
                dw/dt = w*(1 - seen)/tau_w : {self.unit} (clock-driven)
                dseen/dt = -seen/tau_rate : 1 (event-driven)
            """,
            on_pre="w = clip(w, 0*w_max, w_max); receptor += w",
            on_post="seen += 1/(rho0*tau_rate)",
            constants={
                "w_max": self.w_max,
                "rho0": f"{self.rho0_hz!r}*Hz",
                "tau_w": f"{self.tau_w_ms!r}*ms",
                "tau_rate": f"{self.tau_rate_ms!r}*ms",
            },
            bounds=self.limits,
        )

    def neuron(self, model: Spiking) -> Spiking:
        """Return the neuron with a threshold that rises by a step at every spike.

        Args:
            model: with a threshold of the form "v > ...", in volt, and no variable `theta`.

        Raises:
            EquationError: the threshold has another form.
        """
        variable, sign, rest = (model.threshold or "").partition(">")
        if not sign or rest.startswith("=") or ">" in rest or " and " in rest or " or " in rest:
            raise EquationError(
                f"rule {self.name!r}, threshold {model.threshold!r}: expected one of the form "
                "'v > -50*mV', to which theta is added"
            )
        own: Mapping[str, str] = {
            "theta_step": f"{self.theta_step_mv!r}*mV",
            "tau_theta": f"{self.tau_theta_ms!r}*ms",
        }
        return replace(
            model,
            model=f"{model.model}\ndtheta/dt = -theta/tau_theta : volt",
            threshold=f"{variable}> ({rest.strip()}) + theta",
            reset="\n".join(part for part in (model.reset, "theta += theta_step") if part),
            constants={**model.constants, **own},
        )
