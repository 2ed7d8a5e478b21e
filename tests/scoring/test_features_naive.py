"""The quick features are the plain ones of `tests.scoring.naive`, to the last digit, whatever the rows."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scoring.features import appraise, calculate_features, calculate_net_cashflow30
from scoring.matching import AmountIndex
from scoring.rows import NO_COUNTERPARTY, Category, Channel, Row
from scoring.series import DaySums, calculate_series
from tests.scoring import naive
from tests.scoring.synthetic import AS_OF, make_rows

HUGE = 2**53 - 1
PARTIES = (NO_COUNTERPARTY, b"\1" * 16, b"\2" * 16, b"\3" * 16)

AGES = {
    "any": st.integers(-3, 800),
    "edges": st.sampled_from([0, 1, 14, 15, 30, 31, 60, 61, 90, 91, 150, 180, 181, 365, 366, 400]),
    "one day": st.just(50),
    "one week": st.integers(20, 26),
}
AMOUNTS = {
    "any": st.integers(-HUGE, HUGE),
    "small": st.integers(-3, 3),
    "round": st.sampled_from([10_000, -10_000, 20_000, -20_000, 0]),
    "close": st.integers(9_900, 10_100) | st.integers(-10_100, -9_900),
}


@st.composite
def adversarial(draw: st.DrawFn) -> list[Row]:
    """Statements of several accounts' worth of ties: days, sequence numbers, parties and amounts that coincide, amounts
    of any size, none at all, balances that close, break, or are not shown."""
    ages, amounts = AGES[draw(st.sampled_from(list(AGES)))], AMOUNTS[draw(st.sampled_from(list(AMOUNTS)))]
    seqs = st.integers(0, draw(st.sampled_from([0, 3, 10**6])))
    fields = st.tuples(
        ages,
        seqs,
        amounts,
        st.sampled_from(["closes", "breaks", "hidden"]) if draw(st.booleans()) else st.just("closes"),
        st.sampled_from(PARTIES[: draw(st.integers(1, 4))]),
        st.sampled_from(Category) if draw(st.booleans()) else st.sampled_from([Category.OTHER, Category.SALARY]),
        st.sampled_from(Channel),
        st.integers(-1, 1439) if draw(st.booleans()) else st.just(-1),
    )
    moves = draw(st.lists(fields, max_size=50))
    if draw(st.booleans()):
        moves.sort(key=lambda one: (-one[0], one[1]))
    balance, rows = draw(st.sampled_from([0, -5, 10**6, HUGE])), []
    for age, seq, amount, kind, party, category, channel, minute in moves:
        balance += amount + (kind == "breaks")
        rows.append(
            Row(
                day=AS_OF - age,
                seq=seq,
                amount=amount,
                balance=None if kind == "hidden" else balance,
                counterparty=party,
                category=category,
                channel=channel,
                minute=minute,
            )
        )
    return rows


@given(rows=adversarial(), stale=st.integers(0, 5), instalment=st.sampled_from([1, 100_000, HUGE]))
@settings(max_examples=120, deadline=None)
def test_features_are_those_of_the_plain_calculation(rows: list[Row], stale: int, instalment: int) -> None:
    """All features, their order, and the month's capacity, for any rows in any order."""
    terms = {"as_of": AS_OF, "last_day": AS_OF - 1 - stale, "instalment": instalment, "principal": 7 * instalment}
    expected = naive.calculate_features(rows, **terms)
    found = appraise(rows, **terms)
    assert list(found.features.items()) == list(expected.items())
    assert found.net_cashflow30 == naive.calculate_net_cashflow30(rows, as_of=AS_OF)
    assert calculate_features(rows, **terms) == expected
    assert calculate_net_cashflow30(rows, as_of=AS_OF) == found.net_cashflow30


@pytest.mark.parametrize("seed", range(4))
def test_features_of_a_usual_year_are_those_of_the_plain_calculation(seed: int) -> None:
    """A salary, rent, spending, penalties; with balances and without."""
    rows = make_rows(seed, thrift=60 + 20 * seed, balances=seed != 3, per_day=1 + seed)
    terms = {"as_of": AS_OF, "last_day": AS_OF - 1, "instalment": 90_000, "principal": 1_000_000}
    assert calculate_features(rows, **terms) == naive.calculate_features(rows, **terms)


@st.composite
def circulations(draw: st.DrawFn) -> list[Row]:
    """Few parties, a few days, amounts close to one another: many pairs fit, and which is taken matters. Where the
    amounts differ widely there are more of them within 2 % than are looked at one by one."""
    spread = draw(st.sampled_from([3, 150]))
    moves = st.tuples(
        st.integers(30, 36) | st.integers(176, 184),
        st.integers(10_000 - spread, 10_000 + spread) | st.sampled_from([1, 9_900, 10_200]),
        st.booleans(),
        st.sampled_from(PARTIES[: draw(st.integers(1, 3))]),
    )
    return [
        Row(
            day=AS_OF - age,
            seq=seq,
            amount=amount if is_in else -amount,
            balance=None,
            counterparty=party,
            category=Category.TRANSFER,
            channel=Channel.TRANSFER,
            minute=-1,
        )
        for seq, (age, amount, is_in, party) in enumerate(
            draw(st.lists(moves, min_size=draw(st.sampled_from([0, 40])), max_size=60))
        )
    ]


@given(rows=circulations())
@settings(max_examples=80, deadline=None)
def test_round_trips_are_those_of_a_plain_search(rows: list[Row]) -> None:
    """Which outflow an income takes decides what is left for the next one."""
    terms = {"as_of": AS_OF, "last_day": AS_OF - 1, "instalment": 1, "principal": 1}
    assert calculate_features(rows, **terms)["roundtrip"] == naive.calculate_features(rows, **terms)["roundtrip"]


@given(amounts=st.lists(st.integers(-30, 30), min_size=30, max_size=60), data=st.data())
@settings(max_examples=80, deadline=None)
def test_an_amount_index_takes_the_first_in_a_range(amounts: list[int], data: st.DataObject) -> None:
    """Whatever was taken or forgotten before: the least position between the ends whose amount lies within bounds."""
    index, left, begin = AmountIndex(amounts), list(range(len(amounts))), 0
    for _ in range(12):
        begin = data.draw(st.integers(begin, begin + 3))
        end = data.draw(st.integers(begin, len(amounts)) | st.just(len(amounts))) if begin < len(amounts) else begin
        low = data.draw(st.integers(-31, 31))
        high = low + data.draw(st.sampled_from([0, 1, 5, 25, 62]))
        expected = min((one for one in left if begin <= one < end and low <= amounts[one] <= high), default=None)
        assert index.take_first(low, high, begin=begin, end=end) == expected
        left = [one for one in left if one != expected]


@given(rows=adversarial(), since=st.integers(0, 400))
@settings(max_examples=50, deadline=None)
def test_sums_by_day_are_those_of_a_plain_walk(rows: list[Row], since: int) -> None:
    """Per day, per window and since a day."""
    series = calculate_series(rows, as_of=AS_OF, last_day=AS_OF - 1)
    if series is None:
        return
    sums = DaySums(series.rows)
    days = list(dict.fromkeys(row.day for row in series.rows))
    assert list(sums.by_day().items()) == [
        (day, sum(row.amount for row in series.rows if row.day == day)) for day in days
    ]
    assert sums.since(AS_OF - since) == sum(row.amount for row in series.rows if row.day >= AS_OF - since)
    assert sums.windows(6, as_of=AS_OF) == tuple(
        sum(row.amount for row in series.rows if AS_OF - 30 * (k + 1) <= row.day < AS_OF - 30 * k) for k in range(6)
    )
