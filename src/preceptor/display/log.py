"""The log of a task or a run: `log.txt` in its folder, a line with the time for each event that matters.

It never contains keys. No event is longer than 200 characters, so it contains little of what models write.
"""

import json
import logging
import os
import sys
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib.metadata import version
from os import PathLike
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from preceptor.core.errors import PreceptorError
from preceptor.core.outlook import TRAINING_STAGE, Part
from preceptor.core.progress import Facts, Progress, Silence
from preceptor.core.secrets import SHORTEST_SECRET, without_secret
from preceptor.core.text import printable_line
from preceptor.display.pulse import PULSE

FILE = "log.txt"
LONGEST = 200
"""Most characters of an event; the middle of a longer one is left out."""
PORTIONS = 10
"""Counted work is logged after every tenth of it."""
_KEYS = ("OPENAI_API_KEY", "PRECEPTOR_API_KEY")
_ROOT = logging.getLogger("preceptor")
_ROOT.addHandler(logging.NullHandler())  # nothing is printed unless somebody asks for it


class Logged:
    """Passes progress on and logs it.

    Args:
        progress: receives the events too.
        logger: where they are logged.
    """

    def __init__(self, progress: Progress, logger: logging.Logger) -> None:
        self.progress = progress
        self._logger = logger
        self._portion = 0

    @property
    def is_of_the_process(self) -> bool:
        """Whether the events go to the logger `preceptor` and to no file."""
        return self._logger is _ROOT

    def event(self, text: str) -> None:
        """Logs an event that is not progress."""
        self._logger.info(_shortened(text))

    def plan(self, parts: Sequence[Part]) -> None:
        """Passes the plan on."""
        self.progress.plan(parts)

    def stage(self, name: str) -> None:
        """Logs a stage, except training: it begins again after each measurement, and each of its steps is logged."""
        self._portion = 0
        if name != TRAINING_STAGE:
            self.event(name)
        self.progress.stage(name)

    def advance(self, done: int, total: int, facts: str = "") -> None:
        """Logs how much of a stage is done, after every tenth of it."""
        portion = PORTIONS * done // max(1, total)
        if portion > self._portion:
            self._portion = portion
            self.event(", ".join(filter(None, [f"{done}/{total}", facts])))
        self.progress.advance(done, total, facts)

    def step(self, step: int, total: int, facts: Facts) -> None:
        """Logs a training step."""
        self.event(f"step {step}/{total}{_listed(facts)}")
        self.progress.step(step, total, facts)

    def measured(self, step: int, facts: Facts) -> None:
        """Logs the measures of a checkpoint."""
        self.event(f"measured step {step}{_listed(facts)}")
        self.progress.measured(step, facts)

    def note(self, text: str) -> None:
        """Logs a note."""
        self._logger.warning(_shortened(text))
        self.progress.note(text)


@contextmanager
def logged(
    folder: Path,
    work: str,
    settings: Mapping[str, Any],
    progress: Progress,
    account: Callable[[], str] | None = None,
) -> Generator[Logged]:
    """Within the context, logs progress and how the work ends to a file in an existing folder.

    A later process that resumes the work appends to the file. Work goes on even if the file cannot be written. Enter it
    after every check that may refuse the work, so that a refused attempt leaves no line in a folder it did not change.

    Args:
        work: what is done, for instance "label".
        settings: written into the first event.
        account: is called when the work ends; returns what it used: calls, failures by reason, dollars.
    """
    logger = logging.Logger("preceptor", logging.INFO)
    if isinstance(progress, Logged) and progress.is_of_the_process:
        progress = progress.progress  # this log passes its own events on
    if not isinstance(progress, Logged):  # an outer one has passed the events on already
        logger.addHandler(_PassedOn())
    handler = _File(folder / FILE, encoding="utf-8", delay=True)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%S%z"))
    logger.addHandler(handler)
    begun = time.monotonic()
    inner = Logged(progress, logger)
    logger.info(printable_line(_without_keys(f"{work} begun by preceptor {version('preceptor')}: {_json(settings)}")))
    try:
        try:
            yield inner
        finally:
            with suppress(PreceptorError):
                if account is not None:
                    inner.event(account())
    except KeyboardInterrupt:
        logger.warning("%s interrupted after %.0f s", work, time.monotonic() - begun)
        raise
    except BaseException as error:
        logger.error(_shortened(f"{work} failed after {time.monotonic() - begun:.0f} s: {error}"))
        raise
    else:
        logger.info("%s done in %.0f s", work, time.monotonic() - begun)
    finally:
        handler.close()


def source(rows: Any) -> str:
    """How the log names a task's input: by its path, or by the type of the object; never by its content."""
    return str(Path(rows)) if isinstance(rows, str | PathLike) else type(rows).__name__


def log_to_terminal() -> Logged:
    """Prints every event on standard error from here on, whether or not the work keeps a log file.

    Returns: the progress to give to the work.
    """
    handler = _Terminal(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    _ROOT.addHandler(handler)
    _ROOT.setLevel(logging.INFO)
    return Logged(Silence(), _ROOT)


class _File(logging.FileHandler):
    def emit(self, record: logging.LogRecord) -> None:
        with suppress(OSError):  # the file cannot be opened
            super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:
        """Ignores errors of writing the file, because work must go on without its log."""


class _PassedOn(logging.Handler):
    """Passes events on to the logger `preceptor`, for the handlers that a program has added there."""

    def emit(self, record: logging.LogRecord) -> None:
        _ROOT.log(record.levelno, "%s", record.getMessage())


class _Terminal(logging.StreamHandler[Any]):
    def emit(self, record: logging.LogRecord) -> None:
        PULSE.spoke()
        super().emit(record)


def _json(settings: Mapping[str, Any]) -> str:
    return json.dumps(settings, ensure_ascii=False, default=_plain)


def _plain(value: Any) -> Any:
    return value.model_dump(mode="json") if isinstance(value, BaseModel) else str(value)


def _listed(facts: Facts) -> str:
    known = [f"{name} {value:.4g}" for name, value in facts.items() if value is not None]
    return f": {', '.join(known)}" if known else ""


def _shortened(text: str) -> str:
    line = printable_line(_without_keys(text))
    half = (LONGEST - 5) // 2
    return line if len(line) <= LONGEST else f"{line[:half]} ... {line[-half:]}"


def _without_keys(text: str) -> str:
    for name in _KEYS:
        key = os.environ.get(name, "").strip()
        if len(key) >= SHORTEST_SECRET:
            text = without_secret(text, key)
    return text
