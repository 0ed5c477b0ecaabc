"""Runs as they stand now, finished or under way: their curves, and what was sampled at each checkpoint."""
