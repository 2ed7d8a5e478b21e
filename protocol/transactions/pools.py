"""Payloads that open and fund a lender's pool. Wire shapes only; rules live in `protocol.ledger`."""

import msgspec

from protocol.ids import ObjectIdField
from protocol.money import AmountField, CurrencyField


class PoolOpen(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, tag=9):
    """Open a pool loans are paid from. Id: object "pool". Signer: lender organisation."""

    currency: CurrencyField
    borrower_max: AmountField
    """Largest principal open to one borrower from this pool."""


class PoolDeposit(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, tag=10):
    """Move cash into a pool for shares at its net asset value. Signer: any holder."""

    pool: ObjectIdField
    amount: AmountField
