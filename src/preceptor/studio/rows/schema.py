"""The schema of `index.sqlite`, as numbered steps. The file is a cache: it may be deleted, and is built anew."""

STEPS: tuple[str, ...] = (
    # 1: files, their rows with the columns to filter and sort by, and the words in them
    """
    CREATE TABLE files (
        id INTEGER PRIMARY KEY,
        folder TEXT NOT NULL,            -- name of the work in the studio
        place TEXT NOT NULL,             -- path within it
        inode INTEGER NOT NULL,
        size INTEGER NOT NULL,           -- bytes when it was last looked at
        changed INTEGER NOT NULL,        -- its time of change then, in nanoseconds
        read INTEGER NOT NULL,           -- bytes that are indexed: whole lines
        lines INTEGER NOT NULL,          -- lines among them
        skipped INTEGER NOT NULL,        -- lines that are damaged
        beginning TEXT NOT NULL,         -- hash of the first bytes that were read
        ending TEXT NOT NULL,            -- hash of the last bytes that were read
        UNIQUE (folder, place)
    ) STRICT;
    CREATE TABLE names (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE        -- a cohort, a judge or a reason
    ) STRICT;
    CREATE TABLE rows (
        id INTEGER PRIMARY KEY AUTOINCREMENT,   -- never used twice, since words of rows that are gone stay
        file INTEGER NOT NULL REFERENCES files,
        place INTEGER NOT NULL UNIQUE,   -- file << 40 | line: the order in which rows were written
        start INTEGER NOT NULL,          -- offset of the line in bytes; of a measured response, its position
        bytes INTEGER NOT NULL,          -- of the line; 0 for a measured response
        row_id TEXT NOT NULL,
        kind TEXT NOT NULL,              -- judgement, failure or score
        cohort INTEGER REFERENCES names,
        judge INTEGER REFERENCES names,
        reason INTEGER REFERENCES names,
        p REAL,                          -- probability of the chosen response
        disagreement REAL,
        length INTEGER,                  -- characters of all responses
        difference INTEGER,              -- characters of the chosen minus those of the rejected response
        flip INTEGER,                    -- 1: the same position wins in both orders
        people INTEGER,                  -- 1: agree with the judge, 0: differ, 2: one of them is undecided
        score REAL,
        steps INTEGER NOT NULL           -- messages of the longer trajectory; 0 for plain answers
    ) STRICT;
    CREATE INDEX rows_by_id ON rows (row_id);
    CREATE INDEX rows_by_file ON rows (file);
    CREATE VIRTUAL TABLE words USING fts5 (
        prompt, responses, reasons, content = '', tokenize = 'unicode61 remove_diacritics 2'
    );
    """,
    # 2: each row's words once, without their places, so that all words with a common beginning are found at once
    """
    CREATE VIRTUAL TABLE beginnings USING fts5 (
        words, content = '', columnsize = 0, detail = none, prefix = '1 2 3 4 5 6',
        tokenize = 'unicode61 remove_diacritics 2'
    );
    INSERT INTO words (words) VALUES ('delete-all');
    DELETE FROM rows;
    DELETE FROM files;
    """,
    # 3: what was compared, so that ratings of the same comparison in the studio are found
    """
    ALTER TABLE rows ADD COLUMN compared INTEGER;   -- hash of prompt, chosen and rejected response
    INSERT INTO words (words) VALUES ('delete-all');
    INSERT INTO beginnings (beginnings) VALUES ('delete-all');
    DELETE FROM rows;
    DELETE FROM files;
    """,
    # 4: the turns of agents and the thoughts before answers are among the words
    """
    INSERT INTO words (words) VALUES ('delete-all');
    INSERT INTO beginnings (beginnings) VALUES ('delete-all');
    DELETE FROM rows;
    DELETE FROM files;
    """,
)
