"""Payloads that open accounts. Wire shapes only; rules live in `protocol.ledger`."""

from enum import IntEnum
from typing import Annotated

import msgspec

from protocol.ids import AccountIdField, BoxKeyField, DayField, DigestField, PublicKeyField


class AccountKind(IntEnum):
    """Who stands behind an account."""

    PERSON = 1
    BUSINESS = 2
    MERCHANT = 3
    ORGANISATION = 4


class AccountOpen(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, tag=2):
    """Open an account for the sender's key; co-signed by a credential issuer who knows the person or company.

    Sent again by the same key with the same kind, sealing key and tag, it renews level and expiry.
    """

    kind: AccountKind
    enc_key: BoxKeyField
    """X25519 key that documents for this account are sealed to."""
    subject_tag: DigestField
    """Keyed hash of the identity number under the issuers' key: one person, one tag."""
    level: Annotated[int, msgspec.Meta(ge=1, le=9)]
    """Assurance level of the identity check."""
    expires_on: DayField
    """First day on which the credential no longer holds."""


class CredentialOperation(IntEnum):
    """What an issuer does to a credential or to an account."""

    REVOKE = 1
    """No new loans; repaying stays allowed."""
    FREEZE = 2
    """No movement but repayments and withdrawals of consent."""
    UNFREEZE = 3


class CredentialSet(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, tag=3):
    """Revoke a credential, freeze an account or free it. Signer: a credential issuer."""

    account: AccountIdField
    operation: CredentialOperation
    reason_hash: DigestField
    """Hash of the order or finding it rests on."""


class KeyRotate(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, tag=4):
    """Give the account another key at once. Signer: the present key; co-signer: the new key."""

    new_key: PublicKeyField
    enc_key: BoxKeyField


class KeyRecover(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, tag=22):
    """Ask for another key on behalf of a person who lost hers. Signer: an issuer; co-signer: the new key.

    It takes effect after the policy's delay, unless the present key cancels it.
    """

    account: AccountIdField
    new_key: PublicKeyField
    enc_key: BoxKeyField


class KeyRecoverCancel(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, tag=23):
    """Stop a recovery that waits. Signer: the account's present key."""
