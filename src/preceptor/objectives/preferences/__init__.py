"""Losses by which a policy learns preferences, one file each. `kinds.py` says what each of them needs."""
