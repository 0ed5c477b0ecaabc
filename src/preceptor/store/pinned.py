"""Records what a folder of work was begun with, and checks that it continues with the same."""

from collections.abc import Mapping
from pathlib import Path

from preceptor.core.errors import UsageError
from preceptor.core.text import printable_line
from preceptor.store.files import read_json, write_json

_LONGEST = 120
"""Characters of a value that a message quotes."""


def pin(path: Path, pinned: Mapping[str, object], what: str, *, in_stages: bool = False) -> None:
    """Records what a folder of work depends on, or compares it with what is already recorded.

    Args:
        path: the file in the folder.
        what: what the folder holds, for the message.
        in_stages: the work goes on in stages, and each may add what it depends on.

    Raises: UsageError naming what differs.
    """
    if not path.exists():
        write_json(path, dict(pinned))
        return
    before = read_json(path)
    known = [key for key in pinned if key in before or not in_stages]
    if changed := [key for key in known if before.get(key) != pinned[key]]:
        raise UsageError(
            f"{path.parent}: holds {what} made with other {' and '.join(changed)}{_both(before, pinned, changed)}; "
            "choose another folder, or go on with what it was begun with"
        )
    if in_stages and pinned.keys() - before.keys():
        write_json(path, before | dict(pinned))


def _both(before: Mapping[str, object], now: Mapping[str, object], changed: list[str]) -> str:
    """A single value before and now, if both are short texts such as hashes."""
    values = [side.get(changed[0]) for side in (before, now)] if len(changed) == 1 else []
    texts = [printable_line(value) for value in values if isinstance(value, str) and len(value) <= _LONGEST]
    return f" (was {texts[0]}, is {texts[1]})" if len(texts) == 2 else ""
