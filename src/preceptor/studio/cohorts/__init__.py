"""Failures in production over time: by cohort and week, before and after each deployed model."""
