"""Products of every kind at publication, who answers which wish, and the rates that an offer of theirs shows."""

from datetime import date
from typing import Any

import msgspec
import pytest

from protocol.crypto import calculate_hash
from protocol.ids import ZERO_DIGEST, BoxKey, Day, ObjectId
from protocol.ledger.contracts import Disclosure
from protocol.ledger.invariants import find_violations
from protocol.ledger.offers import calculate_terms_hash
from protocol.ledger.products import does_product_fit
from protocol.ledger.rows import Asset
from protocol.ledger.state import ACCOUNTS, ASSETS, DECISIONS, MODELS, OFFERS, POOLS, PRODUCTS
from protocol.loans.apr import calculate_apr_us_dated_ppm, get_unit_period
from protocol.loans.calendar import Period
from protocol.loans.terms import Amortisation, DayCount, PeriodUnit
from protocol.money import PPM, Amount, Currency, Ppm
from protocol.rejections import Rejection
from protocol.transactions.accounts import AccountKind, AccountOpen
from protocol.transactions.lending import Accept, LeaseWish, OfferPost, Purchase, SalesExpected, Wish
from protocol.transactions.pools import PoolOpen
from protocol.transactions.products import (
    BandPrice,
    LeaseKind,
    LineKind,
    MerchantKind,
    Partner,
    RevenueKind,
    TermKind,
)
from tests.protocol.ledger.world import CNY, DAY_START, World, change, refused

NOTHING = ObjectId(ZERO_DIGEST)
BALLOON = TermKind(residual_ppm=Ppm(300_000))
MERCHANT = MerchantKind(discount_ppm=Ppm(30_000))
LINE = LineKind(days=90, draw_min=Amount(5_000))


def lease(**fields: Any) -> dict[str, Any]:
    """Terms of a lease."""
    plain: dict[str, Any] = {
        "residual_ppm": Ppm(200_000),
        "deposit_ppm": Ppm(50_000),
        "may_return": True,
        "may_buy": True,
        "extend_instalments": 6,
    }
    return {"amortisation": Amortisation.BALLOON, "kind": LeaseKind(**{**plain, **fields})}


def revenue(terms: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    """Terms of a revenue share."""
    plain: dict[str, Any] = {
        "share_ppm": Ppm(100_000),
        "volume_days": 360,
        "floor_ppm": Ppm(500_000),
        "warning_ppm": Ppm(800_000),
        "term_days_max": 365,
    }
    return {
        "amortisation": Amortisation.BULLET,
        "period_unit": PeriodUnit.DAY,
        "instalments_min": 1,
        "instalments_max": 1,
        "kind": RevenueKind(**{**plain, **fields}),
        **(terms or {}),
    }


INVALID = Rejection.PRODUCT_TERMS_INVALID


@pytest.mark.parametrize(
    ("terms", "code"),
    [
        ({}, None),
        ({"kind": TermKind(residual_ppm=Ppm(1))}, INVALID),
        ({"kind": BALLOON}, INVALID),
        ({"amortisation": Amortisation.BALLOON}, INVALID),
        ({"amortisation": Amortisation.BALLOON, "kind": TermKind(residual_ppm=Ppm(PPM))}, INVALID),
        ({"amortisation": Amortisation.BALLOON, "kind": BALLOON}, None),
        (lease(), None),
        (lease(residual_ppm=Ppm(0)), INVALID),
        (lease(residual_ppm=Ppm(PPM)), INVALID),
        (lease(deposit_ppm=Ppm(PPM)), INVALID),
        (lease(may_return=False, may_buy=False, extend_instalments=0), INVALID),
        (lease(may_return=False, may_buy=False), None),
        ({**lease(), "amortisation": Amortisation.LEVEL}, INVALID),
        ({"kind": MERCHANT}, None),
        ({"kind": MERCHANT, "amortisation": Amortisation.BALLOON}, INVALID),
        ({"kind": MerchantKind(discount_ppm=Ppm(995_000))}, INVALID),
        ({"kind": MerchantKind(discount_ppm=Ppm(994_999))}, None),
        ({"kind": LINE}, None),
        ({"kind": LINE, "amortisation": Amortisation.BALLOON}, INVALID),
        ({"kind": LineKind(days=90, draw_min=Amount(0))}, INVALID),
        ({"kind": LineKind(days=90, draw_min=Amount(10_001))}, INVALID),
        (revenue(), None),
        (revenue({"amortisation": Amortisation.LEVEL}), INVALID),
        (revenue({"period_unit": PeriodUnit.WEEK}), INVALID),
        (revenue({"period_every": 2}), INVALID),
        (revenue({"instalments_max": 2}), INVALID),
        (revenue(share_ppm=Ppm(0)), INVALID),
        (revenue(share_ppm=Ppm(PPM + 1)), INVALID),
        (revenue(floor_ppm=Ppm(800_001)), INVALID),
        (revenue(warning_ppm=Ppm(PPM + 1)), INVALID),
        ({"amount_min": Amount(0)}, INVALID),
        ({"amount_min": Amount(2_000_001)}, INVALID),
        ({"instalments_min": 53}, INVALID),
        ({"period_unit": PeriodUnit.MONTH, "period_every": 10, "instalments_max": 48}, None),
        ({"period_unit": PeriodUnit.MONTH, "period_every": 10, "instalments_max": 49}, INVALID),
        ({"period_every": 40, "instalments_max": 52}, None),
        ({"period_every": 41, "instalments_max": 52}, INVALID),
        ({"period_unit": PeriodUnit.DAY, "period_every": 281, "instalments_max": 52}, None),
        ({"period_unit": PeriodUnit.DAY, "period_every": 282, "instalments_max": 52}, INVALID),
        ({"origination_fee_ppm": Ppm(PPM)}, INVALID),
        ({"origination_fee_ppm": Ppm(PPM - 1)}, None),
        ({"expires_on": Day(DAY_START)}, None),
        ({"expires_on": Day(DAY_START - 1)}, INVALID),
        ({"expires_on": Day(DAY_START), "tz_offset_min": 840}, None),
    ],
)
def test_terms_that_contradict_themselves(terms: dict[str, Any], code: Rejection | None) -> None:
    """Each kind with its own conditions: what must be there, what must not, and the bound on either side."""
    world = World()
    world.must("harbour", PoolOpen(currency=CNY, borrower_max=Amount(1)))
    assert refused(world, "harbour", world.product(world.made("pool", "harbour"), **terms)) is code


def at(rate_ppm: int) -> tuple[BandPrice, ...]:
    """A good band, and one at a rate."""
    return tuple(BandPrice(rate_ppm=Ppm(one), amount_max=Amount(1)) for one in (50_000, rate_ppm))


@pytest.mark.parametrize(
    ("terms", "lawful"),
    [
        ({"bands": at(360_000)}, True),
        ({"bands": at(360_001)}, False),
        ({"bands": at(360_000), "late_rate_ppm": Ppm(120_000)}, True),
        ({"bands": at(360_000), "late_rate_ppm": Ppm(120_001)}, False),
        ({"late_rate_ppm": Ppm(480_000)}, False),
        ({"prepayment_fee_ppm": Ppm(10_000)}, True),
        ({"prepayment_fee_ppm": Ppm(10_001)}, False),
        ({"default_days": 60}, True),
        ({"default_days": 59}, False),
        ({"attestations_min": 2}, True),
        ({"attestations_min": 1}, False),
        (revenue({"bands": at(900_000), "late_rate_ppm": Ppm(480_000)}), True),
        (revenue({"late_rate_ppm": Ppm(480_001)}), False),
    ],
)
def test_terms_that_pass_a_limit_of_the_policy(terms: dict[str, Any], lawful: bool) -> None:
    """Rates, late rates, prepayment fees, days of default, attestations; a revenue share's price is no rate."""
    world = World(attestations_floor=2)
    world.must("harbour", PoolOpen(currency=CNY, borrower_max=Amount(1)))
    found = refused(world, "harbour", world.product(world.made("pool", "harbour"), **terms))
    assert found is (None if lawful else Rejection.POLICY_BROKEN)


def test_a_second_currency_and_a_retired_model() -> None:
    """The debt cap counts the first currency alone; a model that was retired scores nobody new."""
    world = World()
    world.must("harbour", PoolOpen(currency=Currency("EUR"), borrower_max=Amount(1)))
    foreign = world.made("pool", "harbour")
    assert refused(world, "harbour", world.product(foreign)) is Rejection.POLICY_BROKEN
    world.must("harbour", PoolOpen(currency=CNY, borrower_max=Amount(1)))
    payload = world.product(world.made("pool", "harbour"))
    model, _ = next(world.ledger.books.state.items(MODELS))
    change(world, MODELS, model, retired=True)
    assert refused(world, "harbour", payload) is Rejection.MODEL_UNKNOWN


def test_partners_are_fit_and_have_signed() -> None:
    """Once each, in order, not the lead, a real share, the lead keeps a part, one currency, a lender, its signature."""
    world = World()
    pools = {}
    for owner, currency in (("harbour", CNY), ("jade", CNY), ("plum", CNY), ("jade", Currency("EUR"))):
        world.must(owner, PoolOpen(currency=currency, borrower_max=Amount(1)))
        pools[owner, currency] = world.made("pool", owner)
    lead, jade, plum = (pools[one, CNY] for one in ("harbour", "jade", "plum"))
    euro = pools["jade", Currency("EUR")]
    world.must("harbour", PoolOpen(currency=CNY, borrower_max=Amount(1)))
    second = world.made("pool", "harbour")

    def publish(*shares: tuple[ObjectId, int], signed: tuple[str, ...] = ("jade", "plum")) -> Rejection | None:
        partners = tuple(Partner(pool=pool, share_ppm=Ppm(share)) for pool, share in shares)
        return refused(world, "harbour", world.product(lead, partners=partners), cosigners=signed)

    pair = sorted((jade, plum))
    missing = Rejection.PARTNER_MISSING
    assert publish((jade, 400_000), signed=()) is missing
    assert publish((jade, 400_000), signed=("plum",)) is missing
    assert publish((jade, 400_000), signed=("jade/attester",)) is missing
    assert publish((jade, 200_000), (jade, 200_000)) is missing
    assert publish((pair[1], 200_000), (pair[0], 200_000)) is missing
    assert publish((lead, 200_000)) is missing
    assert publish((jade, 0)) is missing
    assert publish((jade, PPM)) is missing
    assert publish((pair[0], 600_000), (pair[1], 400_000)) is missing
    assert publish((NOTHING, 200_000)) is missing
    assert publish((euro, 200_000)) is missing
    change(world, ACCOUNTS, world.account("jade"), frozen=True)
    assert publish((jade, 200_000)) is missing
    change(world, ACCOUNTS, world.account("jade"), frozen=False, roles=16)
    assert publish((jade, 200_000)) is missing
    change(world, ACCOUNTS, world.account("jade"), roles=17)
    assert publish((pair[0], 600_000), (pair[1], 399_999)) is None
    # A second pool of one's own needs no second signature.
    assert publish((second, 200_000), signed=()) is None


# ---------------------------------------------------------------------- wishes


KINDS: dict[str, tuple[dict[str, Any], type[Wish] | None]] = {
    "term": ({}, None),
    "balloon": ({"amortisation": Amortisation.BALLOON, "kind": BALLOON}, None),
    "merchant": ({"kind": MERCHANT}, Purchase),
    "line": ({"kind": LINE}, None),
    "lease": (lease(), LeaseWish),
    "revenue": (revenue({"period_unit": PeriodUnit.DAY}), SalesExpected),
}


class Fair:
    """One product of each kind by Harbour, a shop, a machine, and Ann."""

    def __init__(self) -> None:
        self.world = World()
        self.world.found_lender("harbour", cash=9_000_000, attestations_min=1)
        state = self.world.ledger.books.state
        pool = ObjectId(next(key for key, _ in state.items(POOLS)))
        self.products = {"term": self.world.made("product", "harbour")}
        for name, (terms, _) in KINDS.items():
            if name != "term":
                self.world.must("harbour", self.world.product(pool, attestations_min=1, **terms))
                self.products[name] = self.world.made("product", "harbour")
        self.world.open_account("ann")
        open_shop(self.world)
        self.asset = ObjectId(calculate_hash("asset"))
        thing = Asset(
            asset_class="machine",
            serial_hash=ZERO_DIGEST,
            meta_commit=ZERO_DIGEST,
            owner=self.world.account("shop"),
            currency=CNY,
            value=Amount(900_000),
        )
        state.put(ASSETS, self.asset, thing)
        state.keep()

    def wish(self, kind: type[Wish] | None) -> Wish | None:
        """What an application of a kind says."""
        if kind is Purchase:
            return Purchase(merchant=self.world.account("shop"))
        if kind is LeaseWish:
            return LeaseWish(asset=self.asset)
        return None if kind is None else SalesExpected(volume=Amount(9_000_000))

    def apply(self, **fields: Any) -> ObjectId:
        """Ann asks."""
        data, consent = self.world.anchor("ann")
        sidecar = self.world.sidecar("ann")
        payload = self.world.application("ann", data, consent, sidecar=sidecar, **fields)
        self.world.must("ann", payload, sidecars=(sidecar,))
        return self.world.made("application", "ann")


def open_shop(world: World) -> None:
    """A merchant's account."""
    payload = AccountOpen(
        kind=AccountKind.MERCHANT,
        enc_key=BoxKey(calculate_hash("box")),
        subject_tag=calculate_hash("tag", b"shop"),
        level=2,
        expires_on=Day(DAY_START + 900),
    )
    world.must("shop", payload, cosigners=("issuer",))


@pytest.mark.parametrize(
    ("wish", "fits"),
    [
        (None, {"term", "balloon"}),
        (Purchase, {"merchant"}),
        (LeaseWish, {"lease"}),
        (SalesExpected, {"revenue"}),
    ],
)
def test_a_wish_is_answered_by_products_of_its_kind_alone(wish: type[Wish] | None, fits: set[str]) -> None:
    """Asked of a whole segment, only those answer that serve the wish; a line only answers by its own name."""
    fair = Fair()
    state = fair.world.ledger.books.state
    daily: dict[str, Any] = {"period_unit": PeriodUnit.DAY, "instalments": 1} if wish is SalesExpected else {}
    application = fair.apply(wish=fair.wish(wish), **daily)
    fair.world.attest(application, "ann", lenders=("harbour",))
    answered = {name for name, one in fair.products.items() if state.get(DECISIONS, application + one) is not None}
    assert answered == fits


def test_by_name_only_a_fitting_product_can_be_asked() -> None:
    """Every product with every wish: exactly those of its own kind are taken."""
    fair = Fair()
    books = fair.world.ledger.books
    data, consent = fair.world.anchor("ann")
    for name, (_, wanted) in KINDS.items():
        product = fair.products[name]
        daily: dict[str, Any] = {"period_unit": PeriodUnit.DAY, "instalments": 1} if name == "revenue" else {}
        for wish in (None, Purchase, LeaseWish, SalesExpected):
            request = fair.world.application("ann", data, consent, product=product, wish=fair.wish(wish), **daily)
            row = books.state.need(PRODUCTS, product)
            assert does_product_fit(books, row, request) is (wish is wanted)
            unnamed = fair.world.application("ann", data, consent, wish=fair.wish(wish), **daily)
            assert does_product_fit(books, row, unnamed) is (wish is wanted and name != "line")


def test_officers_answer_wishes_of_their_products_kind_alone() -> None:
    """An officer's product for purchases makes no offer to somebody who wants a plain loan, nor the other way round."""
    fair = Fair()
    for wish, name, code in (
        (None, "merchant", Rejection.APPLICATION_TERMS_INVALID),
        (Purchase, "term", Rejection.APPLICATION_TERMS_INVALID),
        (Purchase, "merchant", None),
    ):
        application = fair.apply(wish=fair.wish(wish), automated=False)
        fair.world.attest(application, "ann", lenders=("plum",))
        payload = OfferPost(
            application=application,
            product=fair.products[name],
            principal=Amount(300_000),
            instalments=12,
            rate_ppm=Ppm(60_000),
        )
        assert fair.world.do("harbour", payload).rejection is code


def test_a_purchase_cannot_be_paid_out_by_an_agent() -> None:
    """The money of a purchase goes to the merchant on the ledger; an agent would hand it to the borrower."""
    fair = Fair()
    application = fair.apply(wish=fair.wish(Purchase))
    (decided,) = fair.world.attest(application, "ann", lenders=("harbour",))
    assert decided.offer is not None
    row = fair.world.ledger.books.state.need(OFFERS, decided.offer)
    by_agent = Accept(offer=decided.offer, terms_hash=row.terms_hash, agent=fair.world.account("agent"))
    assert fair.world.do("ann", by_agent).rejection is Rejection.AGENT_UNFIT
    assert fair.world.accept("ann", decided.offer).rejection is None


# ---------------------------------------------------------------------- rates shown


def offered(policy: dict[str, Any], **terms: Any) -> tuple[World, ObjectId, Disclosure]:
    """An offer of 800,000 in twelve instalments."""
    world = World(**policy)
    world.found_lender("harbour", attestations_min=1, **terms)
    world.open_account("ann")
    data, consent = world.anchor("ann")
    sidecar = world.sidecar("ann")
    unit = terms.get("period_unit", PeriodUnit.WEEK)
    world.must("ann", world.application("ann", data, consent, sidecar=sidecar, period_unit=unit), sidecars=(sidecar,))
    (decided,) = world.attest(world.made("application", "ann"), "ann", lenders=("harbour",))
    assert decided.offer is not None
    return world, decided.offer, world.ledger.books.state.need(OFFERS, decided.offer).disclosure


def test_the_us_rate_is_shown_where_the_policy_asks_for_it() -> None:
    """Nominal and by unit-periods: without a fee it is the contract's own rate, which the effective rate passes."""
    monthly: dict[str, Any] = {"period_unit": PeriodUnit.MONTH, "day_count": DayCount.THIRTY_360}
    free: dict[str, Any] = {**monthly, "origination_fee_ppm": Ppm(0)}
    _, _, told = offered({}, **free)
    assert told.apr_us_ppm is None
    world, offer, told = offered({"us_rate": True}, **free)
    assert told.apr_us_ppm is not None
    # 7.2 % in twelve months: rounding to minor units moves it by a few ppm; compounded it is 7.44 %.
    assert abs(told.apr_us_ppm - 72_000) <= 2
    assert abs(told.apr_ppm - 74_424) <= 2
    assert world.accept("ann", offer).rejection is None
    _, _, dear = offered({"us_rate": True}, **monthly)
    assert dear.apr_us_ppm is not None
    # Half a percent of fee over a mean life of 6.5 months.
    assert 81_000 < dear.apr_us_ppm < 82_000
    assert find_violations(world.ledger) == {}


def test_an_acceptance_recomputes_the_rates() -> None:
    """A stored rate that its terms do not give is a fault of the books, found before any money moves."""
    for name in ("apr_ppm", "apr_us_ppm"):
        world, offer, told = offered({"us_rate": True})
        row = world.ledger.books.state.need(OFFERS, offer)
        wrong = msgspec.structs.replace(told, **{name: 1})
        change(world, OFFERS, offer, disclosure=wrong, terms_hash=calculate_terms_hash(wrong))
        with pytest.raises(AssertionError, match="rates recompute"):
            world.accept("ann", offer)
        assert row.state.name == "POSTED"


@pytest.mark.parametrize(
    ("unit", "every", "found"),
    [
        (PeriodUnit.MONTH, 1, (PeriodUnit.MONTH, 1)),
        (PeriodUnit.MONTH, 13, (PeriodUnit.MONTH, 12)),
        (PeriodUnit.WEEK, 52, (PeriodUnit.WEEK, 52)),
        (PeriodUnit.WEEK, 53, (PeriodUnit.MONTH, 12)),
        (PeriodUnit.DAY, 365, (PeriodUnit.DAY, 365)),
        (PeriodUnit.DAY, 366, (PeriodUnit.MONTH, 12)),
    ],
)
def test_a_unit_period_is_the_common_period_and_at_most_a_year(
    unit: PeriodUnit, every: int, found: tuple[PeriodUnit, int]
) -> None:
    """12 CFR 1026, Appendix J (b)(4)(i): the interval that occurs most, not above one year."""
    period = get_unit_period(Period(unit=unit, every=every))
    assert (period.unit, period.every, period.semimonth) == (*found, False)


def test_the_us_rate_of_a_published_example() -> None:
    """Appendix J (c)(1)(i): 5,000 advanced on 10 January, 24 monthly payments of 230: 9.69 %."""
    start = date(1978, 1, 10).toordinal()
    payments = [(date(1978 + (month // 12), month % 12 + 1, 10).toordinal(), 23_000) for month in range(1, 25)]
    found = calculate_apr_us_dated_ppm([(start, 500_000)], payments, Period(unit=PeriodUnit.MONTH, every=1))
    assert found is not None
    assert round(found / 100) == 969
