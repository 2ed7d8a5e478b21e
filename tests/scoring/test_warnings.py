"""Early warning: each rule speaks when the table says, falls silent when it is cleared, and says it once."""

from collections.abc import Sequence

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from scoring.rows import NO_COUNTERPARTY, Category, Channel, Row
from scoring.warning import Due, Facts, Finding, Paid, Watch, advance, find_warnings
from scoring.warning_table import WARNINGS, WarningRule, render_warnings

NOW = 739_000
EMPLOYER, CUSTOMER, LENDER, OTHER = (bytes([tag]) * 16 for tag in (1, 2, 3, 4))
Move = tuple[int, int, Category, bytes]


def make_rows(moves: Sequence[Move], *, opening: int = 1_000_000) -> list[Row]:
    """Rows of (days before NOW, amount, category, party), with balances."""
    rows, balance = [], opening
    for seq, (ago, amount, category, party) in enumerate(sorted(moves, key=lambda move: -move[0])):
        balance += amount
        rows.append(
            Row(
                day=NOW - ago,
                seq=seq,
                amount=amount,
                balance=balance,
                counterparty=party,
                category=category,
                channel=Channel.TRANSFER,
                minute=-1,
            )
        )
    return rows


def make_year(*, salary: int = 1_000_000, spent: int = 950_000, until: int = 0) -> list[Move]:
    """A salary every 30 days and rent two days later, for a year, the newest `until` days left out."""
    moves: list[Move] = []
    for ago in range(360, 0, -30):
        if ago > until:
            moves.append((ago, salary, Category.SALARY, EMPLOYER))
        moves.append((ago - 2, -spent, Category.HOUSEHOLD, OTHER))
    return moves


def judge(moves: Sequence[Move] = (), *, opening: int = 1_000_000, **facts: object) -> dict[WarningRule, Finding]:
    rows = make_rows(moves, opening=opening)
    known: dict[str, object] = {"rows": rows, "last_day": NOW - 1} if rows else {}
    return {one.rule: one for one in find_warnings(Facts(as_of=NOW, **{**known, **facts}))}  # type: ignore[arg-type]


def test_a_steady_account_raises_nothing() -> None:
    """Salary, rent, nothing owed: every rule of the statement is judged, none is raised."""
    found = judge(make_year(), dues=[Due(NOW - 10, 100), Due(NOW + 3, 100)], payments=[Paid(NOW - 10, 100)])
    assert not [rule for rule, one in found.items() if one.raised]
    assert WarningRule.LOW_BEFORE_DUE in found
    assert WarningRule.EMPTYING in found


def test_an_instalment_that_is_not_covered_is_missed() -> None:
    """Payments cover instalments in order; evidence is what is past due, and since when."""
    dues = [Due(NOW - 70, 100), Due(NOW - 40, 100), Due(NOW - 10, 100), Due(NOW + 20, 100)]
    found = judge(dues=dues, payments=[Paid(NOW - 60, 130)])[WarningRule.PAYMENT_MISSED]
    assert (found.raised, dict(found.evidence)) == (True, {"past_due": 170, "days_past_due": 40})
    assert judge(dues=dues, payments=[Paid(NOW - 1, 300)])[WarningRule.PAYMENT_MISSED].cleared
    assert judge(dues=dues, payments=[Paid(NOW, 300)])[WarningRule.PAYMENT_MISSED].raised  # not yet


@pytest.mark.parametrize(
    ("ago", "amount", "raised"), [(5, 500, True), (6, 500, True), (7, 500, False), (5, 499, False)]
)
def test_a_payment_with_a_new_loan_is_seen(ago: int, amount: int, raised: bool) -> None:
    """On the payment's day or the day before, of at least its amount."""
    moves = [*make_year(), (ago, amount, Category.LOAN_DISBURSEMENT, LENDER)]
    found = judge(moves, payments=[Paid(NOW - 5, 500)])[WarningRule.PAID_BY_NEW_LOAN]
    assert (found.raised, found.cleared) == (raised, not raised)


@pytest.mark.parametrize(
    ("instalment", "raised", "cleared"), [(1_600_001, True, False), (1_600_000, False, False), (1_333_333, False, True)]
)
def test_too_little_before_the_due_day(instalment: int, raised: bool, cleared: bool) -> None:
    """Below the instalment it is raised, from 120 % on it is cleared, between it stands as it stood."""
    found = judge(make_year(), dues=[Due(NOW + 5, instalment)])[WarningRule.LOW_BEFORE_DUE]
    assert (found.raised, found.cleared) == (raised, cleared)
    assert WarningRule.LOW_BEFORE_DUE not in judge(make_year(), dues=[Due(NOW + 6, instalment)])


@pytest.mark.parametrize(
    ("pay", "raised", "cleared"), [(599_999, True, False), (600_000, False, False), (750_000, False, True)]
)
def test_income_that_falls(pay: int, raised: bool, cleared: bool) -> None:
    """Below 60 % raised, from 75 % on cleared."""
    moves = [*make_year(until=35), (20, pay, Category.SALARY, EMPLOYER)]
    found = judge(moves)[WarningRule.INFLOW_FALLEN]
    assert (found.raised, found.cleared) == (raised, cleared)


def test_a_monthly_salary_is_never_a_fallen_income() -> None:
    """A salary on the same day of 31-day months: some 30-day windows hold none, and that is no alarm."""
    moves = [(ago, 1_000_000, Category.SALARY, EMPLOYER) for ago in range(3, 372, 31)]
    assert not judge(moves)[WarningRule.INFLOW_FALLEN].raised


def test_a_payer_who_stops_is_missing_and_the_main_one_lost() -> None:
    """A regular payer absent for 35 days is missing; with 40 % of the income and absent for 45 days, lost."""
    side = [(ago, 100_000, Category.BUSINESS_INCOME, CUSTOMER) for ago in range(355, 36, -30)]
    found = judge([*make_year(), *side])
    assert (found[WarningRule.PAYER_MISSING].raised, found[WarningRule.TOP_PAYER_LOST].raised) == (True, False)
    lost = judge([*make_year(until=45), (3, 10_000, Category.SALARY, CUSTOMER)])
    assert (lost[WarningRule.PAYER_MISSING].raised, lost[WarningRule.TOP_PAYER_LOST].raised) == (True, True)
    back = judge([*make_year(until=45), (3, 10_000, Category.SALARY, EMPLOYER)])
    assert (back[WarningRule.PAYER_MISSING].cleared, back[WarningRule.TOP_PAYER_LOST].cleared) == (True, True)


def test_two_new_lenders_within_a_month() -> None:
    """Known lenders do not count, one new one is no alarm, two are."""
    old = [(200, 500, Category.LOAN_DISBURSEMENT, LENDER), (20, -50, Category.LOAN_REPAYMENT, LENDER)]
    first = (15, 500, Category.LOAN_DISBURSEMENT, CUSTOMER)
    second = (10, -50, Category.LOAN_REPAYMENT, NO_COUNTERPARTY)
    rule = WarningRule.NEW_LENDERS
    assert judge([*make_year(), *old])[rule].cleared
    one = judge([*make_year(), *old, first])[rule]
    assert (one.raised, one.cleared) == (False, False)
    assert judge([*make_year(), *old, first, second])[rule].raised


def test_penalties_that_grow() -> None:
    """Two in 90 days and more than before; a month without any clears."""
    rule = WarningRule.PENALTIES_UP
    two = [(ago, -100, Category.SANCTION, NO_COUNTERPARTY) for ago in (20, 40)]
    before = [(ago, -100, Category.SANCTION, NO_COUNTERPARTY) for ago in (100, 120)]
    assert judge([*make_year(), *two])[rule].raised
    assert not judge([*make_year(), *two, *before])[rule].raised
    assert judge([*make_year(), two[1], *before])[rule].cleared


@pytest.mark.parametrize(
    ("drained", "raised", "cleared"), [(1_000_000, True, False), (850_000, False, False), (100_000, False, True)]
)
def test_an_account_that_is_emptied(drained: int, raised: bool, cleared: bool) -> None:
    """A week at a fifth of what was usual raises it, from two fifths on it is cleared."""
    moves: list[Move] = [(200, 1, Category.OTHER, OTHER), (8, -drained, Category.TRANSFER, OTHER)]
    found = judge(moves, opening=1_200_000)[WarningRule.EMPTYING]
    assert (found.raised, found.cleared) == (raised, cleared)


@pytest.mark.parametrize(
    ("stake", "raised", "cleared"), [(110_000, True, False), (60_000, False, False), (10_000, False, True)]
)
def test_gambling(stake: int, raised: bool, cleared: bool) -> None:
    """A tenth of a month's spending raises it, below a twentieth it is cleared."""
    found = judge([*make_year(), (4, -stake, Category.GAMBLING, OTHER)])[WarningRule.GAMBLING]
    assert (found.raised, found.cleared) == (raised, cleared)


def test_score_and_age_of_the_statement() -> None:
    """Two bands worse; older than 35 days."""
    worse = judge(band_then=2, band_now=4)[WarningRule.SCORE_DOWN]
    between = judge(band_then=2, band_now=3)[WarningRule.SCORE_DOWN]
    assert (worse.raised, between.raised, between.cleared) == (True, False, False)
    rows = make_rows(make_year())
    for age, raised, cleared in ((36, True, False), (35, False, False), (10, False, True)):
        found = judge(rows=rows, last_day=NOW - age)[WarningRule.STATEMENT_STALE]
        assert (found.raised, found.cleared) == (raised, cleared)


@pytest.mark.parametrize("live", [True, False])
def test_a_feed_that_ends(live: bool) -> None:
    """Without any consent the rule is silent; one that ended raises it, one that holds clears it."""
    assert WarningRule.FEED_ENDED not in judge()
    found = judge(feed=live)[WarningRule.FEED_ENDED]
    assert (found.raised, found.cleared) == (not live, live)


def test_a_refreshed_statement_that_contradicts_the_first() -> None:
    """One unit on one whole common day is seen; what only one of them covers is not compared."""
    old = make_rows(make_year())[:-6]
    last = old[-1].day
    new = make_rows(make_year())[3:]
    rule = WarningRule.OVERLAP_DIFFERS
    facts = {"committed": old, "committed_last_day": last, "last_day": NOW - 1}
    assert not judge(rows=new, **facts)[rule].raised
    changed = [*new]
    changed[4] = type(new[4])(
        **{**{name: getattr(new[4], name) for name in new[4].__struct_fields__}, "amount": new[4].amount + 1}
    )
    found = judge(rows=changed, **facts)[rule]
    assert (found.raised, dict(found.evidence)["rows"]) == (True, 2)
    assert rule not in judge(rows=new, last_day=NOW - 1)


def test_an_alert_comes_once_and_again_only_after_it_was_cleared_in_another_window() -> None:
    """Raised, standing, between, cleared, raised in the same window, raised in the next."""
    rule = WarningRule.GAMBLING

    def finding(raised: bool, cleared: bool) -> list[Finding]:
        return [Finding(rule, raised, cleared, ())]

    day = 30 * 1_000
    watch, alerts = advance(Watch(), finding(True, False), day)
    assert [(one.rule, one.window) for one in alerts] == [(rule, 1_000)]
    for raised, cleared, at, count in (
        (True, False, day + 1, 0),
        (False, False, day + 40, 0),
        (True, False, day + 41, 0),
        (False, True, day + 42, 0),
        (True, False, day + 43, 1),
        (False, True, day + 44, 0),
        (True, False, day + 45, 0),
    ):
        watch, alerts = advance(watch, finding(raised, cleared), at)
        assert len(alerts) == count, at
    assert advance(watch, [], day + 46) == (watch, ())


MOVES = st.lists(
    st.tuples(
        st.integers(1, 400),
        st.integers(-(10**9), 10**9).filter(bool),
        st.sampled_from(Category),
        st.sampled_from((EMPLOYER, CUSTOMER, LENDER, NO_COUNTERPARTY)),
    ),
    max_size=40,
)


@given(moves=MOVES)
@example(moves=[(31, -1, Category.SANCTION, b"\x01" * 16)] * 2)  # a quiet month after two penalties clears nothing yet
def test_whatever_an_account_does_findings_are_whole_and_the_same_in_any_order(moves: list[Move]) -> None:
    """No rule fails on odd statements, none is raised and cleared at once, evidence is integers, order is nothing."""
    rows = make_rows(moves)
    shuffled = sorted(rows, key=lambda row: row.seq * 7919 % 13)
    dues, payments = [Due(NOW + 1, 500), Due(NOW - 9, 500)], [Paid(NOW - 3, 250)]
    known = {"as_of": NOW, "last_day": NOW - 1, "dues": dues, "payments": payments}
    found = find_warnings(Facts(rows=rows, **known))  # type: ignore[arg-type]
    assert found == find_warnings(Facts(rows=shuffled, **known))  # type: ignore[arg-type]
    for one in found:
        assert not (one.raised and one.cleared)
        assert all(type(value) is int for _, value in one.evidence)


def test_the_table_names_every_rule_once_in_both_languages() -> None:
    """Numbers, keys and texts are there; the documentation comes from the same table."""
    assert list(WARNINGS) == list(WarningRule)
    assert len({one.key for one in WARNINGS.values()}) == len(WARNINGS)
    assert all(one.text_en and one.text_zh and one.window_days > 0 for one in WARNINGS.values())
    assert all(f"`{one.key}`" in render_warnings() for one in WARNINGS.values())
