"""Writes files and folders atomically: they are complete or absent, however the process ends."""

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from preceptor.core.errors import CheckpointError, PreceptorError
from preceptor.core.types import JsonObject
from preceptor.store.hub.names import is_on_hub, with_commit
from preceptor.store.reading import why

MANIFEST = "manifest.json"
FULL_BELOW = 1 << 20
"""With fewer free bytes, a failed write is reported as a full disk, whatever the failing library calls it."""
_PARTIAL = ".partial"
REMEDY = (
    "restore it from a copy, or delete it and the run's `state` folder and resume: training then starts again, with "
    "the judge's answers from the ledger"
)
"""What to do about a damaged file of a run."""


@contextmanager
def writing(path: Path) -> Generator[None]:
    """Within the context, an error of the file system is reported as a failure to write `path`.

    Raises: PreceptorError in place of an OSError.
    """
    try:
        yield
    except OSError as error:
        raise PreceptorError(f"{path}: cannot be written: {error.strerror or error}") from error


def write_text(path: Path, text: str) -> None:
    """Writes a text file atomically: readers see the old content or the new.

    Raises: PreceptorError when it cannot be written; the old content then stays.
    """
    partial = path.with_name(path.name + _PARTIAL)
    with writing(path):
        if path.exists() and not path.is_file():
            raise PreceptorError(f"{path}: cannot be written: it exists and is not a file")
        try:
            with partial.open("w", encoding="utf-8") as stream:
                stream.write(text)
                stream.flush()
                os.fsync(stream.fileno())
            partial.replace(path)
            _sync(path.parent)
        except OSError:
            partial.unlink(missing_ok=True)
            raise


def write_json(path: Path, value: Any) -> None:
    """Writes JSON atomically; see `write_text`. NaN and infinity are refused."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> JsonObject:
    """Reads a JSON object that `write_json` wrote.

    Raises: PreceptorError when the file is missing or damaged.
    """
    try:
        value: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise PreceptorError(f"{path}: cannot be read: {_why(error)}") from error
    if not isinstance(value, dict):
        raise PreceptorError(f"{path}: is damaged: expected a JSON object, got {type(value).__name__}; {REMEDY}")
    return value


def _why(error: OSError | ValueError | RecursionError) -> str:
    return "it is nested too deeply" if isinstance(error, RecursionError) else why(error)


def append_line(path: Path, value: Any) -> None:
    """Appends one JSON object as a line and waits until it is on disk."""
    with writing(path), path.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(value, ensure_ascii=False, allow_nan=False) + "\n")
        stream.flush()
        os.fsync(stream.fileno())


def write_rows(path: Path, rows: Sequence[Any]) -> None:
    """Writes JSON lines atomically; see `write_text`."""
    write_text(path, "".join(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows))


def read_rows(path: Path) -> list[JsonObject]:
    """The rows of a JSON-lines file; an incomplete last line, left by a killed process, is ignored."""
    if not path.exists():
        return []
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
        rows: list[Any] = [json.loads(line) for line in lines[:-1] if line]
    except (OSError, ValueError, RecursionError) as error:
        raise PreceptorError(f"{path}: cannot be read: {_why(error)}; {REMEDY}") from error
    if any(not isinstance(row, dict) for row in rows):
        raise PreceptorError(f"{path}: is damaged: expected one JSON object on each line; {REMEDY}")
    return rows


def write_folder(folder: Path, fill: Callable[[Path], None]) -> None:
    """Creates a folder atomically: `fill` writes into a folder beside it, which is then renamed.

    A manifest with the size and SHA-256 of every file is written last.

    Raises: PreceptorError when writing fails (on a full disk, for instance), FileExistsError when the folder exists.
    """
    if folder.exists():
        raise FileExistsError(folder)
    partial = folder.with_name(folder.name + _PARTIAL)
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
        fill(partial)
        entries = {}
        for file in sorted(p for p in partial.rglob("*") if p.is_file()):
            entries[str(file.relative_to(partial))] = _fingerprint(file)
            _sync(file)
        write_json(partial / MANIFEST, entries)
        _sync(partial)
        partial.rename(folder)
        _sync(folder.parent)
    except _write_errors() as error:
        cause = "the disk is full: " if shutil.disk_usage(folder.parent).free < FULL_BELOW else ""
        raise PreceptorError(
            f"{folder}: cannot be written: {cause}{error}. What was complete before is untouched; if the disk is full "
            "or the folder read-only, fix that and resume."
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def check_folder(folder: Path) -> None:
    """Verifies a folder against its manifest.

    Raises: CheckpointError naming the first file that is missing, truncated or altered.
    """
    try:
        entries: dict[str, Any] = read_json(folder / MANIFEST)
        sizes = {name: (int(entry["bytes"]), str(entry["sha256"])) for name, entry in entries.items()}
    except (PreceptorError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{folder}: its {MANIFEST} cannot be read ({error}); {REMEDY}") from error
    for name, (expected_size, expected_hash) in sizes.items():
        file = folder / name
        if not file.is_file():
            raise CheckpointError(f"{file}: is missing; {REMEDY}")
        size = file.stat().st_size
        if size != expected_size:
            raise CheckpointError(f"{file}: has {size} bytes, expected {expected_size}; {REMEDY}")
        if _fingerprint(file)["sha256"] != expected_hash:
            raise CheckpointError(f"{file}: its content was altered (sha256 differs from {MANIFEST}); {REMEDY}")


def remove_partials(folder: Path) -> None:
    """Removes unfinished files and folders that a killed process left in a folder."""
    for path in folder.glob(f"*{_PARTIAL}"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def _fingerprint(file: Path) -> dict[str, Any]:
    with file.open("rb") as stream:
        return {"bytes": file.stat().st_size, "sha256": hashlib.file_digest(stream, "sha256").hexdigest()}


def _write_errors() -> tuple[type[Exception], ...]:
    """The errors that writing raises on a full disk; safetensors has an error of its own for it."""
    safetensors = sys.modules.get("safetensors")  # not imported, because the light core works without it
    return (OSError, RuntimeError, *((safetensors.SafetensorError,) if safetensors else ()))


def _sync(path: Path) -> None:
    if sys.platform == "win32" and path.is_dir():
        return  # Windows cannot open a folder
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def content_of(path: Path) -> str:
    """A hash of a file, or of the files of a folder; the name of a dataset on the hub with its commit."""
    if is_on_hub(path):
        return with_commit(str(path))
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()[:16]
