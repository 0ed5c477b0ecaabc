"""The files that benchmarks are published in: JSON lines (also compressed by gzip), JSON lists, Parquet, folders."""

import gzip
import json
import zlib
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import IO, Any

from preceptor.core.errors import UsageError
from preceptor.store.hub.names import is_on_hub
from preceptor.store.in_memory import place_of
from preceptor.store.reading import DEEPEST, check_file, why
from preceptor.store.rows import LONGEST_LINE, Malformed, Row, read_raw_rows

_LARGEST = 1 << 30
"""Most bytes of a file that is one JSON list, which is held in memory."""
_SUFFIXES = (".json", ".jsonl", ".jsonl.gz", ".parquet")

Placed = tuple[str, str, Row | Malformed]
"""Place, the name of the folder that the file is in, and the row."""


def read_published(path: Path, within: str = "*") -> Iterator[Placed]:
    """Streams the rows of a file, or of all files in a folder and the folders in it, in the order of their names.

    NaN, which some authors write for an empty cell, counts as absent.

    Args:
        within: which files of a folder to read, by a pattern of their names; authors keep other files beside the data.

    Raises: UsageError when the path is missing, of another kind, or holds no data.
    """
    if is_on_hub(path):
        raise UsageError(f"{path}: a benchmark is read from local files; download the file first")
    if not path.is_dir():
        return _file(path)
    files = sorted(file for file in path.rglob(within) if file.is_file() and file.name.endswith(_SUFFIXES))
    if not files:
        named = "" if within == "*" else f" named {within}"
        raise UsageError(f"{path}: this folder holds no data; expected {_expected()} files{named}")
    return chain.from_iterable(map(_file, files))


def _file(path: Path) -> Iterator[Placed]:
    check_file(path)
    folder = path.absolute().parent.name
    if path.name.endswith(".jsonl.gz"):
        return _lines(path, folder, gzip.open(path, "rb"))
    if path.suffix == ".jsonl":
        return _lines(path, folder, path.open("rb"))
    if path.suffix == ".json":
        return _list(path, folder)
    if path.suffix == ".parquet":
        return ((place, folder, row) for place, row in read_raw_rows(path))
    raise UsageError(f"{path}: cannot be read: expected a {_expected()} file, or a folder of them")


def _lines(path: Path, folder: str, stream: IO[bytes] | gzip.GzipFile) -> Iterator[Placed]:
    try:
        with stream:
            number = 0
            while raw := stream.readline(LONGEST_LINE):
                number += 1
                if raw.strip():
                    place = place_of(path, number)
                    yield place, folder, _line(raw, number, place)
    except (OSError, EOFError, zlib.error) as error:
        raise UsageError(f"{path}: cannot be read: {error}") from error


def _line(raw: bytes, number: int, place: str) -> Row | Malformed:
    try:
        return _object(_parse(raw.decode("utf-8-sig" if number == 1 else "utf-8")), number, place)
    except ValueError as error:
        return Malformed(number, place, f"not a line of JSON ({why(error)})")


def _list(path: Path, folder: str) -> Iterator[Placed]:
    try:
        if path.stat().st_size > _LARGEST:
            raise UsageError(f"{path}: cannot be read: it has more than {_LARGEST >> 20} MiB; write it as JSON lines")
        listed = _parse(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise UsageError(f"{path}: cannot be read as JSON: {why(error)}") from error
    if not isinstance(listed, list):
        raise UsageError(f"{path}: expected a list of JSON objects, got {type(listed).__name__}")
    for number, row in enumerate(listed, start=1):
        place = f"{path}: row {number}"
        yield place, folder, _object(row, number, place)


def _object(row: Any, number: int, place: str) -> Row | Malformed:
    if not isinstance(row, dict):
        return Malformed(number, place, f"expected a JSON object, got {type(row).__name__}")
    return row if _depth(row) <= DEEPEST else Malformed(number, place, f"nested more than {DEEPEST} levels deep")


def _parse(document: str) -> Any:
    """A JSON document in which NaN and infinity are null.

    Raises: ValueError if it is not JSON.
    """
    try:
        return json.loads(document, parse_constant=lambda _: None)
    except RecursionError as error:
        raise ValueError(f"nested more than {DEEPEST} levels deep") from error


def _depth(row: Any) -> int:
    """Levels of lists and objects, at most one more than are allowed."""
    depth, level = 0, [row]
    while level and depth <= DEEPEST:
        depth += 1
        level = [child for node in level for child in _children(node) if isinstance(child, dict | list)]
    return depth


def _children(node: Any) -> Iterable[Any]:
    return node.values() if isinstance(node, dict) else node


def _expected() -> str:
    return ", ".join(_SUFFIXES[:-1]) + f" or {_SUFFIXES[-1]}"
