"""What audits save as JSON files (calibrations, cascades and the like): read back, and replaced only by their kind."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from preceptor.core.errors import UsageError
from preceptor.core.validation import first_problem
from preceptor.store.reading import check_file, parse_json, why

_Saved = TypeVar("_Saved", bound=BaseModel)


def read_saved(kind: type[_Saved], path: Path, what: str, remedy: str) -> _Saved:
    """What an audit saved.

    Args:
        what: its name in messages, for instance "calibration".
        remedy: what to give instead, for instance "give a file that ... wrote".

    Raises: UsageError that says what is wrong with the file.
    """
    check_file(path, f"the {what}")
    try:
        return kind.model_validate(parse_json(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise UsageError(f"{path}: the {what} cannot be read: {error.strerror or error}") from error
    except ValidationError as error:
        raise UsageError(f"{path}: not a {what}: {first_problem(error)}; {remedy}") from error
    except ValueError as error:
        raise UsageError(f"{path}: not a {what}: not a JSON file: {why(error)}; {remedy}") from error


def check_replaceable(path: Path, load: Callable[[Path], object], what: str) -> None:
    """Checks that saving replaces nothing but an older file of the same kind.

    Raises: UsageError when the path holds anything else.
    """
    try:
        if not path.exists() or (path.is_file() and path.stat().st_size == 0):
            return
        load(path)
    except UsageError as error:
        raise UsageError(f"{path}: exists and is not a {what}, so it is not replaced; name another file") from error
    except OSError as error:
        raise UsageError(f"{path}: cannot be a {what}'s file: {error.strerror or error}") from error
