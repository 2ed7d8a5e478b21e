"""Payloads that open accounts. Wire shapes only; rules live in `protocol.ledger`."""

from enum import IntEnum
from typing import Annotated

import msgspec

from protocol.ids import BoxKeyField, DayField, DigestField


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
