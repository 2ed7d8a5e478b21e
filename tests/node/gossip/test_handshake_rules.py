"""Who is let in, and which of two links lives: the rules without a socket."""

from hashlib import sha256

import pytest

from node.gossip.backoff import FIRST_S, LONGEST_S, Backoff
from node.gossip.frames import Priority
from node.gossip.handshake import (
    Choice,
    CloseCode,
    Greetings,
    Identity,
    LinkFacts,
    Role,
    check_hello,
    check_proof,
    choose_link,
    make_hello,
    make_proof,
)
from node.gossip.sendqueue import SendQueue
from protocol.crypto import KeySigner
from protocol.ids import ChainId, Digest, PublicKey


def make_identity(seed: int, chain: bytes = b"c", members: tuple[int, ...] = (1, 2)) -> Identity:
    """The identity of member `seed`."""
    keys = {KeySigner(bytes([one]) * 32).public_key: f"m{one}" for one in members}
    return Identity(
        chain_id=ChainId(sha256(chain).digest()),
        signer=KeySigner(bytes([seed]) * 32),
        instance=Digest(bytes([seed]) * 32),
        listen="",
        members=keys,
    )


ONE, TWO = make_identity(1), make_identity(2)
CHALLENGE = Digest(bytes(32))


@pytest.mark.parametrize(
    ("speaker", "expected", "code"),
    [
        (TWO, None, None),
        (TWO, TWO.signer.public_key, None),
        (TWO, PublicKey(bytes(32)), CloseCode.STRANGER),
        (make_identity(3), None, CloseCode.STRANGER),
        (make_identity(2, chain=b"other"), None, CloseCode.WRONG_CHAIN),
        (make_identity(3, chain=b"other"), None, CloseCode.WRONG_CHAIN),
        (ONE, None, CloseCode.SELF),
    ],
)
def test_a_greeting_is_refused_for_the_first_reason_that_holds(
    speaker: Identity, expected: PublicKey | None, code: CloseCode | None
) -> None:
    """Another chain, a stranger, another member than the one dialled, oneself."""
    assert check_hello(ONE, make_hello(speaker, CHALLENGE), expected) is code


def test_a_proof_binds_both_greetings_the_certificate_its_role_and_its_signer() -> None:
    """A proof made for other challenges, another session, the other direction or role, or by another key fails."""
    said = Greetings(make_hello(ONE, CHALLENGE), make_hello(TWO, Digest(b"\x07" * 32)), Digest(b"\x0c" * 32))
    proof = make_proof(TWO.signer, Role.LISTENER, said)
    key = TWO.signer.public_key
    assert check_proof(proof, key, Role.LISTENER, said) is None
    assert check_proof(proof, key, Role.DIALLER, said) is CloseCode.UNPROVEN
    crossed = said._replace(dialler=said.listener, listener=said.dialler)
    assert check_proof(proof, key, Role.LISTENER, crossed) is CloseCode.UNPROVEN
    assert check_proof(proof, key, Role.DIALLER, crossed) is CloseCode.UNPROVEN
    assert check_proof(proof, ONE.signer.public_key, Role.LISTENER, said) is CloseCode.UNPROVEN
    other = make_hello(ONE, Digest(b"\x08" * 32))
    assert check_proof(proof, key, Role.LISTENER, said._replace(dialler=other)) is CloseCode.UNPROVEN
    tapped = said._replace(certificate=Digest(b"\x0d" * 32))
    assert check_proof(proof, key, Role.LISTENER, tapped) is CloseCode.UNPROVEN


def test_crossing_dials_end_in_one_link_on_both_sides_in_any_order() -> None:
    """Whatever order each end sees the two links in, both keep the one dialled by the lower key."""
    low, high = sorted((ONE.signer.public_key, TWO.signer.public_key))
    instance = Digest(bytes(32))
    by_low, by_high = LinkFacts(instance, low), LinkFacts(instance, high)
    for own, peer in ((low, high), (high, low)):
        assert choose_link(own, peer, by_high, by_low) is Choice.TAKE_FRESH
        assert choose_link(own, peer, by_low, by_high) is Choice.KEEP_HELD
        assert choose_link(own, peer, by_low, by_low) is Choice.TAKE_FRESH
        assert choose_link(own, peer, by_low, LinkFacts(Digest(b"\x01" * 32), low)) is Choice.PROBE_HELD
        assert choose_link(own, peer, None, by_high) is Choice.TAKE_FRESH


def test_a_vote_overtakes_batches_and_a_full_queue_says_so() -> None:
    """Most urgent first, in order within a lane; frames and bytes are both bounded."""
    queue = SendQueue(frames_max=4, bytes_max=100)
    assert queue.try_put(Priority.SYNC, b"s")
    assert queue.try_put(Priority.BATCH, b"b1")
    assert queue.try_put(Priority.BATCH, b"b2")
    assert queue.try_put(Priority.VOTE, b"v")
    assert not queue.try_put(Priority.VOTE, b"fifth")
    assert [queue.pop() for _ in range(5)] == [b"v", b"b1", b"b2", b"s", None]
    assert not queue.try_put(Priority.VOTE, bytes(101))
    assert queue.try_put(Priority.VOTE, bytes(100))


def test_a_link_that_takes_over_gets_what_was_waiting() -> None:
    """Frames keep lane and order when one link replaces another."""
    old, new = SendQueue(), SendQueue()
    for priority, raw in ((Priority.BATCH, b"1"), (Priority.VOTE, b"2"), (Priority.BATCH, b"3")):
        old.try_put(priority, raw)
    old.move_into(new)
    assert (len(old), len(new)) == (0, 3)
    assert [new.pop() for _ in range(3)] == [b"2", b"1", b"3"]


def test_backoff_doubles_to_a_ceiling_and_a_steady_link_resets_it() -> None:
    """Delays lie between half and all of 0.1 .. 5 s; a refusal for cause goes to the ceiling at once."""
    backoff = Backoff(lambda: 1.0)
    assert [backoff.next_s() for _ in range(8)] == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]
    backoff.on_link_ended(1.0, refused=False)
    assert backoff.next_s() == LONGEST_S
    backoff.on_link_ended(10.0, refused=False)
    assert backoff.next_s() == FIRST_S
    backoff.on_link_ended(10.0, refused=True)
    assert backoff.next_s() == LONGEST_S
    assert Backoff(lambda: 0.0).next_s() == FIRST_S / 2
