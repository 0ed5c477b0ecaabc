"""The folder that a task writes to: a named one, or a temporary one that lives as long as the results in it."""

import os
import shutil
import tempfile
import weakref
from dataclasses import dataclass
from pathlib import Path

_PREFIX = "preceptor-"


@dataclass(frozen=True, eq=False)
class Output:
    """A folder of output. Results keep a reference to it, so a temporary folder lives as long as they do. Two are equal
    if they are the same folder, however it is named.
    """

    path: Path

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Output) and os.path.realpath(self.path) == os.path.realpath(other.path)

    def __hash__(self) -> int:
        return hash(os.path.realpath(self.path))


def output_folder(out: str | Path | None) -> Output:
    """The folder named, which need not exist. Without a name, a new temporary folder; it is deleted when nothing refers
    to the returned object any more, and at the latest when the process ends.
    """
    if out is not None:
        return Output(Path(out))
    output = Output(Path(tempfile.mkdtemp(prefix=_PREFIX)))
    weakref.finalize(output, shutil.rmtree, output.path, ignore_errors=True)
    return output


def is_temporary(path: Path) -> bool:
    """Whether a path is a temporary folder that `output_folder` made, whose name says nothing to anybody."""
    return path.name.startswith(_PREFIX) and path.parent == Path(tempfile.gettempdir())
