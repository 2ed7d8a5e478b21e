"""Corrections by hand-computed figures: waivers, refunds, costs of recovery, and fiat that a bank took back."""

import msgspec
import pytest

from protocol.crypto import calculate_hash
from protocol.ids import ObjectId
from protocol.ledger.journal import Book, calculate_balance_key
from protocol.ledger.state import BALANCES, LOANS, PAYMENTS, POOLS, REFERENCES
from protocol.loans.delinquency import DelinquencyBucket
from protocol.loans.lifecycle import LoanState
from protocol.loans.terms import ExcessRule
from protocol.money import Amount, Ppm
from protocol.rejections import Rejection
from protocol.transactions.servicing import AdjustKind
from tests.protocol.ledger.changes import adjust, bring, lawful_do, pay, payoff, refusal, transfer
from tests.protocol.ledger.goods import Goods, lawful
from tests.protocol.ledger.troubled import lend, lend_and_default, set_pool
from tests.protocol.ledger.world import CNY, change

R = Rejection
WAIVE, REFUND, COST, REVERSAL = AdjustKind.WAIVE, AdjustKind.REFUND, AdjustKind.COST, AdjustKind.REVERSAL


def total(loan_id: ObjectId, world: Goods, part: str) -> int:
    """A part of all rows."""
    return sum(getattr(row, part) for row in world.loan(loan_id).rows)


# ---------------------------------------------------------------------- waivers


def test_a_waiver_takes_the_oldest_unpaid_charges_and_moves_no_money() -> None:
    """Row 1, ten days late, owes a late fee of 2,000, late interest and interest: they go in this order."""
    with lawful() as world:
        loan = lend(world)
        world.pass_days(17)
        before, cash, pool = bring(world, loan), world.cash("ann"), world.pool("harbour")
        first = before.rows[0]
        late = first.penalty_due - 2_000
        # Ten days on the first row's 49,620 and three on the second's 49,689, at 6 % a year, simple.
        assert [row.principal_due for row in before.rows[:2]] == [49_620, 49_689]
        assert late == (49_620 * 10 + 49_689 * 3) * 6 // (100 * 365) == 106
        lawful_do(world, "harbour", adjust(loan, WAIVE, first.penalty_due + 5))
        after = world.loan(loan)
        assert (after.rows[0].penalty_due, after.rows[0].interest_due) == (0, first.interest_due - 5)
        assert after.rows[1:] == before.rows[1:]
        assert (world.cash("ann"), world.pool("harbour")) == (cash, pool)
        assert world.last("charges_waived").data["penalty"] == first.penalty_due


def test_what_was_waived_is_not_charged_again() -> None:
    """The next day adds that day's late interest alone, and no second late fee."""
    with lawful() as world:
        loan = lend(world)
        world.pass_days(14)
        penalty = bring(world, loan).rows[0].penalty_due
        lawful_do(world, "harbour", adjust(loan, WAIVE, penalty))
        world.pass_days(1)
        today = bring(world, loan)
        assert today.rows[0].penalty_due == today.late_charged - (penalty - 2_000)
        assert today.fees_charged[0] == 1


def test_planned_interest_of_rows_ahead_cannot_be_waived() -> None:
    """On a day on which nothing is due there is nothing to give up."""
    with lawful() as world:
        loan = lend(world)
        world.pass_days(3)
        assert refusal(world, "harbour", adjust(loan, WAIVE, 1)) is R.ADJUST_TOO_MUCH


def test_a_waiver_of_the_last_charge_ends_the_loan() -> None:
    """All principal and interest paid, a late fee left: with it the loan is repaid, and its pool is free of it."""
    with lawful() as world:
        loan = lend(world)
        world.pass_days(86)
        owed = bring(world, loan).rows[-1].penalty_due
        pay(world, "ann", loan, payoff(world, loan) - owed)
        assert (world.loan(loan).state, world.loan(loan).principal_out) == (LoanState.ACTIVE, 0)
        lawful_do(world, "harbour", adjust(loan, WAIVE, owed))
        assert world.loan(loan).state is LoanState.REPAID
        assert (world.pool("harbour").loans_open, world.pool("harbour").haircut) == (0, 0)


def test_a_waiver_can_make_a_late_loan_current() -> None:
    """What is left unpaid is no more than the policy calls material: it is announced as current."""
    with lawful() as world:
        loan = lend(world)
        world.pass_days(9)
        row = bring(world, loan).rows[0]
        pay(world, "ann", loan, row.principal_due + row.interest_due)
        assert world.loan(loan).bucket is DelinquencyBucket.TO_7
        lawful_do(world, "harbour", adjust(loan, WAIVE, row.penalty_due))
        assert world.loan(loan).bucket is DelinquencyBucket.CURRENT
        assert world.last("loan_current").data["loan"] == loan.hex()


def test_charges_of_a_claim_are_waived_until_it_is_recovered() -> None:
    """Of a defaulted loan all unpaid interest and penalties may go; with the principal paid it is recovered."""
    with lawful() as world:
        loan = lend_and_default(world)
        claim = world.loan(loan)
        charges = sum(row.unpaid - row.principal_unpaid for row in claim.rows)
        pay(world, "ann", loan, 600_000)
        assert refusal(world, "harbour", adjust(loan, WAIVE, charges + 1)) is R.ADJUST_TOO_MUCH
        lawful_do(world, "harbour", adjust(loan, WAIVE, charges))
        assert world.loan(loan).state is LoanState.RECOVERED


# ---------------------------------------------------------------------- refunds


def test_a_refund_gives_back_the_oldest_charges_from_the_pools_cash() -> None:
    """Two thirds Harbour's, a third Jade's: each gives its share back, the borrower has the money, rows shrink."""
    with lawful() as world:
        loan = lend(world, partner_ppm=333_333)
        for _ in range(2):
            world.pass_days(7)
            pay(world, "ann", loan, bring(world, loan).rows[0].unpaid or bring(world, loan).rows[1].unpaid)
        interest = total(loan, world, "interest_paid")
        first = world.loan(loan).rows[0].interest_paid
        cash = (world.cash("ann"), world.pool("harbour").cash, world.pool("jade").cash)
        lawful_do(world, "harbour", adjust(loan, REFUND, first + 10))
        jade = interest * 333_333 // 1_000_000 - (interest - first - 10) * 333_333 // 1_000_000
        assert world.cash("ann") == cash[0] + first + 10
        assert (world.pool("harbour").cash, world.pool("jade").cash) == (
            cash[1] - (first + 10 - jade),
            cash[2] - jade,
        )
        rows = world.loan(loan).rows
        assert (rows[0].interest_due, rows[0].interest_paid) == (0, 0)
        assert rows[1].interest_due == rows[1].interest_paid
        assert world.loan(loan).paid[1] == interest - first - 10
        assert world.last("charges_refunded").data["interest"] == first + 10


def test_a_lender_gives_its_management_fee_of_refunded_interest_back() -> None:
    """A tenth of the interest was the lender's: once it has spent that, it cannot order a refund."""
    with lawful() as world:
        set_pool(world, fee=100_000)
        loan = lend(world)
        world.pass_days(7)
        pay(world, "ann", loan, bring(world, loan).rows[0].unpaid)
        interest = world.loan(loan).rows[0].interest_paid
        fee = interest * 100_000 // 1_000_000
        assert world.cash("harbour") == fee
        pool = world.pool("harbour").cash
        lawful_do(world, "harbour", transfer(world, "bob", 1))
        assert refusal(world, "harbour", adjust(loan, REFUND, interest)) is R.FUNDS_SHORT
        lawful_do(world, "bob", transfer(world, "harbour", 1))
        lawful_do(world, "harbour", adjust(loan, REFUND, interest))
        assert world.cash("harbour") == 0
        assert world.pool("harbour").cash == pool - (interest - fee)


def test_refunds_come_from_cash_that_is_promised_to_nobody() -> None:
    """Once the pool has lent its cash on, the lender has nothing to give back."""
    with lawful() as world:
        loan = lend(world)
        world.pass_days(7)
        pay(world, "ann", loan, bring(world, loan).rows[0].unpaid)
        refund = adjust(loan, REFUND, 100)
        pool = world.pool_id("harbour")
        change(world, POOLS, pool, reserved=Amount(world.pool("harbour").cash - 99))
        assert world.do("harbour", refund).rejection is R.LIQUIDITY_SHORT
        change(world, POOLS, pool, reserved=Amount(0))
        lawful_do(world, "harbour", refund)


def test_interest_of_the_running_row_cannot_be_refunded() -> None:
    """It would only be earned again: what was paid of it early follows from the principal."""
    with lawful() as world:
        loan = lend(world)
        world.pass_days(10)
        pay(world, "ann", loan, bring(world, loan).rows[0].unpaid + 100_000)
        today = world.loan(loan)
        assert today.rows[1].interest_paid > 0
        limit = today.rows[0].interest_paid + today.rows[0].penalty_paid
        assert refusal(world, "harbour", adjust(loan, REFUND, limit + 1)) is R.ADJUST_TOO_MUCH
        lawful_do(world, "harbour", adjust(loan, REFUND, limit))


# ---------------------------------------------------------------------- costs of recovery


def test_costs_stay_within_the_policys_share_of_the_claim_and_come_first() -> None:
    """A tenth of what is unpaid, over all statements together, even after earlier ones were recovered."""
    with lawful() as world:
        loan = lend_and_default(world)
        claim = sum(row.unpaid for row in world.loan(loan).rows)
        most = claim // 10
        assert refusal(world, "harbour", adjust(loan, COST, most + 1)) is R.ADJUST_TOO_MUCH
        lawful_do(world, "harbour", adjust(loan, COST, most))
        pay(world, "ann", loan, most)
        assert (world.cash("harbour"), world.loan(loan).costs) == (most, 0)
        assert refusal(world, "harbour", adjust(loan, COST, 1)) is R.ADJUST_TOO_MUCH
        assert world.last("costs_stated").data["amount"] == most


def test_a_running_loan_has_no_costs_of_recovery() -> None:
    """They are a claim's."""
    with lawful() as world:
        loan = lend(world)
        assert refusal(world, "harbour", adjust(loan, COST, 1)) is R.LOAN_STATE


# ---------------------------------------------------------------------- reversals


def reverse(world: Goods, loan_id: ObjectId, payment: int, amount: int, name: str = "chargeback") -> Rejection | None:
    """The agent's bank took a receipt back."""
    payload = adjust(loan_id, REVERSAL, amount, payment=payment, reference=calculate_hash("ref", name.encode()))
    return refusal(world, "agent", payload)


@pytest.mark.parametrize("partner_ppm", [0, 333_333])
def test_a_reversed_payment_leaves_the_books_as_before_it(partner_ppm: int) -> None:
    """On the same day rows, pools and exposure are what they were, and the agent holds that much less fiat."""
    with lawful() as world:
        loan = lend(world, partner_ppm=partner_ppm)
        world.pass_days(10)
        pay(world, "ann", loan, 1)
        before = {
            "loan": world.loan(loan),
            "pools": (world.pool("harbour"), world.pool("jade")),
            "fiat": world.book(world.account("agent"), Book.FIAT),
        }
        pay(world, "ann", loan, 123_456)
        assert reverse(world, loan, 1, 123_456) is None
        after = msgspec.structs.replace(
            world.loan(loan), payments=1, ahead_stale=before["loan"].ahead_stale, due_ms=before["loan"].due_ms
        )
        assert after.rows[0] == before["loan"].rows[0]
        assert after.paid == before["loan"].paid
        assert after.holdings == before["loan"].holdings
        assert (world.pool("harbour"), world.pool("jade")) == before["pools"]
        assert world.book(world.account("agent"), Book.FIAT) == before["fiat"]
        assert after.bucket is before["loan"].bucket
        assert world.last("payment_reversed").data["amount"] == 123_456


def test_payments_are_reversed_from_the_last_one_backwards() -> None:
    """The second first; each is known by its number and its whole amount, and a reference counts once."""
    with lawful() as world:
        loan = lend(world)
        world.pass_days(8)
        pay(world, "ann", loan, 10_000)
        pay(world, "ann", loan, 20_000)
        assert reverse(world, loan, 0, 10_000) is R.PAYMENT_UNKNOWN
        assert reverse(world, loan, 1, 19_999) is R.PAYMENT_UNKNOWN
        assert reverse(world, loan, 1, 20_000) is None
        assert reverse(world, loan, 0, 10_000) is R.REFERENCE_USED
        assert reverse(world, loan, 0, 10_000, "another") is None
        assert world.ledger.books.state.get(PAYMENTS, loan) is None
        assert reverse(world, loan, 0, 10_000, "a third") is R.PAYMENT_UNKNOWN


def test_a_receipt_can_be_reversed_within_the_policys_days_only() -> None:
    """On the tenth day it can, on the eleventh it cannot."""
    with lawful() as world:
        loan = lend(world)
        world.pass_days(8)
        pay(world, "ann", loan, 10_000)
        world.pass_days(10)
        assert reverse(world, loan, 0, 9_999) is R.PAYMENT_UNKNOWN
        world.pass_days(1)
        assert reverse(world, loan, 0, 10_000) is R.REVERSAL_LATE


def test_a_repaid_loan_runs_again_with_its_pledge_and_its_exposure() -> None:
    """Five days later rows that fell due meanwhile are late; for the days between no interest is charged."""
    with lawful() as world:
        car = world.register("ann")
        loan = world.secured("ann", car)
        world.pass_days(5)
        amount = payoff(world, loan)
        pay(world, "ann", loan, amount)
        assert (world.loan(loan).state, world.asset(car).lien) == (LoanState.REPAID, None)
        paid = world.loan(loan).rows[0].interest_due
        world.pass_days(5)
        assert reverse(world, loan, 0, amount) is None
        again = world.loan(loan)
        assert (again.state, again.closed_ms, again.principal_out) == (LoanState.ACTIVE, None, 600_000)
        assert world.asset(car).lien == loan
        assert world.pool("harbour").loans_open == 1
        # The first row fell due with the five days' interest alone; it is three days late now.
        assert again.rows[0].interest_due == paid
        assert (again.bucket, again.days_past_due_max) == (DelinquencyBucket.TO_7, 3)
        pay(world, "ann", loan, payoff(world, loan))
        assert world.loan(loan).state is LoanState.REPAID


def test_a_pledge_that_secures_another_loan_meanwhile_keeps_the_first_one_closed() -> None:
    """Its lender trusted the free register."""
    with lawful() as world:
        car = world.register("ann")
        loan = world.secured("ann", car)
        world.pass_days(5)
        amount = payoff(world, loan)
        pay(world, "ann", loan, amount)
        other = world.secured("ann", car, lender="jade")
        assert reverse(world, loan, 0, amount) is R.ASSET_LIENED
        assert world.asset(car).lien == other


def test_a_fee_for_paying_early_goes_with_the_payment_that_made_it() -> None:
    """Charged, half waived, then the payment is reversed: nothing of the fee is left."""
    with lawful() as world:
        loan = lend(world, prepayment_fee_ppm=Ppm(10_000))
        world.pass_days(8)
        due = bring(world, loan).rows[0].unpaid
        pay(world, "ann", loan, due)
        pay(world, "ann", loan, 200_000)
        fee = world.loan(loan).rows[1].penalty_due
        assert fee > 0
        lawful_do(world, "harbour", adjust(loan, WAIVE, 10))
        assert reverse(world, loan, 1, 200_000) is None
        assert world.loan(loan).rows[1].penalty_due == 0
        assert world.loan(loan).prepaid == (0, 0, 0)


def test_what_else_changed_the_rows_ends_reversals() -> None:
    """A refund after the payment: what was taken cannot be told from what was given back."""
    with lawful() as world:
        loan = lend(world)
        world.pass_days(7)
        amount = bring(world, loan).rows[0].unpaid
        pay(world, "ann", loan, amount)
        lawful_do(world, "harbour", adjust(loan, REFUND, 1))
        assert reverse(world, loan, 0, amount) is R.PAYMENT_UNKNOWN


def test_only_so_many_payments_are_kept() -> None:
    """The ninth pushes the first out."""
    with lawful() as world:
        loan = lend(world)
        world.pass_days(7)
        for _ in range(9):
            pay(world, "ann", loan, 1_000)
        row = world.ledger.books.state.need(PAYMENTS, loan)
        assert [one.number for one in row.taken] == [1, 2, 3, 4, 5, 6, 7, 8]


def test_leases_lines_and_revenue_shares_keep_what_was_paid() -> None:
    """Their payments move more than rows, so none is recorded."""
    with lawful() as world:
        loan = world.lease()
        world.pay_row("ann", loan, 1)
        assert world.ledger.books.state.get(PAYMENTS, loan) is None


def test_an_agent_that_holds_less_fiat_cannot_reverse() -> None:
    """What it says its bank took back, it never had."""
    with lawful() as world:
        loan = lend(world)
        world.pass_days(7)
        pay(world, "ann", loan, 50_000)
        key = calculate_balance_key(world.account("agent"), Book.FIAT, CNY)
        state = world.ledger.books.state
        held = state.need(BALANCES, key)
        state.put(BALANCES, key, 49_999)
        state.keep()
        payload = adjust(loan, REVERSAL, 50_000)
        assert world.do("agent", payload).rejection is R.AGENT_FUNDS_SHORT
        state.put(BALANCES, key, held)
        state.keep()


def test_a_reversal_that_would_pass_the_cap_on_debt_is_refused() -> None:
    """She borrowed up to the cap after she had paid: the agent bears what it credited too soon."""
    with lawful(debt_cap=Amount(700_000)) as world:
        loan = lend(world)
        world.pass_days(7)
        amount = bring(world, loan).rows[0].unpaid + 100_000
        pay(world, "ann", loan, amount)
        second = lend(world, amount=200_000)
        assert reverse(world, loan, 0, amount) is R.CAP_DEBT
        pay(world, "ann", second, 110_000)
        assert reverse(world, loan, 0, amount) is None


def test_a_loan_that_is_repaid_within_the_cooling_off_days_is_no_loan_to_reopen() -> None:
    """It was withdrawn from, which is final."""
    with lawful() as world:
        loan = lend(world)
        amount = payoff(world, loan)
        pay(world, "ann", loan, amount)
        assert world.loan(loan).state is LoanState.WITHDRAWN
        assert reverse(world, loan, 0, amount) is R.LOAN_CLOSED


def test_a_guarantor_stands_in_again_for_a_reopened_loan() -> None:
    """Exposure of the guarantor is recomputed by the laws."""
    with lawful() as world:
        offer = world.ask("ann", world.products["harbour"], guarantors=(world.account("bob"),))
        assert world.take("ann", offer, cosigners=("bob",)).rejection is None
        loan = world.made("loan", "ann")
        world.pass_days(5)
        amount = payoff(world, loan)
        pay(world, "bob", loan, amount)
        assert reverse(world, loan, 0, amount) is None
        assert world.loan(loan).state is LoanState.ACTIVE


def test_the_next_way_of_paying_is_not_disturbed() -> None:
    """After a reversal money falls on the rows as before it."""
    with lawful() as world:
        loan = lend(world)
        world.pass_days(9)
        world.mint("ann", 300_000)
        for excess in ExcessRule:
            before = world.loan(loan)
            world.pay("ann", loan, 100_000, excess)
            number = before.payments
            assert reverse(world, loan, number, 100_000, str(number)) is None
            world.mint("ann", 100_000)
        assert bring(world, loan).principal_out == 600_000
        assert world.ledger.books.state.get(REFERENCES, world.account("agent") + bytes(32)) is None
        assert world.ledger.books.state.need(LOANS, loan).payments == 3
