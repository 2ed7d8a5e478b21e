"""The table of message kinds: every row's size, rate and lane hold, and nothing is said that has no row."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.gossip.frames import FRAME_LIMIT, KINDS, Priority, Rates, decode_frame
from node.gossip.handshake import make_hello
from protocol.codec import CodecError, encode
from protocol.ids import BatchDigest
from protocol.limits import DOCUMENT_BYTES_MAX, FRAME_BYTES_MAX
from protocol.messages import Batches, BatchReply, Blocks, GetBatch, GetSnapshots, ManifestReply, Message, PushBatch
from tests.node.gossip.largest import LARGEST
from tests.node.gossip.test_handshake_rules import CHALLENGE, ONE
from tests.node.gossip.test_mesh import QUESTION, SIGNERS, greet_by_hand, raw_socket, station, until

WHOLE_FRAME = {PushBatch, BatchReply, Batches, Blocks, ManifestReply}


def name_kind(value: object) -> str:
    """For the names of tests."""
    return value.__name__ if isinstance(value, type) else ""


def test_every_message_but_the_greetings_has_a_row_and_every_row_an_example() -> None:
    """The table covers the union of messages; greetings cannot be sent later."""
    assert {kind.__name__ for kind in set(Message.__args__) - set(KINDS)} == {"Hello", "HelloProof"}
    assert set(KINDS) <= set(Message.__args__)
    assert {type(one) for one in LARGEST} | WHOLE_FRAME == set(KINDS)
    with pytest.raises(CodecError):
        decode_frame(encode(make_hello(ONE, CHALLENGE)))


@pytest.mark.parametrize("message", LARGEST, ids=lambda one: type(one).__name__)
def test_the_largest_message_of_a_kind_fits_and_little_more_does(message: Message) -> None:
    """What is well formed is never refused for its size; the room above it is less than half, or a few bytes."""
    row, raw = KINDS[type(message)], encode(message)
    assert len(raw) <= row.bytes_max <= max(64, len(raw) * 3 // 2)
    assert decode_frame(raw) == message


@pytest.mark.parametrize("kind", KINDS, ids=name_kind)
def test_a_frame_beyond_the_size_of_its_kind_is_refused_before_it_is_decoded(
    kind: type[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One byte over, whatever the bytes claim to be: the decoder is not even asked."""
    asked: list[int] = []
    monkeypatch.setattr("node.gossip.frames.decode_message", lambda raw: asked.append(len(raw)))
    row, tag = KINDS[kind], kind.__struct_config__.tag  # type: ignore[attr-defined]
    head = bytes((0x92, tag))
    decode_frame(head + bytes(row.bytes_max - 2))
    with pytest.raises(CodecError):
        decode_frame(head + bytes(row.bytes_max - 1))
    assert asked == [row.bytes_max]
    assert row.bytes_max <= FRAME_LIMIT


def test_only_a_document_may_be_larger_than_a_frame() -> None:
    """One mebibyte for everything, four for an envelope."""
    larger = [kind.__name__ for kind, row in KINDS.items() if row.bytes_max > FRAME_BYTES_MAX]
    assert larger == ["DocumentReply"]
    assert DOCUMENT_BYTES_MAX < FRAME_LIMIT < DOCUMENT_BYTES_MAX + 1_024


@pytest.mark.parametrize("raw", [b"", b"\x92", b"\xc1\xc1", b"\x92\x7f", b"\x91\xff", b"\x00" * 100])
def test_what_names_no_kind_is_refused(raw: bytes) -> None:
    """Empty, cut off, another tag, no array."""
    with pytest.raises(CodecError):
        decode_frame(raw)


def test_a_decoded_frame_is_the_message_that_was_encoded() -> None:
    """Digests are part of the frame."""
    message = GetBatch(digest=BatchDigest(b"\x05" * 32))
    assert decode_frame(encode(message)) == message


@pytest.mark.parametrize("kind", KINDS, ids=name_kind)
def test_each_kind_has_a_rate_of_its_own(kind: type[object]) -> None:
    """A burst passes, then one after another as time goes by; other kinds are as free as before."""
    now_ms = 0
    rates, row = Rates(lambda: now_ms), KINDS[kind]
    assert all(rates.take(kind) == 0 for _ in range(row.at_once))
    wait_ms = rates.take(kind)
    assert 0 < wait_ms <= 1_000 // row.per_s + 1
    other = next(one for one in KINDS if one is not kind)
    assert rates.take(other) == 0
    now_ms += wait_ms
    assert rates.take(kind) == 0
    now_ms += 10_000
    passed = 0
    while rates.take(kind) == 0:
        passed += 1
    assert passed == min(row.at_once, 10 * row.per_s)


@given(steps=st.lists(st.integers(0, 300), min_size=1, max_size=200))
def test_however_a_peer_spaces_its_words_no_more_pass_than_its_rate(steps: list[int]) -> None:
    """Over any time: at most the burst and what the seconds brought."""
    now_ms, passed, row = 0, 0, KINDS[GetSnapshots]
    rates = Rates(lambda: now_ms)
    for step in steps:
        now_ms += step
        passed += rates.take(GetSnapshots) == 0
    assert passed <= row.at_once + now_ms * row.per_s // 1_000 + 1


def test_votes_come_first_and_sync_last() -> None:
    """Order finalised first, then what it orders, then what helps others."""
    lanes = {kind.__name__: row.priority for kind, row in KINDS.items()}
    assert lanes["Vote"] is Priority.VOTE
    assert lanes["Propose"] < lanes["Certificate"] < lanes["PushBatch"] < lanes["GetDocument"] < lanes["Blocks"]


async def test_a_peer_beyond_its_rate_waits_and_others_do_not_and_a_new_link_brings_no_new_burst() -> None:
    """Nothing is lost of what is not dropped, and the rest of that peer's words wait behind it."""
    row = KINDS[GetSnapshots]
    async with station(0, {}) as node:
        async with raw_socket(node.port) as eager, raw_socket(node.port) as other:
            await greet_by_hand(eager, 1)
            await greet_by_hand(other, 2)
            for _ in range(row.at_once + 3):
                await eager.send_bytes(encode(GetSnapshots()))
            await eager.send_bytes(encode(QUESTION))
            await until(lambda: len(node.handler.heard) >= row.at_once)
            await other.send_bytes(encode(QUESTION))
            await until(lambda: any(peer == SIGNERS[2].public_key for peer, _ in node.handler.heard))
            assert len(node.handler.heard) < row.at_once + 4
            await until(lambda: len(node.handler.heard) == row.at_once + 5)
            assert node.handler.heard[-1] == (SIGNERS[1].public_key, QUESTION)
        await until(lambda: not node.gossip.get_connected())
        heard = len(node.handler.heard)
        async with raw_socket(node.port) as again:
            await greet_by_hand(again, 1)
            for _ in range(row.at_once):
                await again.send_bytes(encode(GetSnapshots()))
            await asyncio.sleep(0.2)
            assert len(node.handler.heard) - heard < row.at_once // 2
