"""Figures of all loans by hand, to the unit: portfolios by lateness, class, stage, vintage; a supervisor's shares."""

from collections.abc import Iterator
from typing import Any

import pytest

from protocol.ids import ObjectId
from protocol.ledger.exposure import calculate_debt, find_lenders
from protocol.ledger.reports import (
    HELD,
    Figure,
    Survey,
    calculate_concentration,
    calculate_share,
    name_month,
    rate_loan,
    survey_all,
    take_snapshot,
)
from protocol.ledger.state import EXPOSURES, LOANS, POOLS
from protocol.loans.delinquency import AssetClass, DelinquencyBucket
from protocol.loans.lifecycle import LoanState
from protocol.money import PPM
from protocol.transactions.servicing import DistressKind
from tests.protocol.ledger.goods import Goods, lawful
from tests.protocol.ledger.troubled import DEFAULT_DAY, distress, give_cover, lend, lend_and_default, set_pool
from tests.protocol.ledger.world import change


@pytest.fixture
def world() -> Iterator[Goods]:
    """Lawful in the end, and again from its rows."""
    with lawful() as goods:
        yield goods


def survey(world: Goods) -> Survey:
    return survey_all(world.ledger.books)


def read(figures: dict[str, Figure]) -> dict[str, tuple[int, int]]:
    return {label: (figure.loans, figure.principal) for label, figure in sorted(figures.items())}


def pair(figure: Figure) -> tuple[int, int]:
    return figure.loans, figure.principal


# ---------------------------------------------------------------------- one loan


@pytest.mark.parametrize(
    ("day", "bucket", "rated", "stage"),
    [
        (7, DelinquencyBucket.CURRENT, AssetClass.NORMAL, 1),
        (8, DelinquencyBucket.TO_7, AssetClass.NORMAL, 1),
        (14, DelinquencyBucket.TO_7, AssetClass.NORMAL, 1),
        (15, DelinquencyBucket.TO_30, AssetClass.SPECIAL_MENTION, 1),
        (37, DelinquencyBucket.TO_30, AssetClass.SPECIAL_MENTION, 1),
        (38, DelinquencyBucket.TO_60, AssetClass.SPECIAL_MENTION, 2),
        (68, DelinquencyBucket.TO_90, AssetClass.SPECIAL_MENTION, 2),
        (97, DelinquencyBucket.TO_90, AssetClass.SPECIAL_MENTION, 2),
        (98, DelinquencyBucket.TO_180, AssetClass.SUBSTANDARD, 3),
        (188, DelinquencyBucket.TO_270, AssetClass.SUBSTANDARD, 3),
        (278, DelinquencyBucket.TO_360, AssetClass.DOUBTFUL, 3),
        (368, DelinquencyBucket.ABOVE_360, AssetClass.LOSS, 3),
    ],
)
def test_bucket_class_and_stage_follow_the_days(
    world: Goods, day: int, bucket: DelinquencyBucket, rated: AssetClass, stage: int
) -> None:
    """The first row is due on day 7; every bound of CBIRC 2023 No. 1 and of IFRS 9's presumptions is met to the day."""
    loan = lend(world)
    world.block(ms=day * world.genesis.day_ms - 20_000)
    at = rate_loan(world.ledger.books, loan)
    assert (at.days_past_due, at.bucket, at.asset_class, at.stage) == (max(0, day - 7), bucket, rated, stage)


def test_a_lenders_word_worsens_class_and_stage(world: Goods) -> None:
    """Doubtful by its lender's word is stage 3 on the first day."""
    loan = lend(world)
    world.must("harbour", distress(loan, DistressKind.IMPAIR, asset_class=AssetClass.DOUBTFUL))
    at = rate_loan(world.ledger.books, loan)
    assert (at.days_past_due, at.asset_class, at.stage) == (0, AssetClass.DOUBTFUL, 3)


def test_a_claim_grows_older(world: Goods) -> None:
    """Nothing runs on a defaulted loan, but its days do: substandard, doubtful on day 278, loss on 368."""
    loan = lend_and_default(world)
    at = rate_loan(world.ledger.books, loan)
    assert (at.days_past_due, at.bucket, at.asset_class, at.stage) == (
        90,
        DelinquencyBucket.TO_90,
        AssetClass.SUBSTANDARD,
        3,
    )
    world.block(ms=(278 - DEFAULT_DAY) * world.genesis.day_ms)
    at = rate_loan(world.ledger.books, loan)
    assert (at.days_past_due, at.asset_class) == (271, AssetClass.DOUBTFUL)


def test_an_amended_loan_is_watched_for_its_days(world: Goods) -> None:
    """Special mention and stage 2 for 365 days, whatever the days past due say; then as any other."""
    loan = lend(world, instalments_max=52)
    day = world.loan(loan).accrual.as_of
    change(world, LOANS, loan, restructured_on=day, restructures=1)
    at = rate_loan(world.ledger.books, loan)
    assert (at.asset_class, at.stage, at.observed) == (AssetClass.SPECIAL_MENTION, 2, True)
    assert pair(survey(world).total.restructured) == (1, 600_000)
    change(world, LOANS, loan, restructured_on=day - 365)
    at = rate_loan(world.ledger.books, loan)
    assert (at.asset_class, at.stage, at.observed) == (AssetClass.NORMAL, 1, False)
    change(world, LOANS, loan, restructured_on=None, restructures=0)


def test_a_borrowers_other_bad_loan_is_mentioned(world: Goods) -> None:
    """A good loan of somebody who has a defaulted one needs special mention; the bad one is no better for it."""
    good = lend(world, amount=100_000)
    world.must("harbour", distress(good, DistressKind.IMPAIR, asset_class=AssetClass.SUBSTANDARD))
    fresh = lend(world, amount=100_000)
    at = rate_loan(world.ledger.books, fresh)
    assert (at.asset_class, at.stage) == (AssetClass.SPECIAL_MENTION, 1)
    assert rate_loan(world.ledger.books, good).asset_class is AssetClass.SUBSTANDARD
    world.must("harbour", distress(good, DistressKind.UNIMPAIR))
    assert rate_loan(world.ledger.books, fresh).asset_class is AssetClass.NORMAL


# ---------------------------------------------------------------------- all loans


def test_nothing_lent_has_no_shares(world: Goods) -> None:
    """No division by nothing: every share is 0."""
    empty = survey(world)
    assert (empty.total.calculate_top_share(), empty.total.calculate_borrower_concentration()) == (0, 0)
    assert (empty.calculate_lender_concentration(), empty.calculate_lender_shares()) == (0, {})
    assert calculate_share(1, 0) == calculate_concentration([0]) == 0


def test_shares_and_concentration_by_hand() -> None:
    """One of three is 333,333 ppm, rounded down; 0.5, 0.3 and 0.2 give an index of 0.38."""
    assert calculate_share(1, 3) == 333_333
    assert calculate_concentration([50, 30, 20]) == 380_000
    assert calculate_concentration([7]) == PPM
    assert name_month(740_000) == "2027-01"


def test_a_portfolio_by_hand(world: Goods) -> None:
    """Ann owes Harbour 600,000 and is 31 days late, Bob owes Harbour and Jade 300,000 since yesterday."""
    lend(world)
    world.pass_days(37)
    lend(world, "bob", amount=300_000, partner_ppm=400_000)
    world.pass_days(1)
    found = survey(world)
    total = found.total
    assert read(total.by_state) == {"active": (2, 900_000)}
    assert read(total.by_bucket) == {"current": (1, 300_000), "to_60": (1, 600_000)}
    assert read(total.by_class) == {"normal": (1, 300_000), "special_mention": (1, 600_000)}
    assert read(total.by_stage) == {"1": (1, 300_000), "2": (1, 600_000)}
    assert read(total.by_kind) == {"term": (2, 900_000)}
    assert len(total.by_product) == 2
    assert {days: pair(figure) for days, figure in total.at_risk.items()} == {30: (1, 600_000), 60: (0, 0), 90: (0, 0)}
    assert total.calculate_share(total.at_risk[30]) == 666_666
    assert pair(total.non_performing) == (0, 0)
    # Jade's part is two fifths of Bob's loan.
    harbour, jade = (found.lenders[world.account(name)] for name in ("harbour", "jade"))
    assert (pair(harbour.held), pair(jade.held)) == ((2, 780_000), (1, 120_000))
    assert found.calculate_lender_shares() == {world.account("harbour"): 866_666, world.account("jade"): 133_333}
    assert pair(found.pools[world.pool_id("jade")].held) == (1, 120_000)
    assert read(jade.by_bucket) == {"current": (1, 120_000)}
    # (780^2 + 120^2) / 900^2, and (600^2 + 300^2) / 900^2.
    assert found.calculate_lender_concentration() == 768_888
    assert total.calculate_borrower_concentration() == 555_555
    assert total.calculate_top_share() == PPM


def test_vintages_by_month_of_payout(world: Goods) -> None:
    """Lateness above thirty days counts now and for ever; a month's principal paid out does not change."""
    loan = lend(world)
    month = name_month(world.contract(loan).disbursed_on)
    world.pass_days(38)
    found = survey(world).total.vintages
    (vintage,) = found.values()
    assert list(found) == [month]
    assert (vintage.loans, vintage.disbursed, vintage.principal) == (1, 600_000, 600_000)
    assert (pair(vintage.late_30), vintage.ever_late_30) == ((1, 600_000), 1)
    world.mint("ann", 700_000)
    assert world.pay("ann", loan, 700_000).rejection is None
    found = survey(world).total.vintages
    (vintage,) = found.values()
    assert (vintage.disbursed, vintage.principal, pair(vintage.late_30), vintage.ever_late_30) == (
        600_000,
        0,
        (0, 0),
        1,
    )


def test_defaults_recoveries_and_writeoffs(world: Goods) -> None:
    """A default stays in the portfolio as bad; what comes back is told; a write-off leaves the portfolio alone."""
    set_pool(world, rate=100_000)
    give_cover(world, 100_000)
    loan = lend(world)
    world.pass_days(DEFAULT_DAY)
    world.mint("ann", 200_000)
    assert world.pay("ann", loan, 50_000).rejection is None
    paid = world.loan(loan).paid[0]
    world.pass_days(120)
    world.must("eye", distress(loan))
    total = survey(world).total
    left = 600_000 - paid
    assert 0 < paid <= 50_000
    assert [pair(total.at_risk[days]) for days in (30, 60, 90)] == [(1, left)] * 3
    assert pair(total.non_performing) == (1, left)
    assert pair(total.recovered) == (1, 0)
    assert world.pay("ann", loan, 100_000).rejection is None
    total = survey(world).total
    assert (pair(total.recovered), pair(total.held)) == ((1, 100_000), (1, left - 100_000))
    world.pass_days(180)
    world.must("harbour", distress(loan, DistressKind.WRITE_OFF))
    found = survey(world)
    total = found.total
    assert (pair(total.written_off), pair(total.held), read(total.by_bucket)) == ((1, left - 100_000), (0, 0), {})
    assert read(total.by_state) == {"written_off": (1, left - 100_000)}
    assert pair(found.lenders[world.account("harbour")].written_off) == (1, left - 100_000)
    assert rate_loan(world.ledger.books, loan).asset_class is AssetClass.LOSS


def test_who_owes_several_lenders(world: Goods) -> None:
    """Ann owes Harbour and Jade, Bob owes Harbour alone: one borrower of several lenders, seen by both of them."""
    for lender in ("harbour", "jade"):
        assert world.take("ann", world.ask("ann", world.products[lender], amount=200_000)).rejection is None
    lend(world, "bob", amount=100_000)
    found = survey(world)
    assert pair(found.owe_several) == (1, 400_000)
    seen = {name: found.lenders[world.account(name)].borrowers_elsewhere for name in ("harbour", "jade")}
    assert seen == {"harbour": 1, "jade": 1}
    # Of a cap of 1,500,000: 400,000 are above a quarter, 100,000 below.
    assert [pair(step) for step in found.debt_by_cap_step[:3]] == [(1, 100_000), (1, 400_000), (0, 0)]


@pytest.mark.parametrize(
    ("debt", "step"),
    [(1, 0), (374_999, 0), (375_000, 1), (750_000, 2), (1_125_000, 3), (1_350_000, 4), (1_500_000, 4), (1_500_001, 5)],
)
def test_steps_of_the_cap(debt: int, step: int) -> None:
    """A debt of exactly the cap is within it; a unit more, which only a lower cap can bring about, is above."""
    world = Goods()
    tag = next(key for key, _ in world.ledger.books.state.items(EXPOSURES))
    change(world, EXPOSURES, tag, principal_open=debt)
    found = survey(world)
    assert [figure.loans for figure in found.debt_by_cap_step] == [int(index == step) for index in range(6)]


def test_every_survey_adds_up(world: Goods) -> None:
    """Pools and lenders together are all, and so are the classes, buckets, stages, kinds and products of each."""
    lend(world, amount=400_001, partner_ppm=333_333)
    lend(world, amount=77_777)
    lend_and_default(world, who="bob", amount=123_457)
    found = survey(world)
    for parts in (found.lenders, found.pools):
        for name in ("held", "non_performing", "written_off", "restructured", "recovered"):
            assert sum(getattr(one, name).principal for one in parts.values()) == getattr(found.total, name).principal
    tallies: list[Any] = [found.total, *found.lenders.values(), *found.pools.values()]
    for tally in tallies:
        for figures in (tally.by_bucket, tally.by_class, tally.by_stage, tally.by_kind, tally.by_product):
            assert sum(figure.loans for figure in figures.values()) == tally.held.loans
            assert sum(figure.principal for figure in figures.values()) == tally.held.principal
        assert sum(tally.borrowers.values()) == tally.held.principal
    state = world.ledger.books.state
    held = sum(row.principal_out for _, row in state.items(LOANS) if row.state in HELD)
    claimed = sum(row.principal_out for _, row in state.items(LOANS) if row.state is LoanState.DEFAULTED)
    assert held == found.total.held.principal
    assert held - claimed == sum(row.principal for _, row in state.items(POOLS))


def test_a_survey_is_of_one_moment(world: Goods) -> None:
    """What happens after the snapshot does not reach it, and what is read of it changes no root."""
    loan = lend(world)
    root = world.ledger.exec_root
    still = take_snapshot(world.ledger.books)
    world.pass_days(40)
    world.must("harbour", distress(loan, DistressKind.IMPAIR, asset_class=AssetClass.LOSS))
    then = survey_all(still).total
    assert read(then.by_class) == {"normal": (1, 600_000)}
    assert read(survey(world).total.by_class) == {"loss": (1, 600_000)}
    assert still.height < world.ledger.height
    assert root != world.ledger.exec_root
    again = world.ledger.exec_root
    survey_all(take_snapshot(world.ledger.books))
    assert world.ledger.exec_root == again


def test_the_order_of_gathering_does_not_matter(world: Goods) -> None:
    """Loans and subjects can be added from either end."""
    lend(world, partner_ppm=250_000)
    lend(world, "bob", amount=250_000)
    world.pass_days(50)
    there, back, books = survey(world), Survey(), world.ledger.books
    for _, exposure in reversed(list(books.state.items(EXPOSURES))):
        back.add_subject(books, exposure)
    for loan_id, _ in reversed(list(books.state.items(LOANS))):
        back.add_loan(books, ObjectId(loan_id))
    assert read(there.total.by_bucket) == read(back.total.by_bucket)
    assert there.calculate_lender_shares() == back.calculate_lender_shares()
    assert there.calculate_lender_concentration() == back.calculate_lender_concentration()


def test_the_books_own_debt_is_what_is_counted(world: Goods) -> None:
    """A guarantor's weight counts against the cap as it does at acceptance."""
    lend(world, amount=200_000)
    state = world.ledger.books.state
    rows = [row for _, row in state.items(EXPOSURES)]
    found = survey(world)
    assert sum(step.principal for step in found.debt_by_cap_step) == sum(
        calculate_debt(world.ledger.books, row) for row in rows
    )
    assert sum(len(find_lenders(world.ledger.books, row)) > 1 for row in rows) == found.owe_several.loans
