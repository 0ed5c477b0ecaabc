"""Keeps the files of people's rows up to date while people rate."""

import time
from pathlib import Path
from threading import Event, Lock, Thread

from preceptor.core.errors import PreceptorError
from preceptor.store.files import writing
from preceptor.studio.database import Database
from preceptor.studio.log import LOG
from preceptor.studio.people.export import file_name, write_exports
from preceptor.studio.people.opinions import opinions
from preceptor.studio.people.queues import queues

_PAUSE_S = 1.0
_SHARE = 0.05
"""Most of the time that writing takes: a large queue is written less often."""


class LiveFiles:
    """Rewrites `FOLDER/NAME.jsonl` of every queue whose ratings have changed, in a thread of its own."""

    def __init__(self, people: Database, folder: Path) -> None:
        self.folder = folder
        self.problem: str | None = None
        """Why the files are not up to date; None if they are, or soon will be."""
        self._people = people
        self._written: dict[int, tuple[int, int]] = {}
        """Of each queue's ratings when its files were last written: how many, and how many of them undone."""
        self._seen = -1
        self._lock = Lock()
        self._stopping = Event()
        self._thread: Thread | None = None

    def start(self) -> None:
        """Writes all files, and goes on whenever ratings change."""
        self._stopping.clear()
        self._thread = Thread(target=self._run, name="people's rows", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread, and writes what has changed since."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
        self.write()

    def write(self) -> None:
        """Writes the files of every queue whose ratings have changed since they were last written."""
        with self._lock:
            changes = self._people.changes
            if changes == self._seen:
                return
            try:
                self._write_changed()
                self._seen, self.problem = changes, None
            except PreceptorError as error:
                self.problem = str(error)
                LOG.error("%s", error)
            except Exception as error:  # the thread goes on, and the page says so
                self.problem = f"a bug in preceptor: {type(error).__name__}"
                LOG.exception("people's rows")

    def _write_changed(self) -> None:
        counts = {
            record["queue"]: (record["n"], record["undone"])
            for record in self._people.all(
                "SELECT queue, count(*) AS n, count(undone_at) AS undone FROM ratings "
                "JOIN assignments ON assignments.id = assignment JOIN items ON items.id = item GROUP BY queue"
            )
        }
        for queue in queues(self._people):
            if counts.get(queue.id, (0, 0)) != self._written.get(queue.id, (0, 0)):
                with writing(self.folder):
                    self.folder.mkdir(parents=True, exist_ok=True)
                write_exports(opinions(self._people, queue), self.folder, file_name(self._people, queue))
                self._written[queue.id] = counts[queue.id]

    def _run(self) -> None:
        while True:
            began = time.monotonic()
            self.write()
            took = time.monotonic() - began
            if self._stopping.wait(max(_PAUSE_S, took / _SHARE)):
                return
