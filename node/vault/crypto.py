"""Sealing and opening of statements and of feature vectors: XChaCha20-Poly1305 under a random data key, that key sealed
to each recipient.

    seal_document(plain, owner=..., recipients=...)  ->  Sealed(envelope, data key)
    open_document(envelope, account=..., key=...)    ->  VaultPlain, or OpenError with a stable code
    seal_features, open_features                         the same of a FeaturesPlain, under a key of its own

An opened document is believed only after its own root, period and row form were checked here; what the ledger
says is compared by the caller. Never keep, print or log a data key, a row or a feature.
"""

from collections.abc import Sequence
from itertools import accumulate
from typing import Final, NamedTuple

import msgspec
from nacl.bindings import crypto_aead_xchacha20poly1305_ietf_decrypt, crypto_aead_xchacha20poly1305_ietf_encrypt
from nacl.exceptions import CryptoError
from nacl.public import PrivateKey, PublicKey, SealedBox
from nacl.utils import random

from protocol.codec import CodecError, decode, encode
from protocol.crypto import Signer
from protocol.ids import AccountId, BoxKey, Digest, Signature, TimeMs
from protocol.ids import PublicKey as SigningPublicKey
from protocol.limits import DOCUMENT_BYTES_MAX, STATEMENT_ROWS_MAX
from protocol.money import AMOUNT_MAX
from protocol.transactions.data import Purpose, Scope
from protocol.vault import (
    ENVELOPE_VERSION,
    NONCE_BYTES,
    FeaturesPlain,
    Grant,
    VaultEnvelope,
    VaultPlain,
    calculate_associated_data,
    calculate_features_root,
    calculate_rows_root,
    check_envelope,
    check_provider,
    sign_grant,
)
from scoring.features import FEATURE_SPEC, FEATURES
from scoring.rows import Provenance, are_in_range

KEY_BYTES: Final = 32


class OpenError(Exception):
    """A document that cannot be opened or believed; `code` is stable."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code
        self.sentence = sentence


class Recipient(NamedTuple):
    """Who is to be able to open."""

    account: AccountId
    enc_key: BoxKey


class Sealed(NamedTuple):
    """A sealed document; the data key stays with the owner, who may grant more with it."""

    envelope: VaultEnvelope
    data_key: bytes


def make_salt_key() -> Digest:
    """A new random key that every row's salt derives from."""
    return Digest(random(32))


def seal_document(
    plain: VaultPlain, *, owner: Signer, recipients: Sequence[Recipient], purpose: Purpose, until_ms: TimeMs
) -> Sealed:
    """Encrypt `plain` once and grant it to each recipient. Raises OpenError(document_too_large)."""
    if len(plain.rows) > STATEMENT_ROWS_MAX:
        raise OpenError(
            "document_too_large", f"A statement holds at most {STATEMENT_ROWS_MAX} rows: take fewer months."
        )
    root = calculate_rows_root(plain.rows, Digest(plain.salt_key))
    sealed = _seal(plain, Scope.RAW, root, owner)
    if len(sealed.envelope.ciphertext) > DOCUMENT_BYTES_MAX:
        raise OpenError("document_too_large", "The statement is too long to be sealed: take a shorter period.")
    return _grant(sealed, owner=owner, recipients=recipients, purpose=purpose, until_ms=until_ms)


def seal_features(
    vector: FeaturesPlain, *, owner: Signer, recipients: Sequence[Recipient], purpose: Purpose, until_ms: TimeMs
) -> Sealed:
    """Encrypt a feature vector once, under a key that opens nothing else, and grant it to each recipient."""
    root = calculate_features_root(vector.values, Digest(vector.salt_key), spec=vector.spec)
    sealed = _seal(vector, Scope.FEATURES, root, owner)
    return _grant(sealed, owner=owner, recipients=recipients, purpose=purpose, until_ms=until_ms)


def _seal(plain: VaultPlain | FeaturesPlain, scope: Scope, root: Digest, owner: Signer) -> Sealed:
    """Without a grant yet."""
    data_key, nonce = random(KEY_BYTES), random(NONCE_BYTES)
    extra = calculate_associated_data(scope, owner.public_key, root)
    envelope = VaultEnvelope(
        version=ENVELOPE_VERSION,
        scope=scope,
        owner=owner.public_key,
        root=root,
        nonce=nonce,
        ciphertext=crypto_aead_xchacha20poly1305_ietf_encrypt(encode(plain), extra, nonce, data_key),
        grants=(),
    )
    return Sealed(envelope, data_key)


def _grant(
    sealed: Sealed, *, owner: Signer, recipients: Sequence[Recipient], purpose: Purpose, until_ms: TimeMs
) -> Sealed:
    envelope, data_key = sealed
    granted = add_grants(
        envelope, data_key=data_key, owner=owner, recipients=recipients, purpose=purpose, until_ms=until_ms
    )
    return Sealed(granted, data_key)


def add_grants(
    envelope: VaultEnvelope,
    *,
    data_key: bytes,
    owner: Signer,
    recipients: Sequence[Recipient],
    purpose: Purpose,
    until_ms: TimeMs,
) -> VaultEnvelope:
    """The envelope with a grant for each recipient; one it had is replaced. Its digest stays the same."""
    assert owner.public_key == envelope.owner, "only the owner grants"
    named = {one.account for one in recipients}
    kept = [grant for grant in envelope.grants if grant.recipient not in named]
    fresh = [
        sign_grant(
            owner,
            unsigned=Grant(
                document=envelope.digest,
                scope=envelope.scope,
                recipient=one.account,
                purpose=purpose,
                until_ms=until_ms,
                sealed_key=SealedBox(PublicKey(one.enc_key)).encrypt(data_key),
                signature=Signature(bytes(64)),
            ),
        )
        for one in recipients
    ]
    return msgspec.structs.replace(envelope, grants=tuple(sorted(kept + fresh, key=lambda grant: grant.recipient)))


def open_document(envelope: VaultEnvelope, *, account: AccountId, key: PrivateKey) -> VaultPlain:
    """The plain document as granted to `account`, whose enc key is `key`.

    Raises OpenError: what `_decrypt` says, and plain_malformed, rows_malformed, rows_root_differs, period_differs,
    provenance_unproven, provenance_differs, provider_signature. Whether the provider's key is one is for the caller
    to ask the books.
    """
    try:
        plain = decode(_decrypt(envelope, Scope.RAW, account=account, key=key), VaultPlain)
    except CodecError as error:
        raise OpenError("plain_malformed", "The document is not a statement in canonical form.") from error
    if reason := check_plain(plain):
        raise OpenError(reason, "The document's own content does not hold.")
    if calculate_rows_root(plain.rows, Digest(plain.salt_key)) != envelope.root:
        raise OpenError("rows_root_differs", "The rows are not those the envelope commits to.")
    return plain


def open_features(envelope: VaultEnvelope, *, account: AccountId, key: PrivateKey) -> FeaturesPlain:
    """The feature vector as granted to `account`, whose enc key is `key`.

    Raises OpenError: what `_decrypt` says, and plain_malformed, features_spec, features_root_differs.
    """
    try:
        vector = decode(_decrypt(envelope, Scope.FEATURES, account=account, key=key), FeaturesPlain)
    except CodecError as error:
        raise OpenError("plain_malformed", "The document is not a feature vector in canonical form.") from error
    if vector.spec != FEATURE_SPEC or [one.name for one in vector.values] != [one.name for one in FEATURES]:
        raise OpenError("features_spec", "The vector is not of the feature table of this release.")
    if calculate_features_root(vector.values, Digest(vector.salt_key), spec=vector.spec) != envelope.root:
        raise OpenError("features_root_differs", "The features are not those the envelope commits to.")
    return vector


def _decrypt(envelope: VaultEnvelope, scope: Scope, *, account: AccountId, key: PrivateKey) -> bytes:
    """The plain bytes. Raises OpenError: document_scope (it holds the other kind), envelope_version, grant_* (the
    envelope contradicts itself), not_granted, cannot_unseal, cannot_decrypt."""
    if envelope.scope is not scope:
        raise OpenError("document_scope", f"The document holds {envelope.scope.name.lower()}: it is of another scope.")
    if reason := check_envelope(envelope):
        raise OpenError(reason, "The envelope contradicts itself.")
    grant = next((one for one in envelope.grants if one.recipient == account), None)
    if grant is None:
        raise OpenError("not_granted", "The document was not granted to this account.")
    try:
        data_key = SealedBox(key).decrypt(grant.sealed_key)
    except CryptoError as error:
        raise OpenError("cannot_unseal", "The grant is not sealed to this account's key.") from error
    if len(data_key) != KEY_BYTES:
        raise OpenError("cannot_unseal", "The grant does not hold a data key.")
    extra = calculate_associated_data(envelope.scope, SigningPublicKey(envelope.owner), Digest(envelope.root))
    try:
        return crypto_aead_xchacha20poly1305_ietf_decrypt(envelope.ciphertext, extra, envelope.nonce, data_key)
    except CryptoError as error:
        raise OpenError("cannot_decrypt", "The ciphertext does not belong to this key, owner and root.") from error


def check_plain(plain: VaultPlain) -> str | None:
    """Why a decoded document's own content cannot be believed, or None: row form, period, and what its grade claims."""
    first, last, rows = plain.first_day, plain.last_day, plain.rows
    if not first <= last:
        return "period_differs"
    money = [row.amount for row in rows]
    money += [balance for row in rows if (balance := row.balance) is not None]
    if not are_in_range(rows) or [row.seq for row in rows] != list(range(len(rows))):
        return "rows_malformed"
    if money and not -AMOUNT_MAX <= min(money) <= max(money) <= AMOUNT_MAX:
        return "rows_malformed"
    days = [row.day for row in rows]
    if days and not first <= min(days) <= max(days) <= last:
        return "period_differs"
    if plain.provenance == Provenance.BALANCE_CHAIN and not _is_closed(plain):
        return "provenance_unproven"
    return check_provider(plain)


def _is_closed(plain: VaultPlain) -> bool:
    """Every balance is the one before plus the amount, from the opening balance on."""
    if plain.opening_balance is None:
        return False
    due = accumulate([row.amount for row in plain.rows], initial=plain.opening_balance)
    return [row.balance for row in plain.rows] == list(due)[1:]
