"""Judges in other people's trainers and evaluations, one file for each of them. These files use the public API only."""
