"""Who speaks, on which chain: the two greetings and the proof that binds them, and which of two links to keep.

Rules only; the websocket is `node.gossip.link`'s. Both sides say Hello at once, each with a fresh challenge. Then the
dialler, and only after it the listener, signs with its node key its role, both greetings and the certificate that the
listener showed below: a proof sent back to the one who made it proves nothing, and one that was made on another
encrypted session does not hold (`node.gossip.tls` says why one certificate is enough). Strangers are refused, unless
the settings open the node to readers (`node.gossip.guests`): a network is its members.

Two live processes with one node key are told of each other by whoever meets both: each signs the other's instance,
which is drawn at the start of a process. A word of an earlier life, or of a stranger, therefore stops nobody.
"""

from collections.abc import Mapping
from enum import Enum, IntEnum
from typing import Final, NamedTuple

from protocol.codec import encode
from protocol.crypto import Signer, calculate_hash, check_signature
from protocol.ids import ChainId, Digest, PublicKey
from protocol.messages import Hello, HelloProof, KeyUse

GOSSIP_VERSION: Final = 2


class CloseCode(IntEnum):
    """Why a link was closed, as websocket close codes of the private range (RFC 6455, section 7.4.2)."""

    NORMAL = 1000
    GOING_AWAY = 1001
    MALFORMED = 4400
    UNPROVEN = 4401
    STRANGER = 4403
    TIMEOUT = 4408
    DUPLICATE = 4409
    KEY_IN_USE = 4410
    SLOW = 4413
    FULL = 4423
    WRONG_VERSION = 4426
    PENALTY = 4429
    WRONG_CHAIN = 4450
    SELF = 4451


class Identity(NamedTuple):
    """What this node says of itself and whom it knows."""

    chain_id: ChainId
    signer: Signer
    instance: Digest
    """Random per process start."""
    listen: str
    members: Mapping[PublicKey, str]
    """Name by node key, of every member with a node; it changes as members come and go."""
    is_open: bool = False
    """Whether nodes that belong to no member may come in and read."""


class Role(Enum):
    """Which end of a connection a side is; part of what it signs."""

    DIALLER = b"dialler"
    LISTENER = b"listener"


class Greetings(NamedTuple):
    """All that a proof speaks of."""

    dialler: Hello
    listener: Hello
    certificate: Digest
    """Hash of the listener's certificate: as the dialler saw it, as the listener has it."""


class LinkFacts(NamedTuple):
    """What decides between two links to one peer."""

    instance: Digest
    dialled_by: PublicKey


class Choice(Enum):
    """What to do with a fresh link when one is held already."""

    TAKE_FRESH = "take_fresh"
    KEEP_HELD = "keep_held"
    PROBE_HELD = "probe_held"  # another instance of the peer's key: is the old one still alive?


def make_hello(identity: Identity, challenge: Digest) -> Hello:
    """The greeting of this node; `challenge` is fresh randomness."""
    return Hello(
        version=GOSSIP_VERSION,
        chain_id=identity.chain_id,
        node_key=identity.signer.public_key,
        challenge=challenge,
        instance=identity.instance,
        listen=identity.listen,
    )


def check_hello(identity: Identity, hello: Hello, expected: PublicKey | None) -> CloseCode | None:
    """Why a greeting is refused, in order of precedence. `expected` is the key dialled, None when being dialled.

    Whom the settings name is let in unknown: a node that was away does not know yet who has been admitted meanwhile.
    """
    if hello.version != GOSSIP_VERSION:
        return CloseCode.WRONG_VERSION
    if hello.chain_id != identity.chain_id:
        return CloseCode.WRONG_CHAIN
    is_known = hello.node_key in identity.members or identity.is_open
    if not is_known if expected is None else hello.node_key != expected:
        return CloseCode.STRANGER
    if hello.node_key == identity.signer.public_key and hello.instance == identity.instance:
        return CloseCode.SELF  # our own address came back to us; harmless
    return None


def calculate_proof_bytes(signer: PublicKey, role: Role, said: Greetings) -> bytes:
    """The 32 bytes a side signs: H(its role | its key | H(dialler's greeting) | H(listener's greeting) | certificate).

    The greetings hold both challenges, both keys and the chain's id.
    """
    greetings = (calculate_hash("hello", encode(said.dialler)), calculate_hash("hello", encode(said.listener)))
    return calculate_hash("hello-proof", role.value, signer, *greetings, said.certificate)


def make_proof(signer: Signer, role: Role, said: Greetings) -> HelloProof:
    """This node's proof, in its role, over both greetings and the certificate."""
    return HelloProof(signature=signer.sign(calculate_proof_bytes(signer.public_key, role, said)))


def check_proof(proof: HelloProof, signer: PublicKey, role: Role, said: Greetings) -> CloseCode | None:
    """Why the proof of the side in `role` does not hold, or None."""
    message = calculate_proof_bytes(signer, role, said)
    return None if check_signature(signer, message, proof.signature) else CloseCode.UNPROVEN


def _calculate_use_bytes(chain_id: ChainId, key: PublicKey, instance: Digest, other: Digest) -> bytes:
    return calculate_hash("key-use", chain_id, key, instance, other)


def make_key_use(identity: Identity, other: Digest) -> KeyUse:
    """This process' word to another one with the same key."""
    key = identity.signer.public_key
    message = _calculate_use_bytes(identity.chain_id, key, identity.instance, other)
    return KeyUse(node_key=key, instance=identity.instance, other=other, signature=identity.signer.sign(message))


def check_key_use(chain_id: ChainId, use: KeyUse, key: PublicKey, other: Digest) -> bool:
    """Whether a process of `key` that is not `other`, and that lives or lived after `other` began, speaks to it."""
    if use.node_key != key or use.other != other or use.instance == other:
        return False
    return check_signature(key, _calculate_use_bytes(chain_id, key, Digest(use.instance), other), use.signature)


def choose_link(own: PublicKey, peer: PublicKey, held: LinkFacts | None, fresh: LinkFacts) -> Choice:
    """Which of two links to one peer lives; both ends come to the same answer whatever order they see.

    Of a crossing pair the one dialled by the lower key; a second one from the same dialler replaces the first, since
    the dialler has given that up.
    """
    if held is None:
        return Choice.TAKE_FRESH
    if held.instance != fresh.instance:
        return Choice.PROBE_HELD
    if held.dialled_by == fresh.dialled_by or fresh.dialled_by == min(own, peer):
        return Choice.TAKE_FRESH
    return Choice.KEEP_HELD
