"""Measuring policies: estimates with intervals, cohorts, the choice of a checkpoint, over-optimisation. No torch."""
