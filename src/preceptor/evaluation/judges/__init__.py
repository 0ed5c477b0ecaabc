"""Measures of judges: agreement with people, biases, the value of their labels."""
