"""Kernels: scalar code turned into compiled loops, and the loops that deliver spikes.

Everything here is numba. Compiled code releases the interpreter's lock, allocates nothing and
uses no random state; reassociation and contraction of floating-point arithmetic are off, so a
neuron's bits do not depend on its place in a vector.
"""
