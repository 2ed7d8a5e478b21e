"""`alerts.sqlite`: what this node's monitor has told, what it remembers of each loan, how far each webhook is.

    keep(loan, kept, alerts)   the watch and its new alerts in one durable transaction
    read(after, limit)         alerts in the order of their serials
    wait_beyond(serial, s)     as soon as there is a newer one

A subject, rule and window stands here once, whatever happens between two judgements. Newer alerts push the oldest out.
Figures of a statement may stand in the evidence, so erased pages are overwritten, and `forget` takes them out. Never a
rule here, and never a row of a statement.
"""

import asyncio
import contextlib
import sqlite3
import time
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any, Final

import aiosqlite
import msgspec

from node.monitor.records import AlertRecord, HookState, Kept, StoredAlert, WatchRow
from node.telemetry import get_logger
from protocol.codec import CodecError, decode, encode
from protocol.ids import Digest
from scoring.warning import Watch

ALERTS_FILE: Final = "alerts.sqlite"
ALERTS_KEPT_MAX: Final = 100_000
"""About 40 MB. Whoever wants older ones keeps what the webhook brings."""
_PRAGMAS: Final = (
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    "PRAGMA secure_delete=ON",
    "PRAGMA busy_timeout=5000",
)
_TABLES: Final = (
    """CREATE TABLE IF NOT EXISTS alerts (
        serial INTEGER PRIMARY KEY AUTOINCREMENT,
        subject BLOB NOT NULL,
        rule TEXT NOT NULL,
        window INTEGER NOT NULL,
        data BLOB,
        raw BLOB NOT NULL,
        UNIQUE (subject, rule, window))""",
    "CREATE INDEX IF NOT EXISTS alerts_by_data ON alerts (data) WHERE data IS NOT NULL",
    """CREATE TABLE IF NOT EXISTS watches (
        subject BLOB PRIMARY KEY,
        judged BLOB NOT NULL,
        raw BLOB NOT NULL) WITHOUT ROWID""",
    "CREATE TABLE IF NOT EXISTS hooks (hook BLOB PRIMARY KEY, raw BLOB NOT NULL) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS portfolio (lender BLOB PRIMARY KEY, raw BLOB NOT NULL) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS buckets (day INTEGER NOT NULL, raw BLOB NOT NULL, PRIMARY KEY (day)) WITHOUT ROWID",
)
NOTHING: Final = Kept(Watch(), b"")


Statement = tuple[str, tuple[object, ...]]


def _put_aside(path: Path) -> Path:
    aside = path.with_name(f"{path.name}.damaged-{time.time_ns() // 1_000_000}")
    path.replace(aside)
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    return aside


class AlertStore:
    """The open store of one node."""

    def __init__(self, database: aiosqlite.Connection, newest: int) -> None:
        self._database = database
        self._writing = asyncio.Lock()
        self._news = asyncio.Condition()
        self.newest = newest
        """Serial of the last alert; 0 before the first."""

    @classmethod
    async def open(cls, path: Path) -> "AlertStore":
        """Open or create it; one that is damaged is put aside, because alerts must not keep a node from its work.

        Raises sqlite3.Error for a disk that takes nothing.
        """
        try:
            return await cls._open(path)
        except sqlite3.DatabaseError as error:
            code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF
            if code not in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
                raise
            kept = await asyncio.to_thread(_put_aside, path)
            get_logger("monitor").error("alerts_put_aside", kept=kept.name, reason=str(error))
            return await cls._open(path)

    @classmethod
    async def _open(cls, path: Path) -> "AlertStore":
        database = await aiosqlite.connect(path, isolation_level=None)
        try:
            for line in (*_PRAGMAS, *_TABLES):
                await database.execute(line)
            found = list(await database.execute_fetchall("SELECT seq FROM sqlite_sequence WHERE name = 'alerts'"))
        except BaseException:
            await database.close()
            raise
        return cls(database, int(found[0][0]) if found else 0)

    async def close(self) -> None:
        """Finish a running write, then close."""
        async with self._writing:
            await self._database.close()

    # ------------------------------------------------------------------ watching

    async def load(self, subject: bytes) -> Kept:
        """What is remembered of a loan or portfolio."""
        rows = await self._read("SELECT judged, raw FROM watches WHERE subject = ?", (subject,))
        if not rows:
            return NOTHING
        try:
            row = decode(rows[0][1], WatchRow)
        except CodecError:
            return NOTHING
        return Kept(Watch(row.standing, row.windows), bytes(rows[0][0]))

    async def keep(self, subject: bytes, kept: Kept, alerts: Sequence[AlertRecord]) -> None:
        """Remember a watch and tell its new alerts, all or nothing; durable on return."""
        raw = encode(WatchRow(standing=kept.watch.standing, windows=kept.watch.windows))
        statements: list[Statement] = [("INSERT OR REPLACE INTO watches VALUES (?, ?, ?)", (subject, kept.judged, raw))]
        await self._tell(statements, alerts)

    async def load_standing(self, lender: bytes) -> tuple[int, ...]:
        """Numbers of the portfolio's rules that stand."""
        rows = await self._read("SELECT raw FROM portfolio WHERE lender = ?", (lender,))
        with contextlib.suppress(CodecError):
            return decode(rows[0][0], tuple[int, ...]) if rows else ()
        return ()

    async def keep_standing(self, lender: bytes, standing: tuple[int, ...], alerts: Sequence[AlertRecord]) -> None:
        """Remember them and tell new alerts, all or nothing."""
        await self._tell([("INSERT OR REPLACE INTO portfolio VALUES (?, ?)", (lender, encode(standing)))], alerts)

    async def tell(self, alerts: Sequence[AlertRecord]) -> None:
        """Tell alerts that need no watch: each at most once by its subject, rule and window."""
        await self._tell([], alerts)

    async def _tell(self, statements: list[Statement], alerts: Sequence[AlertRecord]) -> None:
        insert = (  # an ignored insert would use a serial up
            "INSERT INTO alerts (subject, rule, window, data, raw) SELECT ?1, ?2, ?3, ?4, ?5"
            " WHERE NOT EXISTS (SELECT 1 FROM alerts WHERE subject = ?1 AND rule = ?2 AND window = ?3)"
        )
        statements += [(insert, (one.subject, one.rule, one.window, one.data, encode(one))) for one in alerts]
        if alerts:
            prune = "DELETE FROM alerts WHERE serial <= (SELECT seq FROM sqlite_sequence WHERE name = 'alerts') - ?"
            statements.append((prune, (ALERTS_KEPT_MAX,)))
        await self._write(statements)
        if alerts:
            ((self.newest,),) = await self._read("SELECT seq FROM sqlite_sequence WHERE name = 'alerts'", ())
            async with self._news:
                self._news.notify_all()

    async def drop_watches(self, subjects: Sequence[bytes]) -> None:
        """Forget loans that are over; what was told of them stays."""
        await self._write([("DELETE FROM watches WHERE subject = ?", (one,)) for one in subjects])

    async def list_watched(self) -> list[bytes]:
        """Subjects of all watches."""
        return [bytes(row[0]) for row in await self._read("SELECT subject FROM watches", ())]

    async def forget(self, data: bytes) -> int:
        """Take the evidence out of every alert that rests on a statement, which was erased; how many there were.

        Raises OSError while the disk does not take it: then it is not erased, and has to be tried again.
        """
        try:
            return await self._forget(data)
        except sqlite3.Error as error:
            raise OSError(f"the alerts' file takes no change ({error})") from error

    async def _forget(self, data: bytes) -> int:
        rows = await self._read("SELECT serial, raw FROM alerts WHERE data = ?", (data,))
        records = [(msgspec.structs.replace(decode(raw, AlertRecord), evidence=()), serial) for serial, raw in rows]
        await self._write(
            [("UPDATE alerts SET raw = ? WHERE serial = ?", (encode(one), serial)) for one, serial in records]
        )
        await self._run(self._checkpoint())
        return len(rows)

    async def _checkpoint(self) -> None:
        await self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    # ------------------------------------------------------------------ reading

    async def read(self, after: int, limit: int) -> list[StoredAlert]:
        """Alerts after a serial, oldest first."""
        rows = await self._read(
            "SELECT serial, raw FROM alerts WHERE serial > ? ORDER BY serial LIMIT ?", (after, limit)
        )
        return [StoredAlert(serial, decode(raw, AlertRecord)) for serial, raw in rows]

    async def wait_beyond(self, serial: int, timeout_s: float) -> int:
        """The newest serial as soon as it passes `serial`, or as it is when time is up."""
        try:
            async with asyncio.timeout(timeout_s), self._news:
                await self._news.wait_for(lambda: self.newest > serial)
        except TimeoutError:
            pass
        return self.newest

    # ------------------------------------------------------------------ webhooks

    async def load_hook(self, hook: Digest) -> HookState:
        """How far a webhook is; one that is new begins with what comes next."""
        rows = await self._read("SELECT raw FROM hooks WHERE hook = ?", (hook,))
        if rows:
            with contextlib.suppress(CodecError):
                return decode(rows[0][0], HookState)
        state = HookState(hook=hook, delivered=self.newest, dropped=0, failing_since_ms=None)
        await self.keep_hook(state)
        return state

    async def keep_hook(self, state: HookState) -> None:
        """Remember how far a webhook is."""
        await self._write([("INSERT OR REPLACE INTO hooks VALUES (?, ?)", (state.hook, encode(state)))])

    # ------------------------------------------------------------------ pictures of the portfolio

    async def keep_picture(self, day: int, raw: bytes, kept_max: int) -> None:
        """Remember in which bucket each loan was on a day; the newest `kept_max` pictures stay."""
        prune = "DELETE FROM buckets WHERE day NOT IN (SELECT day FROM buckets ORDER BY day DESC LIMIT ?)"
        await self._write([("INSERT OR REPLACE INTO buckets VALUES (?, ?)", (day, raw)), (prune, (kept_max,))])

    async def read_picture(self, day_latest: int) -> tuple[int, bytes] | None:
        """The newest picture of a day or before it."""
        rows = await self._read("SELECT day, raw FROM buckets WHERE day <= ? ORDER BY day DESC LIMIT 1", (day_latest,))
        return (int(rows[0][0]), bytes(rows[0][1])) if rows else None

    # ------------------------------------------------------------------ the database

    async def _read(self, sql: str, parameters: tuple[object, ...]) -> list[sqlite3.Row]:
        return list(await self._database.execute_fetchall(sql, parameters))

    async def _write(self, statements: Sequence[Statement]) -> None:
        """All or nothing; whoever waits may go, the write is finished."""
        if statements:
            await self._run(self._execute(statements))

    async def _run(self, work: Coroutine[Any, Any, None]) -> None:
        async def inside() -> None:
            async with self._writing:
                await work

        await asyncio.shield(asyncio.ensure_future(inside()))

    async def _execute(self, statements: Sequence[Statement]) -> None:
        await self._database.execute("BEGIN IMMEDIATE")
        try:
            for sql, parameters in statements:
                await self._database.execute(sql, parameters)
            await self._database.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                await self._database.execute("ROLLBACK")
            raise
