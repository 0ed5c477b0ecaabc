"""The index of all rows: built in the background, and kept up to date while files grow.

Only the words of a row and a few of its columns are indexed; the row itself stays in its file. A file that only grew
since it was last looked at is read on from there; after any other change it is read anew.
"""

import sqlite3
import time
from collections.abc import Generator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Lock, Thread

from preceptor.core.errors import PreceptorError
from preceptor.studio.folders import Library
from preceptor.studio.log import LOG
from preceptor.studio.rows.files import RowFile, opened, row_files
from preceptor.studio.rows.writing import IndexWriter, Record, unchanged

FRESH_S = 3.0
"""Seconds after which the folders are looked at again when somebody asks for a page."""
_PATIENCE_S = 0.5
"""Longest time that indexing waits for a page before it goes on."""
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Progress:
    """How far the index is."""

    running: bool
    indexed: int
    """Lines that are indexed, damaged ones included."""
    total: int
    """Lines that there are."""
    skipped: int
    """Lines and files that are damaged."""
    problem: str | None = None
    """Why the index is not up to date; None if it is, or soon will be."""


class RowIndex:
    """The index of the rows in all folders of a studio."""

    def __init__(self, path: Path, library: Library) -> None:
        self.path = path
        self._library = library
        self._lock = Lock()
        self._making = Lock()
        self._thread: Thread | None = None
        self._looked = -FRESH_S
        self._stopping = False
        self._readers = 0
        self._nobody_reads = Event()
        self._nobody_reads.set()
        self._left = 0
        """Lines that the pass under way has still to index."""
        self._problem: str | None = None

    def refresh(self) -> None:
        """Looks at the folders in the background, unless that is under way or was done within the last seconds."""
        with self._lock:
            running = self._thread is not None and self._thread.is_alive()
            if running or self._stopping or time.monotonic() - self._looked < FRESH_S:
                return
            self._thread = Thread(target=self._look, name="index of rows", daemon=True)
            self._thread.start()

    def wait(self) -> None:
        """Waits until the look that is under way has ended."""
        if self._thread is not None:
            self._thread.join()

    def update(self) -> None:
        """Looks at the folders now, and waits until everything is indexed."""
        self.wait()
        self._looked = -FRESH_S
        self.refresh()
        self.wait()

    def stop(self) -> None:
        """Ends what is under way; the next start continues it."""
        self._stopping = True
        self._nobody_reads.set()
        self.wait()
        self._stopping = False

    def progress(self) -> Progress:
        """How far the index is."""
        running = self._thread is not None and self._thread.is_alive()
        with self.reading() as connection:
            [(lines, skipped)] = connection.execute(
                "SELECT coalesce(sum(lines), 0), coalesce(sum(skipped), 0) FROM files"
            )
        return Progress(running, lines, lines + (self._left if running else 0), skipped, self._problem)

    @contextmanager
    def reading(self, *, first: bool = True) -> Generator[sqlite3.Connection]:
        """A connection that reads.

        Args:
            first: indexing pauses meanwhile, so that a page does not wait for it.

        Raises: PreceptorError if the index cannot be read.
        """
        with self._lock:
            self._readers += first
            if first:
                self._nobody_reads.clear()
        try:
            self._make()
            address = f"{self.path.absolute().as_uri()}?mode=ro"
            with closing(sqlite3.connect(address, uri=True, timeout=10)) as connection:
                connection.row_factory = sqlite3.Row
                yield connection
        except (sqlite3.Error, OverflowError) as error:
            raise PreceptorError(
                f"{self.path}: the index cannot be read: {error}; stop the studio, delete this file and start again"
            ) from error
        finally:
            with self._lock:
                self._readers -= first
                if not self._readers:
                    self._nobody_reads.set()

    def _make(self) -> None:
        """Makes the file if it is missing."""
        with self._making:
            if not self.path.exists():
                IndexWriter(self.path).close()

    def _look(self) -> None:
        """One look at all folders; what fails is said on the page, and tried again at the next look."""
        try:
            with self._making:
                opening = IndexWriter(self.path)
            with closing(opening) as writer:
                self._update(writer)
                if not self._stopping and writer.tidy():
                    self._update(writer)
            self._problem = None
        except (sqlite3.Error, OSError, PreceptorError) as error:
            self._problem = f"{self.path}: {error}"
            LOG.error("the index of rows: %s", self._problem)
        except Exception as error:  # the page says so, and the next look tries again
            self._problem = f"a bug in preceptor: {type(error).__name__}"
            LOG.exception("the index of rows")
        finally:
            self._left, self._looked = 0, time.monotonic()

    def _update(self, writer: IndexWriter) -> None:
        files = {(work.name, file.place): file for work in self._library.works() for file in row_files(work)}
        known = writer.files()
        for key in known.keys() - files.keys():
            writer.forget(known[key]["id"])
        changed = [(file, known.get(key)) for key, file in files.items() if _changed(file, known.get(key))]
        self._left = sum(_lines_left(file, record) for file, record in changed)
        for file, record in changed:
            try:
                writer.read_on(file, record, self._advance)
            except OSError as error:
                LOG.warning("%s: cannot be read: %s", file.path, error)
            if self._stopping:
                return

    def _advance(self, lines: int) -> bool:
        """Counts indexed lines, and lets pages go first. Returns whether to go on."""
        self._left = max(0, self._left - lines)
        self._nobody_reads.wait(_PATIENCE_S)
        return not self._stopping


def _changed(file: RowFile, known: Record | None) -> bool:
    try:
        return known is None or not unchanged(file.path.stat(), known)
    except OSError:
        return False


def _lines_left(file: RowFile, known: Record | None) -> int:
    """About how many lines are to be indexed: all, if the file shrank."""
    try:
        with opened(file.path) as stream:
            if not file.holds_lines:
                return 1
            if known is not None and file.path.stat().st_size >= known["read"]:
                stream.seek(known["read"])
            return sum(chunk.count(b"\n") for chunk in iter(lambda: stream.read(_CHUNK), b""))
    except OSError:
        return 0
