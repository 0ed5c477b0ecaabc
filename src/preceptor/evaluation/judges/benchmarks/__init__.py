"""Judges scored on benchmarks as the benchmarks' authors score them."""
