"""Payloads about data off the ledger: anchors, consent, erasure. Wire shapes only; rules in `protocol.ledger`."""

from enum import IntEnum
from typing import Annotated

import msgspec

from protocol.ids import AccountIdField, DayField, DigestField, ObjectIdField, TimeMsField
from protocol.limits import DATA_PER_APPLICATION_MAX, ERASED_DOCUMENTS_MAX, ERASED_SIDECARS_MAX, GRANTEES_MAX
from protocol.money import CurrencyField


class DataAnchor(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, tag=14):
    """Commit to a statement kept in the vault. Id: object "data". Signer: borrower."""

    rows_root: DigestField
    """Merkle root over the salted rows (`protocol.vault`)."""
    document: DigestField
    """Hash of the ciphertext, by which granted nodes fetch it."""
    currency: CurrencyField
    first_day: DayField
    last_day: DayField
    """The statement's own end."""
    provenance: Annotated[int, msgspec.Meta(ge=1, le=4)]
    """Grade of scoring.rows.Provenance, as the attesters will check."""


class Purpose(IntEnum):
    """What data may be used for; each needs its own consent."""

    UNDERWRITE = 1
    MONITOR = 2
    COLLECT = 3
    RESEARCH = 4


class Scope(IntEnum):
    """How much of data a consent opens; a grant of one never opens the other."""

    RAW = 1
    """The statement's rows, and with them everything that follows."""
    FEATURES = 2
    """The feature vectors of applications on it alone: figures of the feature table, never a row."""


class ConsentGrant(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, tag=15):
    """Let named organisations read named data for one purpose. Id: object "consent". Signer: borrower."""

    grantees: Annotated[tuple[AccountIdField, ...], msgspec.Meta(min_length=1, max_length=GRANTEES_MAX)]
    data: Annotated[tuple[ObjectIdField, ...], msgspec.Meta(min_length=1, max_length=DATA_PER_APPLICATION_MAX)]
    purpose: Purpose
    until_ms: TimeMsField
    """Block time after which no read and no attestation may refer to it."""
    text_hash: DigestField
    """Hash of the words the borrower was shown."""
    scope: Scope = Scope.RAW


class ConsentRevoke(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, tag=16):
    """Withdraw a consent. Signer: borrower."""

    consent: ObjectIdField


class DataErase(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, tag=51):
    """Order that data be erased wherever it is held: statement, wrapped keys, salts and bins. Signer: borrower.

    Data that an open application, loan or line rests on, or that a lender may still need for claims, is kept until that
    is over; the order then falls due by itself. It cannot be taken back, and the data serves nothing new from now on.
    """

    data: Annotated[tuple[ObjectIdField, ...], msgspec.Meta(min_length=1, max_length=DATA_PER_APPLICATION_MAX)]
    successor: ObjectIdField | None = None
    """Corrected data that takes their place: a rectification, else an erasure alone."""


class ErasureReceipt(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, tag=52):
    """A member says that its node has erased what an order named. Signer: its officer key or attester key."""

    data: ObjectIdField
    documents: Annotated[int, msgspec.Meta(ge=0, le=ERASED_DOCUMENTS_MAX)]
    """Sealed documents it held: the statement, and the feature vectors of applications on it."""
    sidecars: Annotated[int, msgspec.Meta(ge=0, le=ERASED_SIDECARS_MAX)]
    """Sets of bins with their salts that it held."""
