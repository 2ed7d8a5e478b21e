"""A snapshot's manifest is checked by the genesis alone, link by link, and its bytes follow from the rows alone."""

from collections.abc import Callable
from functools import cache
from typing import Any

import msgspec
import pytest

from protocol.block import Header
from protocol.certificate import VoteKind
from protocol.codec import CodecError, decode, encode
from protocol.ids import Digest, Epoch, Height
from protocol.ledger.tree import StateTree
from protocol.limits import SNAPSHOT_CHUNK_BYTES_MAX, SNAPSHOT_MANIFEST_BYTES_MAX
from protocol.snapshot import (
    SnapshotFault,
    SnapshotManifest,
    VerifiedSnapshot,
    check_manifest,
    read_rows,
    split_rows,
)
from tests.protocol.snapshots import BOUNDARIES, Made, make_snapshot

Change = Callable[[SnapshotManifest], SnapshotManifest]
replace = msgspec.structs.replace


@cache
def make(epoch: int = 0) -> Made:
    """One per epoch."""
    return make_snapshot(epoch=epoch)


def content(**fields: Callable[[Any], Any]) -> Change:
    """Change fields of the content by what they are."""
    return lambda one: replace(
        one, content=replace(one.content, **{name: to(getattr(one.content, name)) for name, to in fields.items()})
    )


def proof(**fields: Callable[[Any], Any]) -> Change:
    """Change fields of the proof by what they are."""
    return lambda one: replace(
        one, proof=replace(one.proof, **{name: to(getattr(one.proof, name)) for name, to in fields.items()})
    )


def header(place: int, **fields: Any) -> Callable[[tuple[Header, ...]], tuple[Header, ...]]:
    """Another header at a place."""
    return lambda headers: tuple(replace(one, **fields) if i == place else one for i, one in enumerate(headers))


def block(place: int, **fields: Any) -> Callable[[Any], Any]:
    """Another header in the block at a place."""
    return lambda blocks: tuple(
        replace(one, header=replace(one.header, **fields)) if i == place else one for i, one in enumerate(blocks)
    )


@pytest.mark.parametrize("epoch", [0, 1, 2])
def test_a_manifest_is_checked_by_the_genesis_alone(epoch: int) -> None:
    """It gives the roots of its blocks, the history up to them and how earlier epochs ended."""
    made = make(epoch)
    found = check_manifest(made.manifest, made.genesis)
    assert isinstance(found, VerifiedSnapshot)
    tree = StateTree()
    assert found.state_root == tree.update((table, key, value) for table, key, value in made.rows)
    assert found.roots[-1].exec_root == made.exec_root
    assert [one.height for one in found.roots] == [found.height - 1, found.height]
    assert [one.header.height for one in found.epochs] == list(BOUNDARIES[:epoch])
    assert found.mountains.size == found.height
    assert found.mountains.calculate_root() == made.manifest.proof.headers[0].history_root


WRONG: list[tuple[Change, SnapshotFault]] = [
    (content(version=lambda one: one + 1), SnapshotFault.VERSION),
    (content(blocks=block(0, chain_id=bytes(32))), SnapshotFault.CHAIN),
    (content(blocks=lambda blocks: blocks[1:]), SnapshotFault.BLOCKS),
    (content(links=lambda links: links[1:]), SnapshotFault.BLOCKS),
    (content(blocks=block(0, tx_count=1)), SnapshotFault.BLOCKS),
    (content(blocks=block(1, batch_count=1)), SnapshotFault.BLOCKS),
    (content(blocks=block(1, batches_root=bytes(32))), SnapshotFault.BLOCKS),
    (content(blocks=block(1, tx_count=1)), SnapshotFault.HEADERS),
    (content(blocks=block(1, exec_root=bytes(32))), SnapshotFault.HEADERS),
    (content(peaks=lambda peaks: (*peaks, bytes(32))), SnapshotFault.HISTORY),
    (content(peaks=lambda peaks: (bytes(32), *peaks[1:])), SnapshotFault.HISTORY),
    (content(links=lambda links: (links[0], replace(links[1], state_root=bytes(32)))), SnapshotFault.EXECUTION),
    (content(links=lambda links: (replace(links[0], receipts_root=bytes(32)), links[1])), SnapshotFault.EXECUTION),
    (proof(headers=header(0, chain_id=bytes(32))), SnapshotFault.CHAIN),
    (proof(headers=lambda headers: headers[1:]), SnapshotFault.HEADERS),
    (proof(headers=header(1, parent_digest=bytes(32))), SnapshotFault.HEADERS),
    (proof(headers=header(3, height=Height(99))), SnapshotFault.HEADERS),
    (proof(headers=header(3, tx_count=9)), SnapshotFault.FINALIZATION),
    (proof(links=lambda links: links[1:]), SnapshotFault.EXECUTION),
    (proof(links=lambda links: (links[0], replace(links[1], state_root=bytes(32)))), SnapshotFault.EXECUTION),
    (proof(headers=lambda headers: headers[:1]), SnapshotFault.EXECUTION),
    (proof(headers=lambda headers: headers[:-1]), SnapshotFault.FINALIZATION),
    (proof(finalization=lambda one: replace(one, kind=VoteKind.NOTARIZE)), SnapshotFault.FINALIZATION),
    (proof(finalization=lambda one: replace(one, signatures=one.signatures[::-1])), SnapshotFault.FINALIZATION),
    (proof(finalization=lambda one: replace(one, signers=1)), SnapshotFault.FINALIZATION),
    (proof(finalization=lambda one: replace(one, epoch=Epoch(one.epoch + 1))), SnapshotFault.FINALIZATION),
]


@pytest.mark.parametrize(("change", "fault"), WRONG)
@pytest.mark.parametrize("epoch", [0, 2])
def test_each_link_is_checked(epoch: int, change: Change, fault: SnapshotFault) -> None:
    """Network, order, history, execution, quorum: the first that fails is named."""
    made = make(epoch)
    assert check_manifest(change(made.manifest), made.genesis) is fault


@pytest.mark.parametrize(
    "change",
    [
        proof(epochs=lambda epochs: epochs[:-1]),
        proof(epochs=lambda epochs: epochs[1:]),
        proof(epochs=lambda epochs: epochs[::-1]),
        proof(epochs=lambda epochs: (*epochs, epochs[-1])),
        proof(epochs=lambda epochs: (replace(epochs[0], validators=epochs[1].validators), epochs[1])),
    ],
)
def test_the_changes_of_validators_are_checked(change: Change) -> None:
    """As many as the finalization's epoch needs, each following from the one before."""
    made = make(2)
    assert check_manifest(change(made.manifest), made.genesis) is SnapshotFault.EPOCHS


@pytest.mark.parametrize("epoch", [0, 1])
def test_a_snapshot_of_the_block_that_ends_an_epoch_brings_what_ended_it(epoch: int) -> None:
    """Its finalization is the next epoch's; that its own epoch ended is part of what is known then."""
    made = make_snapshot(epoch=epoch, ends=True)
    found = check_manifest(made.manifest, made.genesis)
    assert isinstance(found, VerifiedSnapshot)
    assert made.manifest.content.header.is_boundary
    assert [one.header.height for one in found.epochs] == [*BOUNDARIES[:epoch], found.height]
    without = proof(epochs=lambda epochs: epochs[:-1])(made.manifest)
    assert check_manifest(without, made.genesis) is SnapshotFault.EPOCHS


def test_a_manifest_of_another_network_proves_nothing() -> None:
    """The genesis is the only thing that is trusted."""
    made = make()
    other = replace(made.genesis, time_ms=made.genesis.time_ms + 1)
    assert check_manifest(made.manifest, other) is SnapshotFault.CHAIN


def test_chunks_follow_from_the_rows_and_give_them_back() -> None:
    """Bounded, full but for the last, equal for equal rows; their bytes are canonical."""
    rows = [(i % 3, i.to_bytes(32, "big"), bytes([i % 251]) * (i % 900)) for i in range(4_000)]
    rows.sort()
    chunks = list(split_rows(iter(rows)))
    assert chunks == list(split_rows(rows))
    assert len(chunks) > 2
    assert all(len(raw) <= SNAPSHOT_CHUNK_BYTES_MAX for _, raw in chunks)
    assert all(len(raw) * 100 > SNAPSHOT_CHUNK_BYTES_MAX * 97 for _, raw in chunks[:-1])
    assert [row for _, raw in chunks for row in read_rows(raw)] == rows
    assert sum(count for count, _ in chunks) == len(rows)
    with pytest.raises(CodecError):
        read_rows(chunks[0][1][:-1])
    with pytest.raises(CodecError):
        read_rows(encode([(256, b"", b"")]))
    assert list(split_rows([])) == []


def test_the_name_of_a_snapshot_is_that_of_its_content_alone() -> None:
    """Another proof of the same state is the same snapshot; other chunks are another."""
    made = make()
    shorter = proof(links=lambda links: links)(made.manifest)
    assert shorter.content.calculate_digest() == made.digest
    other = content(rows=lambda rows: rows + 1)(made.manifest)
    assert other.content.calculate_digest() != made.digest
    assert decode(encode(made.manifest), SnapshotManifest) == made.manifest


def test_the_largest_manifest_of_a_full_network_fits_one_frame() -> None:
    """With 32 validators an epoch's proof is below 3 KiB; so many, and as many chunks as may be, fit together."""
    made = make(2)
    epoch = len(encode(made.manifest.proof.epochs[1])) + 29 * 34 + 20 * 66
    chunk = len(encode(made.manifest.content.chunks[0]))
    top = len(encode(made.manifest.proof.headers[0])) * 192
    assert 256 * epoch + 4_096 * chunk + top <= SNAPSHOT_MANIFEST_BYTES_MAX


def test_faults_have_codes_and_sentences() -> None:
    """For programs and for people."""
    assert len({one.code for one in SnapshotFault}) == len(SnapshotFault)
    assert all(one.code.startswith("snapshot_") and one.sentence.endswith(".") for one in SnapshotFault)


def test_the_digest_type_is_thirty_two_bytes() -> None:
    """What peers ask by."""
    assert len(Digest(make().digest)) == 32
