"""What the parties to an encrypted statement agree on: the commitments to its rows and to the features that follow from
them, the envelope either travels in, and the grants that let named organisations open it.

Rows and features are two documents under two keys, so a grant of features opens no row. The salts of features follow
from the rows' salt key, one way: who reads rows computes the features' root again, who reads features learns no row.

Only structures, roots and checks. Encryption needs randomness and lives in the shell; keys and salts never stand here,
nor on the ledger.
"""

from collections.abc import Sequence
from operator import add
from typing import Annotated

import msgspec

from protocol.codec import encode
from protocol.crypto import Signer, calculate_hash, calculate_hashes, check_signature
from protocol.ids import (
    AccountIdField,
    DayField,
    Digest,
    DigestField,
    PublicKey,
    PublicKeyField,
    Signature,
    SignatureField,
    TimeMs,
    TimeMsField,
)
from protocol.limits import DOCUMENT_BYTES_MAX, GRANTEES_MAX, STATEMENT_ROWS_MAX
from protocol.merkle import calculate_path, calculate_root
from protocol.money import AMOUNT_MAX, CurrencyField
from protocol.transactions.data import Purpose, Scope
from protocol.transactions.lending import Apply
from scoring.rows import Provenance, Row, encode_row, encode_rows

ENVELOPE_VERSION = 2
GRANT_TAG = b"LSG2"
PROVIDER_TAG = b"LSB1"
NONCE_BYTES = 24
SEALED_KEY_BYTES = 80
"""A 32-byte data key in a libsodium sealed box (48 bytes of overhead)."""
FEATURES_MAX = 256
FEATURE_NAME_MAX = 64
FEATURE_VALUE_MIN, FEATURE_VALUE_MAX = -AMOUNT_MAX - 1, AMOUNT_MAX
"""A vector holds values clipped to these. No cut point of a model lies outside, so no bin changes by it."""


class ProviderMark(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True):
    """A bank or aggregator vouches for a statement: its rows as they stand, and the facts around them."""

    account: DigestField
    """The provider's keyed hash of the account's number: statements of one account have one value, and nobody else can
    find the number by it."""
    key: PublicKeyField
    time_ms: TimeMsField
    """When it was signed."""
    signature: SignatureField
    """Over `calculate_provider_bytes`."""


class VaultPlain(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True):
    """The plain document: what a grantee reads after opening."""

    currency: CurrencyField
    opening_balance: Annotated[int, msgspec.Meta(ge=-AMOUNT_MAX, le=AMOUNT_MAX)] | None
    first_day: DayField
    last_day: DayField
    provenance: Annotated[int, msgspec.Meta(ge=1, le=4)]
    salt_key: DigestField
    """Random; each row's salt derives from it, so a root says nothing about a guessed row."""
    rows: Annotated[tuple[Row, ...], msgspec.Meta(max_length=STATEMENT_ROWS_MAX)]
    provider: ProviderMark | None = None
    """Of a statement of the grade PROVIDER_SIGNED, and of no other."""


class FeatureValue(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True):
    """One feature of an application."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=FEATURE_NAME_MAX)]
    """As the feature table names it."""
    value: Annotated[int, msgspec.Meta(ge=FEATURE_VALUE_MIN, le=FEATURE_VALUE_MAX)] | None
    """In the unit of the table; None is MISSING."""


class FeaturesPlain(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True):
    """The plain feature vector of one application: what a grantee of features reads after opening."""

    spec: Annotated[int, msgspec.Meta(ge=1, le=65_535)]
    """Version of the feature table."""
    salt_key: DigestField
    """`calculate_features_salt_key`; each feature's salt derives from it."""
    values: Annotated[tuple[FeatureValue, ...], msgspec.Meta(min_length=1, max_length=FEATURES_MAX)]
    """All features, in the order of the table."""


class Grant(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True):
    """The owner lets one organisation open one document for one purpose."""

    document: DigestField
    """The envelope's digest."""
    scope: Scope
    """That of the document: what the owner knew to be giving."""
    recipient: AccountIdField
    purpose: Purpose
    until_ms: TimeMsField
    sealed_key: Annotated[bytes, msgspec.Meta(min_length=SEALED_KEY_BYTES, max_length=SEALED_KEY_BYTES)]
    """The data key, sealed to the recipient's enc_key."""
    signature: SignatureField
    """The owner's, over all other fields."""


class VaultEnvelope(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True):
    """An encrypted document with the grants that travel with it."""

    version: int
    scope: Scope
    """RAW holds a VaultPlain, FEATURES a FeaturesPlain."""
    owner: PublicKeyField
    root: DigestField
    """Of the rows, or of the features."""
    nonce: Annotated[bytes, msgspec.Meta(min_length=NONCE_BYTES, max_length=NONCE_BYTES)]
    ciphertext: Annotated[bytes, msgspec.Meta(min_length=16, max_length=DOCUMENT_BYTES_MAX)]
    """XChaCha20-Poly1305 of the canonical plain document, with `calculate_associated_data` authenticated."""
    grants: Annotated[tuple[Grant, ...], msgspec.Meta(max_length=GRANTEES_MAX)]

    @property
    def digest(self) -> Digest:
        """By which the ledger's anchor names it and peers fetch it; grants may change without changing it."""
        return calculate_document_digest(
            scope=self.scope,
            owner=PublicKey(self.owner),
            root=Digest(self.root),
            nonce=self.nonce,
            ciphertext=self.ciphertext,
            version=self.version,
        )


def calculate_document_digest(
    *, scope: Scope, owner: PublicKey, root: Digest, nonce: bytes, ciphertext: bytes, version: int = ENVELOPE_VERSION
) -> Digest:
    """Hash of everything in an envelope but its grants.

    A digest that left out scope, owner or root would name many envelopes, and whoever brings a false one first would
    keep the true one out of every vault.
    """
    return calculate_hash("document", encode((version, scope, owner, root, nonce)), ciphertext)


def calculate_associated_data(scope: Scope, owner: PublicKey, root: Digest) -> Digest:
    """What the encryption binds beside the plain text: H(owner | root | scope | version)."""
    return calculate_hash("document-aad", owner, root, bytes((scope,)), ENVELOPE_VERSION.to_bytes(2, "big"))


def _make_leaves(rows: Sequence[Row], salt_key: Digest) -> list[bytes]:
    indices = [index.to_bytes(8, "big") for index in range(len(rows))]
    return list(map(add, calculate_hashes("row-salt", salt_key, indices), map(encode_row, rows)))


def calculate_rows_root(rows: Sequence[Row], salt_key: Digest) -> Digest:
    """Merkle root over salted rows: leaf = H(salt_key | index) | canonical row (RFC 6962)."""
    return calculate_root(_make_leaves(rows, salt_key))


def calculate_row_path(rows: Sequence[Row], salt_key: Digest, index: int) -> tuple[bytes, tuple[Digest, ...]]:
    """One row's leaf and its audit path: what a grantee shows an arbiter, revealing no other row."""
    leaves = _make_leaves(rows, salt_key)
    return leaves[index], calculate_path(leaves, index)


def calculate_features_salt_key(salt_key: Digest, request: Apply) -> Digest:
    """The salt key of an application's features, from that of its statement and what was asked.

    One way: it says nothing of the rows' salts. Applications that ask for other terms have salts of their own, so who
    was granted one vector cannot try values against the root of another.
    """
    asked = (request.as_of, request.amount, request.instalments, request.period_unit, request.period_every)
    return calculate_hash("features-salt-key", salt_key, encode(asked))


def calculate_features_root(values: Sequence[FeatureValue], salt_key: Digest, *, spec: int) -> Digest:
    """Merkle root over salted features: leaf = H(salt_key | index) | canonical (spec, name, value) (RFC 6962)."""
    return calculate_root(
        [
            calculate_hash("feature-salt", salt_key, index.to_bytes(8, "big")) + encode((spec, one.name, one.value))
            for index, one in enumerate(values)
        ]
    )


def calculate_rows_mark(attester: PublicKey, rows: Sequence[Row], salt_key: Digest) -> Digest:
    """H(attester | salt key | rows): shows that this attester read the rows, and cannot be copied from another's.

    It stands on the ledger for ever, so the salt key keeps a guessed statement from being confirmed by it.
    """
    return calculate_hash("rows-mark", attester, salt_key, encode_rows(rows))


def calculate_provider_bytes(plain: VaultPlain, *, account: Digest, time_ms: TimeMs) -> bytes:
    """What a provider signs: tag 4 | (hash of the rows, currency, opening balance, first and last day, account, time).

    The rows' hash is not the root that the ledger keeps: that one is salted by the borrower, so that the provider does
    not recognise on the ledger what its customer does with the statement. Only who opens it sees this signature.
    """
    rows = calculate_hash("provider-rows", encode_rows(plain.rows))
    facts = (plain.currency, plain.opening_balance, plain.first_day, plain.last_day)
    return PROVIDER_TAG + encode((rows, *facts, account, time_ms))


def sign_statement(provider: Signer, plain: VaultPlain, *, account: Digest, time_ms: TimeMs) -> VaultPlain:
    """The statement with its provider's mark, and the grade that only this gives."""
    message = calculate_provider_bytes(plain, account=account, time_ms=time_ms)
    mark = ProviderMark(
        account=account, key=provider.public_key, time_ms=time_ms, signature=Signature(provider.sign(message))
    )
    return msgspec.structs.replace(plain, provenance=int(Provenance.PROVIDER_SIGNED), provider=mark)


def check_provider(plain: VaultPlain) -> str | None:
    """Reason code when a document's grade and its provider's mark do not belong together, else None.

    Whether the key is a provider's is for the books to say.
    """
    mark = plain.provider
    if mark is None:
        return "provenance_unproven" if plain.provenance == Provenance.PROVIDER_SIGNED else None
    if plain.provenance != Provenance.PROVIDER_SIGNED:
        return "provenance_differs"
    message = calculate_provider_bytes(plain, account=Digest(mark.account), time_ms=TimeMs(mark.time_ms))
    signed = check_signature(PublicKey(mark.key), message, Signature(mark.signature))
    return None if signed else "provider_signature"


def _grant_bytes(grant: Grant) -> bytes:
    """All fields but the signature."""
    return GRANT_TAG + encode(msgspec.structs.astuple(grant)[:-1])


def sign_grant(owner: Signer, *, unsigned: Grant) -> Grant:
    """`unsigned` (its signature is ignored) with the owner's signature."""
    return msgspec.structs.replace(unsigned, signature=Signature(owner.sign(_grant_bytes(unsigned))))


def check_grant(grant: Grant, owner: PublicKey) -> str | None:
    """Reason code when the owner did not sign this grant, else None."""
    return None if check_signature(owner, _grant_bytes(grant), Signature(grant.signature)) else "grant_signature"


def check_envelope(envelope: VaultEnvelope) -> str | None:
    """Reason code when the envelope contradicts itself, else None. Needs no key."""
    if envelope.version != ENVELOPE_VERSION:
        return "envelope_version"
    digest = envelope.digest
    recipients = [grant.recipient for grant in envelope.grants]
    if len(set(recipients)) != len(recipients):
        return "grant_twice"
    for grant in envelope.grants:
        if grant.document != digest:
            return "grant_document"
        if grant.scope is not envelope.scope:
            return "grant_scope"
        if reason := check_grant(grant, PublicKey(envelope.owner)):
            return reason
    return None
