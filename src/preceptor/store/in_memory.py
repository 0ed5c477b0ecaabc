"""What messages call rows that a program gave in memory: not the file that they were written to, but what was given."""

from pathlib import Path

_GIVEN: dict[Path, str] = {}
"""What rows were given as, by the file that holds them."""


def remember(path: Path, given: str) -> None:
    """Has messages call the rows of a file what they were given as, for instance "the prompts given"."""
    _GIVEN[Path(path).absolute()] = given


def name_of(path: str | Path) -> str:
    """What messages call a file of rows."""
    return _GIVEN.get(Path(path).absolute(), str(path))


def place_of(path: Path, number: int) -> str:
    """What messages call a row.

    Args:
        number: its line in the file, counted from 1.
    """
    given = _GIVEN.get(Path(path).absolute())
    return f"{path}:{number}" if given is None else f"row {number} of {given}"
