"""Officers decide by hand: their offers reserve money, overrule declines on record, and are bound by every limit."""

from typing import Any

import msgspec
import pytest

from protocol.crypto import calculate_hash
from protocol.ids import ZERO_DIGEST, Day, ObjectId, TimeMs
from protocol.ledger.contracts import OfferState
from protocol.ledger.execute import Ledger
from protocol.ledger.invariants import find_violations
from protocol.ledger.records import Decided, Made
from protocol.ledger.rows import Decision, Pool
from protocol.ledger.state import ACCOUNTS, CONSENTS, DECISIONS, LOANS, OFFERS, POOLS, PRODUCTS
from protocol.money import Amount, Ppm
from protocol.rejections import Rejection
from protocol.transactions.data import ConsentRevoke
from protocol.transactions.lending import ApplyWithdraw, OfferCancel, OfferDecline, OfferPost
from protocol.transactions.products import Partner, Segment
from scoring.reasons import AFFORDABILITY, DEBT, REASONS
from tests.protocol.ledger.world import WORST_BINS, World, change, refused

NOTHING = ObjectId(ZERO_DIGEST)


class Desk:
    """Harbour's officers, who decide each loan of one product, and Ann's application of 800,000 before them."""

    def __init__(self, *, automated: bool = False, attesters: tuple[str, ...] = ("plum",), **terms: Any) -> None:
        self.world = World()
        self.product = self.world.found_lender("harbour", **{"auto_budget": Amount(0), **terms})
        self.world.open_account("ann")
        self.application = self.ask(automated=automated)
        if attesters:
            self.world.attest(self.application, "ann", lenders=attesters)

    def ask(self, **fields: Any) -> ObjectId:
        """Ann applies."""
        data, consent = self.world.anchor("ann")
        sidecar = self.world.sidecar("ann")
        payload = self.world.application("ann", data, consent, sidecar=sidecar, **fields)
        self.world.must("ann", payload, sidecars=(sidecar,))
        return self.world.made("application", "ann")

    def terms(self, **fields: Any) -> OfferPost:
        """600,000 over ten weeks at 9.5 %: no band's price, less than was asked for."""
        plain: dict[str, Any] = {
            "application": self.application,
            "product": self.product,
            "principal": Amount(600_000),
            "instalments": 10,
            "rate_ppm": Ppm(95_000),
        }
        return OfferPost(**{**plain, **fields})

    def post(self, **fields: Any) -> ObjectId:
        """An offer that stands."""
        self.world.must("harbour", self.terms(**fields))
        assert find_violations(self.world.ledger) == {}
        return self.world.made("offer", "harbour")

    def decline(self, *reasons: int, who: str = "harbour", **fields: Any) -> Rejection | None:
        """An officer's decline."""
        plain: dict[str, Any] = {"application": self.application, "product": self.product, "reasons": reasons}
        return refused(self.world, who, OfferDecline(**{**plain, **fields}))

    @property
    def pool(self) -> Pool:
        """Harbour's pool as it stands."""
        return next(one for _, one in self.world.ledger.books.state.items(POOLS))

    @property
    def decision(self) -> Decision:
        """What the product has answered."""
        return self.world.ledger.books.state.need(DECISIONS, self.application + self.product)


def test_an_offer_reserves_its_principal_until_it_is_taken() -> None:
    """600,000 wait in the pool; taken, they go out, and only the refundable fee of 3,000 is kept ready."""
    desk = Desk()
    receipt = desk.world.must("harbour", desk.terms())
    offer = desk.world.made("offer", "harbour")
    made, decided = receipt.outcome
    assert made == Made(id=offer)
    assert isinstance(decided, Decided)
    row = desk.world.ledger.books.state.need(OFFERS, offer)
    assert (decided.offer, decided.apr_ppm, decided.reasons) == (offer, row.disclosure.apr_ppm, ())
    assert (row.officer, row.disclosure.schedule.principal, len(row.disclosure.instalments)) == (True, 600_000, 10)
    assert (desk.pool.reserved, desk.pool.cash) == (600_000, 10_000_000)
    assert (desk.decision.officer, desk.decision.attesters) == (True, (desk.world.account("plum"),))
    assert find_violations(desk.world.ledger) == {}
    assert desk.world.accept("ann", offer).rejection is None
    assert (desk.pool.reserved, desk.pool.cash, desk.pool.principal) == (3_000, 10_000_000 - 597_000, 600_000)
    assert find_violations(desk.world.ledger) == {}
    ledger = desk.world.ledger
    again = Ledger.from_rows(desk.world.genesis, list(ledger.rows()), height=ledger.height, exec_root=ledger.exec_root)
    assert again.state_root == ledger.state_root


def test_who_refuses_automated_decisions_is_answered_by_officers_alone() -> None:
    """A product with a budget stays silent though all have attested; its officers may answer."""
    desk = Desk(attesters=("harbour", "jade", "plum"), auto_budget=Amount(100_000_000))
    assert desk.world.ledger.books.state.get(DECISIONS, desk.application + desk.product) is None
    assert desk.world.accept("ann", desk.post()).rejection is None
    assert find_violations(desk.world.ledger) == {}


def test_an_officer_overrules_the_ledgers_decline_and_both_stay_on_record() -> None:
    """The score's reasons stand beside the offer; the law of decisions holds of both."""
    world = World()
    product = world.found_lender("harbour")
    world.open_account("ann")
    application = world.apply("ann", bins=WORST_BINS)
    (declined,) = world.attest(application, "ann", bins=WORST_BINS, lenders=("plum", "harbour"))
    assert declined.offer is None
    assert declined.reasons
    payload = OfferPost(
        application=application, product=product, principal=Amount(200_000), instalments=10, rate_ppm=Ppm(200_000)
    )
    assert refused(world, "harbour", payload) is None
    decision = world.ledger.books.state.need(DECISIONS, application + product)
    assert (decision.officer, decision.declined, decision.reasons) == (True, declined.reasons, ())
    assert decision.offer == world.made("offer", "harbour")
    assert (decision.points, decision.band) == (declined.points, declined.band)
    offer = world.made("offer", "harbour")
    assert refused(world, "harbour", payload) is Rejection.DECIDED_ALREADY
    assert world.accept("ann", offer).rejection is None


def test_an_officer_cannot_outbid_the_ledgers_own_offer() -> None:
    """While the automatic offer stands the product has answered; its officers can neither decline nor cancel it."""
    desk = Desk(attesters=("harbour", "plum"), automated=True, auto_budget=Amount(100_000_000))
    offer = desk.decision.offer
    assert offer is not None
    assert refused(desk.world, "harbour", desk.terms()) is Rejection.DECIDED_ALREADY
    assert desk.decline(DEBT) is Rejection.DECIDED_ALREADY
    assert refused(desk.world, "harbour", OfferCancel(offer=offer)) is Rejection.OFFER_NOT_YOURS


def test_an_offer_taken_back_makes_room_for_another_four_times_in_all() -> None:
    """Each cancellation lets the money go; the fifth offer of a lender on one application is one too many."""
    desk = Desk()
    for count in range(4):
        offer = desk.post(rate_ppm=Ppm(90_000 + count))
        assert desk.pool.reserved == 600_000
        assert desk.decision.offers_ended == count
        desk.world.must("harbour", OfferCancel(offer=offer))
        assert desk.pool.reserved == 0
        assert desk.world.ledger.books.state.need(OFFERS, offer).state is OfferState.CANCELLED
    assert refused(desk.world, "harbour", desk.terms()) is Rejection.ANSWERS_TOO_MANY
    assert desk.decline(AFFORDABILITY, DEBT) is None
    assert (desk.decision.reasons, desk.decision.offers_ended) == ((AFFORDABILITY, DEBT), 4)


def test_time_withdrawal_and_another_offer_release_what_was_reserved() -> None:
    """Nothing stays locked for an offer that can no longer be taken."""
    desk = Desk()
    desk.post()
    desk.world.pass_days(6)
    assert desk.pool.reserved == 0
    desk.post()
    desk.world.must("ann", ApplyWithdraw(application=desk.application))
    assert desk.pool.reserved == 0
    desk = Desk()
    world = desk.world
    world.must("harbour", world.product(ObjectId(next(key for key, _ in world.ledger.books.state.items(POOLS)))))
    other = world.made("product", "harbour")
    first = desk.post()
    second = desk.post(product=other, principal=Amount(100_000))
    assert desk.pool.reserved == 700_000
    assert world.accept("ann", second).rejection is None
    assert desk.pool.reserved == 500
    assert world.ledger.books.state.need(OFFERS, first).state is OfferState.CANCELLED
    assert find_violations(world.ledger) == {}


def test_a_decline_gives_reasons_and_can_be_overruled() -> None:
    """Reasons are told; an offer later keeps them as what it overruled."""
    desk = Desk(attesters=())
    assert desk.decline(DEBT, AFFORDABILITY) is None
    assert (desk.decision.reasons, desk.decision.offer, desk.decision.capacity30) == ((DEBT, AFFORDABILITY), None, 0)
    (told,) = [one for one in desk.world.events if one.kind == "application_decided"]
    assert (told.data["outcome"], told.data["officer"], told.data["reasons"]) == ("decline", True, [DEBT, 5])
    assert desk.decline(DEBT) is Rejection.DECIDED_ALREADY
    desk.world.attest(desk.application, "ann", lenders=("jade",))
    desk.post()
    assert desk.decision.declined == (DEBT, AFFORDABILITY)


def test_partners_reserve_their_shares() -> None:
    """An officer's offer of a shared product keeps each pool's part ready: 250,001 of 600,002 at 41.6667 %."""
    world = World()
    world.found_lender("jade", auto_budget=Amount(0))
    partner = ObjectId(next(key for key, _ in world.ledger.books.state.items(POOLS)))
    world.found_lender("harbour")
    lead = next(ObjectId(key) for key, _ in world.ledger.books.state.items(POOLS) if key != partner)
    shared = (Partner(pool=partner, share_ppm=Ppm(416_667)),)
    world.must("harbour", world.product(lead, auto_budget=Amount(0), partners=shared), cosigners=("jade",))
    product = world.made("product", "harbour")
    world.open_account("ann")
    application = world.apply("ann")
    world.attest(application, "ann", lenders=("plum",))
    payload = OfferPost(
        application=application, product=product, principal=Amount(600_002), instalments=10, rate_ppm=Ppm(95_000)
    )
    assert refused(world, "harbour", payload) is None
    pools = world.ledger.books.state
    assert [pools.need(POOLS, one).reserved for one in (lead, partner)] == [350_001, 250_001]
    world.must("harbour", OfferCancel(offer=world.made("offer", "harbour")))
    assert [pools.need(POOLS, one).reserved for one in (lead, partner)] == [0, 0]


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"principal": 0}, Rejection.AMOUNT_ZERO),
        ({"product": NOTHING}, Rejection.PRODUCT_UNKNOWN),
        ({"application": NOTHING}, Rejection.APPLICATION_UNKNOWN),
        ({"rate_ppm": 360_001}, Rejection.POLICY_BROKEN),
        ({"rate_ppm": 355_000}, Rejection.POLICY_BROKEN),
        ({"principal": 800_001}, Rejection.APPLICATION_TERMS_INVALID),
        ({"principal": 9_999}, Rejection.APPLICATION_TERMS_INVALID),
        ({"instalments": 53}, Rejection.APPLICATION_TERMS_INVALID),
        ({"instalments": 1}, Rejection.POLICY_BROKEN),
        ({"instalments": 3}, Rejection.CAP_INSTALMENTS),
        ({"rate_ppm": 0}, None),
        ({"principal": 800_000, "instalments": 52}, None),
    ],
)
def test_what_an_offer_says_must_be_lawful(fields: dict[str, Any], code: Rejection | None) -> None:
    """Amount and time within what was asked and is sold, a price within the policy, an instalment that can be paid."""
    desk = Desk()
    assert refused(desk.world, "harbour", desk.terms(**fields)) is code


def test_an_offer_needs_an_open_application_to_its_own_lender() -> None:
    """Another's product, no consent, no grant, no word of anybody, a closed application, the wrong kind or model."""
    desk = Desk(attesters=())
    world, state = desk.world, desk.world.ledger.books.state

    def post(who: str = "harbour", **fields: Any) -> Rejection | None:
        return refused(world, who, desk.terms(**fields))

    assert post("jade") is Rejection.POOL_NOT_YOURS
    assert post("ann") is Rejection.ROLE_MISSING
    assert post() is Rejection.ATTESTATION_MISSING
    world.attest(desk.application, "ann", lenders=("plum",))
    policy = world.ledger.books.policy
    world.ledger.books.policy = msgspec.structs.replace(policy, attestations_floor=2)
    assert world.do("harbour", desk.terms()).rejection is Rejection.ATTESTATION_MISSING
    world.ledger.books.policy = policy
    world.attest(desk.application, "ann", lenders=("jade",), capacity30=20_000)
    assert post() is Rejection.CAP_INSTALMENTS
    consent = next(key for key, _ in state.items(CONSENTS))
    grant = state.need(CONSENTS, consent).grant
    change(world, CONSENTS, consent, grant=msgspec.structs.replace(grant, grantees=(world.account("plum"),)))
    # Those books cannot come about, so only the answer is looked at.
    assert world.do("harbour", desk.terms()).rejection is Rejection.ATTESTER_NOT_GRANTED
    decline = OfferDecline(application=desk.application, product=desk.product, reasons=(DEBT,))
    assert world.do("harbour", decline).rejection is Rejection.ATTESTER_NOT_GRANTED
    change(world, CONSENTS, consent, grant=grant)
    row = state.need(PRODUCTS, desk.product)
    for terms, code in (
        ({"segment": Segment.CONSUMER}, Rejection.APPLICATION_TERMS_INVALID),
        ({"expires_on": Day(world.today - 1)}, Rejection.APPLICATION_TERMS_INVALID),
        ({"model": calculate_hash("other")}, Rejection.SIDECAR_MISSING),
    ):
        change(world, PRODUCTS, desk.product, terms=msgspec.structs.replace(row.terms, **terms))
        assert post() is code
    change(world, PRODUCTS, desk.product, terms=row.terms)
    world.must("ann", ConsentRevoke(consent=ObjectId(consent)))
    assert post() is Rejection.CONSENT_ENDED
    assert desk.decline(DEBT) is None


def test_an_offer_needs_its_money_and_room_in_its_pool() -> None:
    """Cash promised to nobody else, the pool's limit for one borrower, cover, an open application."""
    desk = Desk()
    world, state = desk.world, desk.world.ledger.books.state
    pool_id = next(key for key, _ in state.items(POOLS))
    for changes, code in (
        ({"cover_rate_ppm": Ppm(1)}, Rejection.COVER_LOW),
        ({"borrower_max": Amount(599_999)}, Rejection.CAP_POOL),
        ({"reserved": Amount(9_400_001)}, Rejection.LIQUIDITY_SHORT),
    ):
        before = state.need(POOLS, pool_id)
        change(world, POOLS, pool_id, **changes)
        assert world.do("harbour", desk.terms()).rejection is code
        change(world, POOLS, pool_id, **{name: getattr(before, name) for name in changes})
    named = desk.ask(product=desk.product)
    world.attest(named, "ann", lenders=("plum",))
    other = world.product(ObjectId(pool_id))
    world.must("harbour", other)
    post = desk.terms(application=named, product=world.made("product", "harbour"))
    assert refused(world, "harbour", post) is Rejection.APPLICATION_TERMS_INVALID
    assert refused(world, "harbour", msgspec.structs.replace(post, product=desk.product)) is None
    world.must("ann", ApplyWithdraw(application=desk.application))
    assert refused(world, "harbour", desk.terms()) is Rejection.APPLICATION_CLOSED
    assert desk.decline(DEBT) is Rejection.APPLICATION_CLOSED


def test_cancelling() -> None:
    """Only an officer's offer, by its lender, while it stands."""
    desk = Desk()
    offer = desk.post()
    world = desk.world

    def cancel(who: str = "harbour", one: ObjectId = offer) -> Rejection | None:
        return refused(world, who, OfferCancel(offer=one))

    assert cancel(one=NOTHING) is Rejection.OFFER_UNKNOWN
    assert cancel("jade") is Rejection.OFFER_NOT_YOURS
    assert cancel("ann") is Rejection.OFFER_NOT_YOURS
    assert cancel() is None
    assert cancel() is Rejection.OFFER_TAKEN
    second = desk.post()
    change(world, OFFERS, second, expires_ms=TimeMs(1))
    assert world.do("harbour", OfferCancel(offer=second)).rejection is Rejection.OFFER_EXPIRED
    desk = Desk()
    offer, world = desk.post(), desk.world
    assert world.accept("ann", offer).rejection is None
    assert cancel(one=offer) is Rejection.OFFER_TAKEN
    loan = world.ledger.books.state.need(LOANS, world.made("loan", "ann"))
    assert loan.principal_out == 600_000


def test_declining() -> None:
    """One's own product, an application of its kind, and reasons that are known and differ."""
    desk = Desk()
    assert desk.decline(DEBT, product=NOTHING) is Rejection.PRODUCT_UNKNOWN
    assert desk.decline(DEBT, who="jade") is Rejection.POOL_NOT_YOURS
    assert desk.decline(DEBT, application=NOTHING) is Rejection.APPLICATION_UNKNOWN
    for reasons in ((0,), (999,), (DEBT, DEBT), (DEBT, max(REASONS) + 1)):
        assert desk.decline(*reasons) is Rejection.REASONS_INVALID
    state = desk.world.ledger.books.state
    row = state.need(PRODUCTS, desk.product)
    change(desk.world, PRODUCTS, desk.product, terms=msgspec.structs.replace(row.terms, segment=Segment.SMALL_BUSINESS))
    assert desk.decline(DEBT) is Rejection.APPLICATION_TERMS_INVALID
    change(desk.world, PRODUCTS, desk.product, terms=msgspec.structs.replace(row.terms, model=calculate_hash("other")))
    assert desk.decline(DEBT) is Rejection.SIDECAR_MISSING
    change(desk.world, PRODUCTS, desk.product, terms=row.terms)
    pool = ObjectId(next(key for key, _ in state.items(POOLS)))
    for _ in range(16):
        desk.world.must("harbour", desk.world.product(pool, auto_budget=Amount(0)))
        last = desk.world.made("product", "harbour")
        assert desk.decline(DEBT, product=last) is None
    assert desk.decline(DEBT) is Rejection.ANSWERS_TOO_MANY
    assert refused(desk.world, "harbour", desk.terms()) is Rejection.ANSWERS_TOO_MANY
    assert refused(desk.world, "harbour", desk.terms(product=last)) is None


def test_officers_sign_with_the_officers_key() -> None:
    """An attester's key, which a machine holds, makes no offer; a frozen lender makes none either."""
    desk = Desk()
    assert refused(desk.world, "harbour/attester", desk.terms()) is Rejection.ROLE_MISSING
    change(desk.world, ACCOUNTS, desk.world.account("harbour"), frozen=True)
    assert refused(desk.world, "harbour", desk.terms()) is Rejection.ACCOUNT_FROZEN


def test_a_lender_that_lends_no_more_lets_money_go_and_gives_reasons() -> None:
    """Suspended by vote: no new offer, but what stands can be taken back and answered; nobody can take it meanwhile."""
    desk = Desk()
    offer = desk.post()
    harbour = desk.world.account("harbour")
    roles = desk.world.ledger.books.state.need(ACCOUNTS, harbour).roles
    change(desk.world, ACCOUNTS, harbour, roles=roles & ~1)
    assert desk.world.do("harbour", desk.terms()).rejection is Rejection.ROLE_MISSING
    assert desk.world.accept("ann", offer).rejection is Rejection.LENDER_UNFIT
    assert desk.world.do("harbour", OfferCancel(offer=offer)).rejection is None
    assert desk.pool.reserved == 0
    assert desk.decline(DEBT) is None


def test_a_partner_that_lends_no_more_stops_the_offer() -> None:
    """Whoever would hold a part must still be a lender."""
    world = World()
    world.found_lender("jade")
    partner = ObjectId(next(key for key, _ in world.ledger.books.state.items(POOLS)))
    world.found_lender("harbour")
    lead = next(ObjectId(key) for key, _ in world.ledger.books.state.items(POOLS) if key != partner)
    shared = (Partner(pool=partner, share_ppm=Ppm(100_000)),)
    world.must("harbour", world.product(lead, auto_budget=Amount(0), partners=shared), cosigners=("jade",))
    product = world.made("product", "harbour")
    world.open_account("ann")
    application = world.apply("ann")
    world.attest(application, "ann", lenders=("plum",))
    change(world, ACCOUNTS, world.account("jade"), frozen=True)
    payload = OfferPost(
        application=application, product=product, principal=Amount(600_000), instalments=10, rate_ppm=Ppm(95_000)
    )
    assert refused(world, "harbour", payload) is Rejection.LENDER_UNFIT
