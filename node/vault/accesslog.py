"""The access log: each opening of a statement is a record, chained to the one before and signed by the node.

The borrower can ask every node for the records of their own data and check the chain without trusting the node for
its order or completeness up to the newest record seen. Nobody can prove that a reader kept no copy; this proves who
opened what, when and for which purpose. Never a row or an amount here.
"""

from collections.abc import Sequence
from typing import Annotated, Final

import msgspec

from protocol.codec import encode
from protocol.crypto import Signer, calculate_hash, check_signature
from protocol.ids import (
    AccountId,
    AccountIdField,
    Digest,
    DigestField,
    ObjectId,
    ObjectIdField,
    PublicKey,
    PublicKeyField,
    Signature,
    SignatureField,
    TimeMs,
    TimeMsField,
)
from protocol.transactions.data import Purpose

TAG: Final = b"LSA1"


class AccessRecord(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True):
    """One opening of one data object by one member on one node."""

    data: ObjectIdField
    """The data anchor whose document was opened."""
    serial: Annotated[int, msgspec.Meta(ge=1)]
    """Counts the openings of this data on this node, from 1."""
    previous: DigestField
    """Digest of record serial-1; 32 zero bytes for the first."""
    document: DigestField
    reader: AccountIdField
    purpose: Purpose
    time_ms: TimeMsField
    """The node's own clock."""
    node_key: PublicKeyField

    def calculate_digest(self) -> Digest:
        """What the next record names and the node signs."""
        return calculate_hash("vault-access", encode(self))


class SignedAccess(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True):
    """A record with the node's signature over its digest."""

    record: AccessRecord
    signature: SignatureField


def sign_access(
    signer: Signer,
    *,
    last: SignedAccess | None,
    data: ObjectId,
    document: Digest,
    reader: AccountId,
    purpose: Purpose,
    time_ms: TimeMs,
) -> SignedAccess:
    """The record that follows `last` for `data`."""
    assert last is None or last.record.data == data, "a chain is of one data object"
    record = AccessRecord(
        data=data,
        serial=1 if last is None else last.record.serial + 1,
        previous=Digest(bytes(32)) if last is None else last.record.calculate_digest(),
        document=document,
        reader=reader,
        purpose=purpose,
        time_ms=time_ms,
        node_key=signer.public_key,
    )
    return SignedAccess(record=record, signature=signer.sign(TAG + record.calculate_digest()))


def check_access_log(entries: Sequence[SignedAccess], data: ObjectId, node_key: PublicKey) -> str | None:
    """Why a log does not hold (access_data, access_serial, access_chain, access_signature), or None."""
    previous = Digest(bytes(32))
    for serial, entry in enumerate(entries, start=1):
        record = entry.record
        if record.data != data or record.node_key != node_key:
            return "access_data"
        if record.serial != serial:
            return "access_serial"
        if record.previous != previous:
            return "access_chain"
        previous = record.calculate_digest()
        if not check_signature(node_key, TAG + previous, Signature(entry.signature)):
            return "access_signature"
    return None
