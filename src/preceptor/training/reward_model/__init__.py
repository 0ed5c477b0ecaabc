"""Reward models: a language model that reads a conversation and says one number, learned from preferences."""
