"""Measures of judges: agreement with people, biases, what their labels are worth."""
