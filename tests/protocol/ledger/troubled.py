"""Scenes of loans in trouble: pools with cover, a loan nobody pays, a default. Shared by the tests of trouble."""

from protocol.crypto import calculate_hash
from protocol.ids import ObjectId
from protocol.ledger.records import Made
from protocol.ledger.rows import Pool
from protocol.ledger.state import SHARES
from protocol.loans.delinquency import AssetClass
from protocol.money import Amount, Ppm
from protocol.transactions.pools import CoverDeposit, PoolDeposit, PoolExit, PoolSet
from protocol.transactions.products import Partner
from protocol.transactions.servicing import DistressKind, LoanDistress
from tests.protocol.ledger.goods import Goods

DEFAULT_DAY = 97
"""The first row is due on day 7; ninety days later the rule is met."""


def set_pool(
    world: Goods, lender: str = "harbour", *, rate: int = 0, fee: int = 0, borrower_max: int = 5_000_000
) -> None:
    """Let a pool have other terms."""
    payload = PoolSet(
        pool=world.pool_id(lender),
        borrower_max=Amount(borrower_max),
        cover_rate_ppm=Ppm(rate),
        fee_ppm=Ppm(fee),
    )
    world.must(lender, payload)


def give_cover(world: Goods, amount: int, lender: str = "harbour") -> None:
    """A lender puts fresh money before its investors' losses."""
    world.mint(lender, amount)
    world.must(lender, CoverDeposit(pool=world.pool_id(lender), amount=Amount(amount)))


def invest(world: Goods, who: str, amount: int, lender: str = "harbour") -> None:
    """Somebody puts fresh money into a pool."""
    world.mint(who, amount)
    world.must(who, PoolDeposit(pool=world.pool_id(lender), amount=Amount(amount)))


def lend(world: Goods, who: str = "ann", *, amount: int = 600_000, partner_ppm: int = 0, **terms: object) -> ObjectId:
    """A loan of Harbour's over twelve weeks, shared with Jade if she has a part; returns it."""
    shared = (Partner(pool=world.pool_id("jade"), share_ppm=Ppm(partner_ppm)),) if partner_ppm else ()
    product = world.products["harbour"]
    if shared or terms:
        product = world.publish("harbour", cosigners=("jade",) if shared else (), partners=shared, **terms)
    receipt = world.take(who, world.ask(who, product, amount=amount))
    assert receipt.rejection is None, receipt.rejection
    return world.made("loan", who)


def distress(
    loan: ObjectId, kind: DistressKind = DistressKind.DEFAULT, *, asset_class: AssetClass | None = None
) -> LoanDistress:
    """A step of a loan in trouble; an early default with its evidence."""
    early = kind is DistressKind.DEFAULT_EARLY
    evidence = calculate_hash("evidence") if early else None
    return LoanDistress(loan=loan, kind=kind, asset_class=asset_class, evidence=evidence)


def lend_and_default(world: Goods, **options: object) -> ObjectId:
    """A loan that nobody paid, defaulted by the observer on the first day on which it can be; returns it."""
    loan = lend(world, **options)  # type: ignore[arg-type]
    world.pass_days(DEFAULT_DAY)
    world.must("eye", distress(loan))
    return loan


def nav(pool: Pool) -> int:
    """Net asset value for those who come."""
    return pool.cash + pool.principal + pool.assets


def read_shares(world: Goods, who: str) -> int:
    """Free shares of Harbour's pool."""
    return world.ledger.books.state.get(SHARES, world.pool_id("harbour") + world.account(who)) or 0


def leave(world: Goods, who: str, count: int) -> ObjectId:
    """Ask to leave Harbour's pool with shares; returns the exit."""
    (fact,) = world.must(who, PoolExit(pool=world.pool_id("harbour"), shares=count)).outcome
    assert isinstance(fact, Made)
    assert fact.id == world.made("exit", who)
    return ObjectId(fact.id)
