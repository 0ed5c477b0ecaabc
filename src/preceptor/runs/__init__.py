"""A run under way: its directory, inputs, measurements and ending."""
