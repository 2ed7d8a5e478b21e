"""Assignment: a pool's share of a loan against another pool's cash, in one step.

    ACTIVE    the buyer books the principal at its face; what the price lies below or above it is gain or loss, of
              which cover bears its rate
    a claim   the seller's price is a recovery of its loss, then of its cover, then gain; the buyer books the price as
              lost until more than it comes back

Terms do not change and the borrower is told. Who buys the lead's share services the loan from then on, and holds title
to a leased thing. A unit that rounding moves between the shares of third pools is their gain or loss. Draws of a line
stay with the pools that promised it. Never a part of a share: a pool that sells, leaves the loan.
"""

from protocol.ids import AccountId, Day, Digest, ObjectId
from protocol.ledger.amend import drop_proposals
from protocol.ledger.assets import has_signed
from protocol.ledger.books import Books, Call
from protocol.ledger.contracts import Contract, DrawTold, Holding, LeaseTold, Loan
from protocol.ledger.cover import bear_loss, count_loss, is_cover_short
from protocol.ledger.exposure import calculate_pool_exposure, find_lenders
from protocol.ledger.holdings import Holdings, change_pool, get_lender, get_owner, split_whole
from protocol.ledger.journal import Book, Posting
from protocol.ledger.loans import calculate_subjects, emit_lateness, load_loan, save_loan
from protocol.ledger.products import may_lend
from protocol.ledger.records import Fact
from protocol.ledger.returns import forget_payments
from protocol.ledger.rules import Pause, Rule, Rules
from protocol.ledger.state import ACCOUNTS, ASSETS, EXPOSURES, LOANS, POOLS, replace
from protocol.loans.lifecycle import LoanEvent, LoanState, calculate_next_state, can_happen
from protocol.money import Amount, Ppm
from protocol.rejections import Rejection
from protocol.transactions.servicing import Assign

# ---------------------------------------------------------------------- checks


def check_assign(books: Books, call: Call, payload: Assign) -> Rejection | None:
    """Why the share is not sold. Money and caps are asked only of what could be sold at all."""
    seller = books.state.get(POOLS, payload.seller)
    if seller is None:
        return Rejection.POOL_UNKNOWN
    if seller.owner != call.account:
        return Rejection.POOL_NOT_YOURS
    if books.state.get(LOANS, payload.loan) is None:
        return Rejection.LOAN_UNKNOWN
    contract, loan = load_loan(books, payload.loan)
    barred = _check_loan(contract, loan) or _check_parties(books, call, payload, contract, loan)
    if barred is not None:
        return barred
    if _is_lead(loan, payload.seller) and _adds_lender(books, contract, payload):
        return Rejection.CAP_LENDERS
    buyer = books.state.need(POOLS, payload.buyer)
    return Rejection.LIQUIDITY_SHORT if buyer.cash - buyer.reserved < payload.price else None


def _check_loan(contract: Contract, loan: Loan) -> Rejection | None:
    """Whether the loan is one that can change hands now."""
    if loan.closed_ms is not None:
        return Rejection.LOAN_CLOSED
    if not can_happen(loan.state, LoanEvent.ASSIGN) or isinstance(contract.disclosure.told, DrawTold):
        return Rejection.LOAN_STATE
    if loan.fee_held:
        return Rejection.TOO_SOON
    return Rejection.ON_HOLD if loan.dispute is not None else None


def _check_parties(books: Books, call: Call, payload: Assign, contract: Contract, loan: Loan) -> Rejection | None:
    """Whether the seller holds a share, and the buyer's owner agreed and may take it."""
    sold = next((one for one in loan.holdings if one.pool == payload.seller), None)
    if sold is None:
        return Rejection.SHARE_UNKNOWN
    buyer = books.state.get(POOLS, payload.buyer)
    if buyer is None or buyer.currency != contract.disclosure.currency:
        return Rejection.BUYER_UNFIT
    if buyer.owner == call.account:
        # Nobody bargains with itself: one pool's investors would pay for the other's at any price it likes.
        return Rejection.BUYER_UNFIT
    owner = books.state.need(ACCOUNTS, buyer.owner)
    standing = may_lend(books, ObjectId(payload.buyer)) and owner.expires_on > books.today
    if not standing or not has_signed(books, call, AccountId(buyer.owner)):
        return Rejection.BUYER_UNFIT
    owed = calculate_pool_exposure(books, Digest(contract.subject_tag), ObjectId(payload.buyer))
    # A claim is no principal of a pool any more, so no cover is asked for it.
    runs = loan.state is LoanState.ACTIVE
    short = runs and is_cover_short(books, ObjectId(payload.buyer), more=sold.principal)
    return Rejection.BUYER_UNFIT if short or owed + sold.principal > buyer.borrower_max else None


def _is_lead(loan: Loan, pool: ObjectId) -> bool:
    return loan.holdings[0].pool == pool


def _adds_lender(books: Books, contract: Contract, payload: Assign) -> bool:
    """Whether the borrower would owe more lenders than the policy allows."""
    exposure = books.state.need(EXPOSURES, contract.subject_tag)
    others = replace(exposure, loans=tuple(one for one in exposure.loans if one != payload.loan))
    lenders = find_lenders(books, others)
    return get_owner(books, ObjectId(payload.buyer)) not in lenders and len(lenders) >= books.policy.lenders_max


# ---------------------------------------------------------------------- who holds what afterwards


def calculate_sold(holdings: Holdings, seller: ObjectId, buyer: ObjectId) -> Holdings:
    """The holdings once the seller's share is the buyer's: in its place, or together with what the buyer held.

    Parts of the principal follow the shares; what the buyer had lost or its cover had paid stays the buyer's, what the
    seller had is gone from the loan, and claims are not brought to the principal yet.
    """
    total = sum(one.principal for one in holdings)
    sold = next(one for one in holdings if one.pool == seller)
    own = next((one for one in holdings if one.pool == buyer), None)
    bought = Holding(pool=buyer, share_ppm=sold.share_ppm, principal=Amount(0))
    if own is not None:
        bought = replace(own, share_ppm=Ppm(own.share_ppm + sold.share_ppm))
    if own is None or holdings[0].pool == seller:
        after = tuple(bought if one is sold else one for one in holdings if one is not own)
    else:
        after = tuple(bought if one is own else one for one in holdings if one is not sold)
    parts = split_whole(after, total)
    return tuple(replace(one, principal=Amount(part)) for one, part in zip(after, parts, strict=True))


def _claim(holding: Holding, principal: int) -> Holding:
    """A part of a claim, for a principal that a sale has changed."""
    more = principal - holding.lost - holding.covered
    lost = max(0, holding.lost + more)
    return replace(holding, lost=Amount(lost), covered=Amount(principal - lost))


# ---------------------------------------------------------------------- what it moves


def _post_running(books: Books, loan: Loan, after: Holdings, payload: Assign) -> tuple[Holdings, list[Posting]]:
    """Move principal and price between pools; what they do not give for it is gain or loss."""
    before = {one.pool: int(one.principal) for one in loan.holdings}
    stays = {one.pool: int(one.principal) for one in after}
    postings: list[Posting] = []
    for pool in dict.fromkeys((*before, *stays)):
        principal = stays.get(pool, 0) - before.get(pool, 0)
        cash = _find_cash(payload, ObjectId(pool))
        change_pool(books, ObjectId(pool), principal=principal, cash=cash)
        postings += [Posting(pool, Book.PRINCIPAL, principal), *_post_result(books, ObjectId(pool), principal + cash)]
    return after, postings


def _post_claim(books: Books, loan: Loan, after: Holdings, payload: Assign) -> tuple[Holdings, list[Posting]]:
    """Move a claim and its price: to the seller a recovery, to the buyer what it has lost until it comes back.

    The buyer's cover bears its rate of the price: a claim is bought like a loan that defaults at once.
    """
    assert loan.defaulted_on is not None, "a claim has its day"
    day, price = Day(loan.defaulted_on), int(payload.price)
    sold = next(one for one in loan.holdings if one.pool == payload.seller)
    lost = min(price, sold.lost)
    covered = min(price - lost, sold.covered)
    count_loss(books, ObjectId(payload.seller), day, -lost)
    change_pool(books, ObjectId(payload.seller), cash=price - covered, cover=covered)
    postings = [
        Posting(payload.seller, Book.LOSS, -lost),
        Posting(payload.seller, Book.COVER, -covered),
        Posting(payload.seller, Book.GAIN, lost + covered - price),
    ]
    holdings = []
    for one in after:
        held = _claim(one, one.principal)
        pool, more = ObjectId(one.pool), max(0, held.lost - one.lost)
        cash = _find_cash(payload, pool)
        change_pool(books, pool, cash=cash)
        borne = bear_loss(books, pool, min(more, -cash), day)
        rest = more - borne.covered - borne.lost
        count_loss(books, pool, day, rest)
        postings += [*borne.postings, Posting(pool, Book.LOSS, rest), *_post_result(books, pool, more + cash)]
        lost, covered = held.lost - borne.covered, held.covered + borne.covered
        holdings.append(replace(held, lost=Amount(lost), covered=Amount(covered)))
    return tuple(holdings), postings


def _find_cash(payload: Assign, pool: ObjectId) -> int:
    return payload.price * ((pool == payload.seller) - (pool == payload.buyer))


def _post_result(books: Books, pool: ObjectId, amount: int) -> tuple[Posting, ...]:
    """What a pool has gained by it, or lost, of which its cover bears its rate."""
    return (Posting(pool, Book.GAIN, -amount),) if amount > 0 else bear_loss(books, pool, -amount, books.today).postings


def apply_assign(books: Books, call: Call, payload: Assign) -> tuple[Fact, ...]:
    """Exchange share and price in one entry."""
    contract, loan = load_loan(books, payload.loan)
    emit_lateness(books, payload.loan, contract, books.state.need(LOANS, payload.loan), loan)
    sold = next(one for one in loan.holdings if one.pool == payload.seller)
    joins = all(one.pool != payload.buyer for one in loan.holdings)
    after = calculate_sold(loan.holdings, ObjectId(payload.seller), ObjectId(payload.buyer))
    post = _post_running if loan.state is LoanState.ACTIVE else _post_claim
    holdings, postings = post(books, loan, after, payload)
    change_pool(books, ObjectId(payload.seller), loans_open=-1, haircut=-sold.haircut)
    change_pool(books, ObjectId(payload.buyer), loans_open=int(joins))
    forget_payments(books, payload.loan)
    leads = _is_lead(loan, ObjectId(payload.seller))
    # Those who held it have signed them, not who holds it now.
    loan = drop_proposals(books, loan)
    loan = replace(loan, holdings=holdings, state=calculate_next_state(loan.state, LoanEvent.ASSIGN, loan.state))
    if leads:
        _move_title(books, payload.loan, contract, loan)
    buyer = get_owner(books, ObjectId(payload.buyer))
    subjects = (*calculate_subjects(books, payload.loan, contract, loan), call.account, buyer)
    books.post(
        "share_assigned",
        contract.disclosure.currency,
        tuple(postings),
        tuple(dict.fromkeys((*subjects, payload.seller, payload.buyer))),
        {
            "loan": payload.loan.hex(),
            "seller": payload.seller.hex(),
            "buyer": payload.buyer.hex(),
            "share_ppm": sold.share_ppm,
            "principal": sold.principal,
            "price": payload.price,
            "lender": get_lender(books, loan).hex(),
        },
    )
    save_loan(books, payload.loan, contract, loan)
    return ()


def _move_title(books: Books, loan_id: ObjectId, contract: Contract, loan: Loan) -> None:
    """A leased thing belongs to whoever services its lease."""
    told = contract.disclosure.told
    if isinstance(told, LeaseTold):
        asset = books.state.need(ASSETS, told.asset)
        if asset.lien == loan_id:
            books.state.put(ASSETS, told.asset, replace(asset, owner=get_lender(books, loan)))


RULES: Rules = {Assign: Rule(check_assign, apply_assign, pause=Pause.SERVICING)}
