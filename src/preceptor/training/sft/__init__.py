"""Supervised fine-tuning on demonstrations, through TRL."""
