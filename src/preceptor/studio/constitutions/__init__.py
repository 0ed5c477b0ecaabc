"""Constitutions: every version that some work used, two versions compared on the same rows, drafts tried and saved."""
