"""Schemas as numbered steps: those of the ledger, and how they are applied. A released step never changes; a new need
is a new step.
"""

import sqlite3
from collections.abc import Sequence

MIGRATIONS: tuple[str, ...] = (
    # 1: model calls, by content
    """
    CREATE TABLE calls (
        key TEXT PRIMARY KEY,              -- sha256 of operation, model identity and request
        operation TEXT NOT NULL,           -- choose
        model TEXT NOT NULL,               -- identity of the model asked
        rater TEXT NOT NULL,               -- JSON: who judges, with the constitution's hash
        request TEXT NOT NULL,             -- JSON: the exact prompt and choices
        outcome TEXT NOT NULL,             -- JSON: log-probabilities, or the failure's reason and detail
        failed INTEGER NOT NULL,           -- 1 where the outcome is a failure
        prompt_tokens INTEGER NOT NULL,
        completion_tokens INTEGER NOT NULL,
        created_at TEXT NOT NULL           -- UTC
    ) STRICT;
    """,
    # 2: what calls cost; attempts that may succeed when they are made again
    """
    ALTER TABLE calls ADD COLUMN cost_usd REAL;   -- NULL where the price is not known
    CREATE TABLE failed_attempts (
        id INTEGER PRIMARY KEY,
        key TEXT NOT NULL,                 -- as in calls
        operation TEXT NOT NULL,
        model TEXT NOT NULL,
        request TEXT NOT NULL,
        outcome TEXT NOT NULL,
        created_at TEXT NOT NULL
    ) STRICT;
    """,
    # 3: what failed attempts cost too; which tokens were estimated; which calls a process left unanswered
    """
    ALTER TABLE calls ADD COLUMN estimated INTEGER NOT NULL DEFAULT 0;   -- 1 where the server did not count the tokens
    ALTER TABLE failed_attempts ADD COLUMN rater TEXT NOT NULL DEFAULT '{}';
    ALTER TABLE failed_attempts ADD COLUMN prompt_tokens INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE failed_attempts ADD COLUMN completion_tokens INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE failed_attempts ADD COLUMN cost_usd REAL DEFAULT 0.0;
    ALTER TABLE failed_attempts ADD COLUMN estimated INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE failed_attempts ADD COLUMN interrupted INTEGER NOT NULL DEFAULT 0;   -- 1: no answer before the end
    CREATE TABLE in_flight (               -- calls that were sent and have no outcome yet; the only rows ever removed
        id INTEGER PRIMARY KEY,
        key TEXT NOT NULL,
        operation TEXT NOT NULL,
        model TEXT NOT NULL,
        rater TEXT NOT NULL,
        prompt_tokens INTEGER NOT NULL,    -- estimated
        completion_tokens INTEGER NOT NULL,
        cost_usd REAL,
        created_at TEXT NOT NULL
    ) STRICT;
    """,
    # 4: which prompt tokens a provider read from its cache
    """
    ALTER TABLE calls ADD COLUMN cached_tokens INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE failed_attempts ADD COLUMN cached_tokens INTEGER NOT NULL DEFAULT 0;
    """,
    # 5: which ledgers of shards were taken over and may still exist
    """
    CREATE TABLE absorbed (shard TEXT PRIMARY KEY) STRICT;
    """,
)


def migrate(connection: sqlite3.Connection, steps: Sequence[str] = MIGRATIONS) -> None:
    """Brings the schema up to date, each step in a transaction of its own.

    Raises: RuntimeError when the file was written by a newer version.
    """
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > len(steps):
        raise RuntimeError(f"schema version {version}, this preceptor knows versions up to {len(steps)}")
    for number, script in enumerate(steps[version:], start=version + 1):
        connection.executescript(f"BEGIN; {script} PRAGMA user_version = {number}; COMMIT;")
