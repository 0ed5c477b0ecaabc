"""The pages, one file for each group; each has `ROUTES`."""
