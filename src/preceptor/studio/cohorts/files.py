"""Cohort files: prompts from production as `preceptor cohort` writes them, with time, model and signs of failure."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from preceptor.core.errors import PreceptorError, UsageError
from preceptor.core.types import Prompt
from preceptor.evaluation.policies.windows import in_utc
from preceptor.results.cohort import CohortResult, summary_of
from preceptor.store.prompts import parse_prompt
from preceptor.store.rows import LONGEST_LINE, parse_line
from preceptor.studio.folders import Library, name_of
from preceptor.studio.rows.files import lines_from, opened
from preceptor.tasks.cohort import SIGNALS
from preceptor.tasks.evaluate.comparisons import asked_at

MOST_FILES = 200
"""JSON-lines files looked at, in all folders together."""
LARGEST = 1 << 26
"""Bytes of a cohort file that is read."""
MOST_PROMPTS = 100_000
"""Prompts of a file that are read, from the first."""
_EXCERPT = 160
_REPORTED = 1000
"""Lines after which progress is reported again."""


@dataclass(frozen=True)
class ProductionPrompt:
    """A prompt from production."""

    id: str
    cohort: str
    text: str
    """The beginning of what the user asked."""
    time: str
    """ISO 8601."""
    model: str | None
    """Who answered in production."""
    signs: tuple[str, ...]
    """Signs that the conversation went wrong, in words."""


@dataclass(frozen=True)
class CohortFile:
    """The prompts of a file that have a time."""

    name: str
    """Unique in the studio: its path from the parent of the given folder."""
    path: Path
    prompts: Sequence[ProductionPrompt]
    untimed: int
    """Prompts without a time; they cannot be counted by week."""
    unusable: int
    """Lines that are no prompt."""
    cut: bool
    """Whether the file has more prompts than are read."""
    left_out: int | None
    """Prompts that a limit left out when the file was last refreshed; None if no summary says so."""


def paths_of_cohorts(library: Library) -> dict[str, Path]:
    """The cohort files in the given folders and their direct subfolders, by name. Links are not followed."""
    found: dict[str, Path] = {}
    for name, path in _candidates(library):
        if path not in found.values() and _is_cohort(path):
            number, free = 2, name
            while free in found:
                free, number = f"{name} ({number})", number + 1
            found[free] = path
    return found


def read_cohort_file(name: str, path: Path, advance: Callable[[float], None] = lambda _share: None) -> CohortFile:
    """Reads a file; of prompts with the same id only the first counts.

    Args:
        advance: called now and then with the share of the file that is read.

    Raises: PreceptorError if it cannot be read.
    """
    asked: dict[str, ProductionPrompt] = {}
    lines = untimed = unusable = 0
    try:
        with opened(path) as stream:
            size = max(1, path.stat().st_size)
            for start, _, line in lines_from(stream, 0):
                lines += 1
                if lines % _REPORTED == 0:
                    advance(min(1.0, start / size))
                if lines > MOST_PROMPTS:
                    break
                prompt = _prompt(line)
                if prompt is None:
                    unusable += bool(line is None or line.strip())
                elif (known := _asked(prompt)) is None:
                    untimed += 1
                else:
                    asked.setdefault(known.id, known)
    except OSError as error:
        raise PreceptorError(f"{path}: cannot be read: {error.strerror or error}") from error
    prompts = tuple(asked.values())
    return CohortFile(name, path, prompts, untimed, unusable, lines > MOST_PROMPTS, _left_out(path))


def _candidates(library: Library) -> Iterator[tuple[str, Path]]:
    """The files that may be cohorts, with their names."""
    left = MOST_FILES
    for folder in library.folders:
        for inner in (folder, *_entries(folder, folders=True)):
            for path in _entries(inner, folders=False):
                left -= 1
                if left < 0:
                    return
                yield name_of(path, folder), path


def _entries(folder: Path, *, folders: bool) -> list[Path]:
    """The folders in a folder, or the files of JSON lines that are small enough."""
    try:
        entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
        entries = [entry for entry in entries if not entry.is_symlink()]
        if folders:
            return [entry for entry in entries if entry.is_dir()]
        return [e for e in entries if e.suffix == ".jsonl" and e.is_file() and e.stat().st_size <= LARGEST]
    except OSError:
        return []


def _is_cohort(path: Path) -> bool:
    """Whether `cohort` wrote the first prompt of a file, or left its summary beside it."""
    try:
        with opened(path) as stream:
            first = stream.readline(LONGEST_LINE)
    except OSError:
        return False
    prompt = _prompt(first)
    return prompt is not None and (_origin(prompt) is not None or _summary(path) is not None)


def _prompt(line: bytes | None) -> Prompt | None:
    row = "too long" if line is None else parse_line(line)
    if isinstance(row, str):
        return None
    try:
        return parse_prompt(row, "")
    except UsageError:
        return None


def _origin(prompt: Prompt) -> dict[str, Any] | None:
    origin: Any = prompt.metadata.get("origin")
    return origin if isinstance(origin, dict) and isinstance(origin.get("signals"), list) else None


def _asked(prompt: Prompt) -> ProductionPrompt | None:
    """The prompt as it counts; None if it has no time."""
    origin = _origin(prompt)
    try:
        time = asked_at(prompt)
        if origin is None or time is None:
            return None
        in_utc(time)
    except (UsageError, OverflowError):
        return None
    model, text = origin.get("model"), " ".join(prompt.text[: 4 * _EXCERPT].split())
    return ProductionPrompt(
        id=prompt.id,
        cohort=prompt.cohort,
        text=text if len(text) <= _EXCERPT else f"{text[:_EXCERPT].rstrip()}…",
        time=time,
        model=model if isinstance(model, str) and model.strip() else None,
        signs=tuple(SIGNALS.get(str(name), str(name)[:_EXCERPT]) for name in origin["signals"]),
    )


def _left_out(path: Path) -> int | None:
    summary = _summary(path)
    return None if summary is None else summary.left_out_by_limit


def _summary(path: Path) -> CohortResult | None:
    """What `cohort` last did to the file; None if that is not known."""
    try:
        return CohortResult.load(path) if not summary_of(path).is_symlink() else None
    except PreceptorError:
        return None
