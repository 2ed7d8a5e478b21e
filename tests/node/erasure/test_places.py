"""Each place where a node holds data, erased on its own: log, vault, copies beside; and what goes by its age alone."""

import sqlite3
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from node.eraser import Eraser, ErasureDesk, Places
from node.shredding import erase_copies, find_copies
from node.store.appendlog import AppendLog
from node.store.sidecars import TABLES, read_whole_batch
from node.vault.store import Vault, VaultError
from protocol.block import Block, Header
from protocol.codec import encode
from protocol.crypto import calculate_hash
from protocol.ids import Digest, Height, ObjectId, TimeMs
from protocol.ledger.state import DATA as DATA_ROWS
from protocol.transactions.data import DataErase
from protocol.transactions.lending import ApplyWithdraw
from tests.node.vault.test_vault_store import seal
from tests.protocol.ledger.goods import Goods
from tests.protocol.ledger.world import DAY_MS, make_signer

SECRET = b"seventeen-noodles"
DATA = ObjectId(calculate_hash("data"))


async def test_a_shredded_log_keeps_what_it_must_and_its_old_file_says_nothing(tmp_path: Path) -> None:
    """Also to whoever still holds the old file: its bytes are overwritten, not only its name taken."""
    log, _ = AppendLog.open(tmp_path / "payload.log")
    await log.append([SECRET, b"kept"])
    with (tmp_path / "payload.log").open("rb") as old:
        await log.rewrite(lambda raw: raw == b"kept", shred=True)
        old.seek(0)
        said = old.read()
    assert said.strip(b"\0") == b""
    assert said != b""
    await log.append([b"more"])
    await log.close()
    again, records = AppendLog.open(tmp_path / "payload.log")
    again.abandon()
    assert records == [b"kept", b"more"]


async def test_what_was_erased_on_an_order_is_not_taken_in_again(tmp_path: Path) -> None:
    """By nobody, and after a restart too; what went by its age alone may come back."""
    vault = await Vault.open(tmp_path / "vault.sqlite")
    first, second = seal().envelope, seal().envelope
    for one in (first, second):
        await vault.put(encode(one))
    assert await vault.list_documents() == sorted([first.digest, second.digest])
    assert await vault.erase(first.digest, for_ever=True)
    assert not await vault.erase(first.digest, for_ever=True)
    assert await vault.erase(second.digest)
    await vault.put(encode(second))
    await vault.note_erasure(DATA, 1, 2)
    await vault.note_erasure(DATA, 0, 3)
    assert await vault.read_erasure(DATA) == (1, 3)
    await vault.close()
    vault = await Vault.open(tmp_path / "vault.sqlite")
    with pytest.raises(VaultError) as caught:
        await vault.put(encode(first))
    assert caught.value.code == "document_erased"
    assert await vault.read_erasure(ObjectId(bytes(32))) is None
    assert await vault.holds(second.digest)
    assert not await vault.holds(first.digest)
    await vault.close()


def make_copy(path: Path, document: Digest) -> None:
    """A database that was set aside, in the form of the ledger's and the vault's."""
    path.parent.mkdir(exist_ok=True, parents=True)
    connection = sqlite3.connect(path, isolation_level=None)
    others = ("CREATE TABLE documents (digest BLOB, body BLOB)", "CREATE TABLE grants (digest BLOB, raw BLOB)")
    for line in (*TABLES, *others):
        connection.execute(line)
    connection.execute("CREATE TABLE batches (digest BLOB, raw BLOB)")
    connection.execute("INSERT INTO sidecars VALUES (1, x'01', 0, 1, ?)", (b"\x91" + SECRET,))
    connection.execute("INSERT INTO sidecar_uses VALUES (?, x'01', 0)", (DATA,))
    connection.execute("INSERT INTO documents VALUES (?, ?)", (document, SECRET))
    connection.execute("INSERT INTO grants VALUES (?, ?)", (document, SECRET))
    connection.close()


def test_copies_that_were_set_aside_are_erased_as_well(tmp_path: Path) -> None:
    """Beside the databases and one directory below; other files are left alone, open databases to their rooms."""
    document = Digest(calculate_hash("document"))
    copies = [tmp_path / "ledger.sqlite.before-1", tmp_path / "backups" / "one" / "ledger.sqlite"]
    for path in (*copies, tmp_path / "ledger.sqlite"):
        make_copy(path, document)
    (tmp_path / "notes.txt").write_bytes(SECRET)
    assert sorted(find_copies(tmp_path)) == sorted(copies)
    assert erase_copies(tmp_path, [(ObjectId(bytes(32)), ())]) == 0
    assert erase_copies(tmp_path, [(DATA, (document,))]) == 2
    assert [path.read_bytes().count(SECRET) for path in copies] == [0, 0]
    assert (tmp_path / "ledger.sqlite").read_bytes().count(SECRET) == 3
    before = [path.read_bytes() for path in copies]
    assert erase_copies(tmp_path, [(DATA, (document,))]) == 0
    assert [path.read_bytes() for path in copies] == before, "where nothing is, nothing is written"
    connection = sqlite3.connect(copies[0])
    assert read_whole_batch(connection, b"\x01") is None
    connection.close()


def test_a_copy_that_cannot_be_opened_keeps_the_erasure_from_being_complete(tmp_path: Path) -> None:
    """It might hold the data: the error names it."""
    (tmp_path / "ledger.sqlite.before-2").write_bytes(b"SQLite format 3\0" + b"\xff" * 200)
    with pytest.raises(OSError, match="before-2"):
        erase_copies(tmp_path, [(DATA, (Digest(bytes(32)),))])


def seal_as(who: str) -> bytes:
    """An envelope that somebody sealed."""
    return encode(msgspec.structs.replace(seal().envelope, owner=make_signer(who).public_key))


async def test_nobody_erases_or_keeps_another_ones_statement_by_naming_it() -> None:
    """Digests stand on the ledger for everybody to read: a thief's anchor neither keeps nor ends it."""
    world = Goods()
    data, _ = world.anchor("ann")
    stolen = world.ledger.books.state.need(DATA_ROWS, data).anchor
    world.anchor("bob")
    world.must("bob", stolen)
    bobs = world.made("data", "bob")
    document = Digest(stolen.document)
    disk = Disk(world, {1: TimeMs(world.now_ms)})
    disk.sealed[document] = seal_as("ann")
    eraser = make_eraser(world, disk)
    world.must("bob", DataErase(data=(bobs,)))
    assert await eraser._find_documents([bobs]) == {bobs: ()}
    world.must("ann", DataErase(data=(data,)))
    world.must("bob", stolen)
    assert await eraser._find_documents([data]) == {data: (document,)}


async def test_feature_vectors_go_with_the_statement_they_follow_from() -> None:
    """Of every application on it, also of one that two statements stand behind; another's commitment keeps none."""
    world = Goods()
    data, consent = world.anchor("ann")
    sidecar = world.sidecar("ann")
    world.must(
        "ann",
        world.application("ann", data, consent, sidecar=sidecar, features=world.features("ann")),
        sidecars=(sidecar,),
    )
    statement, vector = (Digest(calculate_hash(one, b"ann")) for one in ("document", "features-document"))
    application = world.made("application", "ann")
    disk = Disk(world, {1: TimeMs(world.now_ms)})
    eraser = make_eraser(world, disk)
    world.must("ann", DataErase(data=(data,)))
    assert await eraser._find_documents([data]) == {data: ()}, "the application is open: nothing is due"
    world.must("ann", ApplyWithdraw(application=application))
    world.pass_days(1)
    assert await eraser._find_documents([data]) == {data: tuple(sorted((statement, vector)))}
    bobs, bobs_consent = world.anchor("bob")
    bobs_sidecar = world.sidecar("bob")
    thief = world.application("bob", bobs, bobs_consent, sidecar=bobs_sidecar, features=world.features("ann"))
    world.must("bob", thief, sidecars=(bobs_sidecar,))
    world.must("bob", ApplyWithdraw(application=world.made("application", "bob")))
    assert await eraser._find_documents([data]) == {data: (statement,)}, "not here, and so nobody's: it is left alone"
    disk.sealed[vector] = seal_as("ann")
    assert await eraser._find_documents([data]) == {data: tuple(sorted((statement, vector)))}, "it is ann's"
    disk.sealed[vector] = seal_as("bob")
    assert await eraser._find_documents([data]) == {data: (statement,)}, "it is bob's, who has ordered nothing"
    disk.sealed[vector] = b"\xc1"
    assert await eraser._find_documents([data]) == {data: (statement,)}
    world.must("bob", DataErase(data=(bobs,)))
    assert await eraser._find_documents([bobs]) == {
        bobs: tuple(sorted((Digest(calculate_hash("document", b"bob")), vector)))
    }


async def test_feature_vectors_go_when_nobody_has_needed_them_for_the_policys_days() -> None:
    """Counted from the application, and kept while it is open."""
    world = Goods(statement_days=40, application_days=14)
    data, consent = world.anchor("ann")
    world.pass_days(2)
    sidecar = world.sidecar("ann")
    world.must(
        "ann",
        world.application("ann", data, consent, sidecar=sidecar, features=world.features("ann")),
        sidecars=(sidecar,),
    )
    statement, vector = (Digest(calculate_hash(one, b"ann")) for one in ("document", "features-document"))
    disk = Disk(world, {1: TimeMs(world.now_ms)})
    disk.documents = [statement, vector]
    eraser = make_eraser(world, disk)
    world.pass_days(39)
    await eraser.prune()
    assert disk.documents == [vector]
    world.pass_days(3)
    await eraser.prune()
    assert disk.documents == []


class Disk:
    """Store, vault and payload log as the eraser asks them; it keeps what it was told."""

    def __init__(self, world: Goods, heights: dict[int, TimeMs]) -> None:
        self.world = world
        self.times = heights
        self.sidecars_from = Height(1)
        self.told: list[tuple[Any, ...]] = []
        self.documents: list[Digest] = []
        self.sealed: dict[Digest, bytes] = {}

    async def get(self, digest: Digest) -> bytes | None:
        return self.sealed.get(digest)

    async def read_block(self, height: Height) -> Block | None:
        if height not in self.times:
            return None
        header: Header = self.world.header(height=height)
        named = Height(max(0, height - 1))
        return Block(header=_replace(header, time_ms=self.times[height], exec_height=named), batches=())

    async def read_sidecars_from(self) -> Height:
        return self.sidecars_from

    async def erase_sidecars_up_to(self, first: Height, last: Height) -> int:
        self.told.append(("sidecars", first, last))
        self.sidecars_from = Height(last + 1)
        return 1

    async def shred(self, height: Height) -> None:
        self.told.append(("payloads", height))

    async def list_documents(self) -> list[Digest]:
        return self.documents

    async def erase(self, digest: Digest, *, for_ever: bool = False) -> bool:
        assert not for_ever
        self.told.append(("statement", digest))
        self.documents.remove(digest)
        return True


def _replace(header: Header, **fields: Any) -> Header:
    return msgspec.structs.replace(header, **fields)


def make_eraser(world: Goods, disk: Disk) -> Eraser:
    """An eraser over that disk and these books."""
    return Eraser(
        desk=ErasureDesk(),
        port=cast("Any", world),
        places=Places(cast("Any", disk), cast("Any", disk), cast("Any", disk), Path("nowhere")),
        wallet=None,
        find_height=lambda: Height(max(disk.times)),
    )


async def test_bins_go_when_the_policys_days_are_over() -> None:
    """Of blocks older than that, once; never of a block whose state no final header names yet."""
    world = Goods(sidecar_days=20, application_days=14)
    begin_ms = world.now_ms
    disk = Disk(world, {height: TimeMs(begin_ms + height * DAY_MS) for height in range(1, 31)})
    eraser = make_eraser(world, disk)
    world.pass_days(15)
    await eraser.prune()
    assert disk.told == []
    world.pass_days(10)
    await eraser.prune()
    assert disk.told == [("payloads", 4), ("sidecars", 1, 4)]
    await eraser.prune()
    assert len(disk.told) == 2
    world.pass_days(60)
    await eraser.prune()
    assert disk.told[-1] == ("sidecars", 5, 29), "the last header, of height 30, names the state after 29"


async def test_statements_go_when_nobody_has_needed_them_for_the_policys_days() -> None:
    """An open loan keeps one, and so do the days after it; one that the ledger never heard of is not judged."""
    world = Goods(statement_days=40)
    loan = world.borrow("ann")
    world.anchor("bob")
    anns, bobs = (Digest(calculate_hash("document", name)) for name in (b"ann", b"bob"))
    stranger = Digest(calculate_hash("document", b"stranger"))
    disk = Disk(world, {1: TimeMs(world.now_ms)})
    disk.documents = [anns, bobs, stranger]
    eraser = make_eraser(world, disk)
    world.pass_days(39)
    await eraser.prune()
    assert disk.documents == [anns, bobs, stranger]
    world.pass_days(2)
    await eraser.prune()
    assert disk.documents == [anns, stranger]
    world.mint("ann", 3_000_000)
    assert world.pay("ann", loan, 2_000_000).rejection is None
    world.pass_days(39)
    await eraser.prune()
    assert disk.documents == [anns, stranger]
    world.pass_days(2)
    await eraser.prune()
    assert disk.documents == [stranger]


async def test_a_document_that_other_data_commits_to_stays_for_it() -> None:
    """One document, two anchors: it goes with the last of them."""
    world = Goods()
    first, _ = world.anchor("ann")
    second, _ = world.anchor("ann")
    eraser = make_eraser(world, Disk(world, {1: TimeMs(world.now_ms)}))
    document = Digest(calculate_hash("document", b"ann"))
    world.must("ann", DataErase(data=(first,)))
    assert await eraser._find_documents([first]) == {first: ()}
    world.must("ann", DataErase(data=(second,)))
    assert await eraser._find_documents([first, second]) == {first: (document,), second: (document,)}
