"""What comes back of a defaulted loan, and whom it pays first: costs, the pools' loss, their cover, then income.

A claim is frozen at default: no interest runs on it. All principal comes before anything else (先本后息), oldest row
first. Anything above the claim is not taken. Who may default a loan is `distress`' business; never here.
"""

from typing import NamedTuple

from protocol.ids import AccountId, ObjectId
from protocol.ledger.books import Books
from protocol.ledger.closing import close_loan
from protocol.ledger.contracts import Contract, Loan
from protocol.ledger.cover import count_loss
from protocol.ledger.exposure import apply_principal_back
from protocol.ledger.holdings import change_pool, get_lender, split_income, split_principal
from protocol.ledger.journal import Book, Posting
from protocol.ledger.loans import calculate_subjects, save_loan
from protocol.ledger.records import Repaid
from protocol.ledger.state import replace
from protocol.loans.lifecycle import LoanEvent, LoanState
from protocol.loans.waterfall import Row, Take, apply_take
from protocol.money import Amount
from protocol.transactions.servicing import PaymentSource

PARTS = ("principal", "interest", "penalty", "fee")
"""The order in which a claim is served."""


def calculate_claim(loan: Loan) -> int:
    """What closes a defaulted loan: everything unpaid on its rows, and the stated costs of recovery."""
    return sum(row.unpaid for row in loan.rows) + loan.costs


class Recovered(NamedTuple):
    """How an amount falls on a claim."""

    rows: tuple[Row, ...]
    costs: int
    principal: int
    interest: int
    penalty: int
    fee: int

    @property
    def taken(self) -> int:
        """All parts together."""
        return self.costs + self.principal + self.interest + self.penalty + self.fee


def calculate_recovered(loan: Loan, amount: int) -> Recovered:
    """Costs first, then all principal, then interest, penalties and fees, each oldest row first."""
    costs = min(amount, loan.costs)
    left, rows, totals = amount - costs, list(loan.rows), dict.fromkeys(PARTS, 0)
    for part in PARTS:
        for position, row in enumerate(rows):
            taken = min(left, getattr(row, f"{part}_unpaid"))
            if taken:
                rows[position] = apply_take(row, Take(index=row.index, **{part: taken}))
                totals[part] += taken
                left -= taken
    return Recovered(tuple(rows), costs, **totals)


def apply_recovery(
    books: Books,
    loan_id: ObjectId,
    contract: Contract,
    loan: Loan,
    *,
    payer: AccountId,
    amount: int,
    source: PaymentSource,
    book: Book = Book.CASH,
) -> Repaid:
    """Take the smaller of amount and claim from the payer's book, and close the loan once the claim is served."""
    came = calculate_recovered(loan, amount)
    postings = [Posting(payer, book, came.taken)]
    if came.costs:
        postings.append(Posting(get_lender(books, loan), Book.CASH, -came.costs))
    after, more = share_recovery(books, loan, came)
    after = replace(after, costs=Amount(loan.costs - came.costs), payments=loan.payments + 1)
    subjects = calculate_subjects(books, loan_id, contract, loan)
    books.post(
        "recovered",
        contract.disclosure.currency,
        (*postings, *more),
        subjects if payer in subjects else (*subjects, payer),
        {
            "loan": loan_id.hex(),
            "payer": payer.hex(),
            "source": source.name.lower(),
            "taken": came.taken,
            "costs": came.costs,
            "principal": came.principal,
            "interest": came.interest,
            "fee": came.fee,
            "penalty": came.penalty,
            "principal_left": after.principal_out,
        },
    )
    return finish_recovery(books, loan_id, contract, after, came=came, event=LoanEvent.PAY)


class Part(NamedTuple):
    """What a pool gets of a recovery: its loss first, then its cover, then income."""

    pool: ObjectId
    lost: int
    covered: int
    interest: int
    fee: int
    penalty: int

    @property
    def own(self) -> int:
        """What is the pool's own: all but its cover's part."""
        return self.lost + self.interest + self.fee + self.penalty

    @property
    def postings(self) -> list[Posting]:
        """The pool's own side of the entry, less what it receives."""
        return [
            Posting(self.pool, Book.LOSS, -self.lost),
            Posting(self.pool, Book.INTEREST, -self.interest),
            Posting(self.pool, Book.FEES, -self.fee),
            Posting(self.pool, Book.PENALTIES, -self.penalty),
        ]


def share_recovery(books: Books, loan: Loan, came: Recovered) -> tuple[Loan, list[Posting]]:
    """The loan after what came in cash, and the pools' postings."""
    after, parts = split_recovery(loan, came)
    postings: list[Posting] = []
    for part in parts:
        count_recovered(books, loan, part)
        change_pool(books, part.pool, cash=part.own, cover=part.covered)
        postings += [*part.postings, Posting(part.pool, Book.COVER, -part.covered)]
    return after, postings


def count_recovered(books: Books, loan: Loan, part: Part) -> None:
    """Count what a pool has back of its loss, whether in cash or in goods."""
    assert loan.defaulted_on is not None, "a claim has its day"
    count_loss(books, part.pool, loan.defaulted_on, -part.lost)


def split_recovery(loan: Loan, came: Recovered) -> tuple[Loan, tuple[Part, ...]]:
    """The loan after what came, in cash or in goods, and each pool's part of it; nothing is written."""
    principals = split_principal(loan.holdings, came.principal)
    kinds = zip((came.interest, came.fee, came.penalty), loan.paid[1:], strict=True)
    incomes = [split_income(loan.holdings, part, before) for part, before in kinds]
    holdings, parts = [], []
    for holding, principal, interest, fee, penalty in zip(loan.holdings, principals, *incomes, strict=True):
        lost = min(principal, holding.lost)
        covered = principal - lost
        parts.append(Part(ObjectId(holding.pool), lost, covered, interest, fee, penalty))
        holdings.append(
            replace(
                holding,
                principal=Amount(holding.principal - principal),
                lost=Amount(holding.lost - lost),
                covered=Amount(holding.covered - covered),
            )
        )
    after = replace(
        loan,
        rows=came.rows,
        holdings=tuple(holdings),
        principal_out=Amount(loan.principal_out - came.principal),
        paid=(
            loan.paid[0] + came.principal,
            loan.paid[1] + came.interest,
            loan.paid[2] + came.fee,
            loan.paid[3] + came.penalty,
        ),
    )
    return after, tuple(parts)


def finish_recovery(
    books: Books, loan_id: ObjectId, contract: Contract, loan: Loan, *, came: Recovered, event: LoanEvent
) -> Repaid:
    """Count what came back, close the loan when its claim is served, and save it."""
    closes = calculate_claim(loan) == 0
    if closes:
        loan = close_loan(books, loan_id, contract, loan, event=event, state=LoanState.RECOVERED)
    save_loan(books, loan_id, contract, loan)
    apply_principal_back(books, contract.subject_tag, came.principal)
    return Repaid(
        loan=loan_id,
        principal=Amount(came.principal),
        interest=Amount(came.interest),
        fee=Amount(came.fee),
        penalty=Amount(came.penalty),
        refunded=Amount(0),
        principal_left=loan.principal_out,
        closed=closes,
        costs=Amount(came.costs),
    )
