"""Ledgers of shards: workers that label parts of the rows each write one of their own, which the folder's ledger then
takes over.

`FOLDER/shards/NAME/ledger.sqlite` belongs to whoever holds the lock of its folder. Whatever is left of it when a
command begins or ends in FOLDER is taken over, so nothing that was answered is lost, however the workers ended.
"""

import shutil
import sqlite3
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path

from preceptor.core.errors import PreceptorError
from preceptor.core.hashing import canonical_json
from preceptor.store.call_rows import ATTEMPT
from preceptor.store.files import writing
from preceptor.store.ledger import Ledger
from preceptor.store.lock import exclusive

FOLDER = "shards"
LEDGER = "ledger.sqlite"
PATIENCE_S = 60.0
"""Seconds to wait for each worker of a command that was killed: the cluster ends it a little later."""
_TWICE = canonical_json({"failure": {"reason": "backend_error", "detail": "asked by an earlier shard too"}})


@contextmanager
def shard(folder: Path, name: str) -> Generator[Path]:
    """The path of a shard's ledger, locked for this process. `FOLDER/shards` must exist.

    Raises: PreceptorError when another process has locked it, or this machine does not see the folder.
    """
    if not (folder / FOLDER).is_dir():
        raise PreceptorError(f"{folder}: is not on a disk that this machine shares with the others; choose one that is")
    place = folder / FOLDER / name
    with writing(place):
        place.mkdir(exist_ok=True)
    with exclusive(place):
        yield place / LEDGER


def absorb_shards(folder: Path, patience_s: float = PATIENCE_S) -> None:
    """Takes over the calls and failed attempts of all shards into the folder's ledger, each once, and removes them.

    A call that several shards made keeps its first outcome; the others count as failed attempts, with what they cost.

    Args:
        patience_s: seconds to wait for each shard that is still at work.

    Raises: PreceptorError when a shard is still at work after that, or a ledger cannot be read or written.
    """
    if not any((folder / FOLDER).glob("*")):
        return
    Ledger(folder / LEDGER).close()  # exists from here on, with the latest schema
    try:
        with closing(sqlite3.connect(folder / LEDGER, isolation_level=None)) as connection:
            connection.execute("PRAGMA synchronous = FULL")
            while shards := sorted((folder / FOLDER).glob("*")):  # the last workers may begin another one meanwhile
                for place in shards:
                    with exclusive(place, patience_s):
                        if (place / LEDGER).exists():
                            _absorb(connection, place)
                        with writing(place):
                            shutil.rmtree(place)
            connection.execute("DELETE FROM absorbed")
        with writing(folder / FOLDER):
            (folder / FOLDER).rmdir()
    except sqlite3.Error as error:
        raise PreceptorError(f"{folder / FOLDER}: these ledgers cannot be taken over: {error}") from error


def _absorb(connection: sqlite3.Connection, place: Path) -> None:
    """Takes over one ledger, all or nothing, unless an earlier process did and was killed before it removed it."""
    Ledger(place / LEDGER).close()  # counts what was in flight, and brings its schema up to date
    connection.execute("ATTACH ? AS shard", [str(place / LEDGER)])
    connection.execute("BEGIN IMMEDIATE")
    if not connection.execute("SELECT 1 FROM absorbed WHERE shard = ?", [place.name]).fetchone():
        connection.execute(
            f"INSERT INTO failed_attempts ({ATTEMPT}, cached_tokens) SELECT key, operation, model, request, ?, "
            "created_at, rater, prompt_tokens, completion_tokens, cost_usd, estimated, cached_tokens FROM shard.calls "
            "WHERE key IN (SELECT key FROM main.calls) ORDER BY rowid",
            [_TWICE],
        )
        connection.execute("INSERT OR IGNORE INTO main.calls SELECT * FROM shard.calls ORDER BY rowid")
        connection.execute(
            f"INSERT INTO main.failed_attempts ({ATTEMPT}, cached_tokens, interrupted) "
            f"SELECT {ATTEMPT}, cached_tokens, interrupted "
            "FROM shard.failed_attempts ORDER BY id"
        )
        connection.execute("INSERT INTO absorbed VALUES (?)", [place.name])
    connection.execute("COMMIT")
    connection.execute("DETACH shard")
