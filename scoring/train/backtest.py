"""Measuring the early-warning rules on labelled loans: how often each speaks, and of whom. Standard library only.

Every 30 days of a statement's last year the rules judge what was known then. Of the loans' own repayments the data
say nothing, so rules about these stay silent. Never anything here that a decision depends on: floats for people.
"""

import hashlib
import json
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from scoring.points import PointsModel
from scoring.series import WINDOW_DAYS, YEAR_DAYS
from scoring.train.dataset import LabelledLoan, load_loans
from scoring.warning import Alert, Facts, Watch, advance, find_warnings
from scoring.warning_table import WARNINGS, WarningRule

HISTORY_DAYS: Final = 120
"""Before this much history nothing is judged: the rules compare with at least three months."""


class Told(NamedTuple):
    """What one loan's watch said."""

    loan: LabelledLoan
    alerts: tuple[Alert, ...]


def watch_loan(loan: LabelledLoan, model: PointsModel) -> Told:
    """Judge a statement every 30 days of its last year, oldest first, and keep the alerts."""
    first = min((row.day for row in loan.rows), default=loan.as_of)
    begin = max(first + HISTORY_DAYS, loan.as_of - YEAR_DAYS)
    days = list(range(loan.as_of, begin - 1, -WINDOW_DAYS))[::-1]
    watch, alerts, band_then = Watch(), list[Alert](), None
    for day in days:
        rows = [row for row in loan.rows if row.day < day]
        band = _calculate_band(loan, model, rows, day)
        band_then = band if band_then is None else band_then
        facts = Facts(as_of=day, rows=rows, last_day=day - 1, band_then=band_then, band_now=band)
        watch, told = advance(watch, find_warnings(facts), day)
        alerts += told
    return Told(loan, tuple(alerts))


def _calculate_band(loan: LabelledLoan, model: PointsModel, rows: Sequence[Any], day: int) -> int:
    from scoring.features import calculate_features

    features = calculate_features(
        rows, as_of=day, last_day=day - 1, instalment=loan.instalment, principal=loan.principal
    )
    return model.assess(model.calculate_bins(features)).band


def backtest(model: PointsModel, data_dir: Path, progress: Callable[[int, int], None] | None = None) -> dict[str, Any]:
    """Per rule: alerts, loans it spoke of, how many of them are bad, lift over the share of bad loans, days ahead.

    `progress` is told (loans done, loans in all). `digest` covers every alert. Raises as `load_loans` does.
    """
    loans = load_loans(data_dir)
    told = []
    for done, loan in enumerate(loans, 1):
        told.append(watch_loan(loan, model))
        if progress is not None:
            progress(done, len(loans))
    bad = sum(one.loan.bad for one in told)
    digest = hashlib.sha256()
    for one in told:
        line = [one.loan.loan_id, [[alert.rule, alert.day, alert.window, alert.evidence] for alert in one.alerts]]
        digest.update(json.dumps(line, separators=(",", ":")).encode() + b"\n")
    rate = bad / len(told) if told else 0.0
    return {
        "loans": len(told),
        "bad": bad,
        "rules": [_measure(rule, told, rate) for rule in WARNINGS],
        "any": _count([one for one in told if one.alerts], rate),
        "digest": digest.hexdigest(),
    }


def _measure(rule: WarningRule, told: Sequence[Told], rate: float) -> dict[str, Any]:
    spoken = [one for one in told if any(alert.rule is rule for alert in one.alerts)]
    alerts = [(one, alert) for one in spoken for alert in one.alerts if alert.rule is rule]
    ahead = [one.loan.as_of - alert.day for one, alert in alerts if one.loan.bad]
    return {
        "rule": WARNINGS[rule].key,
        "alerts": len(alerts),
        **_count(spoken, rate),
        "days_before_median": statistics.median_low(ahead) if ahead else None,
    }


def _count(spoken: Sequence[Told], rate: float) -> dict[str, Any]:
    bad = sum(one.loan.bad for one in spoken)
    share = bad / len(spoken) if spoken else None
    return {
        "loans_alerted": len(spoken),
        "bad_alerted": bad,
        "bad_share": None if share is None else round(share, 4),
        "lift": None if share is None or not rate else round(share / rate, 2),
    }
