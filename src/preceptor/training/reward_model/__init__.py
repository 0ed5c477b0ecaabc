"""Reward models: language models that score a conversation with one number, learned from preferences."""
