"""The table of early-warning rules: one entry each, from which texts, documentation and checks are read.

Data only: never a calculation here (that is `scoring.warning`). Numbers are stored with alerts: append, never renumber.
Thresholds are the network's first guess, to be judged by a backtest on one's own loans (`liushui monitor backtest`).
"""

from enum import IntEnum
from typing import Final, NamedTuple


class WarningRule(IntEnum):
    """What an alert is about."""

    PAYMENT_MISSED = 1
    PAID_BY_NEW_LOAN = 2
    LOW_BEFORE_DUE = 3
    INFLOW_FALLEN = 4
    PAYER_MISSING = 5
    NEW_LENDERS = 6
    PENALTIES_UP = 7
    TOP_PAYER_LOST = 8
    EMPTYING = 9
    GAMBLING = 10
    SCORE_DOWN = 11
    STATEMENT_STALE = 12
    OVERLAP_DIFFERS = 13
    FEED_ENDED = 14


class Severity(IntEnum):
    """How soon somebody should look."""

    WATCH = 1  # within the month
    ACT = 2  # within days
    URGENT = 3  # today


class WarningDef(NamedTuple):
    """One rule. Between `raised` and `cleared` an alert that stands goes on standing (hysteresis)."""

    rule: WarningRule
    key: str
    severity: Severity
    window_days: int
    """At most one alert per loan and window."""
    raised: str
    cleared: str
    text_en: str
    text_zh: str


WARNINGS: Final[dict[WarningRule, WarningDef]] = {
    one.rule: one
    for one in (
        WarningDef(
            WarningRule.PAYMENT_MISSED,
            "payment_missed",
            Severity.ACT,
            30,
            "an instalment is past due",
            "nothing is past due",
            "An instalment was not paid on its day.",
            "有一期还款到期未付。",
        ),
        WarningDef(
            WarningRule.PAID_BY_NEW_LOAN,
            "paid_by_new_loan",
            Severity.ACT,
            30,
            "within 35 days a payment came with a new loan of at least its amount, on its day or the day before",
            "no such payment within 35 days",
            "An instalment was paid with the money of a new loan.",
            "有一期还款是用当日新借的贷款支付的。",
        ),
        WarningDef(
            WarningRule.LOW_BEFORE_DUE,
            "low_before_due",
            Severity.WATCH,
            30,
            "an instalment falls due within 5 days, and the least balance of 3 days is below it",
            "the least balance of 3 days is at least 120 % of it",
            "The account holds less than the instalment that falls due within days.",
            "账户余额低于数日内到期的还款额。",
        ),
        WarningDef(
            WarningRule.INFLOW_FALLEN,
            "inflow_fallen",
            Severity.ACT,
            30,
            "income of 35 days is below 60 % of the median of the 30-day windows before (at least three)",
            "at least 75 %",
            "Income of the last month is far below what is usual.",
            "近一个月收入明显低于以往水平。",
        ),
        WarningDef(
            WarningRule.PAYER_MISSING,
            "payer_missing",
            Severity.WATCH,
            30,
            "a payer of at least 5 of the 6 windows before has paid nothing for 35 days",
            "no such payer",
            "A payer who paid nearly every month has not paid.",
            "以往几乎每月付款的付款方近期未付款。",
        ),
        WarningDef(
            WarningRule.NEW_LENDERS,
            "new_lenders",
            Severity.ACT,
            30,
            "at least 2 lenders within 30 days that were never seen before",
            "none",
            "New lenders appear in the account.",
            "账户中出现新的放贷方。",
        ),
        WarningDef(
            WarningRule.PENALTIES_UP,
            "penalties_up",
            Severity.ACT,
            30,
            "at least 2 penalties in 90 days, and more than in the 90 days before",
            "not so, and none in 30 days",
            "The bank charges more penalties for lack of funds than before.",
            "因余额不足产生的银行罚费增多。",
        ),
        WarningDef(
            WarningRule.TOP_PAYER_LOST,
            "top_payer_lost",
            Severity.ACT,
            60,
            "a payer of at least 40 % of the income of 180 days has paid nothing for the 45 days after",
            "it has paid, or no payer has that share",
            "The payer on whom most income depends pays no more.",
            "收入主要来源的付款方已停止付款。",
        ),
        WarningDef(
            WarningRule.EMPTYING,
            "emptying",
            Severity.URGENT,
            30,
            "the mean balance of 7 days is at most 20 % of that of the 90 days before",
            "at least 40 %",
            "The account is being emptied.",
            "账户资金正在被清空。",
        ),
        WarningDef(
            WarningRule.GAMBLING,
            "gambling",
            Severity.WATCH,
            30,
            "at least 10 % of the spending of 30 days",
            "below 5 %",
            "A good part of the spending goes to gambling.",
            "博彩支出占比较高。",
        ),
        WarningDef(
            WarningRule.SCORE_DOWN,
            "score_down",
            Severity.ACT,
            30,
            "the score is at least 2 bands worse than at the decision",
            "no worse",
            "The score is much worse than when the loan was granted.",
            "评分较放款时明显下降。",
        ),
        WarningDef(
            WarningRule.STATEMENT_STALE,
            "statement_stale",
            Severity.WATCH,
            30,
            "the newest statement ends more than 35 days ago",
            "it ends at most 10 days ago",
            "No new statement has come, so nothing can be watched.",
            "长期未收到新流水，无法监测。",
        ),
        WarningDef(
            WarningRule.OVERLAP_DIFFERS,
            "overlap_differs",
            Severity.URGENT,
            30,
            "rows of days that both statements cover whole differ in day, amount or balance",
            "never",
            "The new statement contradicts the one the loan was granted on.",
            "新流水与放款时提交的流水不一致。",
        ),
        WarningDef(
            WarningRule.FEED_ENDED,
            "feed_ended",
            Severity.WATCH,
            30,
            "the consent to refreshed statements was withdrawn or has ended, and no other holds",
            "one holds",
            "The borrower lets nobody read refreshed statements any more.",
            "借款人已不再授权查阅新流水。",
        ),
    )
}


def render_warnings() -> str:
    """The table as Markdown, for the documentation."""
    lines = [
        "| rule | severity | raised when | cleared when | one alert per |",
        "|---|---|---|---|---|",
    ]
    for one in WARNINGS.values():
        name = one.severity.name.lower()
        lines.append(f"| `{one.key}` | {name} | {one.raised} | {one.cleared} | {one.window_days} days |")
    return "\n".join(lines) + "\n"
