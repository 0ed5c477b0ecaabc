"""Judges as a service over HTTP: many clients ask, one process owns the ledger, the budget and the rate limits."""
