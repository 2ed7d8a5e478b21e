"""Scenes and faults of loans that are corrected, disputed, amended or sold: material of their test of precedence."""

from types import MappingProxyType
from typing import Any

from protocol.ids import ZERO_DIGEST
from protocol.ledger.journal import Book
from protocol.ledger.rows import Dispute, Reference
from protocol.ledger.state import (
    ACCOUNTS,
    AMENDMENTS,
    ASSETS,
    DISPUTES,
    EXPOSURES,
    LOANS,
    PAYMENTS,
    POOLS,
    REFERENCES,
    replace,
)
from protocol.loans.lifecycle import LoanState
from protocol.money import PPM, Amount, Ppm
from protocol.rejections import Rejection
from protocol.transactions.servicing import AdjustKind, DisputeCode, DisputeSide
from tests.protocol.ledger.changes import (
    EVIDENCE,
    adjust,
    answer,
    assign,
    bring,
    contest,
    pay,
    payoff,
    proposal,
    reply,
    resolve,
)
from tests.protocol.ledger.goods import Goods
from tests.protocol.ledger.precedence import NOTHING, Case, Fault, Scene, empty_cash
from tests.protocol.ledger.precedence_trouble import ANY, OWN, change_loan, change_terms
from tests.protocol.ledger.troubled import give_cover, lend, lend_and_default, set_pool
from tests.protocol.ledger.world import DAY_START

R = Rejection


def moot(*smaller: Rejection, under: tuple[Rejection, ...]) -> MappingProxyType[Rejection, tuple[Rejection, ...]]:
    """Money, hash and caps are asked only of what could be done at all."""
    return MappingProxyType(dict.fromkeys(under, smaller))


def change_row(table: Any, name: str, **fields: Any) -> Fault:
    """Another row of what the scene has a name for."""
    return lambda scene: scene.put(table, scene.names[name], **fields)


def keep_all_cash(lender: str) -> Fault:
    """All of a pool's cash is promised."""

    def fault(scene: Scene) -> None:
        scene.put(POOLS, scene.world.pool_id(lender), reserved=scene.world.pool(lender).cash)

    return fault


def empty_rows(scene: Scene) -> None:
    """Nothing was paid on the loan, and nothing but principal is unpaid."""
    rows = bring(scene.world, scene.names["loan"]).rows
    bare = {f"{part}_{kind}": 0 for part in ("interest", "fee", "penalty") for kind in ("due", "paid")}
    scene.put(LOANS, scene.names["loan"], rows=tuple(replace(row, **bare) for row in rows), late_days=0)


def leave_open(scene: Scene) -> None:
    """The borrower's own dispute is open."""
    row = Dispute(
        loan=scene.names["loan"],
        side=DisputeSide.BORROWER,
        code=DisputeCode.OTHER,
        amount=Amount(1),
        evidence=EVIDENCE,
        answer=None,
        opened_on=DAY_START,
        hold_until=DAY_START,
    )
    scene.books.state.put(DISPUTES, NOTHING, row)
    scene.put(LOANS, scene.names["loan"], dispute=NOTHING)


def share_with(lender: str) -> Fault:
    """Another pool holds a part of the loan, if only in name."""

    def fault(scene: Scene) -> None:
        held = scene.world.loan(scene.names["loan"]).holdings
        part = replace(held[0], pool=scene.world.pool_id(lender), share_ppm=Ppm(0), principal=Amount(0))
        scene.put(LOANS, scene.names["loan"], holdings=(*held, part))

    return fault


def hold_by(lender: str) -> Fault:
    """Another pool holds the loan."""

    def fault(scene: Scene) -> None:
        one = bring(scene.world, scene.names["loan"]).holdings[0]
        scene.put(LOANS, scene.names["loan"], holdings=(replace(one, pool=scene.world.pool_id(lender)),))

    return fault


# ---------------------------------------------------------------------- amendments


def build_proposal(**fields: Any) -> Scene:
    """Harbour proposes other terms for a loan that is thirty days old."""
    world = Goods()
    loan = lend(world)
    world.pass_days(30)
    return Scene(world, "harbour", proposal(loan, **fields), loan=loan)


def build_answer(*, by: str = "harbour", answers: str = "ann", default: bool = False, **fields: Any) -> Scene:
    """The other side accepts."""
    world = Goods()
    if default:
        give_cover(world, 60_000)
        set_pool(world, rate=100_000)
    loan = lend_and_default(world) if default else lend(world)
    world.pass_days(30)
    world.must(by, proposal(loan, **fields))
    made = world.made("amendment", by)
    return Scene(world, answers, answer(world, made), loan=loan, made=made)


def reterm(**fields: Any) -> Fault:
    """The proposal said something else."""

    def fault(scene: Scene) -> None:
        row = scene.books.state.need(AMENDMENTS, scene.names["made"])
        scene.put(AMENDMENTS, scene.names["made"], terms=replace(row.terms, **fields))

    return fault


def reject(scene: Scene) -> Scene:
    """The answer is no."""
    scene.say(accept=False, terms_hash=ZERO_DIGEST)
    return scene


AMENDABLE: dict[Rejection, Fault] = {**OWN, R.TOO_SOON: change_loan(fee_held=Amount(1))}
ANSWERED: dict[Rejection, Fault] = {
    R.LOAN_CLOSED: change_loan(closed_ms=1),
    R.LOAN_STATE: change_loan(state=LoanState.FUNDED),
    R.LOAN_NOT_YOURS: change_terms(borrower=bytes(32)),
    R.TOO_SOON: change_loan(fee_held=Amount(1)),
    R.AMENDMENT_UNKNOWN: lambda s: s.say(amendment=NOTHING),
    R.AMENDMENT_CLOSED: change_row(AMENDMENTS, "made", accepted=False),
}
AMENDED: dict[Rejection, Fault] = {
    **ANSWERED,
    R.POLICY_BROKEN: lambda s: s.rule(apr_cap_ppm=Ppm(1)),
    R.TERMS_MISMATCH: lambda s: s.say(terms_hash=EVIDENCE),
    R.CAP_DEBT: lambda s: s.rule(debt_cap=Amount(1)),
    R.AMENDMENT_TERMS_INVALID: reterm(forgiven=Amount(600_000)),
    R.RESTRUCTURES_TOO_MANY: change_loan(restructures=2),
}
BARS = (*ANSWERED, R.AMENDMENT_TERMS_INVALID, R.RESTRUCTURES_TOO_MANY)
ASKED = (R.FUNDS_SHORT, R.POLICY_BROKEN, R.TERMS_MISMATCH, R.CAP_DEBT, R.LIQUIDITY_SHORT)
UNKNOWN_TOO = {R.AMENDMENT_UNKNOWN: (*ASKED, R.LOAN_CLOSED, R.LOAN_STATE, R.LOAN_NOT_YOURS, R.TOO_SOON)}
FROZEN_LENDER: dict[Rejection, Fault] = {R.ACCOUNT_FROZEN: lambda s: s.own(frozen=True)}

# ---------------------------------------------------------------------- sales


def build_sale() -> Scene:
    """Plum buys Harbour's loan of Ann, who owes Jade too."""
    world = Goods(lenders_max=3)
    loan = lend(world, amount=200_000)
    assert world.take("ann", world.ask("ann", world.products["jade"], amount=200_000)).rejection is None
    world.pass_days(4)
    return Scene(world, "harbour", assign(world, loan, 100_000), cosigners=("plum",), loan=loan)


def allow_one_lender(scene: Scene) -> None:
    """No third lender."""
    scene.rule(lenders_max=1)


SALE = Case(
    build_sale,
    {
        **ANY,
        R.ACCOUNT_FROZEN: lambda s: s.own(frozen=True),
        R.POOL_UNKNOWN: lambda s: s.say(seller=NOTHING),
        R.POOL_NOT_YOURS: lambda s: s.put(POOLS, s.world.pool_id("harbour"), owner=s.world.account("jade")),
        R.CAP_LENDERS: allow_one_lender,
        R.LIQUIDITY_SHORT: keep_all_cash("plum"),
        R.TOO_SOON: change_loan(fee_held=Amount(1)),
        R.ON_HOLD: change_loan(dispute=NOTHING),
        R.SHARE_UNKNOWN: hold_by("jade"),
        R.BUYER_UNFIT: lambda s: setattr(s, "cosigners", ()),
    },
    moot(
        R.CAP_LENDERS,
        R.LIQUIDITY_SHORT,
        under=(*ANY, R.TOO_SOON, R.ON_HOLD, R.SHARE_UNKNOWN, R.BUYER_UNFIT),
    ),
)

# ---------------------------------------------------------------------- disputes


def build_dispute(who: str, payload: Any = None) -> Scene:
    """Ann contests 2,000 of a loan with a first row paid late; whoever acts then."""
    world = Goods()
    loan = lend(world)
    world.pass_days(8)
    pay(world, "ann", loan, bring(world, loan).rows[0].unpaid)
    if payload is None:
        return Scene(world, who, contest(loan, 2_000), loan=loan)
    world.must("ann", contest(loan, 2_000))
    made = world.made("dispute", "ann")
    return Scene(world, who, payload(made), loan=loan, made=made)


def give_up_roles(scene: Scene) -> None:
    """No arbiter any more."""
    scene.put(ACCOUNTS, scene.world.account("court"), roles=0)


DISPUTED: dict[Rejection, Fault] = {
    R.DISPUTE_UNKNOWN: lambda s: s.say(dispute=NOTHING),
    R.DISPUTE_CLOSED: change_row(DISPUTES, "made", resolved=True),
}

# ---------------------------------------------------------------------- corrections


def build_correction(kind: AdjustKind, amount: int, *, default: bool = False) -> Scene:
    """Harbour corrects a loan whose first row was paid late; its fund's fee is half of the interest."""
    world = Goods()
    set_pool(world, fee=500_000)
    loan = lend_and_default(world) if default else lend(world)
    if not default:
        world.pass_days(8)
        pay(world, "ann", loan, bring(world, loan).rows[0].unpaid)
        world.pass_days(7)
    return Scene(world, "harbour", adjust(loan, kind, amount), loan=loan)


def build_refund() -> Scene:
    """Of more than all penalties, so that interest goes back too."""
    scene = build_correction(AdjustKind.REFUND, 1)
    first = scene.world.loan(scene.names["loan"]).rows[0]
    scene.say(amount=Amount(first.penalty_paid + first.interest_paid))
    return scene


def build_reversal(*, repaid: bool = False) -> Scene:
    """The agent's bank takes Ann's last payment back, the one that repaid the loan or another."""
    world = Goods()
    car = world.register("ann")
    loan = world.secured("ann", car)
    world.pass_days(8)
    amount = payoff(world, loan) if repaid else 50_000
    pay(world, "ann", loan, amount)
    payload = adjust(loan, AdjustKind.REVERSAL, amount)
    tag = world.ledger.books.state.need(ACCOUNTS, world.account("ann")).subject_tag
    return Scene(world, "agent", payload, loan=loan, car=car, tag=tag)


def use_reference(scene: Scene) -> None:
    """The agent has used it."""
    key = scene.world.account("agent") + EVIDENCE
    scene.books.state.put(REFERENCES, key, Reference(height=scene.books.height))


def age_payment(scene: Scene) -> None:
    """It was long ago."""
    row = scene.books.state.need(PAYMENTS, scene.names["loan"])
    old = replace(row.taken[-1], paid_on=DAY_START - 100)
    scene.put(PAYMENTS, scene.names["loan"], taken=(old,))


CORRECTED: dict[Rejection, Fault] = {
    **OWN,
    R.AMOUNT_ZERO: lambda s: s.say(amount=Amount(0)),
    R.ADJUST_TOO_MUCH: empty_rows,
}
REVERSED: dict[Rejection, Fault] = {
    R.ROLE_MISSING: lambda s: s.own(roles=0),
    R.AMOUNT_ZERO: lambda s: s.say(amount=Amount(0)),
    R.REFERENCE_USED: use_reference,
    R.AGENT_FUNDS_SHORT: lambda s: s.set_balance(s.world.account("agent"), Book.FIAT, 1),
    R.CAP_DEBT: lambda s: s.rule(debt_cap=Amount(1)),
    R.LIQUIDITY_SHORT: keep_all_cash("harbour"),
    R.LOAN_UNKNOWN: lambda s: s.say(loan=NOTHING),
    R.PAYMENT_UNKNOWN: lambda s: s.say(payment=7),
    R.REVERSAL_LATE: age_payment,
}
REVERSAL_ASKED = (R.AGENT_FUNDS_SHORT, R.CAP_DEBT, R.CAP_LENDERS, R.LIQUIDITY_SHORT, R.ASSET_LIENED)
REVERSAL_BARS = (R.LOAN_UNKNOWN, R.LOAN_CLOSED, R.LOAN_STATE, R.PAYMENT_UNKNOWN, R.REVERSAL_LATE)

REVERSAL_MOOT = MappingProxyType(
    # While the family is paused, nobody looks at what kind of correction it is.
    {**moot(*REVERSAL_ASKED, under=REVERSAL_BARS), R.PAUSED: (R.ROLE_MISSING,)}
)


def share_no_lender(scene: Scene) -> None:
    """She owes nobody, and may owe nobody."""
    scene.put(EXPOSURES, scene.names["tag"], loans=())
    scene.rule(lenders_max=0)


CHANGES: dict[str, Case] = {
    "propose": Case(
        build_proposal,
        {
            **AMENDABLE,
            **FROZEN_LENDER,
            R.POLICY_BROKEN: lambda s: s.say(rate_ppm=Ppm(PPM)),
            R.AMENDMENT_TERMS_INVALID: lambda s: s.say(forgiven=Amount(600_000)),
            R.RESTRUCTURES_TOO_MANY: change_loan(restructures=2),
        },
        MappingProxyType(
            {
                R.LOAN_UNKNOWN: (R.ACCOUNT_FROZEN, R.POLICY_BROKEN),
                R.LOAN_CLOSED: (R.POLICY_BROKEN,),
                # A borrower who is frozen may propose, and so may nobody else: the signer is no lender any more.
                R.LOAN_NOT_YOURS: (R.ACCOUNT_FROZEN,),
            }
        ),
    ),
    "propose to settle": Case(
        lambda: build_proposal(settle=Amount(1)),
        {
            **AMENDABLE,
            **FROZEN_LENDER,
            R.AMENDMENT_TERMS_INVALID: lambda s: s.say(settle=Amount(10**9)),
            R.COSIGNER_MISSING: share_with("jade"),
        },
        MappingProxyType({R.LOAN_UNKNOWN: (R.ACCOUNT_FROZEN,), R.LOAN_NOT_YOURS: (R.ACCOUNT_FROZEN,)}),
    ),
    "accept": Case(build_answer, AMENDED, MappingProxyType({**moot(*ASKED, under=BARS), **UNKNOWN_TOO})),
    "accept a cure": Case(
        lambda: build_answer(default=True),
        {**AMENDED, R.LIQUIDITY_SHORT: keep_all_cash("harbour")},
        MappingProxyType({**moot(*ASKED, under=BARS), **UNKNOWN_TOO}),
    ),
    "accept a settlement": Case(
        lambda: build_answer(settle=Amount(1)),
        {
            **ANSWERED,
            R.FUNDS_SHORT: empty_cash,
            R.TERMS_MISMATCH: lambda s: s.say(terms_hash=EVIDENCE),
            R.AMENDMENT_TERMS_INVALID: reterm(settle=Amount(10**9)),
        },
        MappingProxyType({**moot(*ASKED, under=BARS), **UNKNOWN_TOO}),
    ),
    "reject": Case(
        lambda: reject(build_answer()),
        ANSWERED,
        MappingProxyType({R.AMENDMENT_UNKNOWN: UNKNOWN_TOO[R.AMENDMENT_UNKNOWN]}),
    ),
    "assign": SALE,
    "contest": Case(
        lambda: build_dispute("ann"),
        {
            **ANY,
            R.AMOUNT_ZERO: lambda s: s.say(amount=Amount(0)),
            R.LOAN_NOT_YOURS: change_terms(borrower=bytes(32)),
            R.DISPUTE_OPEN: leave_open,
        },
    ),
    "answer": Case(
        lambda: build_dispute("harbour", reply),
        {
            **DISPUTED,
            R.LOAN_NOT_YOURS: OWN[R.LOAN_NOT_YOURS],
            R.ANSWERED_ALREADY: change_row(DISPUTES, "made", answer=EVIDENCE),
        },
        MappingProxyType({R.DISPUTE_UNKNOWN: (R.LOAN_NOT_YOURS,)}),
    ),
    "decide": Case(
        lambda: build_dispute("court", lambda made: resolve(made, refund=500)),
        {
            **DISPUTED,
            R.ACCOUNT_FROZEN: lambda s: s.own(frozen=True),
            R.LIQUIDITY_SHORT: keep_all_cash("harbour"),
            R.LOAN_NOT_YOURS: give_up_roles,
            R.REMEDY_TOO_LARGE: empty_rows,
        },
        MappingProxyType(
            {
                **moot(R.LIQUIDITY_SHORT, under=(R.LOAN_NOT_YOURS, R.DISPUTE_CLOSED, R.REMEDY_TOO_LARGE)),
                R.DISPUTE_UNKNOWN: (R.LIQUIDITY_SHORT, R.LOAN_NOT_YOURS),
            }
        ),
    ),
    "give up": Case(
        lambda: build_dispute("ann", resolve),
        {
            **DISPUTED,
            R.LOAN_NOT_YOURS: change_terms(borrower=bytes(32)),
            R.ARBITER_MISSING: lambda s: s.say(waive=Amount(1)),
        },
        MappingProxyType({R.DISPUTE_UNKNOWN: (R.LOAN_NOT_YOURS, R.ARBITER_MISSING)}),
    ),
    "waive": Case(lambda: build_correction(AdjustKind.WAIVE, 100), CORRECTED),
    "refund": Case(
        build_refund,
        {
            **CORRECTED,
            R.FUNDS_SHORT: lambda s: s.set_balance(s.world.account("harbour"), Book.CASH, 0),
            R.LIQUIDITY_SHORT: keep_all_cash("harbour"),
        },
        moot(R.FUNDS_SHORT, R.LIQUIDITY_SHORT, under=(*OWN, R.ADJUST_TOO_MUCH)),
    ),
    "cost": Case(
        lambda: build_correction(AdjustKind.COST, 100, default=True),
        {
            **CORRECTED,
            R.LOAN_STATE: change_loan(state=LoanState.ACTIVE),
            R.ADJUST_TOO_MUCH: change_loan(costs_stated=Amount(10**9)),
        },
    ),
    "reverse": Case(
        build_reversal,
        {**REVERSED, R.LOAN_STATE: change_loan(state=LoanState.FUNDED)},
        REVERSAL_MOOT,
    ),
    "reverse what repaid": Case(
        lambda: build_reversal(repaid=True),
        {
            **REVERSED,
            R.CAP_LENDERS: share_no_lender,
            R.ASSET_LIENED: change_row(ASSETS, "car", retired=True),
            R.LOAN_CLOSED: change_loan(state=LoanState.WITHDRAWN),
        },
        REVERSAL_MOOT,
    ),
}
