"""A run in progress: its directory, inputs, measurements and final steps."""
