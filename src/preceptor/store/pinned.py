"""What a folder of work was begun with, and that it goes on with the same."""

from pathlib import Path
from typing import Any

from preceptor.core.errors import UsageError
from preceptor.store.files import read_json, write_json


def pin(path: Path, pinned: dict[str, Any], what: str) -> None:
    """Writes down what a folder is for, or compares it with what it was for.

    Args:
        path: the file in the folder.
        what: the folder holds, for the message.

    Raises: UsageError where they differ.
    """
    if not path.exists():
        write_json(path, pinned)
        return
    before = read_json(path)
    if changed := [key for key in pinned if before.get(key) != pinned[key]]:
        raise UsageError(
            f"{path.parent}: holds {what} made with other {' and '.join(changed)}; choose another --out, or give the "
            "command that it was begun with"
        )
