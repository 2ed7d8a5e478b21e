"""Payloads that move claims on a settlement agent. Wire shapes only; rules live in `protocol.ledger`."""

from enum import IntEnum

import msgspec

from protocol.ids import AccountIdField, DigestField, ObjectIdField
from protocol.money import AmountField, CurrencyField


class Mint(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, tag=5):
    """A settlement agent credits fiat it has received. Signer: settlement agent."""

    to: AccountIdField
    currency: CurrencyField
    amount: AmountField
    ext_ref: DigestField
    """Hash of the bank's own reference; used once."""


class RedeemRequest(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, tag=6):
    """Ask an agent to pay fiat out; the amount waits in escrow. Id: object "redemption". Signer: holder."""

    agent: AccountIdField
    currency: CurrencyField
    amount: AmountField
    payout_commit: DigestField
    """Salted commitment to the bank account to pay to."""


class RedeemOutcome(IntEnum):
    """What the agent says of a payout."""

    PAID = 1
    FAILED = 2


class RedeemSettle(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, tag=7):
    """The agent paid (the claim is burned) or failed (the claim returns). Signer: the agent asked."""

    redemption: ObjectIdField
    outcome: RedeemOutcome
    ext_ref: DigestField


class Transfer(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, tag=8, gc=False):
    """Move a claim to another account. Signer: holder."""

    to: AccountIdField
    currency: CurrencyField
    amount: AmountField
    memo_commit: DigestField
    """Salted commitment to a memo, or 32 zero bytes."""
