"""Benchmarks: the service beside yardsticks measured in the same run. `make bench` runs all of them."""
