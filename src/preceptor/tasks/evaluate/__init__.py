"""Evaluating policies against each other."""
