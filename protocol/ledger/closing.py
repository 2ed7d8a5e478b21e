"""The end of a loan: what hung on it is let go. Liens are released, guarantors freed, deposits given back.

Whether a loan may end, and how, is decided by who calls; never here.
"""

from protocol.ids import AccountId, ObjectId, TimeMs
from protocol.ledger.books import Books
from protocol.ledger.contracts import Contract, LeaseTold, Loan
from protocol.ledger.erasure import free_data
from protocol.ledger.exposure import apply_loan_gone, drop_guarantee
from protocol.ledger.holdings import change_pool, get_lender
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
    release_liens(books, loan_id, contract, loan, event=event)
    free_data(books, ObjectId(contract.disclosure.application), claim=state is not LoanState.CANCELLED)
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


def release_liens(books: Books, loan_id: ObjectId, contract: Contract, loan: Loan, *, event: LoanEvent) -> None:
    """Free the assets that still secure the loan that ended; a leased one goes to whom its lease leaves it."""
    for asset_id in contract.disclosure.collateral:
        asset = books.state.need(ASSETS, asset_id)
        if asset.lien == loan_id:
            books.state.put(ASSETS, asset_id, replace(asset, lien=None))
    told = contract.disclosure.told
    if not isinstance(told, LeaseTold):
        return
    asset = books.state.need(ASSETS, told.asset)
    if asset.lien == loan_id:
        owner = _find_title(contract, told, loan, event)
        # What stays with the lessor stays for those whose money bought it: its pools sell it, for whatever it brings.
        held = () if owner is not None else tuple((one.pool, Amount(0)) for one in loan.holdings)
        lender = get_lender(books, loan)
        books.state.put(ASSETS, told.asset, replace(asset, lien=None, owner=owner or lender, held=held))


def _find_title(contract: Contract, told: LeaseTold, loan: Loan, event: LoanEvent) -> AccountId | None:
    """Who has title once a lease has ended, or None for the lessor.

    The lessee who paid everything, where the lease lets her buy or she has withdrawn; the supplier where no money ever
    moved.
    """
    if loan.state is LoanState.CANCELLED:
        return AccountId(told.supplier)
    bought = told.kind.may_buy and event is not LoanEvent.END_LEASE
    paid = loan.state in {LoanState.REPAID, LoanState.RECOVERED}
    return AccountId(contract.disclosure.borrower) if loan.state is LoanState.WITHDRAWN or (paid and bought) else None


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
