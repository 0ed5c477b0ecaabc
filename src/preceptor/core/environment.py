"""Exact versions and the machine: what a number depends on beside its settings."""

import platform
import sys
from importlib.metadata import version
from typing import Any

_ALWAYS = ("preceptor",)
_WITH_TORCH = ("torch", "transformers", "peft", "accelerate", "vaderSentiment")


def environment() -> dict[str, Any]:
    """Versions and hardware; torch and what builds on it only where this process uses it."""
    torch: Any = sys.modules.get("torch")
    facts: dict[str, Any] = {"python": platform.python_version(), "platform": platform.platform(terse=True)}
    facts |= {package: version(package) for package in (*_ALWAYS, *(_WITH_TORCH if torch else ()))}
    if torch is not None:
        facts["device"] = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
        facts["threads"] = torch.get_num_threads()
    return facts
