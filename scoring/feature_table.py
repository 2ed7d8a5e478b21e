"""The table of features: one line each, from which documentation, checks and reasons are read.

Part of the verified zone, data only: never a calculation here (that is `scoring.features`), never a change to an
existing line without a new FEATURE_SPEC, because decisions pin the version under which they were made.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from scoring import reasons

FEATURE_SPEC: Final = 1
"""Version of the definitions below; a model names the version it was fitted on."""

NO_BALANCE: Final = "no row shows a balance"
FEW_WINDOWS: Final = "history under 3 whole windows"
NO_INCOME: Final = "no income, or history under 3 whole windows"
NO_RECENT_INCOME: Final = "no income in 180 days"
NO_SPENDING: Final = "no spending in 180 days"
NEVER: Final = "never"

BPS: Final = "bps"
MINOR: Final = "minor units"
DAYS: Final = "days"
COUNT: Final = "count"


@dataclass(frozen=True, slots=True)
class FeatureDef:
    """One feature. `direction` is +1 where a higher value means more risk, -1 where it means less."""

    name: str
    definition: str
    unit: str
    direction: int
    missing: str
    """When the value is None (MISSING), besides a statement without rows."""
    reason: int
    """Code of the reason group, a key of `scoring.reasons.REASONS`."""
    since: int = 1
    """The version of its own specification that introduced it."""


FEATURES: Final[tuple[FeatureDef, ...]] = (
    # Balance, in money: depends on the currency and the price level.
    FeatureDef("adb_30", "mean of D_30", MINOR, -1, NO_BALANCE, reasons.BALANCE_AVERAGE),
    FeatureDef("adb_90", "mean of D_90", MINOR, -1, NO_BALANCE, reasons.BALANCE_AVERAGE),
    FeatureDef("adb_180", "mean of D_180", MINOR, -1, NO_BALANCE, reasons.BALANCE_AVERAGE),
    FeatureDef("adb_365", "mean of D_365", MINOR, -1, NO_BALANCE, reasons.BALANCE_AVERAGE),
    FeatureDef("min_eod_90", "least of D_90", MINOR, -1, NO_BALANCE, reasons.BALANCE_LOW),
    FeatureDef("min_eod_365", "least of D_365", MINOR, -1, NO_BALANCE, reasons.BALANCE_LOW),
    FeatureDef("min3_bal", "third smallest of D_365", MINOR, -1, NO_BALANCE, reasons.BALANCE_LOW),
    FeatureDef("bal_last", "balance at the end of the statement", MINOR, -1, NO_BALANCE, reasons.BALANCE_LOW),
    FeatureDef("min_bal_any", "least end-of-day balance ever", MINOR, -1, NO_BALANCE, reasons.BALANCE_LOW),
    # Balance, free of scale.
    FeatureDef("adb_30_inst", "adb_30 / instalment", BPS, -1, NO_BALANCE, reasons.BALANCE_AVERAGE),
    FeatureDef("adb_90_inst", "adb_90 / instalment", BPS, -1, NO_BALANCE, reasons.BALANCE_AVERAGE),
    FeatureDef("adb_180_inst", "adb_180 / instalment", BPS, -1, NO_BALANCE, reasons.BALANCE_AVERAGE),
    FeatureDef("min_eod_90_inst", "min_eod_90 / instalment", BPS, -1, NO_BALANCE, reasons.BALANCE_LOW),
    FeatureDef("min_eod_365_inst", "min_eod_365 / instalment", BPS, -1, NO_BALANCE, reasons.BALANCE_LOW),
    FeatureDef("min3_inst", "min3_bal / instalment", BPS, -1, NO_BALANCE, reasons.BALANCE_LOW),
    FeatureDef("bal_last_inst", "bal_last / instalment", BPS, -1, NO_BALANCE, reasons.BALANCE_LOW),
    FeatureDef("min_eod_90_in", "min_eod_90 / inflow_med", BPS, -1, NO_BALANCE + "; " + NO_INCOME, reasons.BALANCE_LOW),
    FeatureDef(
        "min_eod_365_in", "min_eod_365 / inflow_med", BPS, -1, NO_BALANCE + "; " + NO_INCOME, reasons.BALANCE_LOW
    ),
    FeatureDef("adb_90_in", "adb_90 / inflow_med", BPS, -1, NO_BALANCE + "; " + NO_INCOME, reasons.BALANCE_AVERAGE),
    FeatureDef("min_eod_180", "least of D_180", MINOR, -1, NO_BALANCE, reasons.BALANCE_LOW),
    FeatureDef("min_eod_180_inst", "min_eod_180 / instalment", BPS, -1, NO_BALANCE, reasons.BALANCE_LOW),
    FeatureDef(
        "min_eod_180_in",
        "min_eod_180 / mean income of the windows",
        BPS,
        -1,
        NO_BALANCE + "; " + NO_INCOME,
        reasons.BALANCE_LOW,
    ),
    FeatureDef("low3_days_180", "share of D_180 below three instalments", BPS, 1, NO_BALANCE, reasons.BALANCE_LOW),
    FeatureDef(
        "range_adb",
        "(greatest - least of D_180) / adb_180",
        BPS,
        1,
        NO_BALANCE + "; mean not positive",
        reasons.BALANCE_VOLATILE,
    ),
    FeatureDef(
        "min_to_adb",
        "min_eod_365 / mean of D_365",
        BPS,
        -1,
        NO_BALANCE + "; mean not positive",
        reasons.BALANCE_LOW,
    ),
    FeatureDef(
        "bal_cv", "sd(D_180) / mean(D_180)", BPS, 1, NO_BALANCE + "; mean not positive", reasons.BALANCE_VOLATILE
    ),
    FeatureDef(
        "bal_trend", "adb_30 / adb_180", BPS, -1, NO_BALANCE + "; adb_180 not positive", reasons.BALANCE_AVERAGE
    ),
    FeatureDef("neg_days_90", "days of D_90 below zero", DAYS, 1, NO_BALANCE, reasons.OVERDRAWN),
    FeatureDef("neg_days_365", "days of D_365 below zero", DAYS, 1, NO_BALANCE, reasons.OVERDRAWN),
    FeatureDef("low_days_90", "share of D_90 below one instalment", BPS, 1, NO_BALANCE, reasons.BALANCE_LOW),
    # Income.
    FeatureDef("inflow_med", "median income of the windows", MINOR, -1, FEW_WINDOWS, reasons.AFFORDABILITY),
    FeatureDef("inflow_min", "least income of the windows", MINOR, -1, FEW_WINDOWS, reasons.AFFORDABILITY),
    FeatureDef("inflow_cv", "sd / mean of the windows' income", BPS, 1, NO_INCOME, reasons.INCOME_IRREGULAR),
    FeatureDef("zero_inflow_windows", "windows without income", COUNT, 1, FEW_WINDOWS, reasons.INCOME_IRREGULAR),
    FeatureDef(
        "inflow_trend",
        "mean income of the newest 3 windows / mean of all windows",
        BPS,
        -1,
        NO_INCOME,
        reasons.INCOME_FALLING,
    ),
    FeatureDef(
        "income_gap", "longest stretch of days without income in 180 days", DAYS, 1, NEVER, reasons.INCOME_IRREGULAR
    ),
    FeatureDef("n_in", "incomes in 180 days", COUNT, -1, NEVER, reasons.INCOME_IRREGULAR),
    FeatureDef("n_sources", "known payers of income in 180 days", COUNT, -1, NEVER, reasons.INCOME_CONCENTRATED),
    FeatureDef(
        "hhi_in",
        "sum of squared payer shares of income in 180 days; unknown payers count as one",
        BPS,
        1,
        NO_RECENT_INCOME,
        reasons.INCOME_CONCENTRATED,
    ),
    FeatureDef(
        "top1_in", "largest payer's share of income in 180 days", BPS, 1, NO_RECENT_INCOME, reasons.INCOME_CONCENTRATED
    ),
    FeatureDef("max_in", "largest single income in 180 days", MINOR, 1, NEVER, reasons.INCOME_IRREGULAR),
    FeatureDef(
        "max_in_ratio",
        "largest single income in 180 days / mean income of the windows",
        BPS,
        1,
        NO_INCOME,
        reasons.INCOME_IRREGULAR,
    ),
    FeatureDef("cash_in", "share of income of 180 days in cash", BPS, 1, NO_RECENT_INCOME, reasons.CASH_HEAVY),
    # Spending and debt.
    FeatureDef("outflow_med", "median spending of the windows", MINOR, 1, FEW_WINDOWS, reasons.SPENDING),
    FeatureDef("spend_ratio", "spending / income, sums of the windows", BPS, 1, NO_INCOME, reasons.SPENDING),
    FeatureDef("fixed_month", "median spending that cannot be put off", MINOR, -1, FEW_WINDOWS, reasons.THIN_HISTORY),
    FeatureDef("fixed_inst", "fixed_month / instalment", BPS, -1, FEW_WINDOWS, reasons.THIN_HISTORY),
    FeatureDef("fixed_ratio", "fixed_month / inflow_med", BPS, 1, NO_INCOME, reasons.SPENDING),
    FeatureDef("cash_out", "share of spending of 180 days in cash", BPS, 1, NO_SPENDING, reasons.CASH_HEAVY),
    FeatureDef("debt_service_month", "mean loan repayments of the windows", MINOR, 1, FEW_WINDOWS, reasons.DEBT),
    FeatureDef("dti", "(debt_service_month + instalment) / inflow_med", BPS, 1, NO_INCOME, reasons.DEBT),
    FeatureDef("n_lenders_90", "parties repaid or borrowed from in 90 days", COUNT, 1, NEVER, reasons.DEBT),
    FeatureDef("new_loans_90", "loans paid out in 90 days", COUNT, 1, NEVER, reasons.DEBT),
    FeatureDef("gambling", "share of spending of 180 days on gambling", BPS, 1, NO_SPENDING, reasons.GAMBLING),
    FeatureDef("night", "share of spending of 180 days from 00:00 to 04:59", BPS, 1, NO_SPENDING, reasons.GAMBLING),
    # Affordability.
    FeatureDef("pti", "instalment / inflow_med", BPS, 1, NO_INCOME, reasons.AFFORDABILITY),
    FeatureDef(
        "pti_min", "instalment / inflow_min", BPS, 1, "a window without income; few windows", reasons.AFFORDABILITY
    ),
    FeatureDef(
        "inst_to_adb", "instalment / adb_180", BPS, 1, NO_BALANCE + "; mean not positive", reasons.AFFORDABILITY
    ),
    FeatureDef("net_med", "inflow_med - outflow_med", MINOR, -1, FEW_WINDOWS, reasons.SPENDING),
    FeatureDef("net_ratio", "net_med / mean income of the windows", BPS, -1, NO_INCOME, reasons.SPENDING),
    FeatureDef(
        "net_adb",
        "net_med / adb_180",
        BPS,
        -1,
        NO_BALANCE + "; mean not positive; " + FEW_WINDOWS,
        reasons.SPENDING,
    ),
    FeatureDef("residual", "inflow_med - outflow_med - instalment", MINOR, -1, FEW_WINDOWS, reasons.AFFORDABILITY),
    FeatureDef("residual_inst", "residual / instalment", BPS, -1, FEW_WINDOWS, reasons.AFFORDABILITY),
    FeatureDef("principal_to_annual_in", "principal / (12 x inflow_med)", BPS, 1, NO_INCOME, reasons.AMOUNT_REQUESTED),
    # Stress.
    FeatureDef("nsf_n", "penalties in 365 days", COUNT, 1, NEVER, reasons.PENALTIES),
    FeatureDef("nsf_amt", "penalties in 365 days, sum", MINOR, 1, NEVER, reasons.PENALTIES),
    FeatureDef("nsf_inst", "penalties in 365 days / instalment", BPS, 1, NEVER, reasons.PENALTIES),
    FeatureDef("days_since_nsf", "days since the last penalty; 9999 when none", DAYS, -1, NEVER, reasons.PENALTIES),
    FeatureDef("max_gap", "longest stretch of days without a row in 365 days", DAYS, 1, NEVER, reasons.THIN_HISTORY),
    FeatureDef("active_days", "share of days with a row in 180 days", BPS, -1, NEVER, reasons.THIN_HISTORY),
    FeatureDef("hist_days", "days from the first row to as_of", DAYS, -1, NEVER, reasons.THIN_HISTORY),
    # Authenticity.
    FeatureDef(
        "chain_breaks", "rows whose balance is not the last one plus the amount", COUNT, 1, NEVER, reasons.AUTHENTICITY
    ),
    FeatureDef(
        "sameday_pass",
        "share of income of 180 days gone on its own day",
        BPS,
        1,
        NO_RECENT_INCOME,
        reasons.AUTHENTICITY,
    ),
    FeatureDef(
        "roundtrip",
        "share of income of 180 days paid back to its payer within 3 days, +-2 %",
        BPS,
        1,
        NO_RECENT_INCOME,
        reasons.AUTHENTICITY,
    ),
    FeatureDef(
        "own_transfer",
        "own transfers in / (own transfers in + income) of 180 days",
        BPS,
        1,
        NO_RECENT_INCOME,
        reasons.AUTHENTICITY,
    ),
    FeatureDef(
        "round_in",
        "share of incomes of 180 days that are whole 100 major units",
        BPS,
        1,
        NO_RECENT_INCOME,
        reasons.AUTHENTICITY,
    ),
    FeatureDef("last14_in", "income of the last 14 days / inflow_med", BPS, 1, NO_INCOME, reasons.AUTHENTICITY),
    FeatureDef("dup_rows", "rows equal to the one before but for seq", COUNT, 1, NEVER, reasons.AUTHENTICITY),
    FeatureDef(
        "int_yield",
        "interest received in 365 days x 365 / sum of D_365",
        BPS,
        -1,
        NO_BALANCE + "; balances not positive",
        reasons.AUTHENTICITY,
    ),
)
"""Order is part of the protocol: feature vectors are committed to in it."""


def render_table() -> str:
    """The table as Markdown, for the documentation."""
    return "\n".join([f"Feature specification {FEATURE_SPEC}.", "", *render_lines(FEATURES)]) + "\n"


def render_lines(items: Sequence[FeatureDef]) -> list[str]:
    """The lines of a Markdown table of features."""
    lines = [
        "| name | definition | unit | risk | MISSING when | reason | since |",
        "|---|---|---|---|---|---|---|",
    ]
    for item in items:
        risk = "+" if item.direction > 0 else "-"
        key = reasons.REASONS[item.reason].key
        lines.append(
            f"| `{item.name}` | {item.definition} | {item.unit} | {risk} | {item.missing} | {key} | {item.since} |"
        )
    return lines
