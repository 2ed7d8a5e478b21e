"""The verdict after every scenario, from the files of nodes that have stopped; no node's word is believed.

Every answer a client was given still stands on every node, with one receipt; every transaction that was sent was
executed exactly once; no two nodes differ at any height; the books hold every law and every unit of money; and no log
holds a traceback.
"""

import sqlite3
from pathlib import Path
from typing import NamedTuple

from node.store.inspect import read_exec_roots, read_picture, read_transactions
from protocol.codec import decode
from protocol.ids import Digest, Height
from protocol.ledger.execute import Ledger
from protocol.ledger.invariants import find_violations
from protocol.ledger.journal import read_cash
from protocol.ledger.records import Receipt
from tests.e2e.faults.load import CASH, CURRENCY, Load
from tests.e2e.faults.processes import Processes


class Saved(NamedTuple):
    """What one node's database says of executed transactions: (height, index, receipt) by id."""

    roots: dict[Height, Digest]
    transactions: dict[str, tuple[int, int, bytes]]


def read_saved(path: Path) -> Saved:
    """All of a stopped node's transactions, each of which must stand there once."""
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)], path
        rows = read_transactions(connection)
    finally:
        connection.close()
    found = {one.hex(): (place.height, place.position, receipt) for one, place, _, receipt in rows}
    assert len(found) == len(rows), f"{path}: a transaction was executed twice"
    return Saved(read_exec_roots(path), found)


def check_saved(processes: Processes, load: Load) -> int:
    """Judge the files of all nodes. Returns how many transactions were looked at."""
    assert not load.problems, load.problems
    saved = {name: read_saved(processes.get_directory(name) / "ledger.sqlite") for name in processes.names}
    heights = {name: max(one.roots) for name, one in saved.items()}
    for name, one in saved.items():
        assert sorted(one.roots) == list(range(1, heights[name] + 1)), f"{name} has gaps"
    for height in range(1, max(heights.values()) + 1):
        roots = {one.roots[Height(height)] for one in saved.values() if height in one.roots}
        assert len(roots) == 1, f"nodes differ at height {height}"
    best = max(saved, key=lambda name: heights[name])
    for name, one in saved.items():
        for transaction, found in one.transactions.items():
            assert found == saved[best].transactions.get(transaction), f"{name}: {transaction} has another receipt"
        for transaction, told in load.final.items():
            assert transaction in one.transactions, f"{name} lost {transaction}, final at {told} (it is at {heights})"
            assert one.transactions[transaction][:2] == told, f"{name} has {transaction} elsewhere than told"
    executed = saved[best].transactions
    assert set(executed) == load.sent, "what was sent is not what was executed"
    refused = [one for one, row in executed.items() if decode(row[2], Receipt).rejection is not None]
    assert not refused, refused
    for name in processes.names:
        check_books(processes, load, name, all_of_it=heights[name] == heights[best])
        check_log(processes, name)
    return len(executed)


def check_books(processes: Processes, load: Load, name: str, *, all_of_it: bool) -> None:
    """A node's rows give the root it saved and hold every law; its balances are what the transfers come to."""
    picture = read_picture(processes.get_directory(name) / "ledger.sqlite")
    assert picture is not None, f"{name} saved nothing"
    genesis = processes.testnet.genesis
    ledger = Ledger.from_rows(genesis, picture.rows, height=picture.height, exec_root=picture.exec_root)
    assert find_violations(ledger) == {}, name
    if all_of_it:
        for one in load.wallets:
            has = read_cash(ledger.books.state, one.account, CURRENCY)
            assert has == CASH + load.moved[one.account], f"{name}: a transfer was lost or moved money twice"


def check_log(processes: Processes, name: str) -> None:
    """Whatever happened was said in sentences, and nobody was taken for a liar."""
    lines = processes.read_log(name)
    for i, line in enumerate(lines):
        is_trace = "Traceback" in line or "never retrieved" in line
        assert not is_trace, f"{name}: " + "\n".join(lines[i : i + 40])
        assert '"peer_banned"' not in line, f"{name} banned an honest peer: {line}"
        assert '"level": "error"' not in line or '"reason"' in line, f"{name}: {line}"
