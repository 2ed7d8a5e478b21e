"""Signals of a whole portfolio: vintages that go bad, rolls from bucket to bucket, drifting scores, concentration.

    tally of the lender's loans, picture of 30 days ago, decisions of 90 days  ->  Signals  ->  alerts with hysteresis

Figures are of the lender's own parts of loans, shares in ppm rounded down. Thresholds are the network's first guess. No
IO and no clock here; floats only inside the stability index, which nobody has to repeat to the bit.
"""

import math
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Final, NamedTuple

import msgspec

from node.monitor.records import AlertRecord
from protocol.ids import AccountId, CountField, Day, Height, ObjectIdField, TimeMs
from protocol.ledger.reports import Position, Tally, calculate_share
from protocol.loans.delinquency import DelinquencyBucket
from protocol.loans.lifecycle import CLAIMED, LoanState
from protocol.money import PPM
from scoring.points import PointsModel
from scoring.warning_table import Severity

LOANS_MIN: Final = 10
"""Of a vintage, or of those that could roll; of fewer one late loan says nothing."""
BORROWERS_MIN: Final = 20
"""Every young portfolio is concentrated."""
DECISIONS_MIN: Final = 50
ROLL_DAYS: Final = 30
DRIFT_DAYS: Final = 90
BUCKETS: Final = ("current", "to_30", "to_60", "to_90", "above_90")
"""Coarse steps between which loans roll; a claim is in the last."""
_STEP: Final = {
    DelinquencyBucket.CURRENT: 0,
    DelinquencyBucket.TO_7: 1,
    DelinquencyBucket.TO_30: 1,
    DelinquencyBucket.TO_60: 2,
    DelinquencyBucket.TO_90: 3,
}
LATE_STEP: Final = 2


class PortfolioRule(NamedTuple):
    """One rule over a whole portfolio; figures are ppm."""

    number: int
    """Stored with the watch: append, never renumber."""
    key: str
    severity: Severity
    raised_from: int
    cleared_below: int
    raised: str
    text_en: str
    text_zh: str


VINTAGE_LATE: Final = PortfolioRule(
    101,
    "vintage_late",
    Severity.ACT,
    50_000,
    30_000,
    "at least 5 % of what was paid out in a month (ten loans or more) is over 30 days late or defaulted",
    "A month's loans go bad: much of what was paid out then is over 30 days late.",
    "某月放款的逾期三十天以上比例偏高。",
)
ROLLING_WORSE: Final = PortfolioRule(
    102,
    "rolling_worse",
    Severity.ACT,
    50_000,
    30_000,
    "at least 5 % of the principal that was at most 30 days late 30 days ago (ten loans or more) is later now",
    "More loans than usual have become over 30 days late within a month.",
    "近一个月迁徙至逾期三十天以上的本金比例偏高。",
)
SCORE_DRIFT: Final = PortfolioRule(
    103,
    "score_drift",
    Severity.ACT,
    250_000,
    100_000,
    "the stability index of 90 days' decisions (50 or more) against the model's reference is at least 0.25",
    "Applicants are scored differently from those the model was fitted on.",
    "近期申请人评分分布与模型参照分布明显偏离。",
)
CONCENTRATED: Final = PortfolioRule(
    104,
    "concentrated",
    Severity.WATCH,
    500_000,
    400_000,
    "the ten largest of 20 borrowers or more owe at least half of the principal",
    "Few borrowers owe most of the portfolio.",
    "少数借款人占用大部分贷款余额。",
)
PORTFOLIO_RULES: Final = (VINTAGE_LATE, ROLLING_WORSE, SCORE_DRIFT, CONCENTRATED)
WINDOW_DAYS: Final = 30


class PictureRow(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True):
    """Where one loan stood on the day of a picture."""

    loan: ObjectIdField
    step: CountField
    """Index into BUCKETS."""
    principal: CountField
    """The lender's own part."""


class Roll(NamedTuple):
    """What became of the principal that stood in one step; the shares are ppm of it."""

    bucket: str
    loans: int
    principal: int
    better_ppm: int
    same_ppm: int
    worse_ppm: int
    """In a later step, a claim or written off."""
    gone_ppm: int
    """Repaid, or sold to others."""


class Drift(NamedTuple):
    """How 90 days' decisions of one model lie beside its reference."""

    model: bytes
    name: str
    decisions: int
    psi_ppm: int
    reference: tuple[int, ...]
    """Training cases by band."""
    counts: tuple[int, ...]


class VintageFigures(NamedTuple):
    """One month's loans."""

    month: str
    loans: int
    disbursed: int
    late_30_loans: int
    late_30_ppm: int


class Concentration(NamedTuple):
    """Of principal over borrowers."""

    borrowers: int
    largest_ppm: int
    top_ten_ppm: int
    hhi_ppm: int


class Signals(NamedTuple):
    """A lender's portfolio on one day."""

    day: Day
    height: Height
    time_ms: TimeMs
    principal: int
    loans: int
    vintages: tuple[VintageFigures, ...]
    rolled_from: Day | None
    """Day of the picture; None before there is one of 30 days ago."""
    rolls: tuple[Roll, ...]
    late_rolled_ppm: int | None
    """Of principal at most 30 days late then, what is later than that now."""
    drifts: tuple[Drift, ...]
    concentration: Concentration


def calculate_step(position: Position) -> int:
    """Index into BUCKETS of a loan that is held or claimed."""
    if position.loan.state in CLAIMED:
        return len(BUCKETS) - 1
    return _STEP.get(position.bucket, len(BUCKETS) - 1)


def is_gone(position: Position) -> bool:
    """Whether nothing of the loan is owed any more."""
    return position.loan.closed_ms is not None and position.loan.state is not LoanState.WRITTEN_OFF


def calculate_psi_ppm(reference: Sequence[int], counts: Sequence[int]) -> int:
    """The stability index in millionths; empty cells count one half."""
    before = [max(2 * one, 1) for one in reference]
    now = [max(2 * one, 1) for one in counts]
    parts = []
    for one, other in zip(before, now, strict=True):
        expected, actual = one / sum(before), other / sum(now)
        parts.append((actual - expected) * math.log(actual / expected))
    return max(0, math.floor(math.fsum(parts) * PPM))


def calculate_rolls(then: Sequence[PictureRow], now: Mapping[bytes, int | None]) -> tuple[tuple[Roll, ...], int | None]:
    """Rolls by step, and the share that became late; `now` has the step of each loan still held, None when gone.

    The lender's part as it was then is what rolls, so that repaying in part is no roll.
    """
    rolls = []
    early = late = counted = 0
    for step, bucket in enumerate(BUCKETS):
        rows = [one for one in then if one.step == step]
        whole = sum(one.principal for one in rows)
        sums = {"better": 0, "same": 0, "worse": 0, "gone": 0}
        for one in rows:
            after = now.get(one.loan)
            kind = "gone" if after is None else "worse" if after > step else "better" if after < step else "same"
            sums[kind] += one.principal
            if step < LATE_STEP:
                counted += 1
                early += one.principal
                late += one.principal if after is not None and after >= LATE_STEP else 0
        shares = {f"{kind}_ppm": calculate_share(part, whole) for kind, part in sums.items()}
        rolls.append(Roll(bucket=bucket, loans=len(rows), principal=whole, **shares))
    return tuple(rolls), calculate_share(late, early) if counted >= LOANS_MIN else None


def calculate_vintages(tally: Tally) -> tuple[VintageFigures, ...]:
    """Months of pay-out with their late part; principal paid out is the base, so that repaying betters nothing."""
    return tuple(
        VintageFigures(
            month=month,
            loans=one.loans,
            disbursed=one.disbursed,
            late_30_loans=one.late_30.loans,
            late_30_ppm=calculate_share(one.late_30.principal, one.disbursed),
        )
        for month, one in sorted(tally.vintages.items())
    )


def calculate_concentration(tally: Tally) -> Concentration:
    """Of the principal held."""
    largest = max(tally.borrowers.values(), default=0)
    return Concentration(
        borrowers=len(tally.borrowers),
        largest_ppm=calculate_share(largest, tally.held.principal),
        top_ten_ppm=tally.calculate_top_share(),
        hhi_ppm=tally.calculate_borrower_concentration(),
    )


def calculate_drift(model: PointsModel, counts: Mapping[int, int]) -> Drift:
    """Decisions by band beside the reference."""
    seen = tuple(counts.get(band, 0) for band in range(len(model.band_reference)))
    return Drift(
        model.id, model.name, sum(seen), calculate_psi_ppm(model.band_reference, seen), model.band_reference, seen
    )


# ---------------------------------------------------------------------- alerts


class PortfolioFinding(NamedTuple):
    """How one rule stands."""

    rule: PortfolioRule
    value: int
    evidence: tuple[tuple[str, int], ...]


def find_portfolio_warnings(signals: Signals) -> tuple[PortfolioFinding, ...]:
    """The rules that can be judged and stand over time; vintages are told apart, each once."""
    found = []
    if signals.late_rolled_ppm is not None:
        evidence = (("rolled_ppm", signals.late_rolled_ppm), ("from_day", signals.rolled_from or 0))
        found.append(PortfolioFinding(ROLLING_WORSE, signals.late_rolled_ppm, evidence))
    judged = [one for one in signals.drifts if one.decisions >= DECISIONS_MIN]
    if judged:
        worst = max(judged, key=lambda one: one.psi_ppm)
        told = (("psi_ppm", worst.psi_ppm), ("decisions", worst.decisions))
        found.append(PortfolioFinding(SCORE_DRIFT, worst.psi_ppm, told))
    spread = signals.concentration
    if spread.borrowers >= BORROWERS_MIN:
        shares = (("top_ten_ppm", spread.top_ten_ppm), ("largest_ppm", spread.largest_ppm), ("hhi_ppm", spread.hhi_ppm))
        found.append(PortfolioFinding(CONCENTRATED, spread.top_ten_ppm, shares))
    return tuple(found)


def advance_portfolio(
    standing: Sequence[int], signals: Signals, lender: AccountId
) -> tuple[tuple[int, ...], tuple[AlertRecord, ...]]:
    """The rules that stand after this day, and what must be told; the store tells each once per window."""
    stands = dict.fromkeys(standing, True)
    alerts = [_make_alert(one, signals, lender) for one in _find_late_vintages(signals)]
    for one in find_portfolio_warnings(signals):
        if one.value >= one.rule.raised_from:
            if one.rule.number not in stands:
                stands[one.rule.number] = True
                alerts.append(_make_alert((one, signals.day // WINDOW_DAYS), signals, lender))
        elif one.value < one.rule.cleared_below:
            stands.pop(one.rule.number, None)
    return tuple(sorted(stands)), tuple(alerts)


def _find_late_vintages(signals: Signals) -> list[tuple[PortfolioFinding, int]]:
    """Late months with the number of each, which is its window: 12 * year + month - 1."""
    found = []
    for one in signals.vintages:
        if one.loans >= LOANS_MIN and one.late_30_ppm >= VINTAGE_LATE.raised_from:
            first = date.fromisoformat(f"{one.month}-01")
            evidence = (("month", first.toordinal()), ("late_30_ppm", one.late_30_ppm), ("loans", one.loans))
            finding = PortfolioFinding(VINTAGE_LATE, one.late_30_ppm, evidence)
            found.append((finding, 12 * first.year + first.month - 1))
    return found


def _make_alert(found: tuple[PortfolioFinding, int], signals: Signals, lender: AccountId) -> AlertRecord:
    finding, window = found
    rule = finding.rule
    return AlertRecord(
        kind="portfolio",
        subject=lender,
        borrower=None,
        lender=lender,
        rule=rule.key,
        severity=rule.severity,
        day=signals.day,
        window=window,
        evidence=finding.evidence,
        text_en=rule.text_en,
        text_zh=rule.text_zh,
        public=True,
        data=None,
        height=signals.height,
        time_ms=signals.time_ms,
    )
