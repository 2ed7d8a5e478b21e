"""Rows of convicted attesters, apart from the others of `rows`. Fields are append-only. Never a rule here."""

import msgspec

from protocol.ids import AccountIdField, DigestField, ModelIdField, ObjectIdField, PublicKeyField, TimeMsField
from protocol.money import AmountField


class Verdict(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True):
    """The validators found that an organisation attested what a statement does not give."""

    attester_key: PublicKeyField | None
    """Its key then: another one, which only a vote can give it, ends the conviction."""
    application: ObjectIdField
    model: ModelIdField
    evidence: DigestField
    """Commitment to what was shown to those who voted."""
    reporter: AccountIdField
    time_ms: TimeMsField
    penalty: AmountField
    """Taken from the convicted and given to the reporter."""
