"""Reward models: language models that give a conversation one number, learned from preferences."""
