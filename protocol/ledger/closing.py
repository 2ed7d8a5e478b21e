"""The end of a loan: what hung on it is let go. Liens are released, guarantors freed, deposits given back.

Whether a loan may end, and how, is decided by who calls; never here.
"""

from protocol.ids import ObjectId, TimeMs
from protocol.ledger.books import Books
from protocol.ledger.contracts import Contract, LeaseTold, Loan
from protocol.ledger.exposure import apply_loan_gone, drop_guarantee
from protocol.ledger.holdings import change_pool
from protocol.ledger.journal import Book, Posting
from protocol.ledger.loans import calculate_subjects
from protocol.ledger.servicing import close_rows
from protocol.ledger.state import ACCOUNTS, ASSETS, replace
from protocol.loans.lifecycle import CLOSED, LoanEvent, LoanState, calculate_next_state
from protocol.money import Amount


def close_loan(
    books: Books, loan_id: ObjectId, contract: Contract, loan: Loan, *, event: LoanEvent, state: LoanState
) -> Loan:
    """The loan closed, with everything that hung on it let go; the caller saves it.

    Principal that is still out was counted out of the pools by the caller before.
    """
    assert state in CLOSED, "an end"
    loan = replace(
        loan,
        state=calculate_next_state(loan.state, event, state),
        rows=close_rows(loan.rows),
        closed_ms=TimeMs(books.now_ms),
        hold_until=None,
    )
    if state is not LoanState.CANCELLED:
        for holding in loan.holdings:
            change_pool(books, ObjectId(holding.pool), loans_open=-1)
    apply_loan_gone(books, contract.subject_tag, loan_id)
    for guarantor in contract.disclosure.guarantors:
        drop_guarantee(books, books.state.need(ACCOUNTS, guarantor).subject_tag, loan_id)
    release_liens(books, loan_id, contract)
    loan = _give_back_deposit(books, loan_id, contract, loan)
    subjects = calculate_subjects(books, loan_id, contract, loan)
    books.emit(
        "loan_closed",
        subjects,
        {
            "loan": loan_id.hex(),
            "borrower": contract.disclosure.borrower.hex(),
            "lender": subjects[2].hex(),
            "state": state.name.lower(),
        },
    )
    return loan


def release_liens(books: Books, loan_id: ObjectId, contract: Contract) -> None:
    """Free the assets that still secure the loan."""
    told = contract.disclosure.told
    leased = (told.asset,) if isinstance(told, LeaseTold) else ()
    for asset_id in (*contract.disclosure.collateral, *leased):
        asset = books.state.need(ASSETS, asset_id)
        if asset.lien == loan_id:
            books.state.put(ASSETS, asset_id, replace(asset, lien=None))


def _give_back_deposit(books: Books, loan_id: ObjectId, contract: Contract, loan: Loan) -> Loan:
    disclosure = contract.disclosure
    if loan.deposit:
        books.post(
            "deposit_returned",
            disclosure.currency,
            (
                Posting(disclosure.borrower, Book.DEPOSIT, loan.deposit),
                Posting(disclosure.borrower, Book.CASH, -loan.deposit),
            ),
            calculate_subjects(books, loan_id, contract, loan),
            {"loan": loan_id.hex(), "amount": loan.deposit},
        )
    return replace(loan, deposit=Amount(0))
