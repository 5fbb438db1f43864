"""Benchmarks: biosim side by side with its peers."""
