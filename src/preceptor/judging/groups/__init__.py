"""Judging the k responses to one prompt as a group: which comparisons are made, and the strengths they give."""
