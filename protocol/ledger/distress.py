"""Loans in trouble: impairment, default by rule or before it, write-off (ledger 2.8).

    ACTIVE --impair, unimpair--> ACTIVE          a worse class, a larger haircut; no date moves
    ACTIVE --default-----------> DEFAULTED       the claim is frozen; cover pays first, the rest is the pools' loss
    DEFAULTED --write off------> WRITTEN_OFF     nothing moves: the loss was booked at default

Anybody among the organisations may trigger a default that the rule allows, so that no lender can keep a bad loan in its
pool's price. What comes back afterwards is `recovery`'s; never a payment here.
"""

from bisect import bisect_right

from protocol.ids import AccountId, Day, ObjectId
from protocol.ledger.assets import find_cosigners
from protocol.ledger.books import Books, Call
from protocol.ledger.contracts import Contract, DefaultGround, Holding, Loan
from protocol.ledger.cover import bear_loss
from protocol.ledger.holdings import change_pool, find_holders, get_lender
from protocol.ledger.journal import Book, Posting
from protocol.ledger.leases import apply_deposit
from protocol.ledger.loans import calculate_subjects, emit_lateness, load_loan, save_loan
from protocol.ledger.records import Fact
from protocol.ledger.rows import Role
from protocol.ledger.rules import Pause, Rule, Rules
from protocol.ledger.servicing import (
    Rows,
    calculate_interest_running,
    calculate_loan_class,
    calculate_loan_lateness,
    calculate_loan_payoff,
    calculate_withdrawal_end,
)
from protocol.ledger.state import LOANS, POOLS, replace
from protocol.loans.delinquency import AssetClass
from protocol.loans.lifecycle import LoanEvent, LoanState, calculate_next_state, can_happen
from protocol.money import Amount
from protocol.rejections import Rejection
from protocol.transactions.servicing import DistressKind, LoanDistress

ORGANISATIONS = Role.LENDER | Role.VALIDATOR | Role.OBSERVER | Role.ARBITER
"""Who may say that the rule for a default is met."""
EVENTS = {
    DistressKind.IMPAIR: LoanEvent.IMPAIR,
    DistressKind.UNIMPAIR: LoanEvent.IMPAIR,
    DistressKind.DEFAULT: LoanEvent.DEFAULT,
    DistressKind.DEFAULT_EARLY: LoanEvent.DEFAULT,
    DistressKind.WRITE_OFF: LoanEvent.WRITE_OFF,
}

# ---------------------------------------------------------------------- checks


def check_loan_distress(books: Books, call: Call, payload: LoanDistress) -> Rejection | None:
    """Why nothing happens to the loan."""
    row = books.state.get(LOANS, payload.loan)
    if row is None:
        return Rejection.LOAN_UNKNOWN
    if row.closed_ms is not None:
        return Rejection.LOAN_CLOSED
    nothing = payload.kind is DistressKind.UNIMPAIR and row.impaired is None
    if nothing or not can_happen(row.state, EVENTS[payload.kind]):
        return Rejection.LOAN_STATE
    anybody = payload.kind is DistressKind.DEFAULT and bool(call.row.roles & ORGANISATIONS)
    if not anybody and get_lender(books, row) != call.account:
        return Rejection.LOAN_NOT_YOURS
    contract, loan = load_loan(books, ObjectId(payload.loan))
    match payload.kind:
        case DistressKind.IMPAIR:
            return _check_impair(books, call, contract, loan, payload.asset_class)
        case DistressKind.UNIMPAIR:
            return None
        case DistressKind.DEFAULT:
            return _check_default(contract, loan)
        case DistressKind.DEFAULT_EARLY:
            return _check_default_early(books, call, contract, loan, payload)
        case DistressKind.WRITE_OFF:
            return _check_write_off(books, contract, loan)


def _check_impair(
    books: Books, call: Call, contract: Contract, loan: Loan, wanted: AssetClass | None
) -> Rejection | None:
    """Whether the class is worse than what the days and circumstances say by themselves.

    While somebody waits to leave one of its pools an arbiter vouches for it: a lender that keeps its own shares gains
    by what those who leave are paid less.
    """
    by_rule = calculate_loan_class(contract, replace(loan, impaired=None), books.policy.observation_days)
    if wanted is None or wanted <= by_rule:
        return Rejection.CLASS_NOT_WORSE
    waited_for = any(books.state.need(POOLS, one.pool).leaving is not None for one in loan.holdings)
    alone = waited_for and _find_arbiter(books, call, loan) is None
    return Rejection.ARBITER_MISSING if alone else None


def _check_default(contract: Contract, loan: Loan) -> Rejection | None:
    """Whether the rule is met, and also without what an open dispute contests for now."""
    if not _is_rule_met(contract, loan, contested=0):
        return Rejection.TOO_SOON
    contested = _find_contested(loan)
    return None if _is_rule_met(contract, loan, contested=contested) else Rejection.ON_HOLD


def _is_rule_met(contract: Contract, loan: Loan, *, contested: int) -> bool:
    """Whether the loan would be late long enough if a contested amount had been paid on its oldest rows."""
    materiality, late = contract.disclosure.materiality, []
    for row in loan.rows:
        cut = min(contested, row.unpaid)
        contested -= cut
        # Rows unpaid by no more than this are not late.
        if row.unpaid - cut > materiality:
            late.append(row)
    left = replace(loan, rows=tuple(late))
    return calculate_loan_lateness(contract, left, materiality) >= contract.disclosure.default_days


def _find_contested(loan: Loan) -> int:
    """What the loan's open dispute is about while it holds, 0 without one."""
    held = loan.hold_until is not None and loan.accrual.as_of < loan.hold_until
    return loan.contested if held else 0


def _check_default_early(
    books: Books, call: Call, contract: Contract, loan: Loan, payload: LoanDistress
) -> Rejection | None:
    """Whether an arbiter vouches for evidence, nothing is contested, and the borrower cannot withdraw any more."""
    if loan.accrual.as_of <= calculate_withdrawal_end(contract):
        return Rejection.TOO_SOON
    if _find_contested(loan):
        return Rejection.ON_HOLD
    vouched = payload.evidence is not None and _find_arbiter(books, call, loan) is not None
    return None if vouched else Rejection.ARBITER_MISSING


def _find_arbiter(books: Books, call: Call, loan: Loan) -> AccountId | None:
    """The first co-signer that is an arbiter; nobody vouches for itself, nor for a loan that it holds a share of."""
    holders = find_holders(books, loan)
    arbiters = (account_id for account_id, row in find_cosigners(books, call) if row.roles & Role.ARBITER)
    return next((one for one in arbiters if one not in holders), None)


def _check_write_off(books: Books, contract: Contract, loan: Loan) -> Rejection | None:
    """Whether the policy's days since default have passed."""
    assert loan.defaulted_on is not None, "a claim has its day"
    days = books.calculate_day(contract.disclosure.tz_offset_min) - loan.defaulted_on
    return Rejection.TOO_SOON if days < books.policy.writeoff_days else None


# ---------------------------------------------------------------------- what happens


def apply_loan_distress(books: Books, call: Call, payload: LoanDistress) -> tuple[Fact, ...]:
    """Carry the step out; of a defaulted lease the deposit pays at once, which the outcome tells."""
    loan_id = ObjectId(payload.loan)
    contract, loan = load_loan(books, loan_id)
    emit_lateness(books, loan_id, contract, books.state.need(LOANS, loan_id), loan)
    match payload.kind:
        case DistressKind.IMPAIR | DistressKind.UNIMPAIR:
            wanted = payload.asset_class if payload.kind is DistressKind.IMPAIR else None
            return _apply_impair(books, loan_id, contract, loan, wanted)
        case DistressKind.DEFAULT | DistressKind.DEFAULT_EARLY:
            early = payload.kind is DistressKind.DEFAULT_EARLY
            ground = DefaultGround(
                days_past_due=calculate_loan_lateness(contract, loan, contract.disclosure.materiality),
                arbiter=_find_arbiter(books, call, loan) if early else None,
                evidence=payload.evidence if early else None,
                principal_paid=loan.paid[0],
            )
            return apply_default(books, loan_id, contract, loan, ground)
        case DistressKind.WRITE_OFF:
            return _apply_write_off(books, loan_id, contract, loan)


def _apply_impair(
    books: Books, loan_id: ObjectId, contract: Contract, loan: Loan, wanted: AssetClass | None
) -> tuple[Fact, ...]:
    state = calculate_next_state(loan.state, LoanEvent.IMPAIR, LoanState.ACTIVE)
    save_loan(books, loan_id, contract, replace(loan, state=state, impaired=wanted))
    books.emit(
        "loan_unimpaired" if wanted is None else "loan_impaired",
        calculate_subjects(books, loan_id, contract, loan),
        {"loan": loan_id.hex(), "class": None if wanted is None else wanted.name.lower()},
    )
    return ()


def freeze_rows(contract: Contract, loan: Loan) -> Rows:
    """Rows of a claim of today: principal stays, of rows not yet due only interest that was earned is owed.

    The discount of a share of sales is earned by no days; of it what paying everything off today would take is owed,
    so that nobody owes less by not paying.
    """
    today = loan.accrual.as_of
    if loan.sales is not None:
        row = loan.rows[0]
        rebate = max(0, row.unpaid - calculate_loan_payoff(contract, loan))
        return (replace(row, interest_due=row.interest_due - rebate),)
    running = bisect_right(contract.disclosure.schedule.due_dates, today)
    earned = calculate_interest_running(contract, loan)
    frozen = []
    for position, row in enumerate(loan.rows):
        if position < running:
            frozen.append(row)
            continue
        interest = max(row.interest_paid, earned) if position == running else row.interest_paid
        frozen.append(replace(row, interest_due=interest, fee_due=row.fee_paid))
    return tuple(frozen)


def apply_default(
    books: Books, loan_id: ObjectId, contract: Contract, loan: Loan, ground: DefaultGround
) -> tuple[Fact, ...]:
    """Make a loan that was brought to today a claim: each pool's cover pays its part, the rest is the pool's loss.

    The exposure stays, and the loan stays open.
    """
    holdings, postings = _apply_first_loss(books, loan)
    after = replace(
        loan,
        state=calculate_next_state(loan.state, LoanEvent.DEFAULT, LoanState.DEFAULTED),
        rows=freeze_rows(contract, loan),
        holdings=holdings,
        defaulted_on=Day(loan.accrual.as_of),
        default_ground=ground,
    )
    save_loan(books, loan_id, contract, after)
    subjects = calculate_subjects(books, loan_id, contract, loan)
    books.post(
        "loan_defaulted",
        contract.disclosure.currency,
        tuple(postings),
        subjects,
        {
            "loan": loan_id.hex(),
            "borrower": contract.disclosure.borrower.hex(),
            "lender": subjects[2].hex(),
            "ead": after.principal_out + sum(row.interest_unpaid for row in after.rows),
            "covered": sum(one.covered for one in holdings),
            "loss": sum(one.lost for one in holdings),
            "days_past_due": ground.days_past_due,
            "early": ground.arbiter is not None,
        },
    )
    paid = apply_deposit(books, loan_id, contract, books.state.need(LOANS, loan_id))
    return () if paid is None else (paid,)


def _apply_first_loss(books: Books, loan: Loan) -> tuple[tuple[Holding, ...], list[Posting]]:
    """The holdings of the claim, and the postings by which principal becomes loss and cover becomes pools' cash."""
    holdings, postings = [], []
    for one in loan.holdings:
        pool_id = ObjectId(one.pool)
        change_pool(books, pool_id, principal=-one.principal)
        borne = bear_loss(books, pool_id, one.principal, Day(loan.accrual.as_of))
        postings += [Posting(pool_id, Book.PRINCIPAL, -one.principal), *borne.postings]
        holdings.append(replace(one, covered=Amount(borne.covered), lost=Amount(borne.lost)))
    return tuple(holdings), postings


def _apply_write_off(books: Books, loan_id: ObjectId, contract: Contract, loan: Loan) -> tuple[Fact, ...]:
    """Claim and exposure stay, the books have had the loss since default."""
    state = calculate_next_state(loan.state, LoanEvent.WRITE_OFF, LoanState.WRITTEN_OFF)
    save_loan(books, loan_id, contract, replace(loan, state=state))
    subjects = calculate_subjects(books, loan_id, contract, loan)
    books.emit(
        "loan_written_off",
        subjects,
        {
            "loan": loan_id.hex(),
            "borrower": contract.disclosure.borrower.hex(),
            "lender": subjects[2].hex(),
            "principal": loan.principal_out,
            "loss": sum(one.lost for one in loan.holdings),
        },
    )
    return ()


# Whose loan it is decides, not a role: a lender that lends no more still calls its loans by their name.
RULES: Rules = {LoanDistress: Rule(check_loan_distress, apply_loan_distress, pause=Pause.SERVICING)}
