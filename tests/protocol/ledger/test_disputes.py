"""Disputes: what they hold and for how long, who answers and decides, and what a remedy moves."""

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.ids import Day, ObjectId
from protocol.ledger.rows import Dispute
from protocol.ledger.servicing import calculate_loan_at
from protocol.ledger.state import ACCOUNTS, CONTRACTS, DISPUTES, LOANS
from protocol.loans.lifecycle import LoanState
from protocol.money import Amount, Ppm
from protocol.rejections import Rejection
from protocol.transactions.servicing import DisputeSide, DistressKind
from tests.protocol.ledger.changes import (
    assign,
    bring,
    contest,
    lawful_do,
    pay,
    payoff,
    refusal,
    reply,
    resolve,
    transfer,
)
from tests.protocol.ledger.goods import Goods, lawful
from tests.protocol.ledger.troubled import distress, lend, set_pool
from tests.protocol.ledger.world import DAY_MS, change

R = Rejection


def open_dispute(world: Goods, loan: ObjectId, amount: int, *, by: str = "ann") -> ObjectId:
    """Open one; returns it."""
    lawful_do(world, by, contest(loan, amount))
    return world.made("dispute", by)


def row(world: Goods, dispute: ObjectId) -> Dispute:
    """A dispute's row."""
    return world.ledger.books.state.need(DISPUTES, dispute)


# ---------------------------------------------------------------------- what is held, and for how long


def test_a_hold_keeps_late_charges_from_all_that_is_contested() -> None:
    """The whole first row is contested on its due day: for the hold nothing is charged, from its end on each day is."""
    with lawful(hold_days=10) as world:
        loan = lend(world, amount=600_000)
        world.pass_days(7)
        open_dispute(world, loan, 600_000)
        # Days 8 to 16 are held; day 17 is the first that is charged, and the late fees of both rows come with it.
        world.pass_days(9)
        assert sum(one.penalty_due for one in bring(world, loan).rows) == 0
        assert world.loan(loan).fees_charged == ()
        world.pass_days(1)
        today = world.loan(loan)
        assert today.late_days == today.rows[0].principal_due + today.rows[1].principal_due
        assert today.fees_charged == (1, 2)
        assert [one.data["row"] for one in world.events if one.kind == "late_fee_charged"] == [1, 2]


def test_a_hold_is_for_the_contested_amount_alone() -> None:
    """Of 49,620 overdue 20,000 are contested: late interest goes on for 29,620, and late fees wait."""
    with lawful(hold_days=30) as world:
        loan = lend(world)
        world.pass_days(7)
        open_dispute(world, loan, 20_000)
        world.pass_days(6)
        assert bring(world, loan).late_days == 6 * (49_620 - 20_000)
        world.pass_days(4)
        # The second row, 49,689, has been late for three days; nothing of it is contested.
        assert bring(world, loan).late_days == 10 * (49_620 - 20_000) + 3 * 49_689
        assert bring(world, loan).fees_charged == ()


def test_charges_of_the_days_before_stand() -> None:
    """A dispute opened ten days late holds what comes; what was charged is the arbiter's business."""
    with lawful() as world:
        loan = lend(world)
        world.pass_days(17)
        penalty = bring(world, loan).rows[0].penalty_due
        open_dispute(world, loan, 600_000)
        world.pass_days(20)
        assert bring(world, loan).rows[0].penalty_due == penalty > 2_000


def test_a_hold_keeps_a_loan_from_default_until_it_ends() -> None:
    """Contested wholly on day 90 for thirty days: no default on day 97, on day 120 there is."""
    with lawful() as world:
        loan = lend(world)
        world.pass_days(90)
        open_dispute(world, loan, 700_000)
        world.pass_days(7)
        assert refusal(world, "eye", distress(loan)) is R.ON_HOLD
        world.pass_days(23)
        lawful_do(world, "eye", distress(loan))
        assert world.loan(loan).state is LoanState.DEFAULTED


HOLDS = st.fixed_dictionaries(
    {
        "before": st.integers(0, 40),
        "amount": st.integers(1, 200_000),
        "hold_days": st.integers(0, 40),
        "grace": st.integers(0, 5),
        "cap": st.sampled_from((1_000_000, 30_000)),
        "steps": st.lists(st.integers(1, 40), min_size=1, max_size=8),
    }
)


@settings(max_examples=80, deadline=None)
@given(case=HOLDS)
def test_steps_through_a_hold_end_where_one_step_ends(case: dict[str, object]) -> None:
    """Whichever days a block comes on, late charges are the same: the hold counts days and needs no event."""
    cap = int(str(case["cap"]))
    world = Goods(hold_days=case["hold_days"], cost_cap_ppm=Ppm(cap))
    loan_id = lend(world, grace_days=case["grace"], late_rate_ppm=Ppm(300_000))
    world.block(ms=int(str(case["before"])) * DAY_MS)
    world.must("ann", contest(loan_id, int(str(case["amount"]))))
    state = world.ledger.books.state
    contract, start = state.need(CONTRACTS, loan_id), state.need(LOANS, loan_id)
    stepped = start
    for days in case["steps"]:  # type: ignore[attr-defined]
        stepped = calculate_loan_at(contract, stepped, Day(stepped.accrual.as_of + days), 100)
    at_once = calculate_loan_at(contract, start, Day(stepped.accrual.as_of), 100)
    charged = [sum(one.penalty_due + one.interest_due for one in loan.rows) for loan in (stepped, at_once)]
    assert charged[0] == charged[1]
    assert (stepped.late_days, stepped.fees_charged) == (at_once.late_days, at_once.fees_charged)
    if cap == 1_000_000:
        assert stepped == at_once


def test_a_borrower_cannot_hold_a_loan_for_ever() -> None:
    """Given up and opened again at once, it holds nothing; as long after the first as that lasted, it holds again."""
    with lawful(hold_days=10) as world:
        loan = lend(world)
        world.pass_days(7)
        first = open_dispute(world, loan, 600_000)
        world.pass_days(10)
        lawful_do(world, "ann", resolve(first))
        second = open_dispute(world, loan, 600_000)
        assert row(world, second).hold_until == row(world, second).opened_on
        before = bring(world, loan).late_days
        world.pass_days(1)
        assert bring(world, loan).late_days > before
        world.pass_days(9)
        lawful_do(world, "ann", resolve(second))
        third = open_dispute(world, loan, 600_000)
        assert row(world, third).hold_until == row(world, third).opened_on + 10


def test_a_lenders_dispute_holds_nothing_and_yields_to_the_borrowers() -> None:
    """Charges run through it; the borrower's own puts an end to it and holds, and the lender cannot open another."""
    with lawful(hold_days=10) as world:
        loan = lend(world)
        world.pass_days(7)
        theirs = open_dispute(world, loan, 600_000, by="harbour")
        assert row(world, theirs).side is DisputeSide.LENDER
        world.pass_days(3)
        assert bring(world, loan).late_days == 3 * 49_620
        mine = open_dispute(world, loan, 600_000)
        assert row(world, theirs).resolved
        assert world.last("dispute_resolved").data["by"] == world.account("ann").hex()
        assert (world.loan(loan).dispute, row(world, mine).hold_until) == (mine, row(world, mine).opened_on + 10)
        assert refusal(world, "harbour", contest(loan, 1)) is R.DISPUTE_OPEN


def test_a_lender_cannot_hold_its_own_bad_loan_from_default() -> None:
    """Contesting all of it on the day of default keeps nobody from calling it by its name."""
    with lawful() as world:
        loan = lend(world)
        world.pass_days(97)
        open_dispute(world, loan, 600_000, by="harbour")
        assert refusal(world, "eye", distress(loan)) is None


def test_a_dispute_that_ends_early_ends_its_hold() -> None:
    """From the next day on charges run."""
    with lawful() as world:
        loan = lend(world)
        world.pass_days(7)
        dispute = open_dispute(world, loan, 600_000)
        world.pass_days(3)
        lawful_do(world, "ann", resolve(dispute))
        assert (world.loan(loan).dispute, world.loan(loan).hold_until) == (None, None)
        world.pass_days(2)
        assert bring(world, loan).late_days == 2 * 49_620


# ---------------------------------------------------------------------- answers and decisions


def test_the_other_side_answers_once() -> None:
    """The opener cannot, and a second answer is refused."""
    with lawful() as world:
        loan = lend(world)
        dispute = open_dispute(world, loan, 100)
        assert refusal(world, "ann", reply(dispute)) is R.LOAN_NOT_YOURS
        lawful_do(world, "harbour", reply(dispute))
        assert row(world, dispute).answer is not None
        assert refusal(world, "harbour", reply(dispute)) is R.ANSWERED_ALREADY
        assert world.last("dispute_answered").data["by"] == world.account("harbour").hex()


def test_one_dispute_is_open_at_a_time() -> None:
    """Whoever opened it."""
    with lawful() as world:
        loan = lend(world)
        dispute = open_dispute(world, loan, 100)
        for who in ("ann", "harbour"):
            assert refusal(world, who, contest(loan, 1)) is R.DISPUTE_OPEN
        lawful_do(world, "ann", resolve(dispute))
        open_dispute(world, loan, 100, by="harbour")


def test_an_arbiters_remedy_waives_what_is_unpaid_and_refunds_what_was_paid() -> None:
    """A late fee of the first row was paid, the second row's is not: one comes back, the other goes."""
    with lawful() as world:
        loan = lend(world)
        world.pass_days(8)
        pay(world, "ann", loan, bring(world, loan).rows[0].unpaid)
        paid = world.loan(loan).rows[0].penalty_paid
        world.pass_days(7)
        unpaid = bring(world, loan).rows[1].penalty_due
        dispute = open_dispute(world, loan, paid + unpaid)
        cash, pool = world.cash("ann"), world.pool("harbour").cash
        lawful_do(world, "court", resolve(dispute, waive=unpaid, refund=paid))
        after = world.loan(loan)
        assert (world.cash("ann"), world.pool("harbour").cash) == (cash + paid, pool - paid)
        assert [one.penalty_due for one in after.rows[:2]] == [0, 0]
        assert (row(world, dispute).waived, row(world, dispute).refunded) == (unpaid, paid)
        assert row(world, dispute).resolved
        assert world.last("dispute_resolved").data["refunded"] == paid


def test_a_remedy_is_no_larger_than_what_it_is_about() -> None:
    """No more than is unpaid, than was paid, and than was contested together."""
    with lawful() as world:
        loan = lend(world)
        world.pass_days(8)
        first = bring(world, loan).rows[0]
        assert first.penalty_due == 2_008
        pay(world, "ann", loan, first.principal_due + first.interest_due + 2_000)
        world.pass_days(7)
        second = bring(world, loan).rows[1]
        unpaid, paid = 8 + second.interest_due + second.penalty_due, first.interest_due + 2_000
        dispute = open_dispute(world, loan, unpaid + paid - 1)
        for waive, refund in ((unpaid + 1, 0), (0, paid + 1), (unpaid, paid)):
            assert refusal(world, "court", resolve(dispute, waive=waive, refund=refund)) is R.REMEDY_TOO_LARGE
        lawful_do(world, "court", resolve(dispute, waive=unpaid, refund=paid - 1))


def test_who_opened_it_gives_it_up_and_takes_nothing() -> None:
    """A remedy is an arbiter's; nobody else ends a dispute."""
    with lawful() as world:
        loan = lend(world)
        world.pass_days(8)
        dispute = open_dispute(world, loan, 2_000)
        assert refusal(world, "ann", resolve(dispute, waive=1)) is R.ARBITER_MISSING
        assert refusal(world, "harbour", resolve(dispute)) is R.LOAN_NOT_YOURS
        assert refusal(world, "bob", resolve(dispute)) is R.LOAN_NOT_YOURS
        lawful_do(world, "ann", resolve(dispute))
        assert refusal(world, "court", resolve(dispute)) is R.DISPUTE_CLOSED


def test_nobody_decides_in_a_case_of_its_own() -> None:
    """A lender that is also an arbiter cannot give the dispute against it a remedy, nor end it."""
    with lawful() as world:
        loan = lend(world)
        world.pass_days(8)
        dispute = open_dispute(world, loan, 2_000)
        roles = world.ledger.books.state.need(ACCOUNTS, world.account("harbour")).roles
        change(world, ACCOUNTS, world.account("harbour"), roles=roles | 32)
        assert world.do("harbour", resolve(dispute)).rejection is R.LOAN_NOT_YOURS
        change(world, ACCOUNTS, world.account("harbour"), roles=roles)


def test_who_holds_a_share_decides_and_vouches_nothing_about_the_loan() -> None:
    """Jade is an arbiter too: of a loan that she has a third of she decides no dispute and vouches for no default."""
    with lawful() as world:
        account = world.account("jade")
        roles = world.ledger.books.state.need(ACCOUNTS, account).roles
        loan = lend(world, partner_ppm=333_333)
        world.pass_days(8)
        change(world, ACCOUNTS, account, roles=roles | 32)
        dispute = open_dispute(world, loan, 2_000)
        assert world.do("jade", resolve(dispute, waive=1)).rejection is R.LOAN_NOT_YOURS
        lawful_do(world, "ann", resolve(dispute))
        early = distress(loan, DistressKind.DEFAULT_EARLY)
        assert refusal(world, "harbour", early, cosigners=("jade",)) is R.ARBITER_MISSING
        assert refusal(world, "harbour", early, cosigners=("jade", "court")) is None
        assert world.loan(loan).default_ground.arbiter == world.account("court")
        change(world, ACCOUNTS, account, roles=roles)


def test_a_remedy_of_the_last_charge_ends_the_loan() -> None:
    """What was still owed is given up."""
    with lawful() as world:
        loan = lend(world)
        world.pass_days(86)
        owed = bring(world, loan).rows[-1].penalty_due
        pay(world, "ann", loan, payoff(world, loan) - owed)
        dispute = open_dispute(world, loan, owed)
        lawful_do(world, "court", resolve(dispute, waive=owed))
        assert world.loan(loan).state is LoanState.REPAID


def test_what_was_paid_under_protest_can_come_back_after_the_end() -> None:
    """A dispute outlives its loan: the refund is made, and the loan stays closed."""
    with lawful() as world:
        loan = lend(world)
        world.pass_days(8)
        penalty = bring(world, loan).rows[0].penalty_due
        dispute = open_dispute(world, loan, penalty)
        pay(world, "ann", loan, payoff(world, loan))
        assert world.loan(loan).state is LoanState.REPAID
        cash = world.cash("ann")
        lawful_do(world, "court", resolve(dispute, refund=penalty))
        assert world.cash("ann") == cash + penalty
        assert (world.loan(loan).state, world.loan(loan).dispute) == (LoanState.REPAID, None)


def test_a_refund_does_not_wait_for_the_lenders_fee() -> None:
    """Its management fee of the interest is spent: the pool bears it, and the borrower has all of the money."""
    with lawful() as world:
        set_pool(world, fee=500_000)
        loan = lend(world)
        world.pass_days(7)
        pay(world, "ann", loan, bring(world, loan).rows[0].unpaid)
        interest = world.loan(loan).rows[0].interest_paid
        lawful_do(world, "harbour", transfer(world, "bob", world.cash("harbour")))
        dispute = open_dispute(world, loan, interest)
        pool, cash = world.pool("harbour").cash, world.cash("ann")
        lawful_do(world, "court", resolve(dispute, refund=interest))
        assert (world.pool("harbour").cash, world.cash("ann")) == (pool - interest, cash + interest)


def test_a_share_cannot_be_sold_while_its_loan_is_disputed() -> None:
    """The buyer would buy the quarrel."""
    with lawful() as world:
        loan = lend(world)
        world.pass_days(4)
        dispute = open_dispute(world, loan, 100)
        sale = assign(world, loan, 600_000)
        assert refusal(world, "harbour", sale, cosigners=("plum",)) is R.ON_HOLD
        lawful_do(world, "ann", resolve(dispute))
        lawful_do(world, "harbour", sale, cosigners=("plum",))


def test_a_frozen_borrower_may_contest_and_answer() -> None:
    """Freezing stops money, not arguments."""
    with lawful() as world:
        loan = lend(world)
        change(world, ACCOUNTS, world.account("ann"), frozen=True)
        mine = open_dispute(world, loan, 100)
        lawful_do(world, "court", resolve(mine))
        theirs = open_dispute(world, loan, 100, by="harbour")
        lawful_do(world, "ann", reply(theirs))


def test_holding_changes_no_due_date_and_no_lateness() -> None:
    """Days past due count on: only charges and default wait."""
    with lawful() as world:
        loan = lend(world)
        world.pass_days(7)
        dates = [one.due_on for one in world.loan(loan).rows]
        open_dispute(world, loan, 600_000)
        world.pass_days(8)
        today = bring(world, loan)
        assert ([one.due_on for one in today.rows], today.days_past_due_max) == (dates, 8)


def test_a_dispute_row_keeps_who_opened_it_and_about_what() -> None:
    """For both sides and the arbiter to read."""
    with lawful() as world:
        loan = lend(world)
        dispute = open_dispute(world, loan, 123)
        kept = msgspec.structs.asdict(row(world, dispute))
        assert (kept["loan"], kept["amount"], kept["side"]) == (loan, Amount(123), DisputeSide.BORROWER)
