"""What the monitor tells and remembers: one alert, its text, its place in the order of this node's alerts.

Never a rule here (`scoring.warning` and `node.monitor.signals` have them), and never IO.
"""

from datetime import date
from typing import Annotated, Any, Final, NamedTuple

import msgspec

from protocol.ids import (
    AccountId,
    AccountIdField,
    Day,
    DayField,
    DigestField,
    Height,
    HeightField,
    ObjectId,
    ObjectIdField,
    TimeMs,
    TimeMsField,
)
from scoring.warning import Alert, Watch
from scoring.warning_table import WARNINGS, Severity, WarningRule

PUBLIC_RULES: Final = frozenset({WarningRule.PAYMENT_MISSED, WarningRule.FEED_ENDED})
"""Rules that rest on the ledger alone: anybody could have found the same, so observers may read them here."""
OF_STATEMENT: Final = frozenset(WarningRule) - PUBLIC_RULES - {WarningRule.STATEMENT_STALE}
"""Rules that rest on the rows of a refreshed statement."""


class AlertRecord(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True):
    """One alert, as it is kept."""

    kind: str
    """`loan` or `portfolio`."""
    subject: Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]
    """The loan's id; of the portfolio the lender's account."""
    borrower: AccountIdField | None
    lender: AccountIdField
    rule: str
    severity: Severity
    day: DayField
    """Contract day on which it was raised."""
    window: int
    evidence: tuple[tuple[str, int], ...]
    text_en: str
    text_zh: str
    public: bool
    """Rests on the ledger alone."""
    data: ObjectIdField | None
    """The refreshed statement that it rests on."""
    height: HeightField
    time_ms: TimeMsField
    """Of that block."""


class StoredAlert(NamedTuple):
    """An alert and its number: 1, 2, 3 ... in the order in which this node raised them."""

    serial: int
    record: AlertRecord


class Kept(NamedTuple):
    """What is remembered of one loan."""

    watch: Watch
    judged: bytes
    """Id of the last statement whose rows were judged; empty before the first."""


class WatchRow(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True):
    """A Watch on the disk."""

    standing: tuple[WarningRule, ...]
    windows: tuple[tuple[WarningRule, int], ...]


class HookState(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True):
    """How far one webhook is."""

    hook: DigestField
    delivered: int
    """Serial of the last alert that was delivered, or given up."""
    dropped: int
    """Alerts that were given up."""
    failing_since_ms: TimeMsField | None
    """Since when the next one is refused or unanswered; None while all is well."""


def make_loan_alert(
    alert: Alert,
    *,
    loan: ObjectId,
    borrower: AccountId,
    lender: AccountId,
    data: ObjectId | None,
    height: Height,
    time_ms: TimeMs,
) -> AlertRecord:
    """The record of an alert about a loan."""
    told = WARNINGS[alert.rule]
    return AlertRecord(
        kind="loan",
        subject=loan,
        borrower=borrower,
        lender=lender,
        rule=told.key,
        severity=told.severity,
        day=Day(alert.day),
        window=alert.window,
        evidence=alert.evidence,
        text_en=told.text_en,
        text_zh=told.text_zh,
        public=alert.rule in PUBLIC_RULES,
        data=data if alert.rule in OF_STATEMENT else None,
        height=height,
        time_ms=time_ms,
    )


def view_record(serial: int, record: AlertRecord) -> dict[str, Any]:
    """An alert as readers, streams and webhooks get it: ids in hex, the day as an ISO date."""
    return {
        "serial": serial,
        "kind": record.kind,
        "loan": record.subject.hex() if record.kind == "loan" else None,
        "borrower": None if record.borrower is None else record.borrower.hex(),
        "lender": record.lender.hex(),
        "rule": record.rule,
        "severity": record.severity.name.lower(),
        "day": date.fromordinal(record.day).isoformat(),
        "window": record.window,
        "evidence": dict(record.evidence),
        "text_en": record.text_en,
        "text_zh": record.text_zh,
        "public": record.public,
        "data": None if record.data is None else record.data.hex(),
        "height": record.height,
        "time_ms": record.time_ms,
    }
