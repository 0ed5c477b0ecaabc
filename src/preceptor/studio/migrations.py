"""The schema of `people.sqlite`, as numbered steps. A released step never changes; a new need is a new step."""

STEPS: tuple[str, ...] = (
    # 1: raters and their sessions; queues of rows; who was asked what; what they said
    """
    CREATE TABLE raters (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        owner INTEGER NOT NULL DEFAULT 0,    -- 1: sees everything
        token_hash TEXT UNIQUE,              -- sha256 of the token in the invitation link; NULL: has none
        created_at TEXT NOT NULL,            -- UTC
        revoked_at TEXT                      -- NULL while the rater may sign in
    ) STRICT;
    CREATE TABLE sessions (
        token_hash TEXT PRIMARY KEY,         -- sha256 of the cookie
        rater INTEGER NOT NULL REFERENCES raters,
        csrf TEXT NOT NULL,                  -- what forms of this session must carry
        created_at TEXT NOT NULL
    ) STRICT;
    CREATE TABLE queues (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        kind TEXT NOT NULL,                  -- compare: two responses; rank: two or more
        source TEXT NOT NULL,                -- where the rows are from, in words
        guidelines TEXT NOT NULL,            -- JSON: what raters are told
        raters_per_row INTEGER NOT NULL,
        repeat_share REAL NOT NULL,          -- share of a rater's rows that are shown to them a second time
        seed INTEGER NOT NULL,
        created_at TEXT NOT NULL,
        closed_at TEXT
    ) STRICT;
    CREATE TABLE items (
        id INTEGER PRIMARY KEY,
        queue INTEGER NOT NULL REFERENCES queues,
        number INTEGER NOT NULL,             -- place in the queue, counted from 0
        row TEXT NOT NULL,                   -- JSON: the row as it is exported, with how it was chosen
        known TEXT,                          -- JSON: the known answer of a control row; NULL for all others
        UNIQUE (queue, number)
    ) STRICT;
    CREATE TABLE assignments (
        id INTEGER PRIMARY KEY,
        item INTEGER NOT NULL REFERENCES items,
        rater INTEGER NOT NULL REFERENCES raters,
        repeat INTEGER NOT NULL DEFAULT 0,   -- 1: the rater has rated the row before
        reserved_until TEXT NOT NULL,        -- UTC; a later rating still counts
        created_at TEXT NOT NULL,
        UNIQUE (item, rater, repeat)
    ) STRICT;
    CREATE TABLE ratings (
        id INTEGER PRIMARY KEY,
        assignment INTEGER NOT NULL REFERENCES assignments,
        answer TEXT NOT NULL,                -- JSON; in the order of the row, not of the screen
        shown TEXT NOT NULL,                 -- JSON: positions of the row's responses in the order of the screen
        reason TEXT NOT NULL DEFAULT '',
        confidence INTEGER,                  -- 1 to 3; NULL if the rater gave none
        flagged INTEGER NOT NULL DEFAULT 0,
        seconds REAL,                        -- from showing the row to the answer
        created_at TEXT NOT NULL,
        undone_at TEXT                       -- NULL unless the rater took it back
    ) STRICT;
    CREATE UNIQUE INDEX one_rating ON ratings (assignment) WHERE undone_at IS NULL;
    CREATE INDEX assignments_of_rater ON assignments (rater, item);
    """,
    # 2: the folder that a queue's rows are from, so that people's rows can be written beside them
    """
    ALTER TABLE queues ADD COLUMN folder TEXT;   -- absolute path; NULL for rows of an uploaded file
    """,
)
