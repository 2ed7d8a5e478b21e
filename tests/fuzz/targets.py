"""Every decoder that strangers, peers, clients or a damaged disk reach, each with the refusals that it may give.

    TARGETS["frame"].open() -> feed        feed(bytes) -> "taken" or a stable code

Anything else that a decoder raises passes through `feed` and is a fault. Adding one is one line in TARGETS.
"""

import asyncio
import random
import struct
import tempfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

import msgspec
from aiohttp import WSMessage, WSMsgType
from aiohttp.test_utils import TestClient, TestServer
from nacl.public import PrivateKey

from consensus.rules import check_block
from node.api.app import make_app
from node.client.draft import DraftError, encode_draft, make_draft, read_draft
from node.config import ConfigError, load_config
from node.gossip.frames import decode_frame
from node.gossip.handshake import Greetings, Role, make_hello, make_proof
from node.gossip.link import RefusedError, greet
from node.snapshot.incoming import Incoming, RowsError
from node.store.appendlog import LogError, encode_group, parse_groups
from node.store.payloadlog import PayloadLog
from node.store.stopfile import STOP_FILE, StopFile
from node.store.votelog import VoteLog
from node.vault.crypto import OpenError, Recipient, open_document, open_features, seal_document, seal_features
from protocol.batch import Batch, BatchItem, calculate_batch_digest, calculate_transaction_id
from protocol.block import Block
from protocol.certificate import Certificate, check_certificate
from protocol.codec import CodecError, decode, encode
from protocol.crypto import check_signature
from protocol.epochs import make_first_set
from protocol.genesis import GenesisError, decode_genesis
from protocol.ids import BoxKey, Digest, TimeMs
from protocol.ledger.tree import StateTree
from protocol.receipt import ReceiptFault, verify_receipt_file
from protocol.rejections import Rejection
from protocol.rowproof import RowFault, verify_row_proof
from protocol.snapshot import ChunkRef, SnapshotFault, SnapshotManifest, calculate_chunk_digest, check_manifest
from protocol.transactions.data import Purpose, Scope
from protocol.transactions.envelope import check_stateless
from protocol.vault import FeaturesPlain, FeatureValue, VaultEnvelope
from scoring.features import FEATURE_SPEC, FEATURES
from tests.fuzz import files, samples
from tests.fuzz.mutate import Mutate, vary_bytes, vary_msgpack, vary_text
from tests.fuzz.runner import TAKEN, Feed, Target
from tests.node.api.harness import DevNode, make_genesis
from tests.node.core.chaintools import CHAIN, SENDER, make_item
from tests.node.gossip.test_mesh import SIGNERS, make_identity
from tests.node.vault.test_vault_store import ALICE, ALICE_ID, OWNER, UNTIL, make_plain
from tests.protocol.ledger.world import World
from tests.protocol.payloads import PAYLOADS, make_sample
from tests.protocol.snapshots import make_snapshot

Opened = Iterator[Feed]
NOT_CANONICAL: Final = "not_canonical"
CHALLENGE: Final = Digest(bytes(32))
CERTIFICATE: Final = Digest(b"\x02" * 32)


def feeding(feed: Feed) -> Callable[[], AbstractContextManager[Feed]]:
    """A target that needs nothing opened."""

    @contextmanager
    def opened() -> Opened:
        yield feed

    return opened


# ---------------------------------------------------------------------- what peers send


def feed_frame(data: bytes) -> str:
    """One frame on an established link."""
    try:
        return f"taken {type(decode_frame(data)).__name__}"
    except CodecError:
        return NOT_CANONICAL


class Wire:
    """A websocket whose other end says what it was given, and then leaves."""

    close_code = None

    def __init__(self, frames: Sequence[bytes]) -> None:
        self._frames = list(frames)
        self.sent: list[bytes] = []

    async def receive(self) -> WSMessage:
        if not self._frames:
            return WSMessage(WSMsgType.CLOSE, 1001, "")
        return WSMessage(WSMsgType.BINARY, self._frames.pop(0), None)

    async def send_bytes(self, raw: bytes) -> None:
        self.sent.append(raw)


def make_greetings() -> Sequence[bytes]:
    """A greeting and a proof of a member, as one list: recorded from a link that was let in."""
    own = make_hello(make_identity(0), CHALLENGE)
    theirs = make_hello(make_identity(1), Digest(b"\x01" * 32))
    proof = make_proof(SIGNERS[1], Role.DIALLER, Greetings(theirs, own, CERTIFICATE))
    return (encode([encode(theirs), encode(proof)]),)


@contextmanager
def open_handshake() -> Opened:
    """Both greetings of a caller; nobody without a member's key is let in."""
    with asyncio.Runner() as runner, patch("node.gossip.link.secrets.token_bytes", lambda _: CHALLENGE):

        def feed(data: bytes) -> str:
            try:
                frames = decode(data, tuple[bytes, ...])
            except CodecError:
                frames = (data,)
            wire: Any = Wire(frames)
            try:
                runner.run(greet(wire, make_identity(0), CERTIFICATE, None))
            except RefusedError as refused:
                return f"refused {refused.code}"
            return TAKEN

        yield feed


def feed_transaction(data: bytes) -> str:
    """A signed transaction at the door."""
    checked = check_stateless(BatchItem(transaction=data), CHAIN)
    return checked.code if isinstance(checked, Rejection) else TAKEN


def feed_batch(data: bytes) -> str:
    """A batch that a peer pushed, with every transaction in it."""
    try:
        batch = decode(data, Batch)
    except CodecError:
        return NOT_CANONICAL
    calculate_batch_digest([calculate_transaction_id(one.transaction) for one in batch.items])
    found = [check_stateless(one, CHAIN) for one in batch.items[:8]]
    return next((one.code for one in found if isinstance(one, Rejection)), TAKEN)


def feed_block(data: bytes) -> str:
    """A block, its digest and its references."""
    try:
        block = decode(data, Block)
    except CodecError:
        return NOT_CANONICAL
    block.header.calculate_digest()
    return check_block(block) or TAKEN


@contextmanager
def open_certificate() -> Opened:
    """A certificate before a set of validators."""
    genesis = World().genesis
    validators, chain_id = make_first_set(genesis), genesis.calculate_chain_id()

    def feed(data: bytes) -> str:
        try:
            certificate = decode(data, Certificate)
        except CodecError:
            return NOT_CANONICAL
        return check_certificate(certificate, validators, chain_id, check_signature) or TAKEN

    yield feed


@contextmanager
def open_receipt() -> Opened:
    """A receipt file that somebody shows."""
    genesis = World().genesis

    def feed(data: bytes) -> str:
        found = verify_receipt_file(data, genesis)
        return found.code if isinstance(found, ReceiptFault) else TAKEN

    yield feed


@contextmanager
def open_row_proof() -> Opened:
    """A proof of rows that a node answers, or somebody shows."""
    genesis = World().genesis

    def feed(data: bytes) -> str:
        found = verify_row_proof(data, genesis)
        return found.code if isinstance(found, RowFault) else TAKEN

    yield feed


@contextmanager
def open_manifest() -> Opened:
    """A snapshot's manifest."""
    genesis = samples.make_made_snapshot().genesis

    def feed(data: bytes) -> str:
        try:
            manifest = decode(data, SnapshotManifest)
        except CodecError:
            return NOT_CANONICAL
        found = check_manifest(manifest, genesis)
        return found.code if isinstance(found, SnapshotFault) else TAKEN

    yield feed


@contextmanager
def open_chunk() -> Opened:
    """A snapshot's chunk that somebody brought under a name of its own: the rows must be rows."""
    content = make_snapshot(chunk_bytes=1 << 19).manifest.content
    with tempfile.TemporaryDirectory() as folder:
        incoming = Incoming(Path(folder))
        (Path(folder) / "snapshots" / "incoming").mkdir(parents=True)

        def feed(data: bytes) -> str:
            digest = calculate_chunk_digest(data)
            incoming.keep_chunk(digest, data)
            refs = (ChunkRef(digest=digest, size=max(1, len(data))),)
            try:
                StateTree().update(incoming.read_rows(msgspec.structs.replace(content, chunks=refs)))
            except RowsError as error:
                return error.fault.code
            finally:
                (Path(folder) / "snapshots" / "incoming" / digest.hex()).unlink()
            return TAKEN

        yield feed


def make_chunks() -> Sequence[bytes]:
    """The one chunk of a small state."""
    return tuple(make_snapshot(chunk_bytes=1 << 19).chunks.values())


def feed_envelope(data: bytes) -> str:
    """An encrypted document, a statement or a feature vector, opened by one who was granted it."""
    try:
        envelope = decode(data, VaultEnvelope)
        opened = open_features if envelope.scope is Scope.FEATURES else open_document
        opened(envelope, account=ALICE_ID, key=PrivateKey(bytes(ALICE)))
    except (CodecError, OpenError) as error:
        return NOT_CANONICAL if isinstance(error, CodecError) else error.code
    return TAKEN


def make_envelopes() -> Sequence[bytes]:
    """A statement sealed to one organisation, and a feature vector."""
    to, purpose = (Recipient(ALICE_ID, BoxKey(bytes(ALICE.public_key))),), Purpose.UNDERWRITE
    values = tuple(FeatureValue(name=one.name, value=7) for one in FEATURES)
    vector = FeaturesPlain(spec=FEATURE_SPEC, salt_key=CHALLENGE, values=values)
    rows = seal_document(make_plain(), owner=OWNER, recipients=to, purpose=purpose, until_ms=UNTIL)
    apart = seal_features(vector, owner=OWNER, recipients=to, purpose=purpose, until_ms=UNTIL)
    return (encode(rows.envelope), encode(apart.envelope))


# ---------------------------------------------------------------------- what lies on disk


def vary_log(rng: random.Random, seeds: Sequence[bytes]) -> bytes:
    """A log with damage, or one whose groups are whole and say something else: by a bug, or by somebody's hand."""
    if rng.random() < 0.4:
        return vary_bytes(rng, seeds)
    groups, _, _ = parse_groups(rng.choice(seeds), "seed")
    parts: list[bytes] = []
    for number, group in enumerate(groups):
        records = [vary_msgpack(rng, group) if rng.random() < 0.4 else one for one in group]
        whole = encode_group(number, records)
        if rng.random() < 0.2:
            head, payload = whole[:20], vary_msgpack(rng, [whole[20:]])
            whole = _seal(number, head, payload)
        parts.append(whole)
    return b"".join(parts)


def _seal(number: int, head: bytes, payload: bytes) -> bytes:
    """A group whose checksum is right, whatever its payload."""
    checksum = zlib.crc32(payload, zlib.crc32(number.to_bytes(8, "big")))
    return head[:4] + struct.pack(">QII", number, len(payload), checksum) + payload


@contextmanager
def open_vote_log() -> Opened:
    """`votes.wal` at the start of a node."""
    with tempfile.TemporaryDirectory() as folder, asyncio.Runner() as runner:
        path = Path(folder) / "votes.wal"

        def feed(data: bytes) -> str:
            path.write_bytes(data)
            path.with_name("votes.wal.created").unlink(missing_ok=True)
            try:
                log, _ = VoteLog.open(path)
            except LogError as error:
                return error.code
            runner.run(log.close())
            return TAKEN

        yield feed


@contextmanager
def open_payload_log() -> Opened:
    """`payload.log` at the start of a node."""
    with tempfile.TemporaryDirectory() as folder, asyncio.Runner() as runner:
        path = Path(folder) / "payload.log"

        def feed(data: bytes) -> str:
            path.write_bytes(data)
            try:
                log, _, _ = PayloadLog.open(path)
            except LogError as error:
                return error.code
            runner.run(log.close())
            return TAKEN

        yield feed


@contextmanager
def open_stop_file() -> Opened:
    """`voting_stopped.json` at the start of a node."""
    with tempfile.TemporaryDirectory() as folder:

        def feed(data: bytes) -> str:
            (Path(folder) / STOP_FILE).write_bytes(data)
            try:
                StopFile.open(Path(folder))
            except LogError as error:
                return error.code
            return TAKEN

        yield feed


def feed_genesis(data: bytes) -> str:
    """A founding document."""
    try:
        decode_genesis(data).calculate_chain_id()
    except GenesisError:
        return "genesis_invalid"
    return TAKEN


@contextmanager
def open_config() -> Opened:
    """`config.toml`."""
    with tempfile.TemporaryDirectory() as folder:

        def feed(data: bytes) -> str:
            (Path(folder) / "config.toml").write_bytes(data)
            try:
                load_config(Path(folder), environment={})
            except ConfigError as error:
                return error.code
            return TAKEN

        yield feed


# ---------------------------------------------------------------------- what people send


@contextmanager
def open_submit() -> Opened:
    """The body of a submission, through the whole API: never a 5xx."""
    with tempfile.TemporaryDirectory() as folder, asyncio.Runner() as runner:

        async def start() -> tuple[DevNode, TestClient[Any, Any]]:
            node = await DevNode.open(Path(folder))
            node.mute = True
            client = TestClient(TestServer(make_app(node, now_ms=node.now_ms)))
            await client.start_server()
            return node, client

        async def ask(data: bytes) -> str:
            kind = "application/msgpack" if data[:1] in (b"\x91", b"\x92", b"\xdc", b"\xdd") else "application/json"
            async with client.post("/v1/transactions", data=data, headers={"Content-Type": kind}) as answer:
                said = await answer.json(content_type=None)
                assert answer.status < 500, f"{answer.status}: {said}"
                assert answer.status in (200, 202) or said["code"], "a problem has a code"
                return TAKEN if answer.status in (200, 202) else str(said["code"])

        node, client = runner.run(start())
        try:
            yield lambda data: runner.run(ask(data))
        finally:
            runner.run(client.close())
            runner.run(node.close())


def make_bodies() -> Sequence[bytes]:
    """Submissions of several transactions, in both forms."""
    chain_id = make_genesis().calculate_chain_id()
    items = [make_item(i, chain=chain_id, valid_to_ms=0) for i in range(2)]
    body = {"transactions": [{"transaction": one.transaction} for one in items]}
    return msgspec.json.encode(body), encode(items)


def vary_body(rng: random.Random, seeds: Sequence[bytes]) -> bytes:
    """JSON or msgpack."""
    text, packed = seeds
    return vary_text(rng, [text]) if rng.random() < 0.5 else vary_msgpack(rng, [packed])


def feed_draft(data: bytes) -> str:
    """A draft that came by mail."""
    try:
        read_draft(data)
    except DraftError as error:
        return error.code
    return TAKEN


def make_drafts() -> Sequence[bytes]:
    """Drafts of a few payloads."""
    return tuple(
        encode_draft(
            make_draft(
                make_sample(kind),
                network="net",
                chain_id=CHAIN,
                sender=SENDER.public_key,
                cosigners=(SIGNERS[0].public_key,),
                nonce_next=1,
                valid_to_ms=TimeMs(1_900_000_000_000),
            ).sign(SENDER)
        )
        for kind in PAYLOADS[:3]
    )


def _list(*targets: tuple[str, str, Callable[[], Sequence[bytes]], Callable[[], Any], Mutate]) -> dict[str, Target]:
    return {name: Target(name, what, seeds, opened, vary) for name, what, seeds, opened, vary in targets}


TARGETS: Final = _list(
    ("frame", "a frame of an established link", samples.make_frames, feeding(feed_frame), vary_msgpack),
    ("handshake", "greeting and proof of a caller", make_greetings, open_handshake, vary_msgpack),
    ("transaction", "a transaction", samples.make_transactions, feeding(feed_transaction), vary_msgpack),
    ("batch", "a batch", samples.make_batches, feeding(feed_batch), vary_msgpack),
    ("block", "a block", lambda: (encode(samples.make_block()),), feeding(feed_block), vary_msgpack),
    (
        "certificate",
        "a certificate",
        lambda: tuple(encode(one) for one in samples.make_certificates()[:1]),
        open_certificate,
        vary_msgpack,
    ),
    ("receipt", "a receipt file", samples.make_receipts, open_receipt, vary_msgpack),
    ("rows", "a proof of rows", samples.make_row_proofs, open_row_proof, vary_msgpack),
    (
        "manifest",
        "a snapshot's manifest",
        lambda: (encode(samples.make_made_snapshot().manifest),),
        open_manifest,
        vary_msgpack,
    ),
    ("chunk", "a snapshot's chunk", make_chunks, open_chunk, vary_msgpack),
    ("envelope", "an encrypted document", make_envelopes, feeding(feed_envelope), vary_msgpack),
    ("votes", "votes.wal", samples.make_vote_log, open_vote_log, vary_log),
    ("payloads", "payload.log", samples.make_payload_log, open_payload_log, vary_log),
    ("stops", "voting_stopped.json", samples.make_stop_files, open_stop_file, vary_text),
    ("genesis", "genesis.json", samples.make_genesis_files, feeding(feed_genesis), vary_text),
    ("config", "config.toml", samples.make_configs, open_config, vary_text),
    ("submit", "POST /v1/transactions", make_bodies, open_submit, vary_body),
    ("statement", "a bank statement", files.make_statements, feeding(files.feed_statement), vary_text),
    ("invoices", "a firm's invoice list", files.make_invoice_lists, feeding(files.feed_invoices), vary_text),
    ("draft", "a draft of a transaction", make_drafts, feeding(feed_draft), vary_text),
)
