"""Benchmarks: preceptor beside its peers on one machine. `make bench` runs them all; see docs/benchmarks.md."""
