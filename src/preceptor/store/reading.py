"""Reading files that users name: only regular files, and only JSON and TOML with finite numbers and limited nesting.

Reading a pipe may block, reading a device may never end, and inputs are read more than once. So pipes (process
substitution and standard input included) and devices are refused.
"""

import json
import math
import os
import tomllib
from pathlib import Path
from typing import Any, TypeAlias

from preceptor.core.errors import UsageError

DEEPEST = 100
"""Maximum nesting of lists and objects, in levels."""
LARGEST_SETTINGS = 1 << 24
"""Maximum size of a settings file, in bytes."""
_DIGITS = 308
"""Maximum digits of a whole number: a longer one is too large for a float."""

Settings: TypeAlias = dict[str, object]
"""Settings by name, as a TOML file holds them, before validation."""


def check_file(path: Path, what: str = "") -> None:
    """Checks that a path is a regular file, before it is opened.

    Args:
        what: what the file is, for the message, such as "the recipe".

    Raises: UsageError that says what is there instead.
    """
    place = f"{path}: {what} cannot be read" if what else f"{path}: cannot be read"
    try:
        if path.is_dir():
            raise UsageError(f"{place}: Is a directory; expected a file")
        if path.exists() and not path.is_file():
            raise UsageError(f"{place}: it is a pipe, a device or a socket; write its content to a file first")
        path.stat()
    except OSError as error:
        raise UsageError(f"{place}: {error.strerror or error}") from error
    except ValueError as error:
        raise UsageError(f"{place}: no file can have such a name") from error


def why(error: OSError | ValueError) -> str:
    """Why a file could not be read, in words."""
    if isinstance(error, UnicodeDecodeError):
        return "it is not text in UTF-8"
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def why_not_json(error: ValueError) -> str:
    """Why a line is not JSON, in words."""
    if isinstance(error, json.JSONDecodeError):
        return f"not a line of JSON ({error.msg[:1].lower()}{error.msg[1:]} at character {error.pos + 1})"
    return f"not a line of JSON ({why(error)})"


def resolved(path: Path) -> Path:
    """The path with its links resolved; circular links, which lead to no file, are returned unchanged."""
    return Path(os.path.realpath(path))


def read_settings(path: Path, what: str) -> Settings:
    """The tables of a TOML file.

    Raises: UsageError if it cannot be read or is not TOML.
    """
    check_file(path, what)
    try:
        if path.stat().st_size > LARGEST_SETTINGS:
            raise UsageError(f"{path}: {what} cannot be read: it has more than {LARGEST_SETTINGS >> 20} MiB")
        return parse_toml(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path}: {what} cannot be read: {error.strerror or error}") from error
    except ValueError as error:  # broken UTF-8 too
        raise UsageError(f"{path}: not a TOML file: {why(error)}") from error


def parse_toml(text: str) -> Settings:
    """The tables of a TOML document.

    Raises: ValueError with one line if it is not TOML, or nested too deeply.
    """
    try:
        document = tomllib.loads(text)
    except RecursionError as error:
        raise ValueError(f"nested more than {DEEPEST} levels deep") from error
    _check_depth(document)
    return document


def parse_json(text: str) -> Any:
    """A JSON document.

    Raises: ValueError with one line if it is not JSON, contains NaN, infinity or a number too large for a float, or is
        nested too deeply.
    """
    try:
        document = _DECODER.decode(text)
    except RecursionError as error:
        raise ValueError(f"nested more than {DEEPEST} levels deep") from error
    if text.count("[") + text.count("{") > DEEPEST:
        _check_depth(document)
    return document


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(DEEPEST + 1):
        level = [child for node in level for child in _children(node)]
        if not level:
            return
    raise ValueError(f"nested more than {DEEPEST} levels deep")


def _children(value: Any) -> list[Any]:
    return list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:40]} is too large a number")
    return number


def _whole(text: str) -> int:
    if len(text) > _DIGITS:
        raise ValueError(f"{text[:40]}... is too large a number")
    return int(text)


_DECODER = json.JSONDecoder(parse_constant=_refuse, parse_float=_finite, parse_int=_whole)
