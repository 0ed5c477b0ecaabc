"""The report of arms."""
