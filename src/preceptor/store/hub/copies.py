"""Reads a dataset on the hub through a copy on this machine, which grows as far as its rows are read.

So whoever needs a hundred rows fetches a hundred, and whoever reads twice fetches once. The copy belongs to a commit,
whose rows never change; it is raw, and what its columns mean is decided when it is read.
"""

import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from filelock import FileLock

from preceptor.core.errors import PreceptorError, UsageError
from preceptor.core.extras import require
from preceptor.core.ticks import tick
from preceptor.core.user_cache import cache_directory
from preceptor.store.files import writing
from preceptor.store.hub.errors import explained
from preceptor.store.hub.names import HubDataset
from preceptor.store.plain_json import fitting_line

_AT_ONCE = 64
"""Rows that are fetched at a time."""


def copied_lines(name: str) -> Iterator[tuple[str, bytes]]:
    """Streams (place, line of JSON) for each row of a dataset on the hub, fetching what the copy lacks.

    Raises: UsageError when there is no such dataset, configuration or split, when it is gated, or when a package is
        missing; PreceptorError when the hub cannot be reached.
    """
    require(f"{name} is a dataset on the hub, and reading it needs", "datasets", instead="or name a file")
    dataset = HubDataset.parse(name).at_commit()
    return _Copy(dataset, name).lines()


class _Copy:
    """The copy of one split at a commit: a file of JSON lines, and an empty file beside it once it is complete."""

    def __init__(self, dataset: HubDataset, name: str) -> None:
        self._dataset = dataset
        self._name = name
        self._path = _folder(dataset) / "rows.jsonl"
        self._complete = self._path.with_name("complete")
        self._rows: tuple[int, Iterator[dict[str, Any]]] | None = None
        """How many rows of the dataset were taken from the iterator, and the iterator."""
        self._total = 0

    def lines(self) -> Iterator[tuple[str, bytes]]:
        with writing(self._path):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._path.touch()
        number = 0
        with self._path.open("rb") as stream:
            while True:
                while (line := _whole_line(stream)) is not None:
                    number += 1
                    yield f"{self._name}: row {number}", line
                if not self._extended(number, stream.tell()):
                    return

    def _extended(self, number: int, size: int) -> bool:
        """Whether the copy has more than `number` rows, which are `size` bytes; fetches the next ones if not."""
        with FileLock(self._path.with_name("lock")):
            if self._complete.exists():
                return False
            with writing(self._path), self._path.open("r+b") as stream:
                stream.seek(size)
                if _whole_line(stream) is not None:  # by another process
                    return True
                stream.seek(size)
                stream.truncate()  # what a killed process left
                lines = self._fetched(number)
                stream.write(b"".join(lines))
                stream.flush()
                os.fsync(stream.fileno())
                if len(lines) < _AT_ONCE:
                    self._complete.touch()
        return bool(lines)

    def _fetched(self, number: int) -> list[bytes]:
        """The lines of the rows that follow the first `number`."""
        tick(f"fetching {self._name}", number, max(self._total, number + _AT_ONCE))
        try:
            if self._rows is None or self._rows[0] != number:
                split = self._split()
                self._rows = number, iter(split.skip(number) if number else split)
            rows = list(islice(self._rows[1], _AT_ONCE))
        except PreceptorError:
            raise
        except Exception as error:  # of datasets, fsspec, httpx and pyarrow
            raise explained(error, self._name, f"datasets/{self._dataset.repository}") from error
        self._rows = number + len(rows), self._rows[1]
        done = number + len(rows)
        tick(f"fetching {self._name}", done, max(self._total, done) if len(rows) == _AT_ONCE else done)
        return [fitting_line(row).encode("utf-8") for row in rows]

    def _split(self) -> Any:
        """The split, streamed."""
        import datasets

        asked = self._dataset
        if Path(asked.repository).exists():
            raise UsageError(
                f"{self._name}: a folder of that name is here, and `datasets` would read it in place of the hub's; "
                "name the files in it, or work in another folder"
            )
        try:
            with _without_bars():
                splits: Any = datasets.load_dataset(
                    asked.repository, asked.config, revision=asked.revision, streaming=True
                )
        except ValueError as error:
            raise self._without_config(error) from error
        split = asked.split or ("train" if "train" in splits or len(splits) != 1 else next(iter(splits)))
        if split not in splits:
            said = f'there is no split "{split}"' if asked.split else "there are several splits"
            known = ", ".join(f'":{name}"' for name in splits)
            raise UsageError(f"{self._name}: {said}; end the name with one of {known}")
        known = (splits[split].info.splits or {}).get(split)
        self._total = 0 if known is None else known.num_examples
        return splits[split]

    def _without_config(self, error: ValueError) -> PreceptorError:
        """The error for a configuration that is missing or unknown."""
        import datasets

        repository, revision = self._dataset.repository, self._dataset.revision
        names = [str(name) for name in datasets.get_dataset_config_names(repository, revision=revision)]
        if len(names) == 1 and self._dataset.config in (None, *names):
            return PreceptorError(f"{self._name}: cannot be read: {' '.join(str(error).split())}")
        said = f'there is no configuration "{self._dataset.config}"' if self._dataset.config else "there are several"
        known = ", ".join(f'"hf:{repository}/{name}"' for name in names)
        return UsageError(f"{self._name}: {said}; name one of {known}")


def _folder(dataset: HubDataset) -> Path:
    about = "+".join((str(dataset.revision), dataset.config or "", dataset.split or "")).rstrip("+")
    return cache_directory() / "datasets" / dataset.repository.replace("/", "--") / about


@contextmanager
def _without_bars() -> Generator[None]:
    """Within the context, `datasets` shows no bars of its own."""
    import datasets

    shown = datasets.is_progress_bar_enabled()
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        if shown:
            datasets.enable_progress_bars()


def _whole_line(stream: BinaryIO) -> bytes | None:
    """The next line with its end; None, and the stream stays where it is, if there is none."""
    at = stream.tell()
    line = stream.readline()
    if line.endswith(b"\n"):
        return line
    stream.seek(at)
    return None
