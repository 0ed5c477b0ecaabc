"""Processes of contestants."""
