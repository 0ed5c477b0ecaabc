"""Whole methods as short programs over the other rooms, and the TOML files that set them."""
