"""Names for every bare value that travels: keys, digests, heights, views, ledger objects.

The `...Field` aliases carry the wire limits that decoding enforces. Never put behaviour here.
"""

from typing import Annotated, NewType

import msgspec

PublicKey = NewType("PublicKey", bytes)
"""32-byte Ed25519 verification key."""
BoxKey = NewType("BoxKey", bytes)
"""32-byte X25519 key that documents are sealed to."""
Signature = NewType("Signature", bytes)
"""64-byte Ed25519 signature."""
Digest = NewType("Digest", bytes)
"""32-byte SHA-256 digest under a domain tag."""

ChainId = NewType("ChainId", bytes)
TransactionId = NewType("TransactionId", bytes)
BatchDigest = NewType("BatchDigest", bytes)
BlockDigest = NewType("BlockDigest", bytes)
AccountId = NewType("AccountId", bytes)
ObjectId = NewType("ObjectId", bytes)
"""Id of anything a transaction makes: pool, product, data anchor, consent, application, offer, loan."""
ModelId = NewType("ModelId", bytes)

Epoch = NewType("Epoch", int)
View = NewType("View", int)
Height = NewType("Height", int)
ValidatorIndex = NewType("ValidatorIndex", int)
Day = NewType("Day", int)
"""Contract day: proleptic Gregorian ordinal in a product's fixed offset."""
TimeMs = NewType("TimeMs", int)
"""Milliseconds since 1970-01-01T00:00:00Z."""

_32 = msgspec.Meta(min_length=32, max_length=32)
_U53 = msgspec.Meta(ge=0, le=2**53 - 1)

PublicKeyField = Annotated[PublicKey, _32]
BoxKeyField = Annotated[BoxKey, _32]
SignatureField = Annotated[Signature, msgspec.Meta(min_length=64, max_length=64)]
DigestField = Annotated[Digest, _32]
ChainIdField = Annotated[ChainId, _32]
TransactionIdField = Annotated[TransactionId, _32]
BatchDigestField = Annotated[BatchDigest, _32]
BlockDigestField = Annotated[BlockDigest, _32]
AccountIdField = Annotated[AccountId, _32]
ObjectIdField = Annotated[ObjectId, _32]
ModelIdField = Annotated[ModelId, _32]
EpochField = Annotated[Epoch, msgspec.Meta(ge=0, le=2**32 - 1)]
ViewField = Annotated[View, _U53]
HeightField = Annotated[Height, _U53]
IndexField = Annotated[ValidatorIndex, msgspec.Meta(ge=0, le=255)]
DayField = Annotated[Day, msgspec.Meta(ge=0, le=3_652_059)]
TimeMsField = Annotated[TimeMs, _U53]
CountField = Annotated[int, _U53]

ZERO_DIGEST = Digest(bytes(32))
