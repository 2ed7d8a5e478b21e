"""Money that goes back: income that pools return, and payments that end because a bank took their fiat back.

    the last payment of a loan -> reversed -> the one before it is the last

A payment can be taken back exactly as long as nothing but payments has changed its rows since: a refund, an amendment,
an assignment or a merchant's refund ends that. For the days between, no interest is charged on what was reversed: the
borrower had paid in good faith. Who may ask for it, and when, is `adjust`'s; never a rule of other kinds of correction.
"""

from collections import Counter
from typing import NamedTuple

from protocol.ids import AccountId, Day, Digest, ObjectId
from protocol.ledger.books import Books
from protocol.ledger.contracts import Contract, DrawTold, LeaseTold, Loan, RevenueTold
from protocol.ledger.cover import bear_loss
from protocol.ledger.exposure import add_guarantee, apply_principal_back, find_lenders, has_most_debts
from protocol.ledger.holdings import change_pool, get_lender, get_owner, split_income, split_whole
from protocol.ledger.journal import Book, Posting, read_balance, read_cash
from protocol.ledger.loans import calculate_subjects, emit_lateness, load_loan, save_loan
from protocol.ledger.rows import Payments, Taken
from protocol.ledger.servicing import (
    Payment,
    calculate_loan_at,
    calculate_loan_lateness,
    calculate_rows_ahead,
    calculate_withdrawal_end,
)
from protocol.ledger.state import ACCOUNTS, ASSETS, EXPOSURES, LOANS, PAYMENTS, POOLS, replace
from protocol.limits import PAYMENTS_KEPT_MAX
from protocol.loans.delinquency import calculate_bucket
from protocol.loans.lifecycle import LoanEvent, LoanState, calculate_next_state
from protocol.loans.waterfall import Row, Take
from protocol.money import Amount, share_floor
from protocol.rejections import Rejection
from protocol.transactions.servicing import PaymentSource

# ---------------------------------------------------------------------- what pools give back


class Back(NamedTuple):
    """What a pool gives back of what it had received on a loan."""

    pool: ObjectId
    owner: AccountId
    principal: int
    """Owed to it again."""
    interest: int
    fee: int
    penalty: int
    managed: int
    """Of the interest, what its lender gives back out of the management fee."""
    missing: int
    """Of that fee, what the lender's cash does not reach; the pool bears it."""

    @property
    def cash(self) -> int:
        """What leaves the pool."""
        return self.principal + self.interest + self.fee + self.penalty - self.managed


def calculate_backs(books: Books, loan: Loan, parts: tuple[int, int, int, int]) -> tuple[Back, ...]:
    """What each pool gives back of principal, interest, fees and penalties, by the running totals of its share."""
    currency = books.state.need(POOLS, loan.holdings[0].pool).currency
    held = split_whole(loan.holdings, loan.principal_out + parts[0])
    earned = split_whole(loan.holdings, loan.paid[1])
    incomes = [split_income(loan.holdings, -part, had) for part, had in zip(parts[1:], loan.paid[1:], strict=True)]
    spent: Counter[bytes] = Counter()
    backs = []
    for one, stays, had, interest, fee, penalty in zip(loan.holdings, held, earned, *incomes, strict=True):
        pool, owner = books.state.need(POOLS, one.pool), get_owner(books, ObjectId(one.pool))
        due = share_floor(had, pool.fee_ppm) - share_floor(had + interest, pool.fee_ppm)
        managed = min(due, read_cash(books.state, owner, currency) - spent[owner])
        spent[owner] += managed
        back = Back(ObjectId(one.pool), owner, stays - one.principal, -interest, -fee, -penalty, managed, due - managed)
        backs.append(back)
    return tuple(backs)


def is_liquid(books: Books, backs: tuple[Back, ...]) -> bool:
    """Whether each pool has its part in cash that is promised to nobody."""
    pools = ((back, books.state.need(POOLS, back.pool)) for back in backs)
    return all(pool.cash - pool.reserved >= back.cash for back, pool in pools)


def take_back(books: Books, loan: Loan, backs: tuple[Back, ...]) -> list[Posting]:
    """Take the parts out of the pools and return their side of the entry.

    Income that a pool has not received itself, because it bought the loan later, is its loss.
    """
    currency = books.state.need(POOLS, loan.holdings[0].pool).currency
    postings: list[Posting] = []
    for back in backs:
        change_pool(books, back.pool, cash=-back.cash, principal=back.principal)
        loss = 0
        for book, amount in (
            (Book.INTEREST, back.interest - back.managed),
            (Book.FEES, back.fee),
            (Book.PENALTIES, back.penalty),
        ):
            own = min(amount, read_balance(books.state, back.pool, book, currency))
            postings.append(Posting(back.pool, book, own))
            loss += amount - own
        postings += [
            Posting(back.pool, Book.PRINCIPAL, back.principal),
            *bear_loss(books, back.pool, loss, books.today).postings,
            Posting(back.owner, Book.CASH, back.managed),
        ]
    return postings


# ---------------------------------------------------------------------- payments that can be taken back


def record_payment(
    books: Books,
    loan_id: ObjectId,
    contract: Contract,
    before: Loan,
    payment: Payment,
    *,
    payer: AccountId,
    source: PaymentSource,
) -> None:
    """Keep how a payment fell on the loan as it stood before, for as long as its fiat can be taken back."""
    days = books.policy.reversal_days
    special = isinstance(contract.disclosure.told, RevenueTold | DrawTold | LeaseTold)
    if source is PaymentSource.MERCHANT_REFUND or special or not days:
        forget_payments(books, loan_id)
        return
    today = Day(before.accrual.as_of)
    charged = [row.penalty_due - was.penalty_due for row, was in zip(payment.loan.rows, before.rows, strict=True)]
    fee = sum(charged)
    taken = Taken(
        number=before.payments,
        paid_on=today,
        payer=payer,
        takes=payment.takes,
        prepaid=before.prepaid,
        fee=Amount(fee),
        fee_row=before.rows[charged.index(fee)].index if fee else 0,
    )
    row = books.state.get(PAYMENTS, loan_id)
    kept = () if row is None else tuple(one for one in row.taken if one.paid_on + days >= today)
    books.state.put(PAYMENTS, loan_id, Payments(taken=(*kept[1 - PAYMENTS_KEPT_MAX :], taken)))


def forget_payments(books: Books, loan_id: ObjectId) -> None:
    """Something else has changed the loan's rows: what was paid before can no longer be taken back."""
    if books.state.get(PAYMENTS, loan_id) is not None:
        books.state.delete(PAYMENTS, loan_id)


def find_last_payment(books: Books, loan_id: ObjectId) -> Taken | None:
    """The payment that can be taken back next."""
    row = books.state.get(PAYMENTS, loan_id)
    return None if row is None else row.taken[-1]


def sum_takes(takes: tuple[Take, ...]) -> tuple[int, int, int, int]:
    """Principal, interest, fee and penalty of a payment."""
    return (
        sum(one.principal for one in takes),
        sum(one.interest for one in takes),
        sum(one.fee for one in takes),
        sum(one.penalty for one in takes),
    )


# ---------------------------------------------------------------------- the reversal


def check_reversal(books: Books, agent: AccountId, loan_id: ObjectId, taken: Taken) -> Rejection | None:
    """Why the money cannot come back: the agent holds no such fiat, pools have lent it on, or a limit is passed."""
    contract, loan = load_loan(books, loan_id)
    parts = sum_takes(taken.takes)
    if read_balance(books.state, agent, Book.FIAT, contract.disclosure.currency) < sum(parts):
        return Rejection.AGENT_FUNDS_SHORT
    exposure = books.state.need(EXPOSURES, contract.subject_tag)
    if exposure.principal_open + exposure.undrawn + parts[0] > books.policy.debt_cap:
        return Rejection.CAP_DEBT
    lenders = find_lenders(books, exposure)
    if get_lender(books, loan) not in lenders and len(lenders) >= books.policy.lenders_max:
        return Rejection.CAP_LENDERS
    if not is_liquid(books, calculate_backs(books, loan, parts)):
        return Rejection.LIQUIDITY_SHORT
    if loan.closed_ms is not None and not all(_is_free(books, contract, one) for one in contract.disclosure.collateral):
        return Rejection.ASSET_LIENED
    full = loan.closed_ms is not None and has_most_debts(books, Digest(contract.subject_tag))
    return Rejection.DEBTS_TOO_MANY if full else None


def _is_free(books: Books, contract: Contract, asset_id: ObjectId) -> bool:
    """Whether a released thing can secure the loan again."""
    asset = books.state.need(ASSETS, asset_id)
    own = asset.owner == contract.disclosure.borrower
    return own and asset.lien is None and not asset.held and not asset.retired


def is_withdrawable(contract: Contract, loan: Loan, today: Day) -> bool:
    """Whether a closed loan's origination fee would have to be kept ready again."""
    fee = contract.disclosure.origination_fee
    return loan.closed_ms is not None and fee > 0 and today <= calculate_withdrawal_end(contract)


def apply_reversal(books: Books, agent: AccountId, loan_id: ObjectId, taken: Taken) -> None:
    """Open the rows again and burn the agent's fiat; a loan that was repaid runs again, with all that hung on it."""
    contract, before = load_loan(books, loan_id)
    emit_lateness(books, loan_id, contract, books.state.need(LOANS, loan_id), before)
    parts = sum_takes(taken.takes)
    backs = calculate_backs(books, before, parts)
    postings = take_back(books, before, backs)
    loan = before if before.closed_ms is None else _open_again(books, loan_id, contract, before)
    loan = _give_rows_back(contract, loan, taken)
    held = tuple(
        replace(one, principal=Amount(one.principal + back.principal))
        for one, back in zip(loan.holdings, backs, strict=True)
    )
    paid = tuple(Amount(had - part) for had, part in zip(loan.paid, parts, strict=True))
    loan = replace(loan, holdings=held, paid=paid, principal_out=Amount(loan.principal_out + parts[0]))
    loan = replace(loan, rows=calculate_rows_ahead(contract, loan, loan.rows), ahead_stale=True)
    past_due = calculate_loan_lateness(contract, loan, contract.disclosure.materiality)
    loan = replace(
        loan,
        state=calculate_next_state(before.state, LoanEvent.REVERSE, LoanState.ACTIVE),
        bucket=calculate_bucket(past_due),
        days_past_due_max=max(loan.days_past_due_max, past_due),
    )
    books.post(
        "payment_reversed",
        contract.disclosure.currency,
        (*postings, Posting(agent, Book.FIAT, -sum(parts))),
        (*calculate_subjects(books, loan_id, contract, loan), agent),
        {
            "loan": loan_id.hex(),
            "payment": taken.number,
            "payer": taken.payer.hex(),
            "agent": agent.hex(),
            "amount": sum(parts),
            "reopened": before.closed_ms is not None,
            "principal_left": loan.principal_out,
        },
    )
    apply_principal_back(books, contract.subject_tag, -parts[0])
    row = books.state.need(PAYMENTS, loan_id)
    if len(row.taken) > 1:
        books.state.put(PAYMENTS, loan_id, Payments(taken=row.taken[:-1]))
    else:
        books.state.delete(PAYMENTS, loan_id)
    emit_lateness(books, loan_id, contract, before, loan)
    save_loan(books, loan_id, contract, loan)


def _give_rows_back(contract: Contract, loan: Loan, taken: Taken) -> Loan:
    """The loan with a payment, and the fee it made, off its rows."""
    takes = {take.index: take for take in taken.takes}
    rows: list[Row] = []
    for row in loan.rows:
        take = takes.get(row.index, Take(index=row.index))
        fee = taken.fee if row.index == taken.fee_row else 0
        paid = row.penalty_paid - take.penalty
        rows.append(
            replace(
                row,
                principal_paid=row.principal_paid - take.principal,
                interest_paid=row.interest_paid - take.interest,
                fee_paid=row.fee_paid - take.fee,
                penalty_paid=paid,
                # A waiver may have taken part of the fee away meanwhile.
                penalty_due=max(paid, row.penalty_due - fee),
            )
        )
    return replace(loan, rows=tuple(rows), prepaid=taken.prepaid)


def _open_again(books: Books, loan_id: ObjectId, contract: Contract, loan: Loan) -> Loan:
    """A repaid loan as it runs again: brought to today with nothing out, counted, secured and guaranteed."""
    loan = replace(loan, state=LoanState.ACTIVE, closed_ms=None)
    today = books.calculate_day(contract.disclosure.tz_offset_min)
    loan = calculate_loan_at(contract, loan, today, contract.disclosure.materiality)
    for one in loan.holdings:
        change_pool(books, ObjectId(one.pool), loans_open=1)
    exposure = books.state.need(EXPOSURES, contract.subject_tag)
    books.state.put(EXPOSURES, contract.subject_tag, replace(exposure, loans=(*exposure.loans, loan_id)))
    for guarantor in contract.disclosure.guarantors:
        add_guarantee(books, books.state.need(ACCOUNTS, guarantor).subject_tag, loan_id)
    for asset_id in contract.disclosure.collateral:
        books.state.put(ASSETS, asset_id, replace(books.state.need(ASSETS, asset_id), lien=loan_id))
    return loan
