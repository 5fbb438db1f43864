"""Spiking networks as scenario files: their tables, and from tables to a network."""

from scenarios.spiking.schema import SpikingScenario

__all__ = ["SpikingScenario"]
