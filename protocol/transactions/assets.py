"""Payloads about registered assets: goods under lease or pledge. Wire shapes only; rules live in `protocol.ledger`."""

from enum import IntEnum
from typing import Annotated

import msgspec

from protocol.ids import AccountIdField, DigestField, ObjectIdField
from protocol.money import AmountField, CurrencyField


class AssetRegister(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, tag=40):
    """Register a unique thing. Its id is H(class | serial), so that nobody can register it twice.

    Signer: the owner; co-signer: an issuer who has seen papers or thing.
    """

    asset_class: Annotated[str, msgspec.Meta(min_length=1, max_length=32, pattern="^[a-z0-9-]+$")]
    serial_hash: DigestField
    """Keyed hash of the serial number under the issuers' key."""
    meta_commit: DigestField
    currency: CurrencyField
    value: AmountField


class AssetTransfer(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, tag=41):
    """Give a free asset to another owner. Signer: the owner; co-signer: the new owner."""

    asset: ObjectIdField
    to: AccountIdField


class AssetRetire(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, tag=42):
    """Strike a free asset from the register (scrapped, lost). Signer: the owner; co-signer: an issuer."""

    asset: ObjectIdField


class LeaseEndOption(IntEnum):
    """What becomes of a leased asset at the end."""

    RETURN = 1
    BUY = 2
    EXTEND = 3


class LeaseEnd(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, tag=43):
    """Carry an end option of a lease out, once all rows but the residual are paid.

    Signer: lessee; RETURN needs the co-signature of the lessor, who has the thing back, or an arbiter's.
    """

    loan: ObjectIdField
    option: LeaseEndOption
    terms_hash: DigestField
    """Of EXTEND: hash of the further schedule, computed for today; else zero."""


class AssetSeize(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, tag=44):
    """Realise the security of a defaulted loan: the asset goes to the lender, whose pools take it at a value.

    Signer: lender; co-signer: an issuer or arbiter who vouches for the value. The value counts as a recovery.
    """

    asset: ObjectIdField
    loan: ObjectIdField
    value: AmountField


class AssetSell(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, tag=49):
    """Sell an asset that pools hold after a return or a seizure. Signer: lender; co-signer: the buyer, who pays.

    Below the value at which they hold it an issuer or arbiter co-signs as well.
    """

    asset: ObjectIdField
    price: AmountField
