"""From an offer to a loan: contract and rows on the day the money moves, and the money itself.

Interest runs from the day of pay-out, whatever day the offer was made. Whether an offer may be taken is `accept`'s.
"""

from protocol.ids import AccountId, Day, ObjectId
from protocol.ledger.books import Books
from protocol.ledger.contracts import Contract, Disclosure, LeaseTold, Loan, PurchaseTold, RevenueTold
from protocol.ledger.holdings import change_pool, get_owner, make_holdings, split_income
from protocol.ledger.journal import Book, Posting
from protocol.ledger.revenue import open_tally
from protocol.ledger.servicing import calculate_rows_ahead
from protocol.ledger.state import replace
from protocol.loans.accrual import Accrual, calculate_accrual_periods
from protocol.loans.lifecycle import LoanState
from protocol.loans.waterfall import open_row
from protocol.money import Amount


def make_loan(
    offer_id: ObjectId,
    disclosure: Disclosure,
    subject_tag: bytes,
    books: Books,
    *,
    agent: AccountId | None,
    autopay: bool,
) -> tuple[Contract, Loan]:
    """Contract and loan of a disclosure whose money moves today; with an agent it waits, and `start_loan` begins it."""
    today = books.calculate_day(disclosure.tz_offset_min)
    contract = Contract(
        offer=offer_id,
        subject_tag=subject_tag,  # type: ignore[arg-type]
        disclosure=disclosure,
        periods=calculate_accrual_periods(disclosure.schedule),
        disbursed_ms=books.now_ms,
        disbursed_on=today,
        principal=Amount(disclosure.schedule.principal),
        agent=agent,
    )
    loan = Loan(
        state=LoanState.ACTIVE if agent is None else LoanState.FUNDED,
        rows=tuple(open_row(one) for one in disclosure.instalments),
        accrual=Accrual(as_of=today),
        principal_out=Amount(disclosure.schedule.principal),
        holdings=make_holdings(disclosure, disclosure.schedule.principal),
        autopay=autopay,
    )
    return start_loan(contract, loan, books, today) if agent is None else (contract, loan)


def start_loan(contract: Contract, loan: Loan, books: Books, today: Day) -> tuple[Contract, Loan]:
    """The loan as it runs from today on: the first instalment falls by the interest of the days before."""
    contract = replace(contract, disbursed_ms=books.now_ms, disbursed_on=today)
    loan = replace(
        loan,
        state=LoanState.ACTIVE,
        accrual=Accrual(as_of=today),
        fee_held=contract.disclosure.origination_fee,
    )
    if isinstance(contract.disclosure.told, RevenueTold):
        # The discount is earned by payments: the days before make none of it fall away.
        return contract, replace(loan, sales=open_tally(today))
    if today > contract.disclosure.schedule.start:
        loan = replace(loan, rows=calculate_rows_ahead(contract, loan, loan.rows))
    return contract, loan


def get_payee(disclosure: Disclosure) -> AccountId:
    """Who receives the money: the borrower, the merchant of a purchase, the supplier of a leased asset."""
    told = disclosure.told
    if isinstance(told, PurchaseTold):
        return AccountId(told.merchant)
    return AccountId(told.supplier if isinstance(told, LeaseTold) else disclosure.borrower)


def calculate_proceeds(disclosure: Disclosure) -> Amount:
    """What the payee receives: the proceeds, of a purchase less the merchant's discount."""
    told = disclosure.told
    return Amount(disclosure.net_proceeds - (told.discount if isinstance(told, PurchaseTold) else 0))


def pay_out(books: Books, loan_id: ObjectId, contract: Contract, loan: Loan) -> None:
    """Move the money of a loan that begins: out of its pools to the payee, or out of the agent's fiat if one paid."""
    disclosure = contract.disclosure
    proceeds = calculate_proceeds(disclosure)
    discount = disclosure.net_proceeds - proceeds
    held = split_income(loan.holdings, disclosure.origination_fee)
    earned = split_income(loan.holdings, discount)
    postings: list[Posting] = []
    for holding, fee, cut in zip(loan.holdings, held, earned, strict=True):
        change_pool(
            books,
            ObjectId(holding.pool),
            cash=fee + cut - holding.principal,
            principal=holding.principal,
            lent=holding.principal,
            loans_open=1,
            reserved=fee,
        )
        postings += [
            Posting(holding.pool, Book.PRINCIPAL, holding.principal),
            Posting(holding.pool, Book.FEES, -fee - cut),
        ]
    payee = get_payee(disclosure)
    if contract.agent is None:
        postings.append(Posting(payee, Book.CASH, -proceeds))
    else:
        postings.append(Posting(contract.agent, Book.FIAT, -proceeds))
    lender = get_owner(books, ObjectId(disclosure.pool))
    subjects = (loan_id, disclosure.borrower, lender, disclosure.application)
    books.post(
        "loan_made",
        disclosure.currency,
        tuple(postings),
        subjects if payee == disclosure.borrower else (*subjects, payee),
        {
            "loan": loan_id.hex(),
            "borrower": disclosure.borrower.hex(),
            "lender": lender.hex(),
            "payee": payee.hex(),
            "agent": None if contract.agent is None else contract.agent.hex(),
            "product": disclosure.product.hex(),
            "application": disclosure.application.hex(),
            "principal": disclosure.schedule.principal,
            "proceeds": proceeds,
            "apr_ppm": disclosure.apr_ppm,
        },
    )
