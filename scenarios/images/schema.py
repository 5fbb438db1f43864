from __future__ import annotations
from pydantic import Field
from scenarios.scenario import Table
class Cortex(Table):
    excitatory: int = 400
    weight: float = .3
    weight_sum: float = 78.4
    theta_mv: float = 20.
    theta_step_mv: float = .05
    theta_tau_ms: float = 1e7
    refractory_ms: float = 50.
    to_inhibitory: float = 10.4
    to_excitatory: float = 17.
