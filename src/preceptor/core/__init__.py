"""Types, errors, hashing and seeds: no I/O, no torch."""
