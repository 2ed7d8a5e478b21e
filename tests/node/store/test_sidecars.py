"""Bins apart from their batches: found again with them, erased without a trace, and never needed by what remains."""

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
import pytest_asyncio

from node.store.chain import ChainStore, StoreError
from node.store.sidecars import join_batch, read_whole_batch, split_batch
from protocol.batch import Batch, BatchItem, Sidecar, calculate_batch_digest, calculate_transaction_id
from protocol.block import Block, Header, calculate_batches_root
from protocol.codec import CodecError, encode
from protocol.crypto import calculate_hash
from protocol.ids import ZERO_DIGEST, BatchDigest, Height, ModelId, ObjectId
from protocol.ledger.records import Execution
from protocol.merkle import NO_MOUNTAINS
from tests.protocol.ledger.world import World

DATA = [ObjectId(calculate_hash("data", bytes((i,)))) for i in range(4)]
SECRET = b"\x00\x11\x22\x33salt-that-must-go-"


def make_sidecar(number: int) -> Sidecar:
    """One whose salt a search of the file finds."""
    salt = SECRET + b"%010d" % number
    assert len(salt) == 32
    return Sidecar(model=ModelId(ZERO_DIGEST), salt=salt, bins=(number % 7, 60_000 + number))


class Scene:
    """A database with some blocks of applications."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.world = World()
        self.height = 0
        self.raw: dict[BatchDigest, bytes] = {}

    async def open(self) -> None:
        """Open or open again."""
        self.store = await ChainStore.open(self.path, self.world.genesis)

    def make_item(self, number: int, *data: ObjectId) -> BatchItem:
        """A signed application with one sidecar."""
        sidecar = make_sidecar(number)
        payload = self.world.application("ann", data[0], ObjectId(ZERO_DIGEST), sidecar=sidecar)
        payload = msgspec.structs.replace(payload, data=data)
        raw = self.world.sign(self.world.transaction("ann", payload), "ann")
        return BatchItem(transaction=raw, sidecars=(sidecar,))

    def make_plain(self) -> BatchItem:
        """Another transaction."""
        from protocol.transactions.data import ConsentRevoke

        payload = ConsentRevoke(consent=ObjectId(ZERO_DIGEST))
        return BatchItem(transaction=self.world.sign(self.world.transaction("ann", payload), "ann"))

    async def save(self, *items: BatchItem) -> BatchDigest:
        """A block of one batch."""
        self.height += 1
        batch = Batch(items=items)
        digest = calculate_batch_digest([calculate_transaction_id(one.transaction) for one in items])
        self.raw[digest] = encode(batch)
        header: Header = self.world.header(self.height)
        execution = Execution(Height(self.height), ZERO_DIGEST, ZERO_DIGEST, ZERO_DIGEST, ZERO_DIGEST, (), (), ())
        await self.store.save_block(
            block=Block(header=msgspec.structs.replace(header, batches_root=calculate_batches_root(())), batches=()),
            digest=header.calculate_digest(),
            finalization=None,
            mountains=NO_MOUNTAINS,
            batches=[(digest, self.raw[digest])],
            execution=execution,
            transactions=[],
        )
        return digest

    def count(self, needle: bytes) -> int:
        """How often the bytes stand in the database's files."""
        return sum(one.read_bytes().count(needle) for one in self.path.parent.iterdir() if one.is_file())


@pytest_asyncio.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    """An empty database."""
    made = Scene(tmp_path / "ledger.sqlite")
    await made.open()
    yield made
    await made.store.close()


async def test_a_batch_is_read_as_it_was_saved(scene: Scene) -> None:
    """With every sidecar in its place, though they are kept apart."""
    digest = await scene.save(scene.make_plain(), scene.make_item(1, DATA[0]), scene.make_item(2, DATA[1]))
    assert await scene.store.read_batch(digest) == scene.raw[digest]
    plain = await scene.save(scene.make_plain())
    assert await scene.store.read_batch(plain) == scene.raw[plain]
    wanted = (BatchDigest(bytes(32)), digest, plain)
    assert await scene.store.read_batches(wanted) == {one: scene.raw[one] for one in (digest, plain)}
    assert await scene.store.read_batches(()) == {}
    connection = sqlite3.connect(scene.path)
    try:
        assert all(SECRET not in row[0] for row in connection.execute("SELECT raw FROM batches"))
        assert read_whole_batch(connection, digest) == scene.raw[digest]
        assert read_whole_batch(connection, b"none") is None
    finally:
        connection.close()


async def test_what_is_erased_is_nowhere_in_the_files_and_the_rest_is_whole(scene: Scene) -> None:
    """Not in pages, not in the journal; the batch keeps its digest, and other applications their bins."""
    batches = [
        await scene.save(*(scene.make_item(10 * i + k, DATA[k % 4], *([DATA[3]] if k == 1 else [])) for k in range(3)))
        for i in range(40)
    ]
    assert scene.count(SECRET) >= 120
    before = scene.count(SECRET + b"%010d" % 11)
    assert before >= 1
    assert await scene.store.erase_sidecars(DATA[1]) == 40
    assert await scene.store.erase_sidecars(DATA[1]) == 0
    assert await scene.store.erase_sidecars(DATA[3]) == 0
    for i in range(40):
        assert scene.count(SECRET + b"%010d" % (10 * i + 1)) == 0
        assert scene.count(SECRET + b"%010d" % (10 * i + 2)) == 1
    for digest in batches:
        raw = await scene.store.read_batch(digest)
        assert raw is not None
        batch = msgspec.msgpack.decode(raw, type=Batch)
        assert [len(one.sidecars) for one in batch.items] == [1, 0, 1]
        assert calculate_batch_digest([calculate_transaction_id(one.transaction) for one in batch.items]) == digest
    await scene.store.close()
    await scene.open()
    assert scene.count(SECRET + b"%010d" % 11) == 0


async def test_bins_of_old_blocks_are_erased_by_height(scene: Scene) -> None:
    """Up to a height, both ends included."""
    batches = [await scene.save(scene.make_item(i, DATA[0])) for i in range(5)]
    assert await scene.store.erase_sidecars_up_to(Height(2), Height(3)) == 2
    left = [b"salt-that-must-go" in (await scene.store.read_batch(one) or b"") for one in batches]
    assert left == [True, False, False, True, True]


async def test_a_batch_that_comes_again_does_not_bring_back_what_was_erased(scene: Scene) -> None:
    """Another block may order the same batch; the first copy of it stands."""
    item = scene.make_item(5, DATA[2])
    digest = await scene.save(item)
    await scene.store.erase_sidecars(DATA[2])
    assert await scene.save(item) == digest
    assert scene.count(SECRET) == 0


async def test_a_reader_that_holds_the_journal_is_told(scene: Scene) -> None:
    """Nothing is called erased while pages of the journal may still say it."""
    await scene.save(scene.make_item(1, DATA[0]))
    reader = sqlite3.connect(scene.path, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM sidecars").fetchone()
    scene.store._writer._connection.execute("PRAGMA busy_timeout=50")
    try:
        with pytest.raises(StoreError, match="try again"):
            await scene.store.erase_sidecars(DATA[0])
    finally:
        reader.execute("COMMIT")
        reader.close()
    await scene.store.erase_sidecars(DATA[0])
    assert scene.count(SECRET) == 0


@pytest.fixture
def parts() -> tuple[bytes, list[tuple[int, bytes]]]:
    """A batch and what was taken out of it."""
    scene = Scene(Path("nowhere"))
    bare, taken = split_batch(encode(Batch(items=(scene.make_item(1, DATA[0]),))))
    return bare, [(one.position, one.raw) for one in taken]


def test_a_row_that_nobody_wrote_is_damage(parts: tuple[bytes, list[tuple[int, bytes]]]) -> None:
    """A place beyond the batch, or bytes that are no sidecars."""
    bare, rows = parts
    with pytest.raises(CodecError):
        join_batch(bare, [(9, rows[0][1])])
    with pytest.raises(CodecError):
        join_batch(bare, [(0, b"\x91\xc0")])
    assert join_batch(bare, [(0, bytes(len(rows[0][1])))]) == bare
