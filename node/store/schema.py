"""Tables of `ledger.sqlite`. Append-only (height, index) keys: several times faster than random ids. No logic here."""

from node.store import epochs, sidecars

SCHEMA_VERSION = 4

PRAGMAS = (
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",  # a finalised block survives a power cut
    "PRAGMA foreign_keys=OFF",
    "PRAGMA temp_store=MEMORY",
    "PRAGMA cache_size=-32768",
    "PRAGMA busy_timeout=5000",
    "PRAGMA wal_autocheckpoint=8192",  # 32 MiB: a page that ten blocks change is copied once, not ten times
)

READER_PRAGMAS = (*PRAGMAS, "PRAGMA cache_size=-8192")
"""A reader looks at what was just written, which the system's cache holds; three full caches would be 100 MB."""

TABLES = (
    "CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID",
    """CREATE TABLE IF NOT EXISTS blocks (
        height INTEGER PRIMARY KEY,
        digest BLOB NOT NULL,
        block BLOB NOT NULL,
        finalization BLOB,
        state_root BLOB NOT NULL,
        receipts_root BLOB NOT NULL,
        exec_root BLOB NOT NULL)""",
    "CREATE UNIQUE INDEX IF NOT EXISTS blocks_by_digest ON blocks (digest)",
    epochs.TABLE,
    """CREATE TABLE IF NOT EXISTS batches (
        serial INTEGER PRIMARY KEY,
        digest BLOB NOT NULL,
        height INTEGER NOT NULL,
        raw BLOB NOT NULL)""",
    "CREATE UNIQUE INDEX IF NOT EXISTS batches_by_digest ON batches (digest)",
    *sidecars.TABLES,
    """CREATE TABLE IF NOT EXISTS receipts (
        height INTEGER NOT NULL,
        part INTEGER NOT NULL,
        raw BLOB NOT NULL,
        PRIMARY KEY (height, part)) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS transaction_places (
        era INTEGER NOT NULL,
        short INTEGER NOT NULL,
        place INTEGER NOT NULL,
        PRIMARY KEY (era, short, place)) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS state (
        family INTEGER NOT NULL,
        key BLOB NOT NULL,
        value BLOB NOT NULL,
        PRIMARY KEY (family, key)) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS events (
        height INTEGER NOT NULL,
        part INTEGER NOT NULL,
        raw BLOB NOT NULL,
        PRIMARY KEY (height, part)) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS subject_places (
        era INTEGER NOT NULL,
        short INTEGER NOT NULL,
        place INTEGER NOT NULL,
        PRIMARY KEY (era, short, place)) WITHOUT ROWID""",
)
