"""Runs the benchmarks and prints ratios: `make bench`."""

from benchmarks import spiking, throughput

throughput.main()
spiking.main([])
