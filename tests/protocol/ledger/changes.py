"""Scenes of loans that are changed: corrected, disputed, amended, sold. Shared by the tests of those families."""

from typing import Any

from protocol.crypto import calculate_hash
from protocol.ids import ZERO_DIGEST, Digest, ObjectId
from protocol.ledger.contracts import Loan
from protocol.ledger.invariants import find_violations
from protocol.ledger.loans import load_loan
from protocol.ledger.offers import calculate_terms_hash
from protocol.ledger.records import Receipt
from protocol.ledger.restructure import Amended, calculate_amended
from protocol.ledger.servicing import calculate_loan_payoff
from protocol.ledger.state import ACCOUNTS, AMENDMENTS, EXPOSURES
from protocol.money import Amount, Ppm
from protocol.rejections import Rejection
from protocol.transactions.money import Transfer
from protocol.transactions.servicing import (
    AdjustKind,
    AmendAnswer,
    AmendPropose,
    Assign,
    DisputeAnswer,
    DisputeCode,
    DisputeOpen,
    DisputeResolve,
    LoanAdjust,
    Treatment,
)
from tests.protocol.ledger.goods import Goods
from tests.protocol.ledger.troubled import lend
from tests.protocol.ledger.world import CNY

EVIDENCE = calculate_hash("evidence")


def lawful_do(world: Goods, who: str, payload: Any, **options: Any) -> Receipt:
    """Execute what must succeed, and see that every law holds afterwards."""
    receipt = world.must(who, payload, **options)
    assert find_violations(world.ledger) == {}
    return receipt


def refusal(world: Goods, who: str, payload: Any, **options: Any) -> Rejection | None:
    """Execute what is refused, and see that nothing changed by it."""
    receipt = world.do(who, payload, **options)
    assert find_violations(world.ledger) == {}
    return receipt.rejection


def bring(world: Goods, loan_id: ObjectId) -> Loan:
    """The loan as it stands today, whether anything has touched it or not."""
    return load_loan(world.ledger.books, loan_id)[1]


def payoff(world: Goods, loan_id: ObjectId) -> int:
    """What closes it today."""
    return calculate_loan_payoff(*load_loan(world.ledger.books, loan_id))


def pay(world: Goods, who: str, loan_id: ObjectId, amount: int) -> Receipt:
    """Pay with fresh money."""
    world.mint(who, amount)
    receipt = world.pay(who, loan_id, amount)
    assert receipt.rejection is None, receipt.rejection
    assert find_violations(world.ledger) == {}
    return receipt


def late_loan(world: Goods, days: int = 30, **options: Any) -> ObjectId:
    """A loan on which one unit was paid, in arrears on the day."""
    loan = lend(world, **options)
    world.pass_days(4)
    pay(world, "ann", loan, 1)
    world.pass_days(days - 4)
    return loan


def owed(world: Goods) -> int:
    """Ann's open principal."""
    tag = world.ledger.books.state.need(ACCOUNTS, world.account("ann")).subject_tag
    return world.ledger.books.state.need(EXPOSURES, tag).principal_open


def adjust(
    loan_id: ObjectId, kind: AdjustKind, amount: int, *, reference: Digest = EVIDENCE, payment: int = 0
) -> LoanAdjust:
    """A correction."""
    return LoanAdjust(loan=loan_id, kind=kind, amount=Amount(amount), reference=reference, payment=payment)


def transfer(world: Goods, to: str, amount: int) -> Transfer:
    """Money that moves."""
    return Transfer(to=world.account(to), currency=CNY, amount=Amount(amount), memo_commit=EVIDENCE)


def proposal(loan_id: ObjectId, **fields: Any) -> AmendPropose:
    """Twelve weeks more at the contract's rate, all charges made principal, nothing forgiven."""
    plain: dict[str, Any] = {
        "instalments": 12,
        "rate_ppm": Ppm(72_000),
        "forgiven": Amount(0),
        "interest": Treatment.CAPITALISE,
        "fees": Treatment.CAPITALISE,
        "penalties": Treatment.CAPITALISE,
        "valid_days": 10,
    }
    return AmendPropose(loan=loan_id, **{**plain, **fields})


def plan(world: Goods, terms: AmendPropose) -> Amended:
    """What a wallet computes of a proposal today."""
    contract, loan = load_loan(world.ledger.books, ObjectId(terms.loan))
    found = calculate_amended(contract, loan, terms, world.ledger.books.calculate_day(480))
    assert found is not None
    return found


def answer(world: Goods, amendment: ObjectId, **fields: Any) -> AmendAnswer:
    """An acceptance of what stands in the books, signed over today's terms."""
    terms = world.ledger.books.state.need(AMENDMENTS, amendment).terms
    terms_hash = ZERO_DIGEST if terms.settle is not None else calculate_terms_hash(plan(world, terms).disclosure)
    return AmendAnswer(**{"amendment": amendment, "accept": True, "terms_hash": terms_hash, **fields})


def amend(
    world: Goods, terms: AmendPropose, *, by: str = "harbour", answered_by: str = "ann", partners: tuple[str, ...] = ()
) -> Receipt:
    """Propose, signed by partners too, and accept."""
    lawful_do(world, by, terms, cosigners=partners)
    return lawful_do(world, answered_by, answer(world, world.made("amendment", by)))


def assign(world: Goods, loan_id: ObjectId, price: int, *, seller: str = "harbour", buyer: str = "plum") -> Assign:
    """A sale between lenders' first pools."""
    return Assign(loan=loan_id, seller=world.pool_id(seller), buyer=world.pool_id(buyer), price=Amount(price))


def contest(loan_id: ObjectId, amount: int) -> DisputeOpen:
    """A dispute about an amount."""
    return DisputeOpen(loan=loan_id, code=DisputeCode.AMOUNT, amount=Amount(amount), evidence=EVIDENCE)


def resolve(dispute: ObjectId, *, waive: int = 0, refund: int = 0) -> DisputeResolve:
    """A decision."""
    return DisputeResolve(dispute=dispute, waive=Amount(waive), refund=Amount(refund))


def reply(dispute: ObjectId) -> DisputeAnswer:
    """The other side's word."""
    return DisputeAnswer(dispute=dispute, evidence=EVIDENCE)
