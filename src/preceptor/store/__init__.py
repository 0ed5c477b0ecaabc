"""What is kept: the ledger of model calls, files that are written whole or not at all, prompt files."""
