"""Sends the numbers of each training step to one of accelerate's trackers. Off unless a tracker is named."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from preceptor.core.errors import UsageError

PACKAGES = {
    "tensorboard": ("tensorboard", "tensorboardX"),
    "wandb": ("wandb",),
    "mlflow": ("mlflow",),
    "trackio": ("trackio",),
}
"""For each tracker, the packages of which it needs at least one."""


def check_tracker(name: str) -> None:
    """Raises: UsageError when the tracker's package is not installed. Imports nothing heavy."""
    packages = PACKAGES.get(name, ())
    if packages and not any(importlib.util.find_spec(package) for package in packages):
        raise UsageError(f'tracking.with = "{name}" needs a package that is not installed; pip install {packages[0]}')


class Tracker:
    """A tracker, which does nothing if its name is "none". For the main process.

    Args:
        folder: the run directory, for trackers that write files.
        settings: the run's settings, nested as in its recipe.

    Raises: UsageError when the tracker's package is not installed.
    """

    def __init__(self, name: str, project: str, folder: Path, settings: Mapping[str, Any]) -> None:
        check_tracker(name)
        self._tracker: Any = None
        if name == "none":
            return
        from accelerate.tracking import LOGGER_TYPE_TO_CLASS

        arguments: dict[str, Any] = {"logging_dir": str(folder)} if name in ("tensorboard", "mlflow") else {}
        arguments |= {"dir": str(folder), "name": folder.name} if name == "wandb" else {}
        kind: Any = LOGGER_TYPE_TO_CLASS[name]
        self._tracker = kind(project, **arguments)
        self._tracker.start()
        self._tracker.store_init_configuration(flat(settings))

    def log(self, values: Mapping[str, Any], step: int) -> None:
        """Sends the values that are numbers."""
        if self._tracker is not None:
            numbers = {name: value for name, value in values.items() if isinstance(value, int | float)}
            self._tracker.log(numbers, step=step)

    def finish(self) -> None:
        """Sends the remaining values. Nothing can be logged afterwards."""
        if self._tracker is not None:
            self._tracker.finish()


def flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, bool | int | float | str]:
    """Flattens nested settings to dotted names, with lists as text, which every tracker accepts."""
    values: dict[str, bool | int | float | str] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):
            values |= flat(value, f"{prefix}{name}.")
        else:
            values[prefix + name] = value if isinstance(value, bool | int | float | str) else str(value)
    return values
