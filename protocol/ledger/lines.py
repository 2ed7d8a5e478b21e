"""Revolving lines: drawn as loans of their own, closed on their day or by the borrower (ledger 2.11).

    accept -> open --draw--> a loan on the product's terms, at the rate agreed     pays back -> may be drawn again
              open --its day, the borrower, a draw's default or amendment--> closed for good; draws go on

What a draw costs is computed for the day it is made, under the policy of that day; the borrower signs its hash. What is
undrawn, and what pools keep for it, is `undrawn`'s; never a figure of it here.
"""

from protocol.crypto import calculate_object_id
from protocol.genesis import Policy
from protocol.ids import AccountId, Day, ObjectId
from protocol.ledger.accept import check_cover, check_may_lend
from protocol.ledger.books import Books, Call, EventKind
from protocol.ledger.contracts import Disclosure, DrawTold
from protocol.ledger.decisions import calculate_capacity30
from protocol.ledger.exposure import apply_drawn, check_instalments
from protocol.ledger.guarantees import check_counts
from protocol.ledger.holdings import make_holdings
from protocol.ledger.loans import load_loan, save_loan
from protocol.ledger.offers import Wanted, calculate_disclosure, calculate_terms_hash
from protocol.ledger.payout import calculate_proceeds, make_loan, pay_out
from protocol.ledger.products import is_within_range
from protocol.ledger.records import Disbursed, Fact, Made
from protocol.ledger.rows import Line, Product
from protocol.ledger.rules import Due, Pause, Rule, Rules
from protocol.ledger.servicing import calculate_loan_class
from protocol.ledger.state import APPLICATIONS, CONTRACTS, EXPOSURES, LINES, POOLS, PRODUCTS
from protocol.ledger.undrawn import calculate_reserves, close_line, get_agreed
from protocol.limits import LINE_DRAWS_MAX
from protocol.loans.delinquency import AssetClass, DelinquencyBucket
from protocol.loans.lifecycle import LoanState
from protocol.money import Amount, Ppm
from protocol.rejections import Rejection
from protocol.transactions.lending import Draw, LineClose
from protocol.transactions.products import LineKind

# ---------------------------------------------------------------------- what a draw costs


def calculate_draw(
    policy: Policy,
    product: Product,
    agreed: Disclosure,
    line_id: ObjectId,
    *,
    amount: int,
    instalments: int,
    today: Day,
    policy_version: int,
) -> Disclosure | Rejection:
    """The disclosure of a draw made on a contract day, or why no lawful one has these terms.

    Pure, so that a wallet can show it and sign its hash (`calculate_terms_hash`); `agreed` is the line's own.
    """
    return calculate_disclosure(
        policy,
        product,
        Wanted(
            application=ObjectId(agreed.application),
            product=ObjectId(agreed.product),
            borrower=AccountId(agreed.borrower),
            principal=amount,
            instalments=instalments,
            rate_ppm=Ppm(agreed.schedule.rate_ppm),
            start=today,
            policy_version=policy_version,
        ),
        DrawTold(line=line_id),
    )


def quote_draw(books: Books, line_id: ObjectId, amount: int, instalments: int) -> Disclosure | Rejection:
    """The same from the books, for today."""
    agreed = get_agreed(books, books.state.need(LINES, line_id))
    return calculate_draw(
        books.policy,
        books.state.need(PRODUCTS, agreed.product),
        agreed,
        line_id,
        amount=amount,
        instalments=instalments,
        today=books.calculate_day(agreed.tz_offset_min),
        policy_version=books.policy_version,
    )


# ---------------------------------------------------------------------- drawing


def _find_line(books: Books, call: Call, line_id: ObjectId) -> Line | Rejection:
    """The signer's own open line."""
    line = books.state.get(LINES, line_id)
    if line is None or get_agreed(books, line).borrower != call.account:
        return Rejection.LINE_UNKNOWN
    # Its event may still wait behind a thousand others of the day.
    return Rejection.LINE_CLOSED if line.closed or line.closes_ms <= books.now_ms else line


def check_draw(books: Books, call: Call, payload: Draw) -> Rejection | None:
    """Why no loan is made. Everything else is asked only of a line that can be drawn on."""
    if payload.amount == 0:
        return Rejection.AMOUNT_ZERO
    line = _find_line(books, call, ObjectId(payload.line))
    if isinstance(line, Rejection):
        return line
    agreed = get_agreed(books, line)
    terms = books.state.need(PRODUCTS, agreed.product).terms
    disclosure = quote_draw(books, ObjectId(payload.line), payload.amount, payload.instalments)
    if isinstance(disclosure, Rejection):
        return disclosure
    if not is_within_range(terms, terms.amount_min, payload.instalments):
        return Rejection.APPLICATION_TERMS_INVALID
    if payload.terms_hash != calculate_terms_hash(disclosure):
        return Rejection.TERMS_MISMATCH
    capacity30 = calculate_capacity30(books, books.state.need(APPLICATIONS, agreed.application))
    exposure = books.state.need(EXPOSURES, line.subject_tag)
    return (
        check_instalments(books, exposure, disclosure, capacity30)
        or _check_kept(books, line, disclosure)
        or _check_amount(line, terms.kind, payload.amount)
        or _check_draws(books, line)
        or check_cover(books, disclosure, reserved=True)
        or check_may_lend(books, disclosure)
        or check_counts(books, call, disclosure)
    )


def _check_kept(books: Books, line: Line, disclosure: Disclosure) -> Rejection | None:
    """Whether each pool has its part: it was kept ready, but for a unit or two that rounding gives the lead to pay."""
    if disclosure.schedule.principal > line.undrawn:
        return None
    kept = dict(calculate_reserves(books, line))
    for one in make_holdings(disclosure, disclosure.schedule.principal):
        pool = books.state.need(POOLS, one.pool)
        if pool.cash - pool.reserved + kept[one.pool] < one.principal:
            return Rejection.LIQUIDITY_SHORT
    return None


def _check_amount(line: Line, kind: object, amount: int) -> Rejection | None:
    assert isinstance(kind, LineKind), "a line's product"
    return None if kind.draw_min <= amount <= line.undrawn else Rejection.LINE_SHORT


def _check_draws(books: Books, line: Line) -> Rejection | None:
    """Whether all that was drawn runs as it should, and it is not too many."""
    if len(line.draws) >= LINE_DRAWS_MAX:
        return Rejection.DRAW_BLOCKED
    for loan_id in line.draws:
        contract, loan = load_loan(books, ObjectId(loan_id))
        rated = calculate_loan_class(contract, loan, books.policy.observation_days)
        late = loan.bucket is not DelinquencyBucket.CURRENT
        if loan.state is not LoanState.ACTIVE or late or rated is not AssetClass.NORMAL:
            return Rejection.DRAW_BLOCKED
    return None


def apply_draw(books: Books, call: Call, payload: Draw) -> tuple[Fact, ...]:
    """Make the loan: what was undrawn is lent, so nothing is added to what the borrower may owe."""
    loan_id = calculate_object_id("loan", call.key, call.nonce)
    line = books.state.need(LINES, payload.line)
    disclosure = quote_draw(books, ObjectId(payload.line), payload.amount, payload.instalments)
    assert isinstance(disclosure, Disclosure), "checked before"
    contract, loan = make_loan(
        ObjectId(line.offer), disclosure, line.subject_tag, books, agent=None, autopay=line.autopay
    )
    books.state.put(CONTRACTS, loan_id, contract)
    apply_drawn(books, line.subject_tag, loan_id, payload.amount)
    pay_out(books, loan_id, contract, loan)
    save_loan(books, loan_id, contract, loan)
    return (
        Made(id=loan_id),
        Disbursed(loan=loan_id, principal=Amount(payload.amount), proceeds=calculate_proceeds(disclosure)),
    )


# ---------------------------------------------------------------------- closing


def check_line_close(books: Books, call: Call, payload: LineClose) -> Rejection | None:
    """Why there is nothing to give up."""
    line = _find_line(books, call, ObjectId(payload.line))
    return line if isinstance(line, Rejection) else None


def apply_line_close(books: Books, call: Call, payload: LineClose) -> tuple[Fact, ...]:
    """Let the pools lend to others what the borrower does not want."""
    close_line(books, ObjectId(payload.line), books.state.need(LINES, payload.line), "borrower")
    return ()


def on_line_due(books: Books, line_id: ObjectId) -> None:
    """Its last day is over."""
    line = books.state.need(LINES, line_id)
    if not line.closed:
        close_line(books, line_id, line, "expired")


RULES: Rules = {
    Draw: Rule(check_draw, apply_draw, credential=True, borrower=True, pause=Pause.LENDING),
    # Whoever may not borrow any more may still give back the right to.
    LineClose: Rule(check_line_close, apply_line_close, frozen_may=True),
}
DUE: Due = {EventKind.LINE: on_line_due}
