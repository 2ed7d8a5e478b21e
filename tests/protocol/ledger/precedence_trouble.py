"""Scenes and faults of pools left, covered and set, and of loans in trouble: material of the tests of precedence."""

from typing import Any

from protocol.crypto import calculate_hash
from protocol.ids import Day, ObjectId
from protocol.ledger.rows import Leaver, Role
from protocol.ledger.state import CONTRACTS, EXITS, LEAVERS, LOANS, POOLS, SHARES, replace
from protocol.loans.delinquency import AssetClass
from protocol.loans.lifecycle import LoanState
from protocol.money import PPM, Amount, Ppm
from protocol.rejections import Rejection
from protocol.transactions.pools import CoverDeposit, CoverWithdraw, PoolDeposit, PoolExit, PoolExitCancel, PoolSet
from protocol.transactions.servicing import DistressKind, LoanDistress
from tests.protocol.ledger.goods import Goods
from tests.protocol.ledger.precedence import NOTHING, Case, Fault, Scene, empty_cash
from tests.protocol.ledger.world import DAY_START

R = Rejection
EVIDENCE = calculate_hash("evidence")


def borrow(world: Goods) -> ObjectId:
    """Ann's loan of 600,000 from Harbour."""
    assert world.take("ann", world.ask("ann", world.products["harbour"])).rejection is None
    return world.made("loan", "ann")


# ---------------------------------------------------------------------- pools


def build_pool(who: str, payload: Any, **fields: Any) -> Scene:
    """Harbour's pool with an open loan of 600,000, cover of 10,000 at one percent, and cash at hand."""
    world = Goods()
    pool = world.pool_id("harbour")
    world.must("harbour", PoolSet(pool=pool, borrower_max=Amount(5_000_000), cover_rate_ppm=Ppm(0), fee_ppm=Ppm(9)))
    world.mint("harbour", 20_000)
    world.must("harbour", CoverDeposit(pool=pool, amount=Amount(10_000)))
    world.must(
        "harbour", PoolSet(pool=pool, borrower_max=Amount(5_000_000), cover_rate_ppm=Ppm(10_000), fee_ppm=Ppm(9))
    )
    borrow(world)
    world.mint("bob", 1_000, "bob")
    world.must("bob", PoolDeposit(pool=pool, amount=Amount(1_000)))
    return Scene(world, who, payload(pool=pool, **fields), pool=pool)


def build_exit_cancel() -> Scene:
    scene = build_pool("bob", PoolExit, shares=900_000)
    scene.world.must("bob", scene.payload)
    made = scene.world.made("exit", "bob")
    return Scene(scene.world, "bob", PoolExitCancel(exit=made), made=made)


def wait_already(scene: Scene) -> None:
    """Bob's exit is open."""
    key = scene.names["pool"] + scene.world.account("bob")
    scene.books.state.put(LEAVERS, key, Leaver(exit=NOTHING))


def hold_no_shares(scene: Scene) -> None:
    """Bob has none."""
    scene.books.state.put(SHARES, scene.names["pool"] + scene.world.account("bob"), 0)


def give_pool_away(scene: Scene) -> None:
    """It is Jade's."""
    scene.put(POOLS, scene.names["pool"], owner=scene.world.account("jade"))


POOL_SETTINGS = {"borrower_max": Amount(1), "cover_rate_ppm": Ppm(10_000), "fee_ppm": Ppm(9)}
TROUBLE: dict[type, Case] = {
    PoolSet: Case(
        lambda: build_pool("harbour", PoolSet, **POOL_SETTINGS),
        {
            R.POOL_UNKNOWN: lambda s: s.say(pool=NOTHING),
            R.POOL_NOT_YOURS: give_pool_away,
            R.POOL_TERMS_LOCKED: lambda s: s.say(fee_ppm=Ppm(10)),
            R.POLICY_BROKEN: lambda s: s.say(cover_rate_ppm=Ppm(PPM + 1)),
        },
    ),
    PoolExit: Case(
        lambda: build_pool("bob", PoolExit, shares=900_000),
        {
            R.AMOUNT_ZERO: lambda s: s.say(shares=0),
            R.POOL_UNKNOWN: lambda s: s.say(pool=NOTHING),
            R.SHARES_SHORT: hold_no_shares,
            R.EXIT_OPEN: wait_already,
        },
    ),
    PoolExitCancel: Case(
        build_exit_cancel,
        {
            R.EXIT_UNKNOWN: lambda s: s.put(EXITS, s.names["made"], account=s.world.account("ann")),
            R.EXIT_CLOSED: lambda s: s.put(EXITS, s.names["made"], shares=0, due_ms=None),
        },
    ),
    CoverDeposit: Case(
        lambda: build_pool("harbour", CoverDeposit, amount=5),
        {
            R.AMOUNT_ZERO: lambda s: s.say(amount=Amount(0)),
            R.FUNDS_SHORT: empty_cash,
            R.POOL_UNKNOWN: lambda s: s.say(pool=NOTHING),
            R.POOL_NOT_YOURS: give_pool_away,
        },
        {R.POOL_UNKNOWN: (R.FUNDS_SHORT,)},
    ),
    CoverWithdraw: Case(
        lambda: build_pool("harbour", CoverWithdraw, amount=5),
        {
            R.AMOUNT_ZERO: lambda s: s.say(amount=Amount(0)),
            R.POOL_UNKNOWN: lambda s: s.say(pool=NOTHING),
            R.POOL_NOT_YOURS: give_pool_away,
            R.COVER_SHORT: lambda s: s.put(POOLS, s.names["pool"], cover=Amount(0)),
        },
    ),
}


# ---------------------------------------------------------------------- distress


def build_distress(kind: DistressKind, who: str = "harbour", *, late: int = 97, **fields: Any) -> Scene:
    """A loan that nobody paid for 97 days, and an arbiter's co-signature at hand."""
    world = Goods()
    loan = borrow(world)
    world.pass_days(late)
    payload = LoanDistress(loan=loan, kind=kind, **fields)
    return Scene(world, who, payload, cosigners=("court",), loan=loan)


def build_unimpair() -> Scene:
    scene = build_distress(DistressKind.UNIMPAIR)
    impair = LoanDistress(loan=scene.names["loan"], kind=DistressKind.IMPAIR, asset_class=AssetClass.LOSS)
    scene.world.must("harbour", impair)
    return scene


def build_write_off() -> Scene:
    scene = build_distress(DistressKind.WRITE_OFF)
    scene.world.must("eye", LoanDistress(loan=scene.names["loan"], kind=DistressKind.DEFAULT))
    scene.world.pass_days(180)
    return scene


def change_loan(**fields: Any) -> Fault:
    """Another row of the loan."""
    return lambda scene: scene.put(LOANS, scene.names["loan"], **fields)


def change_terms(**fields: Any) -> Fault:
    """Another disclosure of it."""

    def fault(scene: Scene) -> None:
        told = scene.books.state.need(CONTRACTS, scene.names["loan"]).disclosure
        scene.put(CONTRACTS, scene.names["loan"], disclosure=replace(told, **fields))

    return fault


def serve_elsewhere(scene: Scene) -> None:
    """Another lender services the loan."""
    pool = ObjectId(scene.books.state.need(LOANS, scene.names["loan"]).holdings[0].pool)
    scene.put(POOLS, pool, owner=scene.world.account("plum"))


HOLD = change_loan(hold_until=Day(DAY_START + 2_000), contested=Amount(2_000_000))
ANY: dict[Rejection, Fault] = {
    R.LOAN_UNKNOWN: lambda s: s.say(loan=NOTHING),
    R.LOAN_CLOSED: change_loan(closed_ms=1),
    R.LOAN_STATE: change_loan(state=LoanState.FUNDED),
}
OWN: dict[Rejection, Fault] = {**ANY, R.LOAN_NOT_YOURS: serve_elsewhere}
DISTRESS: dict[DistressKind, Case] = {
    DistressKind.IMPAIR: Case(
        lambda: build_distress(DistressKind.IMPAIR, asset_class=AssetClass.LOSS),
        {**OWN, R.CLASS_NOT_WORSE: lambda s: s.say(asset_class=AssetClass.SPECIAL_MENTION)},
    ),
    DistressKind.UNIMPAIR: Case(build_unimpair, {**OWN, R.LOAN_STATE: change_loan(impaired=None)}),
    DistressKind.DEFAULT: Case(
        lambda: build_distress(DistressKind.DEFAULT, "eye"),
        {
            **ANY,
            R.LOAN_NOT_YOURS: lambda s: s.own(roles=int(Role.ISSUER | Role.SETTLEMENT_AGENT)),
            R.TOO_SOON: change_terms(default_days=91),
            R.ON_HOLD: HOLD,
        },
    ),
    DistressKind.DEFAULT_EARLY: Case(
        lambda: build_distress(DistressKind.DEFAULT_EARLY, late=9, evidence=EVIDENCE),
        {
            **OWN,
            R.TOO_SOON: change_terms(cooling_off_days=30),
            R.ON_HOLD: HOLD,
            R.ARBITER_MISSING: lambda s: s.say(evidence=None),
        },
    ),
    DistressKind.WRITE_OFF: Case(build_write_off, {**OWN, R.TOO_SOON: lambda s: s.rule(writeoff_days=181)}),
}
