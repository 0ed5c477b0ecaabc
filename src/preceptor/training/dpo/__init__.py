"""Direct preference optimisation, with hard or soft labels."""
