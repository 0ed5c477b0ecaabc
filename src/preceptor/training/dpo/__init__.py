"""Direct preference optimisation on labels that may be soft."""
