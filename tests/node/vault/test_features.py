"""Feature vectors sealed apart: under their own key, for their own readers, and believed only against their root."""

import msgspec
import pytest
from nacl.public import PrivateKey

from node.vault import crypto
from node.vault.appraise import calculate_bins, calculate_vector, calculate_vector_bins, calculate_vector_root
from node.vault.crypto import OpenError, Recipient, Sealed, add_grants, open_document, open_features, seal_features
from protocol.codec import decode, encode
from protocol.ids import AccountId, BoxKey, Digest, ObjectId
from protocol.money import AMOUNT_MAX, Amount
from protocol.transactions.data import Purpose, Scope
from protocol.transactions.lending import Apply
from protocol.vault import FEATURE_VALUE_MAX, FEATURE_VALUE_MIN, FeaturesPlain, FeatureValue, VaultEnvelope
from scoring.features import FEATURES
from scoring.models import load_model
from tests.node.api.lending import make_wish, read_sample
from tests.node.vault.test_vault_store import ALICE, ALICE_ID, BOB, BOB_ID, OWNER, UNTIL, seal

READER = Recipient(ALICE_ID, BoxKey(bytes(ALICE.public_key)))
PLAIN = read_sample().plain
WISH = make_wish()


def make_request(**fields: object) -> Apply:
    """As much of an application as figures depend on."""
    asked = Apply(
        segment=WISH.segment,
        product=None,
        currency=WISH.currency,
        amount=WISH.amount,
        instalments=WISH.instalments,
        period_unit=WISH.period_unit,
        period_every=WISH.period_every,
        purpose=WISH.purpose,
        data=(ObjectId(bytes(32)),),
        consent=ObjectId(bytes(32)),
        as_of=WISH.as_of,
        sidecars=(),
    )
    return msgspec.structs.replace(asked, **fields)


def seal_vector(vector: FeaturesPlain) -> Sealed:
    return seal_features(vector, owner=OWNER, recipients=[READER], purpose=Purpose.UNDERWRITE, until_ms=UNTIL)


def refuse(envelope: VaultEnvelope, account: AccountId = ALICE_ID, key: PrivateKey = ALICE) -> str:
    with pytest.raises(OpenError) as caught:
        open_features(envelope, account=account, key=key)
    return caught.value.code


def test_a_reader_of_features_opens_the_vector_and_nothing_else() -> None:
    """All features of the table come back; nobody else opens them, and each opener knows its own kind alone."""
    vector = calculate_vector(PLAIN, make_request())
    sealed = seal_vector(vector)
    assert open_features(sealed.envelope, account=ALICE_ID, key=ALICE) == vector
    assert [one.name for one in vector.values] == [one.name for one in FEATURES]
    assert sealed.envelope.root == calculate_vector_root(vector)
    assert {one.scope for one in sealed.envelope.grants} == {Scope.FEATURES}
    assert refuse(sealed.envelope, BOB_ID, BOB) == "not_granted"
    assert refuse(sealed.envelope, ALICE_ID, BOB) == "cannot_unseal"
    assert refuse(seal().envelope) == "document_scope"
    with pytest.raises(OpenError) as caught:
        open_document(sealed.envelope, account=ALICE_ID, key=ALICE)
    assert caught.value.code == "document_scope"


def test_the_key_of_features_opens_no_rows() -> None:
    """Neither in the rows' own envelope, nor in one that calls itself features: keys and what they bind differ."""
    raw, features = seal(), seal_vector(calculate_vector(PLAIN, make_request()))
    assert raw.data_key != features.data_key
    for scope in Scope:
        body = msgspec.structs.replace(raw.envelope, scope=scope, grants=())
        for key in (raw.data_key, features.data_key):
            forged = add_grants(
                body, data_key=key, owner=OWNER, recipients=[READER], purpose=Purpose.UNDERWRITE, until_ms=UNTIL
            )
            opener = open_document if scope is Scope.RAW else open_features
            if scope is Scope.RAW and key == raw.data_key:
                assert open_document(forged, account=ALICE_ID, key=ALICE).rows
                continue
            with pytest.raises(OpenError) as caught:
                opener(forged, account=ALICE_ID, key=ALICE)
            assert caught.value.code == "cannot_decrypt"


def test_what_is_not_the_committed_vector_is_named() -> None:
    """One value, the salts, the order, a missing feature, another version, another root: each is caught."""
    vector = calculate_vector(PLAIN, make_request())
    values = vector.values
    changed = msgspec.structs.replace(values[3], value=(values[3].value or 0) + 1)

    def forge(**fields: object) -> str:
        """Another content under the envelope's own root."""
        body, key = crypto._seal(msgspec.structs.replace(vector, **fields), Scope.FEATURES, root, OWNER)
        sealed = add_grants(
            body, data_key=key, owner=OWNER, recipients=[READER], purpose=Purpose.UNDERWRITE, until_ms=UNTIL
        )
        return refuse(sealed)

    root = calculate_vector_root(vector)
    assert forge(values=(*values[:3], changed, *values[4:])) == "features_root_differs"
    assert forge(salt_key=Digest(bytes(32))) == "features_root_differs"
    assert forge(values=values[:-1]) == "features_spec"
    assert forge(values=(values[1], values[0], *values[2:])) == "features_spec"
    assert forge(spec=9) == "features_spec"
    other = msgspec.structs.replace(seal_vector(vector).envelope, root=bytes(32))
    assert refuse(other) == "grant_document"


def test_every_altered_byte_of_a_sealed_vector_is_noticed() -> None:
    """A flipped bit anywhere in the envelope's bytes opens nothing."""
    raw = encode(seal_vector(calculate_vector(PLAIN, make_request())).envelope)
    for position in range(0, len(raw), 37):
        altered = raw[:position] + bytes((raw[position] ^ 1,)) + raw[position + 1 :]
        with pytest.raises((OpenError, ValueError)):
            open_features(decode(altered, VaultEnvelope), account=ALICE_ID, key=ALICE)


def test_salts_follow_from_the_statement_and_from_what_was_asked() -> None:
    """Who reads rows computes them again; other rows' salts or other terms give others, and the way back is closed."""
    one, again = calculate_vector(PLAIN, make_request()), calculate_vector(PLAIN, make_request())
    assert one == again
    assert one.salt_key != PLAIN.salt_key
    fresh = msgspec.structs.replace(PLAIN, salt_key=Digest(bytes(32)))
    assert calculate_vector(fresh, make_request()).values == one.values
    assert calculate_vector_root(calculate_vector(fresh, make_request())) != calculate_vector_root(one)
    for fields in ({"amount": Amount(1_999_999)}, {"instalments": 11}, {"as_of": WISH.as_of - 1}, {"period_every": 2}):
        assert calculate_vector(PLAIN, make_request(**fields)).salt_key != one.salt_key, fields


def test_bins_of_a_vector_are_those_of_the_rows() -> None:
    """For a whole model; clipping of what no message holds moves no value over a cut point."""
    model = load_model("cashflow-v1-cny")
    request = make_request()
    vector = calculate_vector(PLAIN, request)
    assert calculate_vector_bins(vector, model) == calculate_bins(PLAIN, request, model)
    huge = tuple(
        msgspec.structs.replace(row, amount=AMOUNT_MAX if row.amount > 0 else -AMOUNT_MAX) for row in PLAIN.rows
    )
    vast = msgspec.structs.replace(PLAIN, rows=huge)
    clipped = calculate_vector(vast, request)
    assert FEATURE_VALUE_MAX in [one.value for one in clipped.values]
    assert FEATURE_VALUE_MIN in [one.value for one in clipped.values]
    assert calculate_vector_bins(clipped, model) == calculate_bins(vast, request, model)
    assert decode(encode(clipped), FeaturesPlain) == clipped
    assert all(isinstance(one, FeatureValue) for one in clipped.values)
