"""A spiking network neuron by neuron, synapse by synapse, tick by tick: slow and obviously right.

It runs the same scalar code as the kernels, but nothing of theirs: every synapse is an object
with all its traces of its own, every sum is a Python integer. What a fast kernel does by sorting,
sharing and fusing must give what is given here.
"""

from biosim.spiking.reference.run import simulate

__all__ = ["simulate"]
