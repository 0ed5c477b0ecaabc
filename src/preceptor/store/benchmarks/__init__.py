"""Benchmarks of judges, read as their authors publish them."""
