"""A settlement agent pays a loan out in fiat: reserved meanwhile, begun on the day of pay-out, or as if never made."""

from typing import Any

import msgspec
import pytest

from protocol.crypto import calculate_hash
from protocol.ids import ZERO_DIGEST, ObjectId
from protocol.ledger import execute
from protocol.ledger.execute import Ledger
from protocol.ledger.funding import calculate_funding_end
from protocol.ledger.invariants import find_violations
from protocol.ledger.journal import Book, read_balance, read_cash
from protocol.ledger.offers import is_apr_within_from
from protocol.ledger.records import Disbursed
from protocol.ledger.rows import Pool
from protocol.ledger.state import ACCOUNTS, BUDGETS, CONTRACTS, EXPOSURES, LOANS, OFFERS, POOLS, QUEUE
from protocol.loans.apr import calculate_apr_effective_ppm
from protocol.loans.lifecycle import LoanState
from protocol.loans.terms import ExcessRule
from protocol.money import Amount, Ppm
from protocol.rejections import Rejection
from protocol.transactions.lending import Accept, OfferPost
from protocol.transactions.servicing import LoanSettle, Pay, SettleOutcome
from tests.protocol.ledger.world import CNY, DAY_MS, World, change, refused

NOTHING = ObjectId(ZERO_DIGEST)
PRINCIPAL, FEE = 800_000, 4_000


class Till:
    """Ann has taken Harbour's offer of 800,000 and waits for the agent's transfer."""

    def __init__(self, **terms: Any) -> None:
        self.world = World()
        self.product = self.world.found_lender("harbour", attestations_min=1, **terms)
        self.world.open_account("ann")
        self.offer = self.world.offer("ann")[0]
        self.references = 0

    def accept(self, agent: str = "agent") -> Rejection | None:
        """Ann asks the agent to pay out."""
        row = self.world.ledger.books.state.need(OFFERS, self.offer)
        payload = Accept(offer=self.offer, terms_hash=row.terms_hash, agent=self.world.account(agent))
        rejection = refused(self.world, "ann", payload)
        self.loan = self.world.made("loan", "ann")
        return rejection

    def settle(
        self, outcome: SettleOutcome = SettleOutcome.DISBURSED, *, who: str = "agent", reference: str | None = None
    ) -> Rejection | None:
        """The agent speaks, with a fresh reference."""
        self.references += 1
        name = reference or f"transfer {self.references}"
        payload = LoanSettle(loan=self.loan, outcome=outcome, ext_ref=calculate_hash("ref", name.encode()))
        return refused(self.world, who, payload)

    @property
    def pool(self) -> Pool:
        """Harbour's pool."""
        return next(one for _, one in self.world.ledger.books.state.items(POOLS))

    def figures(self) -> tuple[int, int, int]:
        """Cash, principal and reserve of the pool."""
        return self.pool.cash, self.pool.principal, self.pool.reserved

    def read(self) -> Any:
        """The loan."""
        return self.world.ledger.books.state.need(LOANS, self.loan)

    def owed(self) -> tuple[int, int]:
        """Ann's principal open and number of open loans."""
        tag = self.world.ledger.books.state.need(ACCOUNTS, self.world.account("ann")).subject_tag
        exposure = self.world.ledger.books.state.need(EXPOSURES, tag)
        return exposure.principal_open, len(exposure.loans)


def fiat(world: World) -> int:
    """What the agent holds."""
    return read_balance(world.ledger.books.state, world.account("agent"), Book.FIAT, CNY)


def test_the_money_waits_and_goes_out_of_the_agents_fiat() -> None:
    """Reserved at acceptance; paid: the agent holds 796,000 less, the borrower's cash on the ledger is untouched."""
    till = Till()
    assert till.accept() is None
    assert till.read().state is LoanState.FUNDED
    assert till.figures() == (10_000_000, 0, PRINCIPAL)
    assert till.owed() == (PRINCIPAL, 1)
    held = fiat(till.world)
    assert till.settle() is None
    assert till.figures() == (10_000_000 - PRINCIPAL + FEE, PRINCIPAL, FEE)
    assert fiat(till.world) == held - (PRINCIPAL - FEE)
    assert read_cash(till.world.ledger.books.state, till.world.account("ann"), CNY) == 0
    assert till.read().state is LoanState.ACTIVE
    assert till.world.execution is not None
    (fact,) = till.world.execution.receipts[0].outcome
    assert fact == Disbursed(loan=till.loan, principal=Amount(PRINCIPAL), proceeds=Amount(PRINCIPAL - FEE))
    ledger = till.world.ledger
    again = Ledger.from_rows(till.world.genesis, list(ledger.rows()), height=ledger.height, exec_root=ledger.exec_root)
    assert again.state_root == ledger.state_root


def test_interest_runs_from_the_agents_day_and_so_do_the_days_to_withdraw() -> None:
    """Paid on the third day, the first instalment bears 4 of 7 days' interest: 800,000 at 7.2 %/52 is 1,108; 633."""
    till = Till()
    assert till.accept() is None
    till.world.pass_days(3)
    assert till.settle() is None
    contract = till.world.ledger.books.state.need(CONTRACTS, till.loan)
    today = till.world.ledger.books.calculate_day(480)
    assert (contract.disbursed_on, contract.disclosure.schedule.start) == (today, today - 3)
    first, *rest = till.read().rows
    signed = contract.disclosure.instalments
    assert (signed[0].interest_due, first.interest_due) == (1_108, 633)
    assert [row.interest_due for row in rest] == [one.interest_due for one in signed[1:]]
    till.world.mint("ann", 900_000)
    till.world.pass_days(3)
    assert refused(till.world, "ann", Pay(loan=till.loan, amount=Amount(900_000), excess=ExcessRule.LAST)) is None
    assert till.read().state is LoanState.WITHDRAWN


@pytest.mark.parametrize("timeout", [False, True])
def test_a_loan_that_nobody_paid_out_leaves_nothing_behind(timeout: bool) -> None:
    """Failed or too late: no debt, no reserve, no budget used, nothing scheduled; and Ann may borrow again."""
    till = Till()
    state = till.world.ledger.books.state
    assert till.accept() is None
    assert state.need(BUDGETS, till.product).used == PRINCIPAL
    if timeout:
        till.world.pass_days(3)
        assert till.read().state is LoanState.FUNDED
        till.world.pass_days(1)
    else:
        assert till.settle(SettleOutcome.FAILED) is None
    assert find_violations(till.world.ledger) == {}
    loan = till.read()
    assert (loan.state, loan.principal_out, sum(row.unpaid for row in loan.rows)) == (LoanState.CANCELLED, 0, 0)
    assert till.figures() == (10_000_000, 0, 0)
    assert till.pool.loans_open == 0
    assert till.owed() == (0, 0)
    budget = state.need(BUDGETS, till.product)
    assert (budget.used, budget.loans) == (0, 0)
    assert state.count(QUEUE) == 0
    assert till.settle() is Rejection.LOAN_CLOSED
    pay = Pay(loan=till.loan, amount=Amount(1), excess=ExcessRule.LAST)
    assert refused(till.world, "ann", pay) is Rejection.LOAN_CLOSED
    till.world.borrow("ann")
    assert find_violations(till.world.ledger) == {}


def test_what_the_agent_says_is_checked() -> None:
    """A fresh reference, fiat it holds, a loan of its own that waits, in time."""
    till = Till()
    assert till.accept() is None
    till.world.mint("ann", 1, "used")
    assert till.settle(reference="used") is Rejection.REFERENCE_USED
    loan, till.loan = till.loan, NOTHING
    assert till.settle() is Rejection.LOAN_UNKNOWN
    till.loan = loan
    assert till.settle(who="harbour") is Rejection.AGENT_FUNDS_SHORT
    assert till.settle(SettleOutcome.FAILED, who="harbour") is Rejection.LOAN_NOT_YOURS
    assert till.settle() is None
    assert till.settle() is Rejection.LOAN_STATE
    assert till.settle(SettleOutcome.FAILED) is Rejection.LOAN_STATE


def test_once_its_time_is_over_the_agent_is_too_late_though_the_event_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """A day-roll that is carried over lengthens nobody's time."""
    till = Till()
    assert till.accept() is None
    monkeypatch.setattr(execute, "DAY_EVENTS_PER_BLOCK_MAX", 0)
    till.world.pass_days(4)
    assert till.settle() is Rejection.LOAN_STATE
    monkeypatch.undo()
    till.world.block()
    assert till.read().state is LoanState.CANCELLED


def test_what_becomes_of_the_borrower_meanwhile_changes_nothing() -> None:
    """Frozen, her credential over: the contract stands, and the agent's word is taken."""
    till = Till()
    assert till.accept() is None
    change(till.world, ACCOUNTS, till.world.account("ann"), frozen=True, expires_on=till.world.today)
    assert till.settle() is None
    assert till.read().state is LoanState.ACTIVE


def test_an_agent_is_one() -> None:
    """Nobody, a lender, a frozen agent: none of them can pay out."""
    till = Till()
    assert till.accept("nobody") is Rejection.AGENT_UNFIT
    assert till.accept("harbour") is Rejection.AGENT_UNFIT
    change(till.world, ACCOUNTS, till.world.account("agent"), frozen=True)
    assert till.accept() is Rejection.AGENT_UNFIT
    change(till.world, ACCOUNTS, till.world.account("agent"), frozen=False)
    assert till.accept() is None


def test_the_rate_is_lawful_on_every_day_the_agent_may_take() -> None:
    """A fee over a shorter time: what is lawful today is refused where the agent's last day would pass the cap."""
    till = Till(origination_fee_ppm=Ppm(20_000))
    books = till.world.ledger.books
    disclosure = books.state.need(OFFERS, till.offer).disclosure
    cap = books.policy
    books.policy = msgspec.structs.replace(cap, apr_cap_ppm=disclosure.apr_ppm)
    row = books.state.need(OFFERS, till.offer)
    by_agent = Accept(offer=till.offer, terms_hash=row.terms_hash, agent=till.world.account("agent"))
    assert till.world.do("ann", by_agent).rejection is Rejection.RATE_TOO_HIGH
    last = calculate_funding_end(books, disclosure)
    assert last == disclosure.schedule.start + 4
    first = disclosure.instalments[0].interest_due
    payments = [(one.due_on, one.total_due) for one in disclosure.instalments]
    dearest = calculate_apr_effective_ppm([(last, disclosure.net_proceeds)], payments)
    assert dearest is not None
    assert dearest > disclosure.apr_ppm
    assert is_apr_within_from(disclosure, last, first, dearest)
    assert not is_apr_within_from(disclosure, last, first, dearest - 1)
    books.policy = msgspec.structs.replace(cap, apr_cap_ppm=Ppm(dearest))
    assert till.world.do("ann", by_agent).rejection is None
    books.policy = cap


def test_without_an_agent_the_rate_of_today_counts() -> None:
    """The same offer under the same cap is taken on the ledger; after the policy fell below its rate it is not."""
    for cap, code in ((0, None), (-1, Rejection.RATE_TOO_HIGH)):
        till = Till(origination_fee_ppm=Ppm(20_000))
        books = till.world.ledger.books
        apr_ppm = books.state.need(OFFERS, till.offer).disclosure.apr_ppm
        books.policy = msgspec.structs.replace(books.policy, apr_cap_ppm=Ppm(apr_ppm + cap))
        assert till.world.accept("ann", till.offer).rejection is code


def test_the_agents_days_end_before_a_first_instalment_can_be_due() -> None:
    """Accepted on the sixth of seven days, there is one day left."""
    till = Till(offer_days=6)
    till.world.pass_days(6)
    assert till.accept() is None
    till.world.block(ms=DAY_MS)
    assert till.read().state is LoanState.CANCELLED
    assert find_violations(till.world.ledger) == {}


def test_an_officers_offer_goes_the_same_way_without_a_budget() -> None:
    """Reserved by the offer, then for the agent, then free again."""
    till = Till()
    world = till.world
    application = world.apply("ann")
    world.attest(application, "ann", lenders=("plum",))
    payload = OfferPost(
        application=application,
        product=till.product,
        principal=Amount(500_000),
        instalments=12,
        rate_ppm=Ppm(80_000),
    )
    world.must("harbour", payload)
    till.offer = world.made("offer", "harbour")
    assert till.figures() == (10_000_000, 0, 500_000)
    assert till.accept() is None
    assert till.figures() == (10_000_000, 0, 500_000)
    assert till.settle(SettleOutcome.FAILED) is None
    assert till.figures() == (10_000_000, 0, 0)
    assert world.ledger.books.state.need(BUDGETS, till.product).used == 0


def test_promised_money_is_not_lent_twice() -> None:
    """What waits for the agent is no liquidity for others."""
    till = Till(cash=1_000_000)
    world = till.world
    world.open_account("bob")
    offer = world.offer("bob", amount=400_000)[0]
    assert till.accept() is None
    assert world.accept("bob", offer).rejection is Rejection.LIQUIDITY_SHORT
    assert till.settle(SettleOutcome.FAILED) is None
    assert world.accept("bob", offer).rejection is None
    assert find_violations(world.ledger) == {}
