"""Snapshots for tests: of real books, with headers, epochs and signatures that hold. Never a check here."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from protocol.block import Block, Header, calculate_batches_root
from protocol.epochs import EpochProof, make_first_set
from protocol.genesis import Genesis
from protocol.ids import Digest, Epoch, Height
from protocol.ledger.execute import Execution
from protocol.ledger.records import ExecLink
from protocol.limits import SNAPSHOT_CHUNK_BYTES_MAX
from protocol.merkle import NO_MOUNTAINS, Mountains
from protocol.snapshot import (
    SNAPSHOT_VERSION,
    ChunkRef,
    SnapshotContent,
    SnapshotManifest,
    SnapshotProof,
    calculate_chunk_digest,
    split_rows,
)
from protocol.validators import ValidatorSet, calculate_validators_hash, make_validator_set
from tests.protocol.ledger.world import World
from tests.protocol.test_receipt_file import VALIDATORS, finalize, get_keys

BOUNDARIES = (3, 6)
"""Heights at which the first epochs end."""
NAMED_BELOW = 2
"""How far below the snapshot's height its own header names an executed state."""


class Made(NamedTuple):
    """A snapshot and what it was made from."""

    manifest: SnapshotManifest
    chunks: dict[Digest, bytes]
    rows: list[tuple[int, bytes, bytes]]
    genesis: Genesis
    exec_root: Digest

    @property
    def digest(self) -> Digest:
        """Of the content."""
        return self.manifest.content.calculate_digest()


def make_links(executions: Sequence[Execution]) -> tuple[ExecLink, ...]:
    """What ties the roots of these heights."""
    return tuple(ExecLink(state_root=one.state_root, receipts_root=one.receipts_root) for one in executions)


def make_chunks(
    rows: Sequence[tuple[int, bytes, bytes]], bytes_max: int = SNAPSHOT_CHUNK_BYTES_MAX
) -> tuple[tuple[ChunkRef, ...], dict[Digest, bytes]]:
    """References and bytes."""
    chunks = [raw for _, raw in split_rows(rows, bytes_max)]
    refs = tuple(ChunkRef(digest=calculate_chunk_digest(raw), size=len(raw)) for raw in chunks)
    return refs, {Digest(ref.digest): raw for ref, raw in zip(refs, chunks, strict=True)}


def end_epoch(world: World, epoch: int, validators: ValidatorSet) -> EpochProof:
    """How an epoch ended."""
    keys = get_keys(VALIDATORS[epoch + 1])
    header = msgspec.structs.replace(
        world.header(BOUNDARIES[epoch]),
        epoch=Epoch(epoch),
        epoch_end=Height(BOUNDARIES[epoch]),
        next_validators_hash=calculate_validators_hash(keys),
    )
    return EpochProof(header=header, finalization=finalize(world, header, validators), validators=keys)


def make_snapshot(
    *,
    epoch: int = 0,
    people: int = 3,
    blocks: int = 8,
    chunk_bytes: int = SNAPSHOT_CHUNK_BYTES_MAX,
    ends: bool = False,
) -> Made:
    """Of the books of `people` after so many blocks at least, in an epoch from 0 to 2, perhaps at its very end."""
    world = World()
    executions: list[Execution] = []

    def note() -> None:
        assert world.execution is not None
        executions.append(world.execution)

    for i in range(people):
        world.open_account(f"person {i}")
        note()
    while world.ledger.height < blocks:
        world.pass_days(1)
        note()
    height, rows = world.ledger.height, list(world.ledger.rows())
    for _ in range(2):
        world.pass_days(1)
        note()
    proofs: list[EpochProof] = []
    validators = make_first_set(world.genesis)
    for one in range(epoch):
        proofs.append(end_epoch(world, one, validators))
        validators = make_validator_set(get_keys(VALIDATORS[one + 1]), proofs[-1].header.calculate_digest())
    by_height = {one.height: one for one in executions}
    named = Height(height - NAMED_BELOW)
    states = [by_height[named]] * 3 + [by_height[Height(height + 2)]] * 3
    headers = make_headers(world, states, Height(named + 1), epoch, height if ends else 0)
    if ends:
        keys = get_keys(VALIDATORS[epoch + 1])
        last = headers[NAMED_BELOW - 1]
        proofs.append(EpochProof(header=last, finalization=finalize(world, last, validators), validators=keys))
        validators = make_validator_set(keys, last.calculate_digest())
    below, above = headers[:NAMED_BELOW], headers[NAMED_BELOW:]
    mountains = grow(NO_MOUNTAINS, [bytes(32)] * named)
    mountains = grow(mountains, [one.calculate_digest() for one in below])
    refs, chunks = make_chunks(rows, chunk_bytes)
    content = SnapshotContent(
        version=SNAPSHOT_VERSION,
        blocks=tuple(Block(header=one, batches=()) for one in below),
        links=make_links([by_height[Height(named + 1 + i)] for i in range(NAMED_BELOW)]),
        peaks=mountains.peaks,
        rows=len(rows),
        chunks=refs,
    )
    proof = SnapshotProof(
        links=make_links([by_height[Height(height + 1 + i)] for i in range(2)]),
        headers=tuple(above),
        finalization=finalize(world, above[-1], validators),
        epochs=tuple(proofs),
    )
    manifest = SnapshotManifest(content=content, proof=proof)
    return Made(manifest, chunks, rows, world.genesis, by_height[height].exec_root)


def make_headers(world: World, named: Sequence[Execution], height: Height, epoch: int, end: int = 0) -> list[Header]:
    """Consecutive headers from `height` on, each naming a state and the history below; `end` ends the epoch."""
    mountains = grow(NO_MOUNTAINS, [bytes(32)] * (height - 1))
    headers: list[Header] = []
    for step, one in enumerate(named):
        fields: dict[str, Any] = {} if not headers else {"parent_digest": headers[-1].calculate_digest()}
        if end and height + step <= end:
            following = calculate_validators_hash(get_keys(VALIDATORS[epoch + 1]))
            fields.update(epoch_end=Height(end), next_validators_hash=following)
        header = msgspec.structs.replace(
            world.header(height + step),
            epoch=Epoch(epoch + (0 < end < height + step)),
            batches_root=calculate_batches_root(()),
            exec_height=one.height,
            exec_root=one.exec_root,
            history_root=mountains.calculate_root(),
            **fields,
        )
        mountains = grow(mountains, [header.calculate_digest()])
        headers.append(header)
    return headers


def grow(mountains: Mountains, digests: Sequence[bytes]) -> Mountains:
    """More headers under the range."""
    for one in digests:
        mountains = mountains.append(one)
    return mountains
