"""What the parties to an encrypted statement agree on: roots that hide rows, grants that only the owner gives."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.crypto import KeySigner, calculate_hash, calculate_hashes
from protocol.ids import AccountId, Digest, TimeMs
from protocol.merkle import calculate_root, check_path
from protocol.transactions.data import Purpose, Scope
from protocol.vault import (
    ENVELOPE_VERSION,
    Grant,
    VaultEnvelope,
    calculate_associated_data,
    calculate_document_digest,
    calculate_row_path,
    calculate_rows_mark,
    calculate_rows_root,
    check_envelope,
    check_grant,
    sign_grant,
)
from scoring.rows import NO_COUNTERPARTY, Category, Channel, Row, encode_row, encode_rows

OWNER, OTHER = KeySigner(bytes(range(32))), KeySigner(bytes(32))
SALT_KEY = calculate_hash("salt key")
ROWS = tuple(
    Row(
        day=740_000 + seq,
        seq=seq,
        amount=seq * 100 - 250,
        balance=None,
        counterparty=NO_COUNTERPARTY,
        category=Category.OTHER,
        channel=Channel.UNKNOWN,
        minute=-1,
    )
    for seq in range(5)
)


def make_grant(document: Digest, owner: KeySigner = OWNER) -> Grant:
    """A signed grant."""
    unsigned = Grant(
        document=document,
        scope=Scope.RAW,
        recipient=AccountId(calculate_hash("recipient")),
        purpose=Purpose.UNDERWRITE,
        until_ms=TimeMs(1_000),
        sealed_key=bytes(80),
        signature=bytes(64),  # type: ignore[arg-type]
    )
    return sign_grant(owner, unsigned=unsigned)


def make_envelope(**fields: object) -> VaultEnvelope:
    """An envelope with one grant."""
    nonce, ciphertext, root = bytes(24), bytes(40), calculate_rows_root(ROWS, SALT_KEY)
    digest = calculate_document_digest(
        scope=Scope.RAW, owner=OWNER.public_key, root=root, nonce=nonce, ciphertext=ciphertext
    )
    envelope = VaultEnvelope(
        version=ENVELOPE_VERSION,
        scope=Scope.RAW,
        owner=OWNER.public_key,
        root=root,
        nonce=nonce,
        ciphertext=ciphertext,
        grants=(make_grant(digest),),
    )
    return msgspec.structs.replace(envelope, **fields)


@given(index=st.integers(0, 4), field=st.sampled_from(("day", "seq", "amount", "minute")))
def test_any_change_of_a_row_changes_the_root(index: int, field: str) -> None:
    """One unit in one field of one row is seen."""
    row = ROWS[index]
    changed = msgspec.structs.replace(row, **{field: getattr(row, field) + 1})
    rows = (*ROWS[:index], changed, *ROWS[index + 1 :])
    assert calculate_rows_root(rows, SALT_KEY) != calculate_rows_root(ROWS, SALT_KEY)


def test_the_root_is_that_of_salted_canonical_rows() -> None:
    """Each leaf is H(salt key | index) and the row's canonical bytes; this root never changes for these rows."""
    indices = [index.to_bytes(8, "big") for index in range(len(ROWS))]
    salts = [calculate_hash("row-salt", SALT_KEY, index) for index in indices]
    assert calculate_hashes("row-salt", SALT_KEY, indices) == salts
    leaves = [salt + encode_row(row) for salt, row in zip(salts, ROWS, strict=True)]
    assert calculate_rows_root(ROWS, SALT_KEY) == calculate_root(leaves)
    assert (
        calculate_rows_root(ROWS, SALT_KEY).hex() == "829d7d86f6b5fd16cd1ca21068b787f4a33c1a2b8e56cfe65eb25cee28d2f769"
    )


@pytest.mark.parametrize("count", [0, 1, 15, 16, 17, 65_535, 65_536])
def test_rows_one_after_the_other_are_each_row_s_bytes(count: int) -> None:
    """However long the head of a list of so many rows is."""
    rows = (ROWS * (count // len(ROWS) + 1))[:count]
    assert encode_rows(rows) == b"".join(map(encode_row, rows))


def test_the_root_says_nothing_without_the_salt_key() -> None:
    """Equal rows under another key, or without salts, have another root."""
    root = calculate_rows_root(ROWS, SALT_KEY)
    assert root != calculate_rows_root(ROWS, calculate_hash("another"))
    assert root != calculate_root([encode_row(row) for row in ROWS])


def test_one_row_is_opened_without_the_others() -> None:
    """A leaf with its path proves a row under the anchored root."""
    root = calculate_rows_root(ROWS, SALT_KEY)
    leaf, path = calculate_row_path(ROWS, SALT_KEY, 3)
    assert leaf.endswith(encode_row(ROWS[3]))
    assert check_path(root, leaf, 3, len(ROWS), path)
    assert not check_path(root, leaf, 2, len(ROWS), path)


def test_marks_cannot_be_copied() -> None:
    """Two attesters who read the same rows send different marks."""
    mark = calculate_rows_mark(OWNER.public_key, ROWS, SALT_KEY)
    assert mark != calculate_rows_mark(OTHER.public_key, ROWS, SALT_KEY)
    assert mark != calculate_rows_mark(OWNER.public_key, ROWS[:-1], SALT_KEY)


def test_a_mark_confirms_no_guess() -> None:
    """Who guesses the rows but lacks the document's salt key cannot check the guess against the ledger."""
    mark = calculate_rows_mark(OWNER.public_key, ROWS, SALT_KEY)
    assert mark != calculate_rows_mark(OWNER.public_key, ROWS, calculate_hash("another"))
    assert mark != calculate_hash("rows-mark", OWNER.public_key, b"".join(encode_row(row) for row in ROWS))


@pytest.mark.parametrize(
    "fields",
    [
        {"recipient": bytes(32)},
        {"purpose": Purpose.COLLECT},
        {"scope": Scope.FEATURES},
        {"until_ms": 2_000},
        {"sealed_key": bytes(79) + b"\x01"},
        {"document": bytes(32)},
    ],
)
def test_a_grant_is_the_owners_word_for_word(fields: dict[str, object]) -> None:
    """Any field changed, or another signer, and it is no grant."""
    grant = make_grant(calculate_hash("document"))
    assert check_grant(grant, OWNER.public_key) is None
    assert check_grant(msgspec.structs.replace(grant, **fields), OWNER.public_key) == "grant_signature"
    assert check_grant(grant, OTHER.public_key) == "grant_signature"


def test_an_envelope_agrees_with_its_grants() -> None:
    """Version, one grant each, for this document, by its owner."""
    envelope = make_envelope()
    assert check_envelope(envelope) is None
    assert check_envelope(make_envelope(version=1)) == "envelope_version"
    assert check_envelope(make_envelope(grants=envelope.grants * 2)) == "grant_twice"
    assert check_envelope(make_envelope(ciphertext=bytes(41))) == "grant_document"
    assert check_envelope(make_envelope(owner=OTHER.public_key)) == "grant_document"
    assert check_envelope(make_envelope(grants=())) is None
    forged = msgspec.structs.replace(envelope.grants[0], until_ms=TimeMs(2_000))
    assert check_envelope(make_envelope(grants=(forged,))) == "grant_signature"
    other = make_envelope(scope=Scope.FEATURES, grants=())
    wrong = make_grant(other.digest)
    assert check_envelope(msgspec.structs.replace(other, grants=(wrong,))) == "grant_scope"


@pytest.mark.parametrize(
    "fields",
    [
        {"version": 3},
        {"owner": OTHER.public_key},
        {"root": bytes(32)},
        {"scope": Scope.FEATURES},
        {"nonce": bytes(23) + b"\x01"},
        {"ciphertext": bytes(41)},
    ],
)
def test_a_digest_names_one_envelope(fields: dict[str, object]) -> None:
    """Everything but the grants is in the digest: no other owner, root or version travels under the same name."""
    assert make_envelope(**fields).digest != make_envelope().digest
    assert make_envelope(grants=()).digest == make_envelope().digest


def test_a_ciphertext_opens_only_as_what_it_was_sealed_as() -> None:
    """Scope, owner and root are part of what is authenticated."""
    root = calculate_rows_root(ROWS, SALT_KEY)
    plain = calculate_associated_data(Scope.RAW, OWNER.public_key, root)
    assert plain != calculate_associated_data(Scope.RAW, OTHER.public_key, root)
    assert plain != calculate_associated_data(Scope.FEATURES, OWNER.public_key, root)
    assert plain != calculate_associated_data(Scope.RAW, OWNER.public_key, calculate_rows_root(ROWS[1:], SALT_KEY))
