"""Package versions and hardware, which influence results as the settings do."""

import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import Any

_WITH_TORCH = ("torch", "transformers", "peft", "accelerate", "vaderSentiment")


def environment() -> dict[str, str | int]:
    """Versions and hardware; torch and the packages built on it are listed only if this process has imported torch."""
    torch: Any = sys.modules.get("torch")
    facts: dict[str, str | int] = {"python": platform.python_version(), "platform": platform.platform(terse=True)}
    facts |= _versions("preceptor", *(_WITH_TORCH if torch else ()))
    if torch is not None:
        facts["device"] = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
        facts["threads"] = torch.get_num_threads()
    return facts


def _versions(*packages: str) -> dict[str, str]:
    versions: dict[str, str] = {}
    for package in packages:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return versions
