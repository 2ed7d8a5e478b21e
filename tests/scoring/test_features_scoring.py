"""Laws of the features: what counts, when, and what is MISSING."""

import time
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from scoring.features import (
    FEATURE_SPEC,
    FEATURES,
    calculate_features,
    calculate_net_cashflow30,
    check_statement,
    render_table,
)
from scoring.reasons import REASONS
from scoring.rows import NO_COUNTERPARTY, Category, Channel, Row
from scoring.series import DaySums, calculate_bps, calculate_median, calculate_sd, calculate_series
from tests.scoring.synthetic import AS_OF, make_rows

INSTALMENT = 100_000


def row(age: int, amount: int, *, seq: int = 0, balance: int | None = None, **changes: object) -> Row:
    """A row `age` days before AS_OF."""
    fields = {
        "day": AS_OF - age,
        "seq": seq,
        "amount": amount,
        "balance": balance,
        "counterparty": NO_COUNTERPARTY,
        "category": Category.OTHER,
        "channel": Channel.UNKNOWN,
        "minute": -1,
    }
    return Row(**{**fields, **changes})  # type: ignore[arg-type]


def features_of(rows: list[Row], *, last_day: int = AS_OF - 1, instalment: int = INSTALMENT) -> dict[str, int | None]:
    return calculate_features(rows, as_of=AS_OF, last_day=last_day, instalment=instalment, principal=1_200_000)


@st.composite
def statements(draw: st.DrawFn) -> list[Row]:
    """Any statement: gaps, same-day rows, balances that close or are missing, every category."""
    ages = sorted(draw(st.lists(st.integers(1, 420), min_size=1, max_size=40)), reverse=True)
    shown = draw(st.sampled_from(["all", "some", "none"]))
    balance = draw(st.integers(-(10**6), 10**7))
    rows = []
    for seq, age in enumerate(ages):
        amount = draw(st.integers(-(10**7), 10**7).filter(bool))
        balance += amount
        visible = shown == "all" or (shown == "some" and draw(st.booleans()))
        rows.append(
            row(
                age,
                amount,
                seq=seq,
                balance=balance if visible else None,
                category=draw(st.sampled_from(Category)),
                channel=draw(st.sampled_from(Channel)),
                counterparty=bytes([draw(st.integers(0, 3))]) * 16,
                minute=draw(st.integers(-1, 1439)),
            )
        )
    return rows


@given(statements(), st.integers(1, 10**7), st.integers(0, 5))
@settings(max_examples=150, deadline=None)
def test_features_are_integers_or_missing_in_the_order_of_the_table(
    rows: list[Row], instalment: int, stale: int
) -> None:
    """Whatever the statement, every feature of the table comes out once, in order, as an int or as MISSING."""
    found = features_of(rows, instalment=instalment, last_day=AS_OF - 1 - stale)
    assert tuple(found) == tuple(item.name for item in FEATURES)
    assert all(value is None or type(value) is int for value in found.values())


@given(statements(), st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_the_order_in_which_rows_are_handed_over_does_not_matter(rows: list[Row], chance: object) -> None:
    """(day, seq) orders a statement, not the sequence that carries it."""
    shuffled = list(rows)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    assert features_of(shuffled) == features_of(rows)


@given(statements(), statements())
@settings(max_examples=60, deadline=None)
def test_rows_of_the_day_itself_and_later_change_nothing(rows: list[Row], others: list[Row]) -> None:
    """Only rows with day < as_of count: the ledger, not the file, says where the statement ends."""
    later = [row(-index, item.amount, seq=1000 + index, category=item.category) for index, item in enumerate(others)]
    assert features_of(rows + later) == features_of(rows)


@given(statements())
@settings(max_examples=100, deadline=None)
def test_balances_agree_with_a_day_by_day_count(rows: list[Row]) -> None:
    """End-of-day features equal those of a plain walk over every day, where all balances are shown."""
    rows = [item for item in rows if item.balance is not None]
    if not rows:
        return
    ends = {item.day: item.balance or 0 for item in rows}
    days: list[int] = []
    for day in range(rows[0].day, AS_OF):
        days.append(ends[day] if day in ends else days[-1])
    found = features_of(rows)
    half_year = days[-180:]
    mean = sum(half_year) // len(half_year)
    assert found["adb_180"] == mean
    assert found["min_eod_90"] == min(days[-90:])
    assert found["min_bal_any"] == min(days)
    assert found["neg_days_365"] == sum(1 for value in days[-365:] if value < 0)
    low = sum(1 for value in half_year if value < 3 * INSTALMENT)
    assert found["low3_days_180"] == low * 10_000 // len(half_year)
    if mean > 0:
        root = calculate_sd(half_year)
        assert root is not None
        squares = sum((value - mean) ** 2 for value in half_year) // len(half_year)
        assert root * root <= squares < (root + 1) * (root + 1)
        assert found["bal_cv"] == min(root * 10_000 // mean, 10_000_000)
    else:
        assert found["bal_cv"] is None


def test_a_window_holds_its_first_day_and_not_its_last() -> None:
    """W_k = [asof - 30(k+1), asof - 30k)."""
    edges = [row(30, 1), row(31, 10), row(60, 100), row(61, 1_000), row(90, 10_000), row(91, 100_000), row(180, 5)]
    series = calculate_series(edges, as_of=AS_OF, last_day=AS_OF - 1)
    assert series is not None
    assert DaySums(series.rows).windows(series.windows(), as_of=AS_OF) == (1, 110, 11_000, 100_000, 0, 5)


def test_only_whole_windows_count_and_under_three_is_missing() -> None:
    """A window begun before the first row is not a poor month; 89 days of history say nothing of months."""
    income = [row(age, 50_000, seq=100 - age) for age in (10, 40, 70)]
    assert features_of([*income, row(89, 1)])["inflow_med"] is None
    assert features_of([*income, row(90, 1)])["inflow_med"] == 50_000
    assert features_of([*income, row(119, 1)])["zero_inflow_windows"] == 0
    assert features_of([*income, row(150, 1)])["zero_inflow_windows"] == 1


def test_what_is_no_income() -> None:
    """Interest, refunds, reversals, own transfers and loans paid out earn nothing; a transfer and a salary do."""
    for category in Category:
        rows = [row(age, 70_000, seq=200 - age, category=category) for age in range(5, 186, 30)]
        income = features_of(rows)["inflow_med"]
        not_earned = category in (
            Category.INTEREST,
            Category.REFUND,
            Category.REVERSAL,
            Category.OWN_TRANSFER,
            Category.LOAN_DISBURSEMENT,
        )
        assert income == (0 if not_earned else 70_000), category


def test_without_balances_balance_features_are_missing_and_others_are_not() -> None:
    """A wallet that shows no balance has income features all the same."""
    found = features_of(make_rows(1, balances=False))
    assert found["adb_90"] is found["min_eod_180_inst"] is found["bal_cv"] is found["neg_days_365"] is None
    assert found["inflow_med"]
    assert found["cash_out"] is not None


def test_masking_a_low_balance_gains_nothing() -> None:
    """A hidden balance is what the neighbouring rows imply."""
    shown = make_rows(3, thrift=110)
    lowest = min(range(1, len(shown) - 1), key=lambda index: shown[index].balance or 0)
    masked = [
        Row(
            **{name: getattr(item, name) for name in item.__struct_fields__}
            | ({"balance": None} if at == lowest else {})
        )
        for at, item in enumerate(shown)
    ]
    assert features_of(masked)["min_eod_365"] == features_of(shown)["min_eod_365"]


def test_balances_are_carried_to_the_end_of_the_statement_and_no_further() -> None:
    """A statement that ends two days early has two days fewer, not two days of its last balance."""
    rows = [row(100, 500, balance=500), row(10, 500, seq=1, balance=1_000)]
    assert calculate_series(rows, as_of=AS_OF, last_day=AS_OF - 1).eod[-10:] == (1_000,) * 10  # type: ignore[union-attr]
    short = calculate_series(rows, as_of=AS_OF, last_day=AS_OF - 3)
    assert short is not None
    assert len(short.eod) == 98
    assert short.eod[-8:] == (1_000,) * 8


def test_ratios_are_floored_clipped_and_missing_without_a_denominator() -> None:
    """bps(n, d) = clip(floor(n * 10000 / d), +-10^7); d <= 0 gives MISSING."""
    assert calculate_bps(1, 3) == 3_333
    assert calculate_bps(-1, 3) == -3_334
    assert calculate_bps(10**12, 1) == 10_000_000
    assert calculate_bps(-(10**12), 1) == -10_000_000
    assert calculate_bps(1, 0) is calculate_bps(1, -5) is calculate_bps(1, None) is None
    assert calculate_median((1, 4, 2, 10)) == 3
    assert calculate_median((-1, -2)) == -2
    assert calculate_median(()) is None


def test_penalties_and_round_trips_are_seen() -> None:
    """A sanction counts for a year; money back to its payer within three days is a round trip, later it is not."""
    base = [row(age, 100_000, seq=400 - age, counterparty=b"a" * 16) for age in (10, 40, 70, 100)]
    fine = row(20, -500, seq=380, category=Category.SANCTION)
    found = features_of([*base, fine, row(366, -500, category=Category.SANCTION)])
    assert (found["nsf_n"], found["nsf_amt"], found["days_since_nsf"]) == (1, 500, 20)
    assert features_of(base)["days_since_nsf"] == 9_999
    back = row(7, -99_000, seq=500, counterparty=b"a" * 16)
    assert features_of([*base, back])["roundtrip"] == 2_500
    assert features_of([*base, row(6, -99_000, seq=500, counterparty=b"a" * 16)])["roundtrip"] == 0
    assert features_of([*base, row(7, -97_000, seq=500, counterparty=b"a" * 16)])["roundtrip"] == 0
    assert features_of([*base, row(7, -99_000, seq=500, counterparty=b"b" * 16)])["roundtrip"] == 0


def test_a_statement_is_refused_for_its_reason() -> None:
    """Each refusal has its code, and the limits are where the table says."""
    good = [row(age, 100, seq=100 - age) for age in (90, 60, 30, 5)]
    assert check_statement(good, as_of=AS_OF, last_day=AS_OF - 1) is None
    assert check_statement(good, as_of=AS_OF, last_day=AS_OF - 3) is None
    assert check_statement(good, as_of=AS_OF, last_day=AS_OF - 4) == "statement_stale"
    assert check_statement(good[1:], as_of=AS_OF, last_day=AS_OF - 1) == "statement_short"
    assert check_statement([*good[:2], row(35, 5)], as_of=AS_OF, last_day=AS_OF - 1) is None
    assert check_statement([*good[:2], row(36, 5)], as_of=AS_OF, last_day=AS_OF - 1) == "statement_quiet"
    assert check_statement([*good[:2], row(0, 5)], as_of=AS_OF, last_day=AS_OF) == "statement_quiet"
    assert check_statement([*good, row(-2, 5)], as_of=AS_OF, last_day=AS_OF) == "statement_future"
    assert check_statement([], as_of=AS_OF, last_day=AS_OF - 1) == "statement_empty"
    assert check_statement([row(0, 5)], as_of=AS_OF, last_day=AS_OF) == "statement_empty"


@given(statements())
@settings(max_examples=60, deadline=None)
def test_net_cashflow_reveals_two_digits_and_is_never_negative(rows: list[Row]) -> None:
    """The capacity put on the ledger has at most two significant digits."""
    net = calculate_net_cashflow30(rows, as_of=AS_OF)
    assert net >= 0
    assert set(str(net)[2:]) <= {"0"}


def test_net_cashflow_is_income_less_what_cannot_be_put_off() -> None:
    """Rent counts, shopping does not, and too short a history gives nothing."""
    rows = []
    for index, age in enumerate(range(175, 0, -30)):
        rows.append(row(age, 123_456, seq=3 * index, category=Category.SALARY))
        rows.append(row(age, -20_000, seq=3 * index + 1, category=Category.HOUSEHOLD))
        rows.append(row(age, -90_000, seq=3 * index + 2, category=Category.SHOPPING))
    rows.insert(0, row(180, -1, category=Category.SHOPPING, seq=-1))
    assert calculate_net_cashflow30(rows, as_of=AS_OF) == 100_000
    assert calculate_net_cashflow30(rows[-6:], as_of=AS_OF) == 0


def test_the_table_is_whole() -> None:
    """Names are unique, directions are signs, reasons exist, nothing is from a later version, all is rendered."""
    names = [item.name for item in FEATURES]
    assert len(set(names)) == len(names)
    assert all(item.direction in (-1, 1) and item.reason in REASONS for item in FEATURES)
    assert all(item.definition and item.missing and 1 <= item.since <= FEATURE_SPEC for item in FEATURES)
    assert all(f"| `{name}` |" in render_table() for name in names)


def test_reasons_are_specific_and_bilingual() -> None:
    """Codes are u16 and keys unique; no sentence hides behind the score, and each has its Chinese."""
    for code, reason in REASONS.items():
        assert code == reason.code
        assert 0 < code < 65_536
        assert "score" not in reason.text_en.lower()
        assert "评分" not in reason.text_zh
        assert reason.text_en.endswith(".")
        assert reason.text_zh.endswith("。")
    assert len({reason.key for reason in REASONS.values()}) == len(REASONS)
    assert all(low < high for low, high in pairwise(REASONS))


def test_a_statement_made_to_be_slow_is_read_in_time() -> None:
    """20,000 rows of one day and one party that match nowhere: a fraction of a second, where a search takes ten."""
    rows = [row(50, 1 if seq < 10_000 else -10_000, seq=seq, counterparty=b"\7" * 16) for seq in range(20_000)]
    started = time.process_time()
    assert features_of(rows)["roundtrip"] == 0
    assert time.process_time() - started < 3
