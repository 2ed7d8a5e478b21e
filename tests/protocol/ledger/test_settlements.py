"""Settlements by hand-computed figures: a loan or claim that ends for less than is owed."""

import pytest

from protocol.ledger.journal import Book
from protocol.ledger.records import Repaid
from protocol.ledger.state import ACCOUNTS
from protocol.loans.lifecycle import LoanState
from protocol.money import Amount, Ppm
from protocol.rejections import Rejection
from protocol.transactions.servicing import DistressKind
from tests.protocol.ledger.changes import (
    amend,
    answer,
    bring,
    late_loan,
    lawful_do,
    owed,
    payoff,
    proposal,
    refusal,
)
from tests.protocol.ledger.goods import lawful
from tests.protocol.ledger.troubled import distress, give_cover, lend, lend_and_default, set_pool
from tests.protocol.ledger.world import change

R = Rejection


def test_a_running_loan_is_settled_for_less_on_acceptance() -> None:
    """400,000 falls like a payment, the rest of the principal is the pools' loss, and the loan is over."""
    with lawful() as world:
        loan = late_loan(world, partner_ppm=333_333)
        world.mint("ann", 400_000)
        cash, due = world.cash("ann"), bring(world, loan)
        lawful_do(world, "ann", proposal(loan, settle=Amount(400_000)))
        receipt = lawful_do(world, "harbour", answer(world, world.made("amendment", "ann")), cosigners=("jade",))
        fact = receipt.outcome[0]
        assert isinstance(fact, Repaid)
        charges = sum(row.unpaid - row.principal_unpaid for row in due.rows if row.due_on <= due.accrual.as_of)
        assert fact.principal + fact.interest + fact.penalty == 400_000
        assert fact.interest + fact.penalty >= charges
        after = world.loan(loan)
        assert (after.state, after.principal_out, owed(world)) == (LoanState.SETTLED, 0, 0)
        assert after.forgiven == 600_000 - fact.principal
        assert world.cash("ann") == cash - 400_000
        losses = [world.book(world.pool_id(one), Book.LOSS) for one in ("harbour", "jade")]
        assert sum(losses) == after.forgiven
        assert losses[1] == 199_999 - (600_000 * 333_333 // 1_000_000 - after.forgiven * 333_333 // 1_000_000)
        assert world.last("loan_settled").data["principal_given_up"] == after.forgiven
        assert world.pool("harbour").loans_open == world.pool("harbour").haircut == 0


@pytest.mark.parametrize("written_off", [False, True])
def test_a_claim_is_settled_for_less(written_off: bool) -> None:
    """What comes in is a recovery, costs first; what is given up stays a loss, and cover does not get it back."""
    with lawful(writeoff_days=0) as world:
        give_cover(world, 60_000)
        set_pool(world, rate=100_000)
        loan = lend_and_default(world)
        if written_off:
            lawful_do(world, "harbour", distress(loan, DistressKind.WRITE_OFF))
        world.mint("ann", 100_000)
        lawful_do(world, "harbour", proposal(loan, settle=Amount(100_000)))
        lawful_do(world, "ann", answer(world, world.made("amendment", "harbour")))
        after = world.loan(loan)
        assert (after.state, after.principal_out, after.forgiven, owed(world)) == (LoanState.SETTLED, 0, 500_000, 0)
        assert world.book(world.pool_id("harbour"), Book.LOSS) == 540_000 - 100_000
        assert world.pool("harbour").cover == 0
        assert world.pool("harbour").loans_open == 0


def test_a_debt_can_be_forgiven_altogether() -> None:
    """Settled for nothing: no money moves."""
    with lawful() as world:
        loan = lend_and_default(world)
        cash = world.cash("ann")
        amend(world, proposal(loan, settle=Amount(0)))
        assert (world.loan(loan).state, world.cash("ann")) == (LoanState.SETTLED, cash)
        other = lend(world)
        world.pass_days(4)
        amend(world, proposal(other, settle=Amount(0)))
        assert world.loan(other).state is LoanState.SETTLED


def test_a_settled_loan_lets_its_pledge_go() -> None:
    """Like any end."""
    with lawful() as world:
        car = world.register("ann")
        loan = world.secured("ann", car)
        world.pass_days(4)
        amend(world, proposal(loan, settle=Amount(1)))
        assert world.asset(car).lien is None


def test_a_settlement_of_all_that_is_owed_is_none() -> None:
    """Who can pay all simply pays; a fee for paying early is never part of a settlement."""
    with lawful() as world:
        loan = lend(world, prepayment_fee_ppm=Ppm(10_000))
        world.pass_days(4)
        most = payoff(world, loan)
        fee = most - (bring(world, loan).principal_out + 600_000 * 4 * 72_000 // (364 * 1_000_000))
        assert fee > 0
        assert refusal(world, "ann", proposal(loan, settle=Amount(most))) is R.AMENDMENT_TERMS_INVALID
        assert refusal(world, "ann", proposal(loan, settle=Amount(most - fee + 1))) is R.AMENDMENT_TERMS_INVALID
        world.mint("ann", 600_000)
        amend(world, proposal(loan, settle=Amount(599_000)))
        assert world.loan(loan).paid[3] == 0


def test_a_frozen_borrower_may_settle_and_a_frozen_lender_may_give_nothing_up() -> None:
    """Freezing must not hold anybody in debt, nor let a lender forgive its friends."""
    with lawful() as world:
        loan = late_loan(world)
        change(world, ACCOUNTS, world.account("ann"), frozen=True)
        lawful_do(world, "ann", proposal(loan, settle=Amount(1_000)))
        change(world, ACCOUNTS, world.account("harbour"), frozen=True)
        given = answer(world, world.made("amendment", "ann"))
        assert refusal(world, "harbour", given) is R.ACCOUNT_FROZEN
        assert refusal(world, "harbour", proposal(loan)) is R.ACCOUNT_FROZEN
        change(world, ACCOUNTS, world.account("harbour"), frozen=False)
        lawful_do(world, "harbour", given)
