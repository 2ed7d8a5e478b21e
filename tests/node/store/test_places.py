"""Receipts and events by the part, and found again by eight bytes of a name: every one, in order, and no other's."""

import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path

import msgspec
import pytest

from node.store import parts
from node.store.chain import ChainStore, StoreError
from node.store.inspect import read_block_events, read_block_receipts, read_transactions
from node.store.outcome import Outcome, make_tables
from node.store.parts import PART, Era, Eras, Place
from protocol.batch import Batch, BatchItem
from protocol.block import Block, Header, calculate_batches_root
from protocol.codec import encode
from protocol.ids import (
    ZERO_DIGEST,
    BatchDigest,
    BlockDigest,
    ChainId,
    Digest,
    Epoch,
    Height,
    TimeMs,
    TransactionId,
    ValidatorIndex,
    View,
)
from protocol.ledger.records import Execution, LedgerEvent, Receipt
from protocol.merkle import NO_MOUNTAINS
from protocol.transactions.envelope import Transaction
from tests.node.core.chaintools import make_item, make_transaction
from tests.protocol.ledger.world import World


@pytest.fixture(params=[5, parts.ERA_ROWS], autouse=True)
def era_rows(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Every law below holds with eras of a few rows and with those of the product."""
    rows = int(request.param)
    monkeypatch.setattr(parts, "ERA_ROWS", rows)
    return rows


ALIKE = b"\xff" * 8
LOAN, OTHER = ALIKE + b"a" * 24, ALIKE + b"b" * 24


def make_outcome(
    height: int, items: Sequence[BatchItem], events: Sequence[tuple[bytes, ...]], changes: Sequence[object] = ()
) -> Outcome:
    """A block of one batch, with an event about each of the given subjects."""
    transactions = [make_transaction(item) for item in items]
    digest = BatchDigest(sha256(b"batch %d" % height).digest())
    receipts = tuple(
        Receipt(transaction_id=one.id, height=Height(height), index=i, rejection=None, outcome=())
        for i, one in enumerate(transactions)
    )
    told = tuple(
        LedgerEvent(height=Height(height), index=i, kind="told", subjects=subjects, data={"at": f"{height}-{i}"})
        for i, subjects in enumerate(events)
    )
    header = Header(
        version=1,
        chain_id=ChainId(bytes(32)),
        epoch=Epoch(0),
        height=Height(height),
        view=View(height),
        parent_digest=BlockDigest(bytes(32)),
        time_ms=TimeMs(height),
        batches_root=calculate_batches_root(()),
        batch_count=0,
        tx_count=0,
        exec_height=Height(0),
        exec_root=ZERO_DIGEST,
        history_root=ZERO_DIGEST,
        next_validators_hash=ZERO_DIGEST,
        epoch_end=Height(0),
        params_hash=ZERO_DIGEST,
        proposer=ValidatorIndex(0),
    )
    root = Digest(sha256(b"root %d" % height).digest())
    execution = Execution(
        height=Height(height),
        state_root=root,
        receipts_root=root,
        previous_exec_root=root,
        exec_root=root,
        receipts=receipts,
        changes=tuple(changes),  # type: ignore[arg-type]
        events=told,
    )
    return Outcome(
        block=Block(header=header, batches=()),
        digest=BlockDigest(sha256(b"block %d" % height).digest()),
        finalization=None,
        mountains=NO_MOUNTAINS,
        batches=[(digest, encode(Batch(items=tuple(items))))] if items else [],
        execution=execution,
        transactions=[(one, receipt, digest) for one, receipt in zip(transactions, receipts, strict=True)],
    )


@asynccontextmanager
async def opened(directory: Path) -> AsyncIterator[ChainStore]:
    """An empty store."""
    store = await ChainStore.open(directory / "ledger.sqlite", World().genesis)
    try:
        yield store
    finally:
        await store.close()


async def test_every_event_is_read_once_in_order_whatever_the_page(tmp_path: Path) -> None:
    """Blocks of none, one and many events; pages that end within a part, at its end and beyond."""
    counts = [0, 1, 0, PART, 3 * PART + 1, *[1] * 40, 2]
    async with opened(tmp_path) as store:
        for height, count in enumerate(counts, 1):
            await store.save_blocks([make_outcome(height, [], [(b"x" * 32,)] * count)])
        whole = [(height, i) for height, count in enumerate(counts, 1) for i in range(count)]
        for limit in (1, 3, PART, 200):
            seen: list[tuple[int, int]] = []
            position: tuple[Height, int] = (Height(0), 2**53 - 1)
            while page := await store.read_events(*position, limit):
                assert len(page) <= limit
                assert all(one.data == b'{"at":"%d-%d"}' % (one.height, one.index) for one in page)
                seen += [(one.height, one.index) for one in page]
                position = (page[-1].height, page[-1].index)
            assert seen == whole
        assert [one.index for one in await store.read_events(Height(5), 2**53 - 1, 1)] == [0]


async def test_a_history_holds_no_events_of_who_is_named_alike(tmp_path: Path) -> None:
    """Two subjects share the eight bytes that are looked up: each gets its own events, by pages too."""
    async with opened(tmp_path) as store:
        for height in range(1, 30):
            subjects = [(LOAN,), (OTHER,), (OTHER, LOAN), (b"c" * 32,)] * (PART // 3)
            await store.save_blocks([make_outcome(height, [], subjects)])
        for subject, places in ((LOAN, (0, 2)), (OTHER, (1, 2))):
            whole = [(height, 4 * k + place) for height in range(1, 30) for k in range(PART // 3) for place in places]
            found = await store.read_subject_events(subject, 10_000)
            assert [(one.height, one.index) for one in found] == whole
            seen: list[tuple[int, int]] = []
            while page := await store.read_subject_events(subject, 7, after=seen[-1] if seen else (0, -1)):
                seen += [(one.height, one.index) for one in page]
            assert seen == whole
        assert await store.read_subject_events(ALIKE + b"d" * 24, 10) == []


async def test_a_transaction_is_found_by_its_whole_id(tmp_path: Path) -> None:
    """Any place within a block; an id that agrees in eight bytes alone is another's."""
    items = [make_item(i) for i in range(2 * PART + 3)]
    async with opened(tmp_path) as store:
        await store.save_blocks([make_outcome(1, items[:5], []), make_outcome(2, items[5:], [])])
        for i, item in enumerate(items):
            one = make_transaction(item)
            found = await store.find_transaction(one.id)
            assert found is not None
            assert (found.height, found.index) == ((1, i) if i < 5 else (2, i - 5))
            assert found.raw == item.transaction
            assert msgspec.msgpack.decode(found.receipt, type=Receipt).transaction_id == one.id
            assert await store.find_transaction(TransactionId(one.id[:8] + bytes(24))) is None
    connection = sqlite3.connect(tmp_path / "ledger.sqlite")
    receipts = read_block_receipts(connection, Height(2))
    assert [msgspec.msgpack.decode(raw, type=Receipt).index for raw in receipts] == list(range(len(items) - 5))
    told = read_transactions(connection)
    assert [one for one, _, _, _ in told] == [make_transaction(item).id for item in items]
    assert [place for _, place, _, _ in told][4:6] == [Place(Height(1), 4), Place(Height(2), 0)]
    assert read_block_events(connection, Height(2)) == []
    connection.close()


async def test_two_transactions_named_alike_are_told_apart(tmp_path: Path) -> None:
    """Their ids are made to share eight bytes, which honest ones never do."""
    outcome = make_outcome(1, [make_item(i) for i in range(3)], [])
    alike: list[tuple[Transaction, Receipt, BatchDigest]] = []
    for i, (one, receipt, batch) in enumerate(outcome.transactions):
        name = TransactionId(ALIKE + bytes([i]) * 24)
        alike.append(
            (
                msgspec.structs.replace(one, id=name),
                msgspec.structs.replace(receipt, transaction_id=name),
                batch,
            )
        )
    async with opened(tmp_path) as store:
        await store.save_blocks([outcome._replace(transactions=alike)])
        assert await store.find_transaction(TransactionId(ALIKE + b"\x07" * 24)) is None
        for one, _, _ in alike:  # each is found as itself; its batch, made by nobody, holds another
            with pytest.raises(StoreError, match="does not hold a transaction"):
                await store.find_transaction(one.id)


async def test_blocks_saved_together_leave_what_they_leave_one_by_one(tmp_path: Path) -> None:
    """Rows that several of them changed are as the last one left them; a row gone and made again is there."""
    first = [(4, b"a", b"1"), (4, b"b", b"1"), (4, b"c", b"1"), (5, b"a", b"1")]
    second = [(4, b"a", None), (4, b"b", b"2"), (4, b"c", None)]
    third = [(4, b"c", b"3"), (5, b"a", None)]
    changes = (first, second, third)
    outcomes = [
        make_outcome(height, [make_item(100 * height + i) for i in range(3)], [(LOAN,)] * 3, changes[height - 1])
        for height in (1, 2, 3)
    ]
    pictures = []
    for place, groups in (("one", [[one] for one in outcomes]), ("all", [outcomes])):
        (tmp_path / place).mkdir()
        async with opened(tmp_path / place) as store:
            for group in groups:
                await store.save_blocks(group)
            assert sorted(await store.load_rows()) == [(4, b"b", b"2"), (4, b"c", b"3")]
            assert (await store.load_tip()).height == 3
        connection = sqlite3.connect(tmp_path / place / "ledger.sqlite")
        names = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        pictures.append({name: sorted(connection.execute(f"SELECT * FROM {name}")) for name in names})
        connection.close()
    assert pictures[0] == pictures[1]
    eras = Eras(Era(0, 0), Era(0, 0))
    assert len(make_tables(outcomes, eras)) < 3 * len(make_tables(outcomes[:1], eras))


async def test_a_part_that_is_too_short_is_damage(tmp_path: Path) -> None:
    """A sentence with its fix, not a wrong answer and not a traceback."""
    async with opened(tmp_path) as store:
        await store.save_blocks([make_outcome(1, [make_item(1)], [(LOAN,)])])
        connection = sqlite3.connect(tmp_path / "ledger.sqlite")
        for table, raw in (("events", encode(())), ("receipts", encode(((), ())))):
            connection.execute(f"UPDATE {table} SET raw = ?", (raw,))
        connection.commit()
        connection.close()
        with pytest.raises(StoreError, match="damaged"):
            await store.read_subject_events(LOAN, 10)
        with pytest.raises(StoreError, match="damaged"):
            await store.find_transaction(make_transaction(make_item(1)).id)


async def test_eras_go_on_where_they_were_after_a_restart(tmp_path: Path, era_rows: int) -> None:
    """New rows fall into the last era until it is full, and all of the earlier ones are still found."""
    item_sets = [[make_item(10 * height + i) for i in range(3)] for height in range(1, 7)]
    for height, items in enumerate(item_sets, 1):
        async with opened(tmp_path) as store:
            await store.save_blocks([make_outcome(height, items, [(LOAN,)] * 2)])
    connection = sqlite3.connect(tmp_path / "ledger.sqlite")
    counts = connection.execute("SELECT era, COUNT(*) FROM transaction_places GROUP BY era ORDER BY era").fetchall()
    connection.close()
    assert counts == ([(0, 6), (1, 6), (2, 6)] if era_rows == 5 else [(0, 18)])
    async with opened(tmp_path) as store:
        for items in item_sets:
            for item in items:
                assert await store.find_transaction(make_transaction(item).id) is not None
        assert len(await store.read_subject_events(LOAN, 100)) == 12
