"""Judging: constitutions, prompts for judges, verdicts, and the record of every call."""
