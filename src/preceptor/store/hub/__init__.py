"""Datasets on the Hugging Face Hub: their names, the copy of one on this machine, and what its columns mean."""
