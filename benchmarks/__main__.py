"""Runs the benchmarks and prints ratios: `make bench`."""

from benchmarks.throughput import main

main()
