"""The folder in which preceptor keeps what it fetched from elsewhere."""

import os
from pathlib import Path


def cache_directory() -> Path:
    """The folder of cached models and datasets: `$PRECEPTOR_CACHE`, else `preceptor` in the user's cache folder."""
    if override := os.environ.get("PRECEPTOR_CACHE"):
        return Path(override)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "preceptor"
