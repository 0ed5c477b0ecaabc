"""Rubrics as work of their own: writing them with a model, and measuring what they tell apart."""
