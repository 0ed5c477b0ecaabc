"""Rubrics: criteria written for one prompt, how each is checked, and what they add up to."""
