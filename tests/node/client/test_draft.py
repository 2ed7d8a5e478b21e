"""A draft goes from hand to hand: it comes back as it was, and whatever was changed on its way is refused."""

import json
from typing import Any

import pytest

from node.client.draft import Draft, DraftError, encode_draft, make_draft, read_draft
from protocol.batch import BatchItem
from protocol.crypto import KeySigner, calculate_hash
from protocol.ids import AccountId, ChainId, ObjectId, TimeMs
from protocol.rejections import Rejection
from protocol.transactions.assets import AssetTransfer
from protocol.transactions.envelope import check_stateless

CHAIN = ChainId(bytes(range(32)))
OWNER, BUYER, STRANGER = (KeySigner(calculate_hash("test-seed", name)) for name in (b"owner", b"buyer", b"stranger"))


def make(*signers: KeySigner) -> Draft:
    """A transfer of a thing from owner to buyer, signed by these."""
    draft = make_draft(
        AssetTransfer(asset=ObjectId(b"\x07" * 32), to=AccountId(b"\x09" * 32)),
        network="test",
        chain_id=CHAIN,
        sender=OWNER.public_key,
        cosigners=(BUYER.public_key,),
        nonce_next=5,
        valid_to_ms=TimeMs(1_900_000_000_000),
    )
    for one in signers:
        draft = draft.sign(one)
    return draft


def edit(draft: Draft, **changes: Any) -> bytes:
    return json.dumps({**json.loads(encode_draft(draft)), **changes}).encode()


def test_a_draft_comes_back_and_becomes_a_transaction() -> None:
    """Everybody signs the file in turn, in any order, and what is sent passes the door."""
    draft = read_draft(encode_draft(make(OWNER)))
    assert draft.missing == (BUYER.public_key,)
    done = read_draft(encode_draft(draft.sign(BUYER)))
    assert done.missing == ()
    item = BatchItem(transaction=done.finish(), sidecars=())
    checked = check_stateless(item, CHAIN)
    assert not isinstance(checked, Rejection)
    assert checked.body.payload == done.body.payload
    assert done.finish() == make_again(done, BUYER, OWNER).finish()


def make_again(draft: Draft, *signers: KeySigner) -> Draft:
    fresh = Draft(network=draft.network, body=draft.body, signatures={})
    for one in signers:
        fresh = fresh.sign(one)
    return fresh


def test_a_draft_survives_the_mail() -> None:
    """Other line ends, indents and an order of keys do not change what it says; no line is long."""
    raw = encode_draft(make(OWNER))
    assert read_draft(raw.replace(b"\n", b"\r\n")) == read_draft(raw)
    assert read_draft(json.dumps(dict(reversed(json.loads(raw).items()))).encode()) == read_draft(raw)
    assert max(len(line) for line in raw.splitlines()) < 200


@pytest.mark.parametrize(
    "changes",
    [
        {"says": {"asset": "07" * 32, "to": "0a" * 32}},
        {"type": "AssetRetire"},
        {"chain_id": "00" * 32},
        {"valid_until": "2031-01-01T00:00:00.000Z"},
        {"cosigners": []},
        {"sender": {"key": STRANGER.public_key.hex(), "signature": None}},
        {"body": ["00"]},
        {"body": ["zz"]},
        {"body": []},
    ],
)
def test_whatever_was_changed_is_refused(changes: dict[str, Any]) -> None:
    """Words, type, network, time, signers and bytes must be those of each other."""
    with pytest.raises(DraftError) as caught:
        read_draft(edit(make(OWNER), **changes))
    assert caught.value.code == "draft_altered"


def test_other_bytes_with_fitting_words_lose_the_signatures() -> None:
    """Who changes the bytes and the words alike still cannot keep a signature that was given before."""
    other = make_draft(
        AssetTransfer(asset=ObjectId(b"\x07" * 32), to=AccountId(b"\x0a" * 32)),
        network="test",
        chain_id=CHAIN,
        sender=OWNER.public_key,
        cosigners=(BUYER.public_key,),
        nonce_next=5,
        valid_to_ms=TimeMs(1_900_000_000_000),
    )
    forged = edit(other, sender=json.loads(encode_draft(make(OWNER)))["sender"])
    with pytest.raises(DraftError) as caught:
        read_draft(forged)
    assert (caught.value.code, "changed after it was signed" in caught.value.sentence) == ("draft_altered", True)


@pytest.mark.parametrize("raw", [b"", b"hello", b"{}", b"[]", b'{"liushui_draft": 2}', b"\xff" * 10, b" " * 300_000])
def test_something_else_is_no_draft(raw: bytes) -> None:
    """Any other file ends with a sentence, not with a traceback."""
    with pytest.raises(DraftError) as caught:
        read_draft(raw)
    assert caught.value.code == "draft_malformed"


def test_only_those_sign_who_are_asked_and_only_once() -> None:
    """A stranger's signature and a second one are refused, and nobody is asked twice."""
    with pytest.raises(DraftError) as caught:
        make(STRANGER)
    assert caught.value.code == "not_a_signer"
    with pytest.raises(DraftError) as caught:
        make(OWNER, OWNER)
    assert caught.value.code == "signed_already"
    with pytest.raises(DraftError) as caught:
        make_draft(
            AssetTransfer(asset=ObjectId(bytes(32)), to=AccountId(bytes(32))),
            network="test",
            chain_id=CHAIN,
            sender=OWNER.public_key,
            cosigners=(OWNER.public_key,),
            nonce_next=0,
            valid_to_ms=TimeMs(0),
        )
    assert caught.value.code == "signers_repeated"


def test_a_drafts_nonce_leaves_room_for_what_is_signed_meanwhile() -> None:
    """The next transactions of the sender do not use a draft's nonce up, and it stays inside the window."""
    for _ in range(50):
        assert 5 + 48 <= make().body.nonce < 5 + 256
