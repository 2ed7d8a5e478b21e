"""Early warning: integer rules over a loan's repayments and a refreshed statement, the same on every machine.

`find_warnings` judges one day; `advance` turns findings into alerts with hysteresis: an alert is raised once, stands
until its rule is cleared, and comes at most once per (loan, rule, window). Never a float, a true division, a clock, a
text or the iteration of a set in this file. Amounts are minor units, shares basis points, days proleptic ordinals.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

from scoring.rows import NO_COUNTERPARTY, Category, Row
from scoring.series import (
    WINDOW_DAYS,
    WINDOWS,
    WINDOWS_MIN,
    Series,
    calculate_bps,
    calculate_mean,
    calculate_median,
    calculate_series,
    is_income,
    is_spending,
)
from scoring.warning_table import WARNINGS, WarningRule

RECENT_DAYS: Final = 35
"""A month and a long weekend."""
DUE_AHEAD_DAYS: Final = 5
LOW_DAYS: Final = 3
LOST_DAYS: Final = 45
TOP_SHARE_BPS: Final = 4_000
REGULAR_WINDOWS: Final = 5
EMPTYING_DAYS: Final = 7


class Due(NamedTuple):
    """One instalment."""

    day: int
    amount: int


class Paid(NamedTuple):
    """One payment on the loan."""

    day: int
    amount: int


class Facts(NamedTuple):
    """What is known of one loan on one day; what is not known is empty or None, and its rules stay silent."""

    as_of: int
    """Rows and payments before this day count."""
    dues: Sequence[Due] = ()
    payments: Sequence[Paid] = ()
    rows: Sequence[Row] = ()
    """Of the newest statement."""
    last_day: int | None = None
    """The newest statement's own last day."""
    committed: Sequence[Row] = ()
    """Rows of the statement on which the loan was granted."""
    committed_last_day: int | None = None
    band_then: int | None = None
    band_now: int | None = None
    feed: bool | None = None
    """Whether a consent to refreshed statements holds; None when none was ever given."""


class Finding(NamedTuple):
    """How one rule stands. Neither raised nor cleared: in between, where what was goes on."""

    rule: WarningRule
    raised: bool
    cleared: bool
    evidence: tuple[tuple[str, int], ...]


class Alert(NamedTuple):
    """A rule that has just been raised."""

    rule: WarningRule
    day: int
    window: int
    """floor(day / the rule's window_days)."""
    evidence: tuple[tuple[str, int], ...]


class Watch(NamedTuple):
    """What has to be remembered of one loan between two days."""

    standing: tuple[WarningRule, ...] = ()
    """Raised and not cleared since, ascending."""
    windows: tuple[tuple[WarningRule, int], ...] = ()
    """The window of each rule's last alert, ascending by rule."""


def advance(watch: Watch, findings: Iterable[Finding], day: int) -> tuple[Watch, tuple[Alert, ...]]:
    """The watch after `day`, and what must be told. A rule without a finding stands as it stood."""
    standing = dict.fromkeys(watch.standing, True)
    windows = dict(watch.windows)
    alerts: list[Alert] = []
    for one in findings:
        if one.raised:
            window = day // WARNINGS[one.rule].window_days
            if one.rule not in standing and windows.get(one.rule) != window:
                windows[one.rule] = window
                standing[one.rule] = True
                alerts.append(Alert(one.rule, day, window, one.evidence))
        elif one.cleared:
            standing.pop(one.rule, None)
    return Watch(tuple(sorted(standing)), tuple(sorted(windows.items()))), tuple(alerts)


def find_warnings(facts: Facts) -> tuple[Finding, ...]:
    """How every rule that can be judged stands, in the order of rules."""
    found = [find(facts) for find in _OF_LOAN]
    series = None
    if facts.last_day is not None:
        series = calculate_series(facts.rows, as_of=facts.as_of, last_day=facts.last_day)
    if series is not None:
        found += [find(facts, series) for find in _OF_STATEMENT]
    return tuple(sorted(one for one in found if one is not None))


# ---------------------------------------------------------------------- of the loan alone


def _find_missed(facts: Facts) -> Finding | None:
    """Payments cover instalments in order of their days."""
    if not facts.dues:
        return None
    paid = sum(one.amount for one in facts.payments if one.day < facts.as_of)
    open_amount, oldest = 0, facts.as_of
    for due in sorted(facts.dues):
        if due.day < facts.as_of:
            lacking = max(0, due.amount - paid)
            paid = max(0, paid - due.amount)
            if lacking and not open_amount:
                oldest = due.day
            open_amount += lacking
    evidence = (("past_due", open_amount), ("days_past_due", facts.as_of - oldest))
    return Finding(WarningRule.PAYMENT_MISSED, open_amount > 0, open_amount == 0, evidence)


def _find_score_down(facts: Facts) -> Finding | None:
    then, now = facts.band_then, facts.band_now
    if then is None or now is None:
        return None
    return Finding(WarningRule.SCORE_DOWN, now >= then + 2, now <= then, (("band_then", then), ("band_now", now)))


def _find_stale(facts: Facts) -> Finding | None:
    if facts.last_day is None:
        return None
    age = facts.as_of - facts.last_day
    return Finding(WarningRule.STATEMENT_STALE, age > RECENT_DAYS, age <= 10, (("age_days", age),))


def _find_overlap(facts: Facts) -> Finding | None:
    """First and last days of a statement may be cut through, so only the days between count."""
    if facts.last_day is None or facts.committed_last_day is None or not facts.rows or not facts.committed:
        return None
    first = 1 + max(min(row.day for row in facts.rows), min(row.day for row in facts.committed))
    last = min(facts.last_day, facts.committed_last_day) - 1
    if first > last:
        return None
    counts: dict[tuple[int, int, bool, int], int] = {}
    for rows, sign in ((facts.rows, 1), (facts.committed, -1)):
        for row in rows:
            if first <= row.day <= last:
                key = (row.day, row.amount, row.balance is None, row.balance or 0)
                counts[key] = counts.get(key, 0) + sign
    differing = sum(abs(count) for count in counts.values())
    evidence = (("rows", differing), ("day_from", first), ("day_to", last))
    return Finding(WarningRule.OVERLAP_DIFFERS, differing > 0, False, evidence)


def _find_feed_ended(facts: Facts) -> Finding | None:
    if facts.feed is None:
        return None
    return Finding(WarningRule.FEED_ENDED, not facts.feed, facts.feed, (("live", int(facts.feed)),))


_OF_LOAN: Final[tuple[Callable[[Facts], Finding | None], ...]] = (
    _find_missed,
    _find_score_down,
    _find_stale,
    _find_overlap,
    _find_feed_ended,
)


# ---------------------------------------------------------------------- of the statement


def _find_new_loan(facts: Facts, series: Series) -> Finding:
    borrowed: dict[int, int] = {}
    for row in series.since(RECENT_DAYS + 1):
        if row.category == Category.LOAN_DISBURSEMENT and row.amount > 0:
            borrowed[row.day] = borrowed.get(row.day, 0) + row.amount
    financed = [
        one
        for one in facts.payments
        if series.as_of - RECENT_DAYS <= one.day < series.as_of
        and borrowed.get(one.day, 0) + borrowed.get(one.day - 1, 0) >= one.amount > 0
    ]
    evidence = (("payments", len(financed)), ("amount", sum(one.amount for one in financed)))
    return Finding(WarningRule.PAID_BY_NEW_LOAN, bool(financed), not financed, evidence)


def _find_low(facts: Facts, series: Series) -> Finding | None:
    ahead = [due for due in facts.dues if series.as_of <= due.day <= series.as_of + DUE_AHEAD_DAYS]
    balances = series.balances(LOW_DAYS)
    if not ahead or not balances:
        return None
    due, least = min(ahead), min(balances)
    evidence = (("least_balance", least), ("instalment", due.amount), ("due_day", due.day))
    return Finding(WarningRule.LOW_BEFORE_DUE, least < due.amount, 10 * least >= 12 * due.amount, evidence)


def _find_inflow(_: Facts, series: Series) -> Finding | None:
    """The newest 35 days, so that a salary of the calendar month is in them, against 30-day windows before."""
    until = series.as_of - RECENT_DAYS
    count = min(WINDOWS, (until - series.first_day) // WINDOW_DAYS)
    if count < WINDOWS_MIN:
        return None
    recent, sums = 0, [0] * count
    for row in series.rows:
        if is_income(row):
            index = (until - 1 - row.day) // WINDOW_DAYS
            if row.day >= until:
                recent += row.amount
            elif index < count:
                sums[index] += row.amount
    usual = calculate_median(sums)
    share = calculate_bps(recent, usual)
    if usual is None or share is None:
        return None
    evidence = (("income_35", recent), ("usual_30", usual), ("share_bps", share))
    return Finding(WarningRule.INFLOW_FALLEN, share < 6_000, share >= 7_500, evidence)


def _find_payers(_: Facts, series: Series) -> Finding | None:
    """Windows are counted back from 35 days before as_of."""
    until = series.as_of - RECENT_DAYS
    if until - series.first_day < WINDOWS * WINDOW_DAYS:
        return None
    seen: dict[bytes, int] = {}
    lately: dict[bytes, bool] = {}
    for row in series.rows:
        if is_income(row) and row.counterparty != NO_COUNTERPARTY:
            if row.day >= until:
                lately[row.counterparty] = True
            elif row.day >= until - WINDOWS * WINDOW_DAYS:
                bit = 1 << (until - 1 - row.day) // WINDOW_DAYS
                seen[row.counterparty] = seen.get(row.counterparty, 0) | bit
    regular = [party for party, windows in seen.items() if windows.bit_count() >= REGULAR_WINDOWS]
    missing = sum(party not in lately for party in regular)
    evidence = (("payers", missing), ("regular_payers", len(regular)))
    return Finding(WarningRule.PAYER_MISSING, missing > 0, missing == 0, evidence)


def _find_lenders(_: Facts, series: Series) -> Finding:
    """Lenders show by paying a loan out or being repaid; all unknown ones are one."""
    known: dict[bytes, bool] = {}
    new: dict[bytes, bool] = {}
    for row in series.rows:
        pays_out = row.category == Category.LOAN_DISBURSEMENT and row.amount > 0
        if pays_out or (row.category == Category.LOAN_REPAYMENT and row.amount < 0):
            if row.day < series.as_of - WINDOW_DAYS:
                known[row.counterparty] = True
            elif row.counterparty not in known:
                new[row.counterparty] = True
    return Finding(WarningRule.NEW_LENDERS, len(new) >= 2, not new, (("lenders", len(new)),))


def _find_penalties(_: Facts, series: Series) -> Finding:
    ages = [series.as_of - row.day for row in series.rows if row.category == Category.SANCTION and row.amount < 0]
    month = sum(age <= 30 for age in ages)
    now = sum(age <= 90 for age in ages)
    before = sum(90 < age <= 180 for age in ages)
    evidence = (("penalties_90", now), ("penalties_before", before))
    risen = now >= 2 and now > before
    return Finding(WarningRule.PENALTIES_UP, risen, month == 0 and not risen, evidence)


def _find_top_payer(_: Facts, series: Series) -> Finding | None:
    until = series.as_of - LOST_DAYS
    if until - series.first_day < WINDOWS_MIN * WINDOW_DAYS:
        return None
    before: dict[bytes, int] = {}
    after: dict[bytes, int] = {}
    for row in series.rows:
        if is_income(row) and row.day >= until - 180:
            side = before if row.day < until else after
            side[row.counterparty] = side.get(row.counterparty, 0) + row.amount
    known = [(amount, party) for party, amount in before.items() if party != NO_COUNTERPARTY]
    amount, top = max(known, default=(0, NO_COUNTERPARTY))
    share = calculate_bps(amount, sum(before.values())) or 0
    lost = share >= TOP_SHARE_BPS and top not in after
    return Finding(WarningRule.TOP_PAYER_LOST, lost, not lost, (("share_bps", share), ("days", LOST_DAYS)))


def _find_emptying(_: Facts, series: Series) -> Finding | None:
    balances = series.balances(EMPTYING_DAYS + 90)
    if len(balances) < EMPTYING_DAYS + 30:
        return None
    now, usual = calculate_mean(balances[-EMPTYING_DAYS:]), calculate_mean(balances[:-EMPTYING_DAYS])
    assert now is not None
    assert usual is not None
    if usual <= 0:
        return None
    evidence = (("mean_7", now), ("mean_before", usual))
    return Finding(WarningRule.EMPTYING, 5 * now <= usual, 5 * now >= 2 * usual, evidence)


def _find_gambling(_: Facts, series: Series) -> Finding:
    spent = [row for row in series.since(WINDOW_DAYS) if is_spending(row)]
    total = -sum(row.amount for row in spent)
    gambled = -sum(row.amount for row in spent if row.category == Category.GAMBLING)
    share = calculate_bps(gambled, total) or 0
    return Finding(WarningRule.GAMBLING, share >= 1_000, share < 500, (("share_bps", share), ("amount", gambled)))


_OF_STATEMENT: Final[tuple[Callable[[Facts, Series], Finding | None], ...]] = (
    _find_new_loan,
    _find_low,
    _find_inflow,
    _find_payers,
    _find_lenders,
    _find_penalties,
    _find_top_payer,
    _find_emptying,
    _find_gambling,
)
