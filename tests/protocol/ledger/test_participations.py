"""Loans that several pools share: every unit has one owner, whatever the shares and whatever the loan's life."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from protocol.crypto import calculate_hash
from protocol.ids import ObjectId
from protocol.ledger.exposure import find_lenders
from protocol.ledger.invariants import find_violations
from protocol.ledger.journal import read_cash
from protocol.ledger.rows import Pool
from protocol.ledger.state import ACCOUNTS, EXPOSURES, LOANS, OFFERS, POOLS
from protocol.loans.lifecycle import LoanState
from protocol.loans.terms import ExcessRule
from protocol.money import PPM, Amount, Ppm
from protocol.rejections import Rejection
from protocol.transactions.lending import Accept
from protocol.transactions.pools import PoolDeposit, PoolOpen
from protocol.transactions.products import Partner
from protocol.transactions.servicing import LoanSettle, Pay, SettleOutcome
from tests.protocol.ledger.world import CNY, DAY_MS, LENDERS, World, change

OWNERS = ("jade", "plum", "jade", "plum")
"""Owners of up to four partner pools; one may have several."""


class Club:
    """Harbour leads; partners have the given shares, in the order of their pools' ids."""

    def __init__(
        self, shares: tuple[int, ...], *, fees: tuple[int, ...] = (), cash: int = 3_000_000, **terms: Any
    ) -> None:
        self.world = World()
        fees = fees or (0,) * (len(shares) + 1)
        self.lead = self.open_pool("harbour", fees[0], cash)
        opened = [self.open_pool(owner, fee, cash) for owner, fee in zip(OWNERS, fees[1:], strict=False)]
        self.partners = sorted(opened[: len(shares)])
        made = tuple(
            Partner(pool=pool, share_ppm=Ppm(share)) for pool, share in zip(self.partners, shares, strict=True)
        )
        payload = self.world.product(self.lead, attestations_min=1, partners=made, **terms)
        self.world.must("harbour", payload, cosigners=tuple(sorted({*OWNERS[: len(shares)]})))
        self.product = self.world.made("product", "harbour")
        self.world.open_account("ann")

    def open_pool(self, owner: str, fee_ppm: int, cash: int) -> ObjectId:
        """A pool with cash."""
        world = self.world
        world.mint(owner, cash, f"{owner}/{world.now_ms}")
        world.must(owner, PoolOpen(currency=CNY, borrower_max=Amount(5_000_000)))
        pool = world.made("pool", owner)
        change(world, POOLS, pool, fee_ppm=Ppm(fee_ppm))
        world.must(owner, PoolDeposit(pool=pool, amount=Amount(cash)))
        return pool

    def offer(self, amount: int = 800_000) -> ObjectId:
        """What the lead alone attested and decided."""
        application = self.world.apply("ann", amount=amount)
        (decided,) = self.world.attest(application, "ann", lenders=("harbour",))
        assert decided.offer is not None
        return decided.offer

    def pool(self, pool: ObjectId) -> Pool:
        """A pool's row."""
        return self.world.ledger.books.state.need(POOLS, pool)

    @property
    def pools(self) -> list[Pool]:
        """The lead's row, then the partners'."""
        return [self.pool(one) for one in (self.lead, *self.partners)]


def test_shares_of_principal_fee_and_interest_to_the_unit() -> None:
    """800,001 at 33.3333 % and 20 %: 266,666 and 160,000, rounded down; the rest of 373,335 is the lead's."""
    club = Club((333_333, 200_000), fees=(50_000, 100_000, 100_000))
    assert club.world.accept("ann", club.offer(800_001)).rejection is None
    loan_id = club.world.made("loan", "ann")
    assert [one.principal for one in club.pools] == [373_335, 266_666, 160_000]
    # The fee of 4,000 (floor of 4,000.005) in the same way: 1,333 and 800 to the partners, 1,867 to the lead.
    assert [one.cash - 3_000_000 + one.principal for one in club.pools] == [1_867, 1_333, 800]
    assert [one.reserved for one in club.pools] == [1_867, 1_333, 800]
    club.world.pass_days(7)
    first = club.world.ledger.books.state.need(LOANS, loan_id).rows[0]
    assert first.interest_due == 1_108
    before = club.pools
    club.world.mint("ann", first.unpaid)
    assert club.world.pay("ann", loan_id, first.unpaid).rejection is None
    back = [was.principal - now.principal for was, now in zip(before, club.pools, strict=True)]
    income = [now.cash - was.cash - part for was, now, part in zip(before, club.pools, back, strict=True)]
    # 1,108 of interest: 518 less a twentieth for Harbour itself, 369 and 221 less a tenth for the partners' lenders.
    assert income == [518 - 25, 369 - 36, 221 - 22]
    assert sum(back) == first.principal_due
    assert find_violations(club.world.ledger) == {}


@st.composite
def shares_of(draw: st.DrawFn) -> tuple[int, ...]:
    """One to four partners whose shares leave the lead something."""
    count = draw(st.integers(1, 4))
    cuts = sorted(draw(st.lists(st.integers(1, PPM - 1), min_size=count, max_size=count, unique=True)))
    return tuple(after - before for before, after in zip([0, *cuts[:-1]], cuts, strict=True))


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    shares=shares_of(),
    fees=st.lists(st.integers(0, 300_000), min_size=5, max_size=5),
    amount=st.integers(10_000, 1_400_000),
    steps=st.lists(
        st.tuples(
            st.integers(0, 60), st.one_of(st.integers(1, 300), st.integers(1, 900_000)), st.sampled_from(ExcessRule)
        ),
        min_size=1,
        max_size=8,
    ),
)
def test_every_law_holds_over_random_lives(
    shares: tuple[int, ...], fees: list[int], amount: int, steps: list[tuple[int, int, ExcessRule]]
) -> None:
    """Early, late, in dust or at once: parts sum to the whole, and every pool's money is where its books say."""
    club = Club(shares, fees=tuple(fees))
    world, state = club.world, club.world.ledger.books.state
    offer = club.offer(amount)
    assert world.accept("ann", offer).rejection is None
    loan_id = world.made("loan", "ann")
    parts = [one.share_ppm for one in state.need(LOANS, loan_id).holdings]
    assert parts == [PPM - sum(shares), *shares]
    for days, paid, excess in (*steps, (1, 3_000_000, ExcessRule.LAST)):
        world.block(ms=days * DAY_MS)
        world.mint("ann", paid)
        world.do("ann", Pay(loan=loan_id, amount=Amount(paid), excess=excess))
        assert find_violations(world.ledger) == {}
        out = state.need(LOANS, loan_id).principal_out
        above = [one.principal - out * share // PPM for one, share in zip(club.pools[1:], shares, strict=True)]
        # The rounding of those before may reach a partner: a unit of each at most.
        assert all(0 <= extra <= index for index, extra in enumerate(above))
    assert state.need(LOANS, loan_id).closed_ms is not None
    assert all((one.principal, one.reserved, one.loans_open) == (0, 0, 0) for one in club.pools)


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(shares=shares_of(), dust=st.lists(st.integers(1, 40), min_size=2, max_size=12), days=st.integers(1, 40))
def test_dust_adds_up_as_one_payment_would(shares: tuple[int, ...], dust: list[int], days: int) -> None:
    """Paid in parts on one day or at once: each pool, each lender's fee and the loan's holdings are the same."""
    ends = []
    for payments in ((sum(dust),), tuple(dust)):
        club = Club(shares, fees=(120_000, 80_000, 50_000, 10_000, 300_000))
        world = club.world
        assert world.accept("ann", club.offer()).rejection is None
        loan_id = world.made("loan", "ann")
        world.block(ms=days * DAY_MS)
        world.mint("ann", sum(dust))
        for amount in payments:
            assert world.pay("ann", loan_id, amount).rejection is None
        state = world.ledger.books.state
        cash = [read_cash(state, world.account(one), CNY) for one in LENDERS]
        ends.append((club.pools, cash, state.need(LOANS, loan_id).holdings))
    assert ends[0] == ends[1]


def test_one_unit_that_comes_back_is_one_partners_alone() -> None:
    """At 8.73 % and 17.48 % both floors of shares of the whole fall between 10,000 and 9,999: one unit is not two."""
    club = Club((87_300, 174_800))
    assert club.world.accept("ann", club.offer(10_000)).rejection is None
    loan, held = club.world.made("loan", "ann"), []
    for _ in range(3):
        held.append([one.principal for one in club.pools])
        club.world.mint("ann", 1)
        assert club.world.pay("ann", loan, 1).rejection is None
    assert held == [[7_379, 873, 1_748], [7_379, 872, 1_748], [7_379, 872, 1_747]]
    assert find_violations(club.world.ledger) == {}


def test_the_law_finds_a_unit_that_changed_hands() -> None:
    """One unit from a partner to the lead leaves every sum right, and is found."""
    club = Club((200_000, 200_000))
    assert club.world.accept("ann", club.offer()).rejection is None
    loan_id = club.world.made("loan", "ann")
    lead, first, second = club.world.ledger.books.state.need(LOANS, loan_id).holdings
    moved = (replace(lead, principal=lead.principal + 1), replace(first, principal=first.principal - 1), second)
    change(club.world, LOANS, loan_id, holdings=moved)
    assert "holdings" in find_violations(club.world.ledger)


def test_who_withdraws_gets_the_whole_fee_back_from_all_pools() -> None:
    """Each pool gives back the part it had, so all stand as before but for two days' interest."""
    club = Club((333_333, 200_000))
    assert club.world.accept("ann", club.offer(800_001)).rejection is None
    loan_id = club.world.made("loan", "ann")
    club.world.pass_days(2)
    club.world.mint("ann", 900_000)
    assert club.world.pay("ann", loan_id, 900_000).rejection is None
    assert club.world.ledger.books.state.need(LOANS, loan_id).state is LoanState.WITHDRAWN
    # 800,001 at 7.2 %/52 over 2 of 7 days are 316.48.
    assert sum(one.cash for one in club.pools) == 9_000_000 + 316
    assert [one.cash - 3_000_000 for one in club.pools[1:]] == [105, 63]
    assert find_violations(club.world.ledger) == {}


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"cash": Amount(159_999)}, Rejection.LIQUIDITY_SHORT),
        ({"borrower_max": Amount(159_999)}, Rejection.CAP_POOL),
        ({"cover_rate_ppm": Ppm(1)}, Rejection.COVER_LOW),
    ],
)
def test_each_partner_lends_within_its_own_means(changes: dict[str, Any], code: Rejection) -> None:
    """A partner short of cash, of room for this borrower or of cover stops the whole loan, whoever leads."""
    for index in (0, 1):
        club = Club((200_000, 200_000))
        offer = club.offer()
        change(club.world, POOLS, club.partners[index], **changes)
        assert club.world.accept("ann", offer).rejection is code


def test_the_caps_count_the_principal_once_and_the_lead_alone_as_lender() -> None:
    """Three organisations hold the loan, one services it: one lender, 800,000 of debt."""
    club = Club((200_000, 200_000))
    assert club.world.accept("ann", club.offer()).rejection is None
    books = club.world.ledger.books
    exposure = books.state.need(EXPOSURES, books.state.need(ACCOUNTS, club.world.account("ann")).subject_tag)
    assert exposure.principal_open == 800_000
    assert find_lenders(books, exposure) == (club.world.account("harbour"),)


def test_an_agent_pays_a_shared_loan_out_or_does_not() -> None:
    """Each pool reserves its share, and lets it go or lends it on the agent's word."""
    for outcome, held in ((SettleOutcome.DISBURSED, [2_400, 800, 800]), (SettleOutcome.FAILED, [0, 0, 0])):
        club = Club((200_000, 200_000))
        offer = club.offer()
        row = club.world.ledger.books.state.need(OFFERS, offer)
        agent = club.world.account("agent")
        club.world.must("ann", Accept(offer=offer, terms_hash=row.terms_hash, agent=agent))
        assert [one.reserved for one in club.pools] == [480_000, 160_000, 160_000]
        loan = club.world.made("loan", "ann")
        club.world.must("agent", LoanSettle(loan=loan, outcome=outcome, ext_ref=calculate_hash("wire")))
        assert [one.reserved for one in club.pools] == held
        assert find_violations(club.world.ledger) == {}
