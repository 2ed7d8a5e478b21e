"""Payloads that open, fund, leave and secure a lender's pool. Wire shapes only; rules live in `protocol.ledger`."""

import msgspec

from protocol.ids import CountField, ObjectIdField
from protocol.money import AmountField, CurrencyField, Ppm, PpmField


class PoolOpen(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, tag=9):
    """Open a pool loans are paid from. Id: object "pool". Signer: lender organisation."""

    currency: CurrencyField
    borrower_max: AmountField
    """Largest principal open to one borrower from this pool."""
    cover_rate_ppm: PpmField = Ppm(0)
    """First-loss cover the lender keeps ready, as a share of the principal lent."""
    fee_ppm: PpmField = Ppm(0)
    """Management fee: the lender's share of the interest its pool receives."""


class PoolDeposit(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, tag=10):
    """Move cash into a pool for shares at its net asset value. Signer: any holder."""

    pool: ObjectIdField
    amount: AmountField


class PoolSet(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, tag=12):
    """Change a pool's limits; while loans are open the cover rate only rises, the fee only falls. Signer: owner."""

    pool: ObjectIdField
    borrower_max: AmountField
    cover_rate_ppm: PpmField
    fee_ppm: PpmField


class PoolExit(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, tag=13):
    """Ask to give shares back for cash; all who ask on one day share the free cash alike. Id: object "exit"."""

    pool: ObjectIdField
    shares: CountField


class PoolExitCancel(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, tag=27):
    """Take back what is left of an exit. Signer: who asked."""

    exit: ObjectIdField


class CoverDeposit(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, tag=25):
    """Put the lender's own cash before its investors' losses. Signer: the pool's owner."""

    pool: ObjectIdField
    amount: AmountField


class CoverWithdraw(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, tag=26):
    """Take out cover that nothing needs any more. Signer: the pool's owner."""

    pool: ObjectIdField
    amount: AmountField
