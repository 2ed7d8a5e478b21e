"""Rows out of a node's database: one read-only transaction, one consistent picture, beside a running node too.

Blocks' rows stream in bounded memory. Loans need the books, which are loaded whole and checked against their root.
Never write here.
"""

import sqlite3
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any, Final

import msgspec

from node.api.loanviews import view_summary
from node.api.reading import to_plain
from node.api.state import list_roles
from node.exports.columns import Row, What, make_event_row, make_loan_row, make_posting_rows, write_json
from node.exports.writers import ExportError
from node.store.parts import PART, read_events, read_receipts
from protocol.codec import CodecError, decode
from protocol.genesis import Genesis
from protocol.ids import Digest, Height, ObjectId
from protocol.ledger.execute import Ledger, LedgerError
from protocol.ledger.journal import Book, add_balance, split_balance_key
from protocol.ledger.records import Receipt
from protocol.ledger.state import ACCOUNTS, BALANCES, LOANS, MEMBERS, Table
from protocol.money import Currency

FETCH: Final = 256
Totals = dict[Currency, dict[Book, int]]


class DatabaseSource:
    """One picture of `ledger.sqlite`, as a context manager. Raises ExportError for what is no such database."""

    def __init__(self, path: Path, genesis: Genesis) -> None:
        self._path, self._genesis = path, genesis
        self.chain_id = genesis.calculate_chain_id()
        self.height = Height(0)
        self.exec_root = Digest(bytes(32))
        self.base = Height(0)
        """Blocks up to this one are not here."""

    def __enter__(self) -> "DatabaseSource":
        if not self._path.is_file():
            raise ExportError("database_missing", f"{self._path} is missing: --data-dir names a node's data directory.")
        try:
            self._connection = sqlite3.connect(f"file:{self._path}?mode=ro", uri=True, isolation_level=None)
            self._connection.execute("BEGIN")
            newest = "SELECT height, exec_root FROM blocks ORDER BY height DESC LIMIT 1"
            tip = self._connection.execute(newest).fetchone()
            first = self._connection.execute("SELECT MIN(height) FROM receipts").fetchone()[0]
            oldest = self._connection.execute("SELECT MIN(height) FROM blocks").fetchone()[0]
        except sqlite3.Error as error:
            raise self._explain(error) from error
        if tip is None:
            self._connection.close()
            raise ExportError("nothing_saved", "No block is saved here yet: there is nothing to export.")
        self.height, self.exec_root = Height(tip[0]), Digest(tip[1])
        self.base = Height(0 if oldest == 1 else min(oldest, first or oldest) - 1)
        return self

    def __exit__(self, *error: object) -> None:
        self._connection.close()

    def _explain(self, error: Exception) -> ExportError:
        return ExportError("database_damaged", f"{self._path} cannot be read ({error}): run liushui check.")

    def read(self, what: What) -> Iterator[Row]:
        """The rows of a table, in the order of the chain or of ids."""
        readers = {
            "loans": self._read_loans,
            "events": self._read_events,
            "postings": self._read_postings,
            "transactions": self._read_transactions,
            "accounts": self._read_accounts,
            "balances": self._read_balances,
        }
        try:
            yield from readers[what]()
        except (sqlite3.Error, CodecError, LedgerError, msgspec.MsgspecError) as error:
            raise self._explain(error) from error

    def _fetch(self, sql: str, *parameters: object) -> Iterator[tuple[Any, ...]]:
        cursor = self._connection.execute(sql, parameters)
        while rows := cursor.fetchmany(FETCH):
            yield from rows

    def _rows(self, table: Table[Any]) -> Iterator[tuple[bytes, Any]]:
        sql = "SELECT key, value FROM state WHERE family = ? ORDER BY key"
        for key, value in self._fetch(sql, table.number):
            yield key, decode(value, table.kind)

    def _list_events(self) -> Iterator[tuple[int, int, str, bytes]]:
        for height, part, raw in self._fetch("SELECT height, part, raw FROM events ORDER BY height, part"):
            for index, row in enumerate(read_events([raw]), part * PART):
                yield height, index, row.kind, row.data

    def _read_events(self) -> Iterator[Row]:
        for event in self._list_events():
            yield make_event_row(*event)

    def _read_postings(self) -> Iterator[Row]:
        for height, index, kind, data in self._list_events():
            yield from make_posting_rows(height, index, kind, msgspec.json.decode(data))

    def _read_transactions(self) -> Iterator[Row]:
        for height, _, raw in self._fetch("SELECT height, part, raw FROM receipts ORDER BY height, part"):
            for _, encoded in read_receipts([raw]):
                one = decode(encoded, Receipt)
                number, code = (None, None) if one.rejection is None else (int(one.rejection), one.rejection.code)
                outcome = write_json(to_plain(one.outcome))
                yield height, one.index, one.transaction_id.hex(), one.rejection is None, number, code, outcome

    def _read_accounts(self) -> Iterator[Row]:
        names = {key: member.name for key, member in self._rows(MEMBERS)}
        for key, one in self._rows(ACCOUNTS):
            expires, roles = date.fromordinal(one.expires_on).isoformat(), " ".join(list_roles(one))
            shown = (one.level, expires, one.frozen or one.frozen_by_vote, one.opened_ms, one.key.hex())
            yield key.hex(), names.get(key), one.kind.name.lower(), roles, *shown

    def _read_balances(self) -> Iterator[Row]:
        for key, balance in self._rows(BALANCES):
            owner, book, currency = split_balance_key(key)
            yield owner.hex(), book.name.lower(), currency, max(0, balance), max(0, -balance)

    def _read_loans(self) -> Iterator[Row]:
        rows = self._connection.execute("SELECT family, key, value FROM state").fetchall()
        ledger = Ledger.from_rows(self._genesis, rows, height=self.height, exec_root=self.exec_root)
        still: Any = _Still(self._genesis, ledger)
        for key, _ in ledger.books.state.items(LOANS):
            yield make_loan_row(to_plain(view_summary(still, ObjectId(key))))

    def read_trial_balance(self) -> Totals:
        """Sums of all balances of this very picture."""
        totals: Totals = {}
        for key, balance in self._rows(BALANCES):
            add_balance(totals, key, balance)
        return totals


class _Still:
    """As much of a node as a view of a loan looks at."""

    def __init__(self, genesis: Genesis, ledger: Ledger) -> None:
        self.genesis, self.ledger = genesis, ledger
