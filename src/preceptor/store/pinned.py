"""Records the settings that a folder of work was begun with, and checks that it continues with the same."""

from collections.abc import Mapping
from pathlib import Path

from preceptor.core.errors import UsageError
from preceptor.store.files import read_json, write_json


def pin(path: Path, pinned: Mapping[str, object], what: str) -> None:
    """Records what a folder of work depends on, or compares it with what is already recorded.

    Args:
        path: the file in the folder.
        what: what the folder holds, for the message.

    Raises: UsageError if they differ.
    """
    if not path.exists():
        write_json(path, dict(pinned))
        return
    before = read_json(path)
    if changed := [key for key in pinned if before.get(key) != pinned[key]]:
        raise UsageError(
            f"{path.parent}: holds {what} made with other {' and '.join(changed)}; choose another folder, or go on "
            "with the settings that it was begun with"
        )
