"""Reads raw rows of a dataset of any size: JSON lines, Parquet, a folder of either, a folder saved by `datasets`, or a
dataset on the Hugging Face Hub.

Rows are streamed: memory holds one line, or one small batch of a columnar file.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from preceptor.core.errors import UsageError
from preceptor.core.extras import require
from preceptor.store.hub.columns import in_our_columns
from preceptor.store.hub.copies import copied_lines
from preceptor.store.hub.joined import joined
from preceptor.store.hub.names import is_on_hub
from preceptor.store.in_memory import place_of
from preceptor.store.reading import check_file, parse_json, why_not_json
from preceptor.store.rubrics import names_function

Row = dict[str, Any]
_Read = Iterator[tuple[str, Row | str]]
"""Place, and the row or what is wrong with it."""
_BATCH = 64
LONGEST_LINE = 1 << 26
"""Most bytes of a line."""
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Malformed:
    """A row that cannot be used. It keeps its place in the stream, so that no other row moves."""

    number: int
    """Position in the stream, counted from 0."""
    place: str
    """Where it stands: `file:line`, `file: row N` or `row N of the rows given`, counted from 1."""
    reason: str
    """What is wrong and what was expected, on one line."""


def read_raw_rows(path: Path) -> Iterator[tuple[str, Row | Malformed]]:
    """Streams (place, row) from a `.jsonl` or `.parquet` file, a folder of files of one of these kinds (in the order of
    their names), a folder of labels, a folder that `save_to_disk` of `datasets` wrote, or a dataset on the hub
    (`hf:ORG/NAME`), with its columns named as here. A malformed row is yielded as `Malformed`.

    Raises: UsageError when the path is missing, unreadable or of another kind; see also `copied_lines`.
    """
    try:
        on_hub = is_on_hub(path)
        folder = path.is_dir()
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror or error}") from error
    rows = _on_hub(str(path)) if on_hub else _folder(path) if folder else _file(path)
    return (
        (place, Malformed(number, place, row) if isinstance(row, str) else row)
        for number, (place, row) in enumerate(rows)
    )


def _file(path: Path) -> _Read:
    check_file(path)
    if path.suffix not in _READERS:
        raise UsageError(f"{path}: cannot be read: expected {_EXPECTED}")
    try:
        with path.open("rb"):
            pass
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror or error}") from error
    return _READERS[path.suffix](path)


def labels_in(path: Path) -> Path:
    """The preferences in a folder of labels; any other path as it is."""
    inside = path / "preferences.jsonl"
    return inside if (path / "label.json").is_file() and inside.is_file() else path


def _folder(path: Path) -> _Read:
    if (preferences := labels_in(path)) != path:
        return _file(preferences)
    if any((path / name).is_file() for name in ("dataset_dict.json", "state.json")):
        return _saved(path)
    try:
        files = sorted(file for file in path.iterdir() if file.suffix in _READERS)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror or error}") from error
    if len({file.suffix for file in files}) != 1:
        held = "both .jsonl and .parquet files; name one file" if files else f"no data; expected {_EXPECTED}"
        raise UsageError(f"{path}: this folder holds {held}")
    return chain.from_iterable(map(_file, files))


def _on_hub(name: str) -> _Read:
    for place, row in joined((place, parse_line(line)) for place, line in copied_lines(name)):
        ours = row if isinstance(row, str) else in_our_columns(row)
        if isinstance(ours, dict) and names_function(ours):
            yield place, "rubric: an item is checked by a function, and a dataset from elsewhere runs no code here"
        elif ours is not None:
            yield place, ours


def json_lines(path: Path, longest: int = LONGEST_LINE) -> _Read:
    """The rows of a file of JSON lines, or what is wrong with them. A line of more bytes than `longest` is skipped."""
    with path.open("rb") as stream:
        number = 0
        while raw := stream.readline(longest):
            number += 1
            place = place_of(path, number)
            if len(raw) == longest and not raw.endswith(b"\n"):
                while raw and not raw.endswith(b"\n"):
                    raw = stream.readline(longest)
                yield place, f"a line of more than {longest:,} bytes; expected one JSON object on each line"
            elif raw.strip():
                yield place, parse_line(raw.removeprefix(_BYTE_ORDER_MARK) if number == 1 else raw)


def parse_line(raw: bytes) -> Row | str:
    """The JSON object on a line; or what is wrong with the line, and what was expected."""
    try:
        row: Any = parse_json(raw.decode("utf-8"))
    except ValueError as error:
        return f"{why_not_json(error)}; expected one JSON object"
    if not isinstance(row, dict):
        return f"expected a JSON object, got {type(row).__name__}"
    if _SURROGATE.search(raw):  # an escaped surrogate; a lone one is not valid text
        try:
            json.dumps(row, ensure_ascii=False).encode("utf-8")
        except UnicodeEncodeError:
            return "half of a surrogate pair; expected text that is valid Unicode"
    return row


_SURROGATE = re.compile(rb"\\u[dD]")


def _parquet(path: Path) -> _Read:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path, buffer_size=1 << 20, pre_buffer=False) as file:
            yield from _batches(path, file.iter_batches(batch_size=_BATCH))
    except (OSError, ValueError, pa.ArrowException) as error:
        raise UsageError(f"{path}: cannot be read as Parquet: {_first_line(error)}") from error


def _saved(path: Path) -> _Read:
    require(f"{path} is a saved dataset, and reading it needs", "datasets")
    import datasets

    try:
        data = datasets.load_from_disk(str(path), keep_in_memory=False)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{path}: this saved dataset cannot be read: {_first_line(error)}") from error
    if isinstance(data, datasets.DatasetDict):
        splits = [str(name) for name in data]
        if "train" not in splits and len(splits) != 1:
            names = ", ".join(f'"{name}"' for name in splits)
            raise UsageError(f'{path}: expected one split, or one named "train"; this dataset has {names or "none"}')
        data = data["train" if "train" in splits else splits[0]]
    return _batches(path, data.with_format("arrow").iter(batch_size=_BATCH))


def _batches(path: Path, batches: Iterable[Any]) -> _Read:
    rows = chain.from_iterable(batch.to_pylist() for batch in batches)
    return ((f"{path}: row {number}", row) for number, row in enumerate(rows, start=1))


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


_READERS: dict[str, Callable[[Path], _Read]] = {".jsonl": json_lines, ".parquet": _parquet}
_EXPECTED = "a .jsonl or .parquet file, a folder of them, or a folder saved by `datasets`"
