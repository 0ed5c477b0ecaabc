"""The schema of `index.sqlite`, as numbered steps. The file is a cache: it may be deleted, and is then made anew."""

STEPS: tuple[str, ...] = (
    # 1: files that are indexed, their rows, the words of their texts
    """
    CREATE TABLE sources (
        id INTEGER PRIMARY KEY,
        folder TEXT NOT NULL,              -- name of the work in the library
        part TEXT NOT NULL,                -- file within the folder
        path TEXT NOT NULL UNIQUE,
        read INTEGER NOT NULL DEFAULT 0,   -- bytes that are indexed
        lines INTEGER NOT NULL DEFAULT 0,  -- lines that are indexed
        head TEXT NOT NULL DEFAULT '',     -- hash of the beginning: another one means another file
        unusable INTEGER NOT NULL DEFAULT 0
    ) STRICT;
    CREATE TABLE rows (
        id INTEGER PRIMARY KEY AUTOINCREMENT,  -- never used again, since the words of deleted rows stay
        source INTEGER NOT NULL REFERENCES sources,
        line INTEGER NOT NULL,             -- counted from 0
        start INTEGER NOT NULL,            -- byte at which the line begins
        name TEXT NOT NULL,                -- the row's id; empty for an unusable row of the input
        cohort TEXT,
        judge TEXT,
        p_a REAL,                          -- NULL: a failure
        sureness REAL,                     -- distance of p_a from one half
        disagreement REAL,
        flipped INTEGER,                   -- 1: the same position wins in both orders; NULL: one order only
        length INTEGER,                    -- characters of both responses
        longer INTEGER,                    -- characters of a minus those of b
        human REAL,                        -- share of people who prefer a; NULL: nobody was asked
        agrees INTEGER,                    -- 1: judge and people prefer the same; NULL: one of them decides nothing
        trajectory INTEGER,
        score REAL,                        -- of the chosen response, where trajectories are scored
        failure TEXT                       -- the reason
    ) STRICT;
    CREATE INDEX rows_of_source ON rows (source, line);
    CREATE INDEX rows_by_disagreement ON rows (disagreement);
    CREATE INDEX rows_by_sureness ON rows (sureness);
    CREATE INDEX rows_by_length ON rows (length);
    CREATE INDEX rows_by_difference ON rows (abs(longer));
    CREATE VIRTUAL TABLE words USING fts5 (text, content = '', tokenize = 'unicode61');
    """,
)
