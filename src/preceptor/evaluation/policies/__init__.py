"""Measures of policies: win rates, length control, cohorts, rates, and the evaluation that holds them all."""
