"""Valid bytes of everything that strangers, peers and disks bring: what the fuzzers vary. Made, never recorded."""

import typing
from functools import cache

import msgspec

from consensus.records import CertificateRecord, ProposalRecord, VoteRecord
from node.config import NodeConfig, PeerAddress, format_config
from node.store.appendlog import encode_group
from node.store.payloadlog import PayloadRecord
from node.store.stopfile import Stop
from protocol.batch import Batch, BatchItem, calculate_batch_digest, calculate_transaction_id
from protocol.block import Block
from protocol.certificate import Certificate, Vote
from protocol.codec import decode, encode
from protocol.genesis import encode_genesis
from protocol.ids import TimeMs
from protocol.messages import Message, Propose
from protocol.receipt import ReceiptFile
from protocol.transactions.envelope import TransactionBody, sign_transaction
from tests.node.core.chaintools import CHAIN, SENDER
from tests.protocol import test_row_proof
from tests.protocol.ledger.world import World
from tests.protocol.payloads import PAYLOADS, make_sample
from tests.protocol.snapshots import Made, make_snapshot
from tests.protocol.test_receipt_file import prove

MESSAGES: tuple[type, ...] = typing.get_args(Message)


@cache
def make_receipts() -> tuple[bytes, ...]:
    """Receipt files of the first epoch and of a later one."""
    return prove(0).raw, prove(2).raw


@cache
def make_row_proofs() -> tuple[bytes, ...]:
    """Proofs of rows of the first epoch and of a later one."""
    return test_row_proof.prove(0).raw, test_row_proof.prove(2).raw


@cache
def make_made_snapshot() -> Made:
    """A snapshot of real books in small chunks."""
    return make_snapshot(epoch=1, chunk_bytes=16_384)


@cache
def make_block() -> Block:
    """A block whose header a quorum finalised."""
    return make_made_snapshot().manifest.content.blocks[-1]


@cache
def make_certificates() -> tuple[Certificate, ...]:
    """Finalizations that hold, one per epoch."""
    return tuple(decode(raw, ReceiptFile).finalization for raw in make_receipts())


@cache
def make_transactions() -> tuple[bytes, ...]:
    """A signed transaction of every payload."""
    return tuple(
        sign_transaction(
            TransactionBody(
                version=1,
                chain_id=CHAIN,
                sender=SENDER.public_key,
                nonce=i,
                valid_to_ms=TimeMs(1_900_000_000_000),
                payload=make_sample(kind),
            ),
            SENDER,
        )
        for i, kind in enumerate(PAYLOADS)
    )


@cache
def make_batches() -> tuple[bytes, ...]:
    """Batches of one transaction and of several."""
    items = [BatchItem(transaction=raw) for raw in make_transactions()]
    return encode(Batch(items=tuple(items[:1]))), encode(Batch(items=tuple(items[:8])))


@cache
def make_propose() -> Propose:
    """A proposal with everything that may stand beside it."""
    proof = make_certificates()[0]
    sample: Propose = make_sample(Propose)
    return msgspec.structs.replace(
        sample, block=make_block(), parent_cert=proof, finalization=proof, nullifications=(proof,)
    )


@cache
def make_frames() -> tuple[bytes, ...]:
    """A frame of every message, and of the heavy ones a full one."""
    made = make_made_snapshot()
    samples = [encode(make_sample(kind)) for kind in MESSAGES if kind.__name__ not in ("Hello", "HelloProof")]
    replies = [
        msgspec.structs.replace(make_sample(kind), **{field: value})
        for kind in MESSAGES
        for name, field, value in (
            ("ManifestReply", "manifest", made.manifest),
            ("Blocks", "blocks", (make_block(),)),
            ("BlockReply", "block", make_block()),
            ("Certificates", "certificates", make_certificates()),
        )
        if kind.__name__ == name
    ]
    return (*samples, *(encode(one) for one in replies), encode(make_propose()))


@cache
def make_vote_log() -> tuple[bytes, ...]:
    """Groups of records, as a node leaves them."""
    vote: Vote = make_sample(Vote)
    records = [
        encode(VoteRecord(vote=vote)),
        encode(ProposalRecord(propose=make_propose())),
        encode(CertificateRecord(certificate=make_certificates()[0])),
    ]
    return (encode_group(4, records[:1]) + encode_group(5, records[1:]),)


@cache
def make_payload_log() -> tuple[bytes, ...]:
    """The same of the payload log."""
    batch = make_batches()[0]
    digest = calculate_batch_digest([calculate_transaction_id(make_transactions()[0])])
    first = encode(PayloadRecord(block=make_block(), batches=()))
    second = encode(PayloadRecord(block=make_block(), batches=((digest, batch),)))
    return (encode_group(0, [first]) + encode_group(1, [second]),)


@cache
def make_genesis_files() -> tuple[bytes, ...]:
    """A founding document."""
    return (encode_genesis(World().genesis),)


@cache
def make_configs() -> tuple[bytes, ...]:
    """Settings as the tool writes them."""
    config = NodeConfig(name="ada", role="validator")
    scheme = next(one for one in ("wss", "ws") if _is_scheme(one))
    with_peer = msgspec.structs.replace(
        config, peers=(PeerAddress(name="bo", node_key="ab" * 32, url=f"{scheme}://127.0.0.1:7300/gossip"),)
    )
    return tuple(format_config(one).encode() for one in (config, with_peer))


def _is_scheme(scheme: str) -> bool:
    try:
        msgspec.convert({"name": "a", "node_key": "ab" * 32, "url": f"{scheme}://a:1/gossip"}, PeerAddress)
    except msgspec.ValidationError:
        return False
    return True


@cache
def make_stop_files() -> tuple[bytes, ...]:
    """Reasons not to vote."""
    stop = Stop(code="own_vote_unknown", sentence="a", at_ms=1, validator_key="ab" * 32, evidence=("00",))
    return (msgspec.json.encode((stop,)),)
