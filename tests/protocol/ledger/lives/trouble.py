"""What random lenders, borrowers and arbiters do when loans go wrong, are changed, sold or fought over."""

from typing import Any

from protocol.ids import ZERO_DIGEST, Digest, ObjectId
from protocol.ledger.contracts import LeaseTold
from protocol.ledger.leases import calculate_extension
from protocol.ledger.loans import load_loan
from protocol.ledger.offers import calculate_terms_hash
from protocol.ledger.records import Receipt
from protocol.ledger.restructure import calculate_amended
from protocol.ledger.state import AMENDMENTS, ASSETS, CONTRACTS, DISPUTES, LOANS
from protocol.loans.delinquency import AssetClass
from protocol.loans.lifecycle import LoanState
from protocol.loans.schedule import ScheduleFault
from protocol.money import Amount, Ppm
from protocol.transactions.assets import AssetSeize, AssetSell, LeaseEnd, LeaseEndOption
from protocol.transactions.servicing import (
    AdjustKind,
    AmendAnswer,
    AmendPropose,
    Assign,
    DisputeAnswer,
    DisputeCode,
    DisputeOpen,
    DisputeResolve,
    DistressKind,
    LoanAdjust,
    LoanDistress,
    Treatment,
)
from tests.protocol.ledger.lives.core import FIRM, PEOPLE, Actions, Lives
from tests.protocol.ledger.world import LENDERS

CLAIMED = (LoanState.DEFAULTED, LoanState.WRITTEN_OFF)


def neglect(lives: Lives) -> Receipt | None:
    """Months pass in which nobody does anything: the way to a default."""
    lives.world.block(ms=45 * 86_400_000)
    return None


def distress(lives: Lives) -> Receipt | None:
    """A lender, or anybody who may, calls a loan's trouble by its name."""
    found = lives.loan(LoanState.ACTIVE, LoanState.DEFAULTED)
    if found is None:
        return None
    loan_id, _, loan = found
    random = lives.random
    kinds = [DistressKind.WRITE_OFF] if loan.state is LoanState.DEFAULTED else list(DistressKind)[:4]
    kind = random.choice([*kinds, DistressKind.DEFAULT])
    payload = LoanDistress(
        loan=loan_id,
        kind=kind,
        asset_class=random.choice(list(AssetClass)) if kind is DistressKind.IMPAIR else None,
        evidence=lives.hash() if kind is DistressKind.DEFAULT_EARLY else None,
    )
    who = random.choice(("eye", *LENDERS)) if kind is DistressKind.DEFAULT else lives.lender(loan)
    return lives.do(who, payload, cosigners=("court",) if random.random() < 0.9 else ())


def default_late_ones(lives: Lives) -> Receipt | None:
    """The regulator triggers a default that the rule allows."""
    loan_id = lives.some(LOANS, lambda row: row.state is LoanState.ACTIVE and row.days_past_due_max >= 60)
    if loan_id is None:
        return None
    return lives.do("eye", LoanDistress(loan=loan_id, kind=DistressKind.DEFAULT))


def adjust(lives: Lives) -> Receipt | None:
    """A waiver, a refund, costs of recovery, or a receipt that the bank took back."""
    found = lives.loan()
    if found is None:
        return None
    loan_id, _, loan = found
    random = lives.random
    kind = random.choice([AdjustKind.COST] if loan.state in CLAIMED else list(AdjustKind))
    most = {AdjustKind.WAIVE: 2_000, AdjustKind.REFUND: max(1, loan.paid[1])}.get(kind, 20_000)
    who = "agent" if kind is AdjustKind.REVERSAL else lives.lender(loan)
    payload = LoanAdjust(
        loan=loan_id,
        kind=kind,
        amount=Amount(random.randint(0, most)),
        reference=lives.reference(),
        payment=max(0, loan.payments - 1),
    )
    return lives.do(who, payload)


def propose_amendment(lives: Lives) -> Receipt | None:
    """One side proposes other terms, or to settle for less."""
    found = lives.loan(LoanState.ACTIVE, *CLAIMED)
    if found is None:
        return None
    loan_id, contract, loan = found
    random = lives.random
    who = random.choice((lives.owner(contract.disclosure.borrower), lives.lender(loan)))
    payload = AmendPropose(
        loan=loan_id,
        settle=lives.amount(loan.principal_out // 2) if random.random() < 0.3 else None,
        instalments=random.randint(1, 24),
        rate_ppm=Ppm(random.choice((0, 40_000, 100_000))),
        forgiven=Amount(random.choice((0, 0, loan.principal_out // 5))),
        interest=random.choice(list(Treatment)),
        fees=random.choice(list(Treatment)),
        penalties=random.choice(list(Treatment)),
        valid_days=random.randint(1, 30),
    )
    receipt = lives.do(who, payload, cosigners=_partners(lives, loan, who))
    if receipt.rejection is not None or random.random() < 0.3:
        return receipt
    return answer_amendment(lives)


def answer_amendment(lives: Lives) -> Receipt | None:
    """The other side accepts what it computed for today, or rejects."""
    amendment_id = lives.some(AMENDMENTS, lambda row: row.accepted is None)
    if amendment_id is None:
        return None
    books, random = lives.world.ledger.books, lives.random
    row = books.state.need(AMENDMENTS, amendment_id)
    contract, loan = load_loan(books, ObjectId(row.terms.loan))
    borrower, lender = lives.owner(contract.disclosure.borrower), lives.lender(loan)
    who = lender if row.by_borrower else borrower
    terms_hash = Digest(ZERO_DIGEST)
    accepts = random.random() < 0.8
    if accepts and row.terms.settle is None:
        today = books.calculate_day(contract.disclosure.tz_offset_min)
        amended = calculate_amended(contract, loan, row.terms, today)
        terms_hash = calculate_terms_hash(amended.disclosure) if amended is not None else lives.hash()
    if row.terms.settle is not None:
        lives.world.mint(borrower, max(1, row.terms.settle))
    cosigners = _partners(lives, loan, who)
    return lives.do(
        who, AmendAnswer(amendment=amendment_id, accept=accepts, terms_hash=terms_hash), cosigners=cosigners
    )


def _partners(lives: Lives, loan: Any, who: str) -> tuple[str, ...]:
    """Who else holds a loan, and signs now and then."""
    names = dict.fromkeys(LENDERS[lives.pools.index(ObjectId(one.pool))] for one in loan.holdings)
    return tuple(one for one in names if one != who) if lives.random.random() < 0.8 else ()


def assign(lives: Lives) -> Receipt | None:
    """A pool sells its share to another."""
    found = lives.loan(LoanState.ACTIVE, *CLAIMED)
    if found is None:
        return None
    loan_id, _, loan = found
    holding = lives.random.choice(loan.holdings)
    seller = lives.pools.index(ObjectId(holding.pool))
    buyer = lives.random.choice([one for one in range(len(LENDERS)) if one != seller])
    payload = Assign(
        loan=loan_id,
        seller=lives.pools[seller],
        buyer=lives.pools[buyer],
        price=lives.amount(holding.principal),
    )
    return lives.do(LENDERS[seller], payload, cosigners=(LENDERS[buyer],))


def open_dispute(lives: Lives) -> Receipt | None:
    """One side contests an amount."""
    found = lives.loan()
    if found is None:
        return None
    loan_id, contract, loan = found
    who = lives.random.choice((lives.owner(contract.disclosure.borrower), lives.lender(loan)))
    payload = DisputeOpen(
        loan=loan_id,
        code=lives.random.choice(list(DisputeCode)),
        amount=lives.amount(20_000),
        evidence=lives.hash(),
    )
    return lives.do(who, payload)


def handle_dispute(lives: Lives) -> Receipt | None:
    """The other side answers, or the court decides."""
    dispute_id = lives.some(DISPUTES, lambda row: not row.resolved)
    if dispute_id is None:
        return None
    state, random = lives.world.ledger.books.state, lives.random
    row = state.need(DISPUTES, dispute_id)
    if random.random() < 0.4:
        contract, loan = state.need(CONTRACTS, row.loan), state.need(LOANS, row.loan)
        who = random.choice((lives.owner(contract.disclosure.borrower), lives.lender(loan)))
        return lives.do(who, DisputeAnswer(dispute=dispute_id, evidence=lives.hash()))
    most = random.choice((0, 0, 50, 5_000))
    payload = DisputeResolve(
        dispute=dispute_id,
        waive=Amount(random.randint(0, most)),
        refund=Amount(random.randint(0, most)),
    )
    return lives.do("court", payload)


def seize(lives: Lives) -> Receipt | None:
    """A lender takes the security of a defaulted loan."""
    asset_id = lives.some(ASSETS, lambda row: row.lien is not None)
    state = lives.world.ledger.books.state
    if asset_id is None or (loan_id := state.need(ASSETS, asset_id).lien) is None:
        return None
    loan = state.need(LOANS, loan_id)
    payload = AssetSeize(asset=asset_id, loan=loan_id, value=lives.amount(loan.principal_out))
    return lives.do(lives.lender(loan), payload, cosigners=("court",))


def sell(lives: Lives) -> Receipt | None:
    """And sells it."""
    asset_id = lives.some(ASSETS, lambda row: bool(row.held))
    if asset_id is None:
        return None
    asset = lives.world.ledger.books.state.need(ASSETS, asset_id)
    value = sum(part for _, part in asset.held)
    buyer = lives.random.choice((*PEOPLE, FIRM))
    lives.world.mint(buyer, value + 1)
    payload = AssetSell(asset=asset_id, price=lives.amount(value))
    vouching = ("court",) if payload.price < value else ()
    return lives.do(lives.owner(asset.owner), payload, cosigners=(lives.signers[buyer], *vouching))


def end_lease(lives: Lives) -> Receipt | None:
    """A lessee returns, buys, or asks for more time."""
    state = lives.world.ledger.books.state
    loan_id = lives.some(LOANS, lambda row: row.state is LoanState.ACTIVE and row.deposit > 0)
    if loan_id is None:
        return None
    contract, loan = state.need(CONTRACTS, loan_id), state.need(LOANS, loan_id)
    if not isinstance(contract.disclosure.told, LeaseTold):
        return None
    who = lives.owner(contract.disclosure.borrower)
    option = lives.random.choice(list(LeaseEndOption))
    lives.world.mint(who, 900_000)
    due = sum(row.unpaid for row in loan.rows[:-1])
    if due and lives.random.random() < 0.9:
        lives.pay_off_rows(who, loan_id, due)
    terms_hash = Digest(ZERO_DIGEST)
    if option is LeaseEndOption.EXTEND:
        contract, loan = load_loan(lives.world.ledger.books, loan_id)
        today = lives.world.ledger.books.calculate_day(contract.disclosure.tz_offset_min)
        extended = calculate_extension(contract.disclosure, loan.rows[-1].principal_unpaid, today)
        terms_hash = lives.hash() if isinstance(extended, ScheduleFault) else calculate_terms_hash(extended)
    payload = LeaseEnd(loan=loan_id, option=option, terms_hash=terms_hash)
    return lives.do(who, payload, cosigners=(lives.lender(loan),) if option is LeaseEndOption.RETURN else ())


ACTIONS: Actions = [
    (neglect, 8),
    (distress, 10),
    (default_late_ones, 8),
    (adjust, 10),
    (propose_amendment, 10),
    (answer_amendment, 4),
    (assign, 6),
    (open_dispute, 5),
    (handle_dispute, 6),
    (seize, 4),
    (sell, 4),
    (end_lease, 6),
]
