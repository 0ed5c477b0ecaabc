"""The contestants' processes."""
