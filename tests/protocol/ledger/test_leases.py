"""Leases: the lessor owns the thing, the lessee pays for it and decides in the end what becomes of it.

The plain lease of these tests: 600,000 at 7.2 % over four fortnights of 14/364 of a year, residual 300,000, deposit
60,000. Its rows follow from E* = (600,000 (1+r)^3 - 300,000) / (1 + (1+r) + (1+r)^2), r = 0.072 * 14 / 364:
    99,723 + 1,662    100,000 + 1,385    100,277 + 1,108    300,000 + 831
"""

import decimal
from collections.abc import Iterator

import pytest

from protocol.crypto import calculate_hash
from protocol.ledger.contracts import LeaseTold
from protocol.ledger.invariants import find_violations
from protocol.ledger.journal import Book
from protocol.ledger.leases import apply_deposit
from protocol.ledger.loans import load_loan
from protocol.ledger.recovery import calculate_claim
from protocol.ledger.state import APPLICATIONS, DECISIONS, OFFERS
from protocol.loans.lifecycle import LoanState
from protocol.loans.terms import Amortisation
from protocol.money import Amount, Currency, Ppm
from protocol.rejections import Rejection
from protocol.transactions.assets import AssetSeize, AssetTransfer
from protocol.transactions.lending import Accept, LeaseWish
from protocol.transactions.money import Transfer
from protocol.transactions.products import LeaseKind, Partner
from protocol.transactions.servicing import LoanSettle, SettleOutcome
from tests.protocol.ledger.goods import THING, Goods, lawful
from tests.protocol.ledger.world import BEST_BINS, CNY, refused

ROWS = [(99_723, 1_662), (100_000, 1_385), (100_277, 1_108), (300_000, 831)]
NOTHING = calculate_hash("nothing")


@pytest.fixture
def world() -> Iterator[Goods]:
    """Lenders with pools, two persons, a merchant."""
    with lawful() as made:
        yield made


# ---------------------------------------------------------------------- offer


def test_a_lease_discloses_thing_supplier_deposit_and_residual(world: Goods) -> None:
    """The last row is the residual with its own interest; the rest are level."""
    asset = world.register("shop")
    offer = world.ask_lease("ann", world.publish_lease(), asset)
    assert offer is not None
    disclosure = world.ledger.books.state.need(OFFERS, offer).disclosure
    assert [(one.principal_due, one.interest_due) for one in disclosure.instalments] == ROWS
    told = disclosure.told
    assert isinstance(told, LeaseTold)
    assert (told.asset, told.supplier, told.deposit) == (asset, world.account("shop"), 60_000)


def test_a_deposit_makes_the_rate_higher(world: Goods) -> None:
    """Who leaves a deposit has less of the money: at the disclosed rate 540,000 now and 60,000 at the end weigh as much
    as the rows, and a deposit too large for the policy's cap gets no offer."""
    assets = [world.register("shop", f"S-{index}") for index in range(3)]
    rates = []
    for asset, deposit in zip(assets, (0, 100_000, 600_000), strict=True):
        offer = world.ask_lease("ann", world.publish_lease(deposit_ppm=Ppm(deposit)), asset)
        rates.append(None if offer is None else world.ledger.books.state.need(OFFERS, offer).disclosure.apr_ppm)
    plain, dearer, refused_one = rates
    assert plain is not None
    assert dearer is not None
    assert plain < dearer < 360_000
    assert refused_one is None

    def calculate_balance(apr_ppm: int) -> int:
        """Value of all flows at a rate, in thousandths of a unit, by 40 decimal digits of the power series."""
        context = decimal.Context(prec=40)
        base = context.add(decimal.Decimal(1), context.divide(decimal.Decimal(apr_ppm), decimal.Decimal(10**6)))
        flows = [(0, 540_000), (14, -101_385), (28, -101_385), (42, -101_385), (56, -300_831 + 60_000)]
        total = decimal.Decimal(0)
        for day, amount in flows:
            power = context.divide(decimal.Decimal(-day), decimal.Decimal(365))
            total = context.add(total, context.multiply(decimal.Decimal(amount), context.power(base, power)))
        return int(total * 1000)

    assert calculate_balance(dearer - 1) < 0 < calculate_balance(dearer + 1)


@pytest.mark.parametrize("fault", ["worth less", "other currency", "leased meanwhile", "pledged too"])
def test_no_lease_of_a_thing_that_does_not_fit(world: Goods, fault: str) -> None:
    """Worth its money, in the loan's currency, free at the decision, and no collateral of the same loan."""
    value = 599_999 if fault == "worth less" else THING
    currency = Currency("EUR") if fault == "other currency" else CNY
    owner = "ann" if fault == "pledged too" else "shop"
    asset = world.register(owner, value=value, currency=currency)
    product = world.publish_lease()
    more = {"collateral": (asset,)} if fault == "pledged too" else {}
    if fault == "leased meanwhile":
        world.mint("bob", 60_000)
        second = world.ask_lease("bob", product, asset)
        data, consent = world.anchor("ann")
        sidecar = world.sidecar("ann", BEST_BINS)
        payload = world.application(
            "ann",
            data,
            consent,
            amount=600_000,
            sidecar=sidecar,
            product=product,
            wish=LeaseWish(asset=asset),
            instalments=4,
            period_every=2,
        )
        world.must("ann", payload, sidecars=(sidecar,))
        application = world.made("application", "ann")
        assert world.take("bob", second, cosigners=("shop",)).rejection is None
        assert world.attest(application, "ann")[0].offer is None
    else:
        assert world.ask_lease("ann", product, asset, **more) is None
        application = next(key for key, _ in world.ledger.books.state.items(APPLICATIONS))
    decision = world.ledger.books.state.need(DECISIONS, application + product)
    assert decision.rule is Rejection.WISH_UNFIT


# ---------------------------------------------------------------------- acceptance


def test_accepting_moves_price_deposit_and_title(world: Goods) -> None:
    """The supplier has the money, the lessor title under a lien, and the lessee's deposit is held."""
    before = world.pool("harbour")
    loan = world.lease()
    row, thing, pool = world.loan(loan), world.asset(world.leased(loan)), world.pool("harbour")
    assert (world.cash("shop"), world.cash("ann"), row.deposit) == (600_000, 0, 60_000)
    assert world.book(world.account("ann"), Book.DEPOSIT) == 60_000
    assert (thing.owner, thing.lien) == (world.account("harbour"), loan)
    assert (before.cash - pool.cash, pool.principal) == (600_000, 600_000)


def test_a_short_deposit_comes_before_terms_and_after_an_offer_that_stands(world: Goods) -> None:
    """FUNDS_SHORT, then the terms; an offer that cannot be taken any more asks for no deposit."""
    asset = world.register("shop")
    offer = world.ask_lease("ann", world.publish_lease(), asset)
    assert offer is not None
    wrong = Accept(offer=offer, terms_hash=NOTHING)
    assert refused(world, "ann", wrong) is Rejection.FUNDS_SHORT
    world.mint("ann", 59_999)
    assert refused(world, "ann", wrong) is Rejection.FUNDS_SHORT
    world.mint("ann", 1)
    assert refused(world, "ann", wrong) is Rejection.TERMS_MISMATCH
    spend = Transfer(to=world.account("bob"), currency=CNY, amount=Amount(1), memo_commit=NOTHING)
    world.must("ann", spend)
    world.pass_days(10)
    assert refused(world, "ann", wrong) is Rejection.OFFER_EXPIRED


def test_nobodys_thing_is_leased_without_its_signature(world: Goods) -> None:
    """The supplier co-signs the acceptance, last of all checks; a thing that changed hands is leased no more."""
    asset = world.register("shop")
    world.mint("ann", 60_000)
    offer = world.ask_lease("ann", world.publish_lease(), asset)
    assert world.take("ann", offer).rejection is Rejection.COSIGNER_MISSING
    assert world.take("ann", offer, cosigners=("bob",)).rejection is Rejection.COSIGNER_MISSING
    world.must("shop", AssetTransfer(asset=asset, to=world.account("bob")), cosigners=("bob",))
    assert world.take("ann", offer, cosigners=("shop",)).rejection is Rejection.ASSET_LIENED
    world.must("bob", AssetTransfer(asset=asset, to=world.account("shop")), cosigners=("shop",))
    assert world.take("ann", offer, cosigners=("shop",)).rejection is None
    assert find_violations(world.ledger) == {}


def test_an_owner_can_sell_and_lease_back(world: Goods) -> None:
    """Her own thing: she signs for both sides, receives the price and loses title until the end."""
    asset = world.register("ann")
    world.mint("ann", 60_000)
    assert world.take("ann", world.ask_lease("ann", world.publish_lease(), asset)).rejection is None
    assert (world.cash("ann"), world.asset(asset).owner) == (600_000, world.account("harbour"))
    assert refused(
        world, "ann", AssetTransfer(asset=asset, to=world.account("bob")), cosigners=("bob",)
    ) is Rejection.ASSET_NOT_YOURS  # fmt: skip


def test_a_product_cannot_promise_dates_beyond_the_calendar(world: Goods) -> None:
    """An extension is as long as a loan may be, at most: forty years."""
    terms = {
        "kind": LeaseKind(
            residual_ppm=Ppm(500_000), deposit_ppm=Ppm(0), may_return=True, may_buy=True, extend_instalments=480
        ),
        "amortisation": Amortisation.BALLOON,
        "instalments_max": 2,
    }
    pool = world.pool_id("harbour")
    assert refused(world, "harbour", world.product(pool, period_every=5, **terms)) is Rejection.PRODUCT_TERMS_INVALID
    assert refused(world, "harbour", world.product(pool, period_every=4, **terms)) is None


# ---------------------------------------------------------------------- default


def test_a_deposit_pays_on_a_defaulted_lease(world: Goods) -> None:
    """DEPOSIT to the pools as a recovery: costs first, then principal."""
    loan_id = world.lease()
    world.pass_days(60)
    world.default(loan_id, costs=10_000)
    books = world.ledger.books
    cash, lender = world.pool("harbour").cash, world.cash("harbour")
    fact = apply_deposit(books, loan_id, *load_loan(books, loan_id))
    books.state.keep()
    assert fact is not None
    assert (fact.costs, fact.principal, fact.closed) == (10_000, 50_000, False)
    assert (world.pool("harbour").cash - cash, world.cash("harbour") - lender) == (50_000, 10_000)
    row = world.loan(loan_id)
    assert (row.deposit, row.costs, row.principal_out) == (0, 0, 550_000)
    assert world.book(world.account("ann"), Book.DEPOSIT) == 0
    assert apply_deposit(books, loan_id, *load_loan(books, loan_id)) is None
    assert find_violations(world.ledger) == {}


def test_a_deposit_larger_than_the_claim_goes_back(world: Goods) -> None:
    """What the claim does not need returns to the lessee when the lease is recovered, with title as agreed."""
    loan_id = world.lease()
    world.pass_days(60)
    world.mint("ann", 600_000)
    world.default(loan_id)
    claim = calculate_claim(world.loan(loan_id))
    assert world.pay("ann", loan_id, claim - 20_000).rejection is None
    books, had = world.ledger.books, world.cash("ann")
    fact = apply_deposit(books, loan_id, *load_loan(books, loan_id))
    books.state.keep()
    assert fact is not None
    assert (fact.closed, world.cash("ann") - had) == (True, 40_000)
    assert world.loan(loan_id).state is LoanState.RECOVERED
    assert world.asset(world.leased(loan_id)).owner == world.account("ann")


def test_a_leased_thing_is_seized_after_default(world: Goods) -> None:
    """The lessor, who has title already, takes it in at a vouched value; a surplus is the lessee's."""
    loan_id = world.lease()
    world.pass_days(60)
    world.default(loan_id)
    asset, claim = world.leased(loan_id), calculate_claim(world.loan(loan_id))
    world.mint("harbour", 5_000)
    payload = AssetSeize(asset=asset, loan=loan_id, value=Amount(claim + 5_000))
    world.must("harbour", payload, cosigners=("issuer",))
    assert world.loan(loan_id).state is LoanState.RECOVERED
    thing = world.asset(asset)
    assert (thing.owner, thing.held) == (world.account("harbour"), ((world.pool_id("harbour"), claim),))
    assert world.cash("ann") == 60_000 + 5_000


# ---------------------------------------------------------------------- never paid out


def test_title_goes_back_when_the_money_never_came(world: Goods) -> None:
    """A leaseback whose agent fails: the thing is its owner's again, and the deposit hers."""
    asset = world.register("ann")
    world.mint("ann", 60_000)
    offer = world.ask_lease("ann", world.publish_lease(), asset)
    assert offer is not None
    terms_hash = world.ledger.books.state.need(OFFERS, offer).terms_hash
    world.must("ann", Accept(offer=offer, terms_hash=terms_hash, agent=world.account("agent")))
    loan_id = world.made("loan", "ann")
    assert (world.asset(asset).owner, world.cash("ann")) == (world.account("harbour"), 0)
    assert find_violations(world.ledger) == {}
    world.must("agent", LoanSettle(loan=loan_id, outcome=SettleOutcome.FAILED, ext_ref=NOTHING))
    thing = world.asset(asset)
    assert (thing.owner, thing.lien, thing.held) == (world.account("ann"), None, ())
    assert (world.cash("ann"), world.loan(loan_id).deposit) == (60_000, 0)


def test_partners_are_named_in_a_shared_lease(world: Goods) -> None:
    """A shared lease has the lead as lessor."""
    loan = world.lease(partner="jade")
    assert world.contract(loan).disclosure.partners == (Partner(pool=world.pool_id("jade"), share_ppm=Ppm(333_333)),)
    assert world.asset(world.leased(loan)).owner == world.account("harbour")
