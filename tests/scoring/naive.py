"""The features as they were first written: the plain calculation that the quick one must equal, whatever the rows.

Filters and walks over all rows again and again, and searches pairs in quadratic time. It shares with `scoring` the
table, the kinds of rows and the statistics of plain lists; everything that looks at a statement is its own. Never
import this from outside the tests, and never make it quicker: what is obvious here is what is proved there.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from scoring.feature_table import FEATURES
from scoring.features import (
    NEVER_PENALISED,
    NIGHT_END_MINUTE,
    ROUND_MINOR,
    ROUNDTRIP_DAYS,
    ROUNDTRIP_PERCENT,
)
from scoring.rows import NO_COUNTERPARTY, Category, Channel, Row
from scoring.series import (
    FIXED,
    WINDOW_DAYS,
    WINDOWS,
    WINDOWS_MIN,
    YEAR_DAYS,
    calculate_bps,
    calculate_mean,
    calculate_median,
    calculate_sd,
    is_income,
    is_spending,
)

_Values = dict[str, int | None]


def select_since(rows: Sequence[Row], day: int) -> Sequence[Row]:
    """The rows on and after a day."""
    return [row for row in rows if row.day >= day]


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """The rows before `as_of`, in chain order, with the end-of-day balances of at most the last year."""

    rows: tuple[Row, ...]
    as_of: int
    first_day: int
    end_day: int
    eod_day: int
    """Day of the first entry of `eod`: first_day, or 365 days before as_of when that is later."""
    eod: tuple[int, ...]
    """Balance at the end of eod_day, eod_day + 1, ... end_day; empty when no row shows a balance."""
    lowest: int | None
    """Least end-of-day balance of the whole history."""

    def since(self, days: int) -> Sequence[Row]:
        """Rows of the last `days` days before as_of."""
        return select_since(self.rows, self.as_of - days)

    def balances(self, days: int) -> tuple[int, ...]:
        """End-of-day balances of the last `days` days (D_n), back to the first row or the year at most."""
        start = max(0, self.as_of - days - self.eod_day)
        return self.eod[start:]

    def windows(self) -> int:
        """How many of the six 30-day windows before as_of lie wholly within the history."""
        return min(WINDOWS, (self.as_of - self.first_day) // WINDOW_DAYS)

    def window_sums(self, rows: Sequence[Row]) -> tuple[int, ...]:
        """Absolute amounts of `rows` summed per whole window, newest window first; W_k = [asof-30(k+1), asof-30k).

        `rows` are some of this series', in its order.
        """
        count = self.windows()
        sums = [0] * count
        newest = self.as_of - 1
        for row in select_since(rows, self.as_of - WINDOW_DAYS * count):
            sums[(newest - row.day) // WINDOW_DAYS] += abs(row.amount)
        return tuple(sums)


def calculate_balances(rows: Sequence[Row]) -> list[int] | None:
    """Balance after each row: what the row shows, else what its neighbours' amounts imply; None when none shows one.

    Filling in by arithmetic means that masking a low balance gains nothing.
    """
    known = next((index for index, row in enumerate(rows) if row.balance is not None), None)
    if known is None:
        return None
    shown = rows[known].balance
    assert shown is not None
    balance = shown - sum(row.amount for row in rows[: known + 1])
    balances = []
    for row in rows:
        found = row.balance
        balance = balance + row.amount if found is None else found
        balances.append(balance)
    return balances


def calculate_series(rows: Sequence[Row], *, as_of: int, last_day: int) -> Series | None:
    """The series of the rows with day < as_of; None when there is none.

    Balances are carried forward up to the statement's own last day, never past as_of - 1.
    """
    kept = tuple(sorted((row for row in rows if row.day < as_of), key=lambda row: (row.day, row.seq)))
    if not kept:
        return None
    first_day = kept[0].day
    end_day = max(kept[-1].day, min(last_day, as_of - 1))
    eod_day = max(first_day, as_of - YEAR_DAYS)
    eod: list[int] = []
    lowest: int | None = None
    days = [row.day for row in kept]
    nexts = [*days[1:], end_day + 1]
    for balance, day, next_day in zip(calculate_balances(kept) or (), days, nexts, strict=False):
        if next_day > day:
            if lowest is None or balance < lowest:
                lowest = balance
            eod.extend([balance] * (next_day - max(eod_day, day)))
    return Series(
        rows=kept,
        as_of=as_of,
        first_day=first_day,
        end_day=end_day,
        eod_day=eod_day,
        eod=tuple(eod),
        lowest=lowest,
    )


def _calculate_gap(days: Sequence[int], *, start: int, end: int) -> int:
    """Longest distance between neighbours of start, the days, and end."""
    gap, last = 0, start
    for day in days:
        if day > last:
            gap = max(gap, day - last)
            last = day
    return max(gap, end - last)


def _is_cash(row: Row) -> bool:
    return row.channel == Channel.CASH or row.category == Category.CASH


def _over(value: int | None, denominator: int | None) -> int | None:
    """`calculate_bps` that passes MISSING on."""
    return None if value is None else calculate_bps(value, denominator)


def _calculate_balance(series: Series, *, instalment: int, inflow_med: int | None, inflow_mean: int | None) -> _Values:
    """The features of end-of-day balances; all MISSING when no row shows a balance."""
    d30, d90, d180, d365 = (series.balances(days) for days in (30, 90, 180, 365))
    means = {"adb_30": calculate_mean(d30), "adb_90": calculate_mean(d90), "adb_180": calculate_mean(d180)}
    mean365 = calculate_mean(d365)
    low90, low180, low365 = min(d90, default=None), min(d180, default=None), min(d365, default=None)
    third = sorted(d365)[2] if len(d365) > 2 else low365
    last = series.eod[-1] if series.eod else None
    shown = bool(series.eod)
    return {
        **means,
        "adb_365": mean365,
        "min_eod_90": low90,
        "min_eod_365": low365,
        "min3_bal": third,
        "bal_last": last,
        "min_bal_any": series.lowest,
        "adb_30_inst": _over(means["adb_30"], instalment),
        "adb_90_inst": _over(means["adb_90"], instalment),
        "adb_180_inst": _over(means["adb_180"], instalment),
        "min_eod_90_inst": _over(low90, instalment),
        "min_eod_365_inst": _over(low365, instalment),
        "min3_inst": _over(third, instalment),
        "bal_last_inst": _over(last, instalment),
        "min_eod_90_in": _over(low90, inflow_med),
        "min_eod_365_in": _over(low365, inflow_med),
        "adb_90_in": _over(means["adb_90"], inflow_med),
        "min_eod_180": low180,
        "min_eod_180_inst": _over(low180, instalment),
        "min_eod_180_in": _over(low180, inflow_mean),
        "low3_days_180": calculate_bps(sum(1 for value in d180 if value < 3 * instalment), len(d180)),
        "range_adb": calculate_bps(max(d180) - min(d180), means["adb_180"]) if d180 else None,
        "min_to_adb": _over(low365, mean365),
        "bal_cv": _over(calculate_sd(d180), means["adb_180"]),
        "bal_trend": _over(means["adb_30"], means["adb_180"]),
        "neg_days_90": sum(1 for value in d90 if value < 0) if shown else None,
        "neg_days_365": sum(1 for value in d365 if value < 0) if shown else None,
        "low_days_90": calculate_bps(sum(1 for value in d90 if value < instalment), len(d90)),
        "inst_to_adb": calculate_bps(instalment, means["adb_180"]),
        "int_yield": calculate_bps(
            365 * sum(row.amount for row in series.since(365) if row.category == Category.INTEREST and row.amount > 0),
            sum(d365),
        ),
    }


def _calculate_income(series: Series, income: Sequence[Row], windows: Sequence[int]) -> _Values:
    """The features of income: level, regularity, sources."""
    recent = select_since(income, series.as_of - 180)
    enough = len(windows) >= WINDOWS_MIN
    median = calculate_median(windows) if enough else None
    payers: dict[bytes, int] = {}
    for row in recent:
        payers[row.counterparty] = payers.get(row.counterparty, 0) + row.amount
    total = sum(payers.values())
    newest = sum(windows[:WINDOWS_MIN])
    return {
        "inflow_med": median,
        "inflow_min": min(windows) if enough else None,
        "inflow_cv": _over(calculate_sd(windows), calculate_mean(windows)) if enough else None,
        "zero_inflow_windows": sum(1 for value in windows if value == 0) if enough else None,
        "inflow_trend": calculate_bps(newest * len(windows), WINDOWS_MIN * sum(windows)) if enough else None,
        "income_gap": _calculate_gap(
            [row.day for row in recent], start=max(series.first_day, series.as_of - 180), end=series.as_of
        ),
        "n_in": len(recent),
        "n_sources": sum(1 for payer in payers if payer != NO_COUNTERPARTY),
        "hhi_in": calculate_bps(sum(value * value for value in payers.values()), total * total),
        "top1_in": calculate_bps(max(payers.values(), default=0), total),
        "max_in": max((row.amount for row in recent), default=0),
        "max_in_ratio": calculate_bps(max((row.amount for row in recent), default=0), calculate_mean(windows))
        if enough
        else None,
        "cash_in": calculate_bps(sum(row.amount for row in recent if _is_cash(row)), total),
        "last14_in": _over(sum(row.amount for row in select_since(income, series.as_of - 14)), median),
        "round_in": calculate_bps(sum(1 for row in recent if row.amount % ROUND_MINOR == 0), len(recent)),
    }


def _calculate_spending(series: Series, *, instalment: int, windows: Sequence[int]) -> _Values:
    """The features of spending, existing debt and affordability; `windows` are the windows' incomes."""
    enough = len(windows) >= WINDOWS_MIN
    inflow = calculate_median(windows) if enough else None
    spending = [row for row in series.rows if is_spending(row)]
    recent = select_since(spending, series.as_of - 180)
    spent = -sum(row.amount for row in recent)
    out = series.window_sums(spending)
    outflow = calculate_median(out) if enough else None
    fixed_rows = [row for row in spending if row.category in FIXED]
    fixed = calculate_median(series.window_sums(fixed_rows)) if enough else None
    debts = [row for row in spending if row.category == Category.LOAN_REPAYMENT]
    debt = calculate_mean(series.window_sums(debts)) if enough else None
    loans = [row for row in series.since(90) if row.category == Category.LOAN_DISBURSEMENT and row.amount > 0]
    lenders = {row.counterparty: True for row in (*loans, *select_since(debts, series.as_of - 90))}
    net = inflow - outflow if inflow is not None and outflow is not None else None
    residual = None if net is None else net - instalment
    return {
        "outflow_med": outflow,
        "spend_ratio": calculate_bps(sum(out), sum(windows)) if enough else None,
        "fixed_month": fixed,
        "fixed_inst": _over(fixed, instalment),
        "fixed_ratio": _over(fixed, inflow),
        "cash_out": calculate_bps(-sum(row.amount for row in recent if _is_cash(row)), spent),
        "debt_service_month": debt,
        "dti": None if debt is None else calculate_bps(debt + instalment, inflow),
        "n_lenders_90": len(lenders),
        "new_loans_90": len(loans),
        "gambling": calculate_bps(-sum(row.amount for row in recent if row.category == Category.GAMBLING), spent),
        "night": calculate_bps(-sum(row.amount for row in recent if 0 <= row.minute < NIGHT_END_MINUTE), spent),
        "net_med": net,
        "net_ratio": _over(net, calculate_mean(windows)),
        "net_adb": _over(net, calculate_mean(series.balances(180))),
        "residual": residual,
        "residual_inst": _over(residual, instalment),
    }


def _calculate_stress(series: Series, *, instalment: int) -> _Values:
    """Penalties and the rhythm of the account."""
    year = series.since(365)
    penalties = [row for row in series.rows if row.category == Category.SANCTION and row.amount < 0]
    recent = select_since(penalties, series.as_of - 365)
    amount = -sum(row.amount for row in recent)
    half_year = min(180, series.as_of - series.first_day)
    days = {row.day: True for row in series.since(180)}
    return {
        "nsf_n": len(recent),
        "nsf_amt": amount,
        "nsf_inst": calculate_bps(amount, instalment),
        "days_since_nsf": series.as_of - penalties[-1].day if penalties else NEVER_PENALISED,
        "max_gap": _calculate_gap(
            [row.day for row in year], start=max(series.first_day, series.as_of - 365), end=series.as_of
        ),
        "active_days": calculate_bps(len(days), half_year),
        "hist_days": series.as_of - series.first_day,
    }


def _calculate_roundtrip(series: Series, income: Sequence[Row]) -> int:
    """Income of 180 days that went back to its payer within 3 days, give or take 2 %; each outflow matches once.

    An income takes the first outflow, in the order of the chain, that fits.
    """
    outflows = [row for row in series.since(180) if row.amount < 0 and row.counterparty != NO_COUNTERPARTY]
    returned = 0
    for row in income:
        for place, other in enumerate(outflows):
            near = abs(row.day - other.day) <= ROUNDTRIP_DAYS and row.counterparty == other.counterparty
            if near and abs(row.amount + other.amount) * 100 <= row.amount * ROUNDTRIP_PERCENT:
                returned += row.amount
                del outflows[place]
                break
    return returned


def _calculate_authenticity(series: Series, income: Sequence[Row]) -> _Values:
    """Marks of invented or circulated flows."""
    recent = select_since(income, series.as_of - 180)
    total = sum(row.amount for row in recent)
    inward: dict[int, int] = {}
    outward: dict[int, int] = {}
    for row in recent:
        inward[row.day] = inward.get(row.day, 0) + row.amount
    own = 0
    for row in series.since(180):
        if row.amount < 0:
            outward[row.day] = outward.get(row.day, 0) - row.amount
        elif row.category == Category.OWN_TRANSFER:
            own += row.amount
    passed = sum(min(amount, outward.get(day, 0)) for day, amount in inward.items())
    breaks = duplicates = 0
    for last, row in zip(series.rows, series.rows[1:], strict=False):
        before, after, amount = last.balance, row.balance, row.amount
        if before is not None and after is not None and before + amount != after:
            breaks += 1
        if amount == last.amount and before == after and last.day == row.day:
            duplicates += last.counterparty == row.counterparty and last.minute == row.minute
    return {
        "chain_breaks": breaks,
        "sameday_pass": calculate_bps(passed, total),
        "roundtrip": calculate_bps(_calculate_roundtrip(series, recent), total),
        "own_transfer": calculate_bps(own, own + total) if total > 0 else None,
        "dup_rows": duplicates,
    }


def calculate_features(
    rows: Sequence[Row], *, as_of: int, last_day: int, instalment: int, principal: int
) -> dict[str, int | None]:
    """Every feature of FEATURES, in that order; None is MISSING.

    `as_of` and `last_day` are proleptic ordinals; rows on or after `as_of` are not looked at. `instalment` and
    `principal` are minor units, both positive. Order of `rows` does not matter: (day, seq) is the order.
    """
    assert instalment > 0, "an instalment is positive"
    assert principal > 0, "a principal is positive"
    series = calculate_series(rows, as_of=as_of, last_day=last_day)
    if series is None:
        return {item.name: None for item in FEATURES}
    income = [row for row in series.rows if is_income(row)]
    windows = series.window_sums(income)
    values = _calculate_income(series, income, windows)
    inflow, mean = values["inflow_med"], calculate_mean(windows) if len(windows) >= WINDOWS_MIN else None
    values.update(_calculate_balance(series, instalment=instalment, inflow_med=inflow, inflow_mean=mean))
    values.update(_calculate_spending(series, instalment=instalment, windows=windows))
    values.update(_calculate_stress(series, instalment=instalment))
    values.update(_calculate_authenticity(series, income))
    values["pti"] = calculate_bps(instalment, inflow)
    values["pti_min"] = calculate_bps(instalment, values["inflow_min"])
    values["principal_to_annual_in"] = None if inflow is None else calculate_bps(principal, 12 * inflow)
    assert len(values) == len(FEATURES), "every feature is in the table, and nothing else"
    return {item.name: values[item.name] for item in FEATURES}


def calculate_net_cashflow30(rows: Sequence[Row], *, as_of: int) -> int:
    """What a month leaves for a new instalment, cautiously, in minor units; 0 when history is under 3 whole windows.

    Median income of the whole windows less the median of spending that cannot be put off, not below 0, floored to two
    significant digits so that the number published reveals little. (A single window is no measure: a salary paid by
    the calendar month leaves some 30-day windows empty.)
    """
    series = calculate_series(rows, as_of=as_of, last_day=as_of - 1)
    if series is None or series.windows() < WINDOWS_MIN:
        return 0
    inflow = series.window_sums([row for row in series.rows if is_income(row)])
    outflow = series.window_sums([row for row in series.rows if is_spending(row) and row.category in FIXED])
    income, fixed = calculate_median(inflow), calculate_median(outflow)
    assert income is not None
    assert fixed is not None
    net = max(0, income - fixed)
    step = 1
    while net // step >= 100:
        step *= 10
    return net // step * step
