"""Rows in whatever form a program holds them (a path, dicts, a DataFrame, a `datasets.Dataset`), as a JSON-lines file.

Everything that reads a dataset reads files, so rows in memory are written to one first. The same rows always give the
same bytes, so interrupted work continues when it gets the same rows again. Neither pandas nor datasets is
imported here: a caller that has such an object has already imported its library.
"""

import math
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from preceptor.core.errors import UsageError
from preceptor.store.files import content_of, writing
from preceptor.store.in_memory import remember
from preceptor.store.plain_json import json_text, plain
from preceptor.store.preference_row import PreferenceRow
from preceptor.store.rows import labels_in

if TYPE_CHECKING:
    import datasets
    import pandas as pd

_Tables: TypeAlias = "pd.DataFrame | datasets.Dataset | datasets.DatasetDict"
Rows: TypeAlias = (
    "str | os.PathLike[str] | Iterable[Mapping[str, Any]] | Iterable[PreferenceRow] | Iterable[str] | _Tables"
)
"""A path, what `label` returned or some of its rows, dicts, a DataFrame or a `datasets.Dataset`; plain texts where
prompts are expected."""
FILE = "rows.jsonl"
_AT_ONCE = 1_000
"""Rows of a DataFrame that are converted at a time."""
_SHOWN = 40
"""Characters of a value that an error shows."""


def rows_as_file(
    rows: Rows,
    folder: Path,
    *,
    name: str = FILE,
    text_column: str | None = None,
    begun: bool = True,
    given: str | None = None,
) -> Path:
    """The path of a file with these rows: the given path, or a JSON-lines file that is written to the folder.

    Arrays and scalars of numpy become lists and numbers, dates become ISO 8601 text, and missing values of a DataFrame
    (NaN, NaT, NA) become null, which counts as absent.

    Args:
        rows: for the columns see the function that reads the file. A `DatasetDict` must have one split, or one named
            "train".
        folder: an existing folder.
        name: name of the file.
        text_column: the column that holds a row given as plain text, such as "prompt"; None refuses plain texts.
        given: what messages call the rows; "the rows given", or "the prompts given" where plain texts may be given.
        begun: whether work on rows in the folder may have begun; then a file with other rows is not replaced.

    Raises: UsageError when a row is not a dict or holds a value that JSON cannot, or when the folder has this file with
        other rows and work on them has begun.
    """
    if isinstance(rows, str | os.PathLike):
        return labels_in(Path(rows))
    path, given = folder / name, given or f"the {'prompts' if text_column == 'prompt' else 'rows'} given"
    partial = path.with_name(f"{name}.partial")
    with writing(path):
        try:
            with partial.open("w", encoding="utf-8", newline="\n") as stream:
                for number, row in enumerate(_dicts(rows, text_column, given), start=1):
                    stream.write(_line(row, f"row {number} of {given}"))
                stream.flush()
                os.fsync(stream.fileno())
            if begun and path.exists() and content_of(path) != content_of(partial):
                raise UsageError(f"{folder}: this folder was begun with other rows; give those again or another folder")
            partial.replace(path)
            remember(path, given)
        finally:
            partial.unlink(missing_ok=True)
    return path


def _dicts(rows: Any, text_column: str | None, given: str) -> Iterator[Mapping[Any, Any]]:
    """Each row as a mapping."""
    for number, row in enumerate(_each(rows, given), start=1):
        if isinstance(row, str) and text_column is not None:
            yield {text_column: row}
        elif isinstance(row, PreferenceRow):
            yield row.wire()
        elif isinstance(row, Mapping):
            yield row
        else:
            wanted = "a dict or a text" if text_column else "a dict"
            raise UsageError(f"row {number} of {given}: expected {wanted}, got {type(row).__name__}")


def _each(rows: Any, given: str) -> Iterable[Any]:
    """The rows one by one, in their own types."""
    pandas, datasets = sys.modules.get("pandas"), sys.modules.get("datasets")
    if pandas is not None and isinstance(rows, pandas.DataFrame):
        return _of_frame(rows, pandas, given)
    if datasets is not None and isinstance(rows, datasets.DatasetDict | datasets.IterableDatasetDict):
        return _split(rows, given)
    if isinstance(rows, Mapping):
        raise UsageError(f"{given}: expected a list of dicts, got one dict; put it into a list")
    if not isinstance(rows, Iterable):
        raise UsageError(
            f"{given}: expected a path, a list of dicts, a DataFrame or a datasets.Dataset, got {type(rows).__name__}"
        )
    return rows


def _of_frame(frame: Any, pandas: Any, given: str) -> Iterator[dict[Any, Any]]:
    """The rows of a DataFrame, without their missing values."""
    if not frame.columns.is_unique:
        raise UsageError(f"{given}: two columns of the DataFrame have the same name")
    for start in range(0, len(frame), _AT_ONCE):
        for row in frame.iloc[start : start + _AT_ONCE].to_dict("records"):
            yield {column: None if _is_missing(value, pandas) else value for column, value in row.items()}


def _is_missing(value: Any, pandas: Any) -> bool:
    return value is pandas.NA or value is pandas.NaT or (isinstance(value, float) and math.isnan(value))


def _split(splits: Mapping[str, Any], given: str) -> Any:
    if "train" not in splits and len(splits) != 1:
        names = ", ".join(f'"{name}"' for name in splits)
        raise UsageError(f'{given}: expected one split, or one named "train"; this DatasetDict has {names or "none"}')
    return splits["train" if "train" in splits else next(iter(splits))]


def _line(row: Mapping[Any, Any], place: str) -> str:
    """The row as a line of JSON."""
    columns: list[str] = []
    for column, value in row.items():
        if not isinstance(column, str):
            raise UsageError(f"{place}: expected names of columns that are texts, got {column!r}")
        try:
            columns.append(f"{json_text(column)}: {json_text(plain(value))}")
        except (TypeError, ValueError, RecursionError) as error:
            raise UsageError(f"{place}: {column}: {_fault(error, value)}") from error
    return f"{{{', '.join(columns)}}}\n"


def _fault(error: Exception, value: Any) -> str:
    if isinstance(error, UnicodeEncodeError):
        return "half of a surrogate pair; expected text that is valid Unicode"
    if isinstance(error, RecursionError):
        return "nested too deeply"
    if isinstance(error, ValueError):
        return f"expected finite numbers, got {str(value)[:_SHOWN]}; leave a column out where it has no value"
    return str(error)
