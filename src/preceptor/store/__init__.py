"""Files: the ledger of model calls, datasets, prompts, and files that are written completely or not at all."""
