"""The same for lending: from application to payment, each with everything that can be wrong with it."""

from msgspec.structs import replace

from protocol.crypto import calculate_hash
from protocol.ids import ZERO_DIGEST, Day, ObjectId, TimeMs
from protocol.ledger.contracts import OfferState
from protocol.ledger.rows import ApplicationState, Asset, Attestation
from protocol.ledger.state import (
    ACCOUNTS,
    APPLICATIONS,
    ASSETS,
    BUDGETS,
    CONSENTS,
    CONTRACTS,
    DATA,
    DECISIONS,
    EXPOSURES,
    LOANS,
    MEMBERS,
    MODELS,
    OFFERS,
    POOLS,
    PRODUCTS,
    VERDICTS,
)
from protocol.ledger.verdictrows import Verdict
from protocol.loans.lifecycle import LoanState
from protocol.loans.terms import ExcessRule
from protocol.money import PPM, Amount, Currency, Ppm
from protocol.transactions.data import Scope
from protocol.transactions.lending import (
    Accept,
    Apply,
    ApplyWithdraw,
    Attest,
    OfferCancel,
    OfferDecline,
    OfferPost,
    Purchase,
)
from protocol.transactions.products import MerchantKind
from protocol.transactions.servicing import AutopaySet, LoanSettle, Pay, PaymentSource, SettleOutcome
from scoring.reasons import DEBT
from tests.protocol.ledger.goods import Goods
from tests.protocol.ledger.precedence import (
    NOTHING,
    USD,
    Case,
    R,
    Scene,
    empty_cash,
    empty_fiat,
    erase_data,
    forget_data,
    own_data,
    use_reference,
)
from tests.protocol.ledger.world import CNY, LENDERS, MODEL_ID, WORST_BINS

OTHER = calculate_hash("other")


def build_apply() -> Scene:
    """Ann asks for a purchase by the name of a product."""
    world = Goods()
    pool = next(ObjectId(key) for key, one in world.ledger.books.state.items(POOLS))
    owner = next(one for one in ("harbour", "jade", "plum") if world.account(one) == owner_of(world, pool))
    world.must(owner, world.product(pool, kind=MerchantKind(discount_ppm=Ppm(0))))
    product = world.made("product", owner)
    data, consent = world.anchor("ann")
    wish = Purchase(merchant=world.account("shop"))
    sidecar = world.sidecar("ann")
    payload = world.application("ann", data, consent, product=product, wish=wish, sidecar=sidecar)
    return Scene(world, "ann", payload, sidecars=(sidecar,), data=data, consent=consent, product=product)


def owner_of(world: Goods, pool: ObjectId) -> bytes:
    """Whose pool it is."""
    return world.ledger.books.state.need(POOLS, pool).owner


def alter_terms(scene: Scene, **fields: object) -> None:
    """Let the product have been published with other terms."""
    row = scene.books.state.need(PRODUCTS, scene.names["product"])
    scene.put(PRODUCTS, scene.names["product"], terms=replace(row.terms, **fields))


def alter_anchor(scene: Scene, **fields: object) -> None:
    """Let the statement be another one."""
    row = scene.books.state.need(DATA, scene.names["data"])
    scene.put(DATA, scene.names["data"], anchor=replace(row.anchor, **fields))


def build_attest() -> Scene:
    """Jade is about to attest Ann's application."""
    world = Goods()
    application = world.apply("ann")
    commitment = world.sidecar("ann").calculate_commitment()
    consent = world.ledger.books.state.need(APPLICATIONS, application).request.consent
    payload = world.attestation("jade", application, commitment)
    return Scene(world, "jade", payload, application=application, consent=consent)


def attest_already(scene: Scene) -> None:
    """Jade has said so before."""
    payload = scene.payload
    said = Attestation(
        attester=scene.world.account("jade"),
        model=MODEL_ID,
        commitment=payload.commitment,
        capacity30=payload.capacity30,
        rows_mark=payload.rows_mark,
        time_ms=TimeMs(1),
    )
    scene.put(APPLICATIONS, scene.names["application"], attestations=(said,))


def convict_signer(scene: Scene) -> None:
    """Jade was convicted of an earlier lie."""
    convict(scene, "jade")


def convict(scene: Scene, who: str) -> None:
    """A member was convicted of an earlier lie."""
    member = scene.books.state.need(MEMBERS, scene.world.account(who))
    verdict = Verdict(
        attester_key=member.attester_key,
        application=NOTHING,
        model=MODEL_ID,
        evidence=ZERO_DIGEST,
        reporter=scene.world.account("harbour"),
        time_ms=TimeMs(1),
        penalty=Amount(0),
    )
    scene.books.state.put(VERDICTS, scene.world.account(who), verdict)


def strike_all(scene: Scene) -> None:
    """Whoever attested the application was convicted since."""
    for who in LENDERS:
        convict(scene, who)


def build_officers() -> Scene:
    """Harbour's officer is about to answer Ann; an offer of another product was taken back."""
    world = Goods()
    application = world.apply("ann")
    world.attest(application, "ann", lenders=("plum",))
    state, product = world.ledger.books.state, world.products["harbour"]
    pool = state.need(PRODUCTS, product).terms.pool
    world.must("harbour", world.product(pool))
    other = world.made("product", "harbour")
    payload = OfferPost(
        application=application, product=product, principal=Amount(600_000), instalments=10, rate_ppm=Ppm(90_000)
    )
    world.must("harbour", replace(payload, product=other))
    offer = world.made("offer", "harbour")
    world.must("harbour", OfferCancel(offer=offer))
    return Scene(
        world,
        "harbour",
        payload,
        application=application,
        product=product,
        other=other,
        offer=offer,
        pool=pool,
        consent=state.need(APPLICATIONS, application).request.consent,
    )


def take_grant(scene: Scene) -> None:
    """Somebody else alone was granted the data."""
    row = scene.books.state.need(CONSENTS, scene.names["consent"])
    scene.put(CONSENTS, scene.names["consent"], grant=replace(row.grant, grantees=(scene.world.account("plum"),)))


def answer(scene: Scene) -> None:
    """The product has made an offer that stands."""
    names, state = scene.names, scene.books.state
    state.put(
        DECISIONS, names["application"] + names["product"], state.need(DECISIONS, names["application"] + names["other"])
    )
    scene.put(OFFERS, names["offer"], state=OfferState.POSTED)


def answer_often(scene: Scene) -> None:
    """The lender has made many offers."""
    scene.put(DECISIONS, scene.names["application"] + scene.names["other"], offers_ended=9)


def answer_with_sixteen(scene: Scene) -> None:
    """Sixteen products of the lender have answered."""
    application, state = scene.names["application"], scene.books.state
    products = tuple(calculate_hash("product", bytes((one,))) for one in range(16))
    for product in products:
        state.put(DECISIONS, application + product, state.need(DECISIONS, application + scene.names["other"]))
    scene.put(APPLICATIONS, application, products=products)


def build_decline() -> Scene:
    """The same officer is about to decline."""
    scene = build_officers()
    payload = scene.payload
    scene.payload = OfferDecline(application=payload.application, product=payload.product, reasons=(DEBT,))
    return scene


def build_cancel() -> Scene:
    """The same officer is about to take an offer back."""
    scene = build_officers()
    scene.world.must("harbour", scene.payload)
    offer = scene.world.made("offer", "harbour")
    scene.payload = OfferCancel(offer=offer)
    scene.names["offer"] = offer
    return scene


def build_accept() -> Scene:
    """Ann is about to take an offer that Bob guarantees, a machine secures and an agent pays out."""
    world = Goods()
    state = world.ledger.books.state
    asset = ObjectId(calculate_hash("asset"))
    thing = Asset(
        asset_class="machine",
        serial_hash=ZERO_DIGEST,
        meta_commit=ZERO_DIGEST,
        owner=world.account("ann"),
        currency=CNY,
        value=Amount(900_000),
    )
    state.put(ASSETS, asset, thing)
    state.keep()
    data, consent = world.anchor("ann")
    sidecar = world.sidecar("ann")
    named = {"collateral": (asset,), "guarantors": (world.account("bob"),)}
    payload = world.application("ann", data, consent, sidecar=sidecar, **named)
    world.must("ann", payload, sidecars=(sidecar,))
    application = world.made("application", "ann")
    offer = next(one.offer for one in world.attest(application, "ann") if one.offer is not None)
    row = state.need(OFFERS, offer)
    accept = Accept(offer=offer, terms_hash=row.terms_hash, agent=world.account("agent"))
    told = row.disclosure
    names = {"offer": offer, "asset": asset, "application": application, "pool": told.pool, "product": told.product}
    return Scene(world, "ann", accept, cosigners=("bob",), lender=told.lender, **names)


def expose(scene: Scene, who: str, **fields: object) -> None:
    """Let somebody owe something else."""
    tag = scene.books.state.need(ACCOUNTS, scene.world.account(who)).subject_tag
    scene.put(EXPOSURES, tag, **fields)


def build_pay() -> Scene:
    """Ann is about to pay on her loan."""
    world = Goods()
    loan = world.borrow("ann")
    return Scene(world, "ann", Pay(loan=loan, amount=Amount(500), excess=ExcessRule.LAST), loan=loan)


def build_autopay() -> Scene:
    """Ann lets the ledger pay."""
    scene = build_pay()
    scene.payload = AutopaySet(loan=scene.names["loan"], on=True)
    return scene


def build_settle() -> Scene:
    """The agent has paid Ann."""
    scene = build_accept()
    world = scene.world
    world.must("ann", scene.payload, cosigners=("bob",))
    loan = world.made("loan", "ann")
    fresh = calculate_hash("ref", b"fresh")
    world.mint("bob", 1, "first")
    return Scene(world, "agent", LoanSettle(loan=loan, outcome=SettleOutcome.DISBURSED, ext_ref=fresh), loan=loan)


def build_withdraw() -> Scene:
    """Ann lets an application go."""
    world = Goods()
    application = world.apply("ann")
    return Scene(world, "ann", ApplyWithdraw(application=application), application=application)


def close_application(scene: Scene) -> None:
    """The application was withdrawn."""
    scene.put(APPLICATIONS, scene.names["application"], state=ApplicationState.WITHDRAWN)


def revoke(scene: Scene) -> None:
    """Consent was withdrawn."""
    scene.put(CONSENTS, scene.names["consent"], revoked_ms=TimeMs(1))


def narrow_consent(scene: Scene) -> None:
    """It opens features alone."""
    row = scene.books.state.need(CONSENTS, scene.names["consent"])
    scene.put(CONSENTS, scene.names["consent"], grant=replace(row.grant, scope=Scope.FEATURES))


LENDING: dict[type, Case] = {
    Apply: Case(
        build_apply,
        {
            R.SIDECAR_MISMATCH: lambda s: setattr(s, "sidecars", (s.world.sidecar("ann", WORST_BINS[:-1]),)),
            R.CURRENCY_UNKNOWN: lambda s: s.say(currency=USD),
            R.AMOUNT_ZERO: lambda s: s.say(amount=Amount(0)),
            R.PRODUCT_UNKNOWN: lambda s: s.say(product=NOTHING),
            R.MODEL_UNKNOWN: lambda s: s.put(MODELS, MODEL_ID, retired=True),
            R.DATA_UNKNOWN: forget_data,
            R.DATA_NOT_YOURS: own_data,
            R.CONSENT_UNKNOWN: lambda s: s.say(consent=NOTHING),
            R.CONSENT_NOT_YOURS: lambda s: s.put(CONSENTS, s.names["consent"], owner=s.world.account("bob")),
            R.CONSENT_ENDED: revoke,
            R.DATA_ERASED: erase_data,
            R.CONSENT_SCOPE: narrow_consent,
            R.APPLICATIONS_TOO_MANY: lambda s: s.own(applications=(NOTHING,) * 3),
            R.APPLICATION_TERMS_INVALID: lambda s: s.say(instalments=53),
            R.STATEMENT_STALE: lambda s: alter_anchor(s, last_day=Day(s.world.today - 9)),
            R.SIDECAR_MISSING: lambda s: alter_terms(s, model=OTHER),
            R.STATEMENT_CURRENCY: lambda s: alter_anchor(s, currency=Currency("EUR")),
            R.WISH_UNFIT: lambda s: s.put(ACCOUNTS, s.world.account("shop"), frozen=True),
            R.COLLATERAL_UNFIT: lambda s: s.say(collateral=(NOTHING,)),
            R.GUARANTOR_UNFIT: lambda s: s.say(guarantors=(s.world.account("ann"),)),
        },
        # Bins are looked at when the payload is; its signer's standing comes first.
        dict.fromkeys((R.ACCOUNT_FROZEN, R.CREDENTIAL_EXPIRED, R.PAUSED), (R.SIDECAR_MISMATCH,)),
    ),
    ApplyWithdraw: Case(
        build_withdraw,
        {
            R.APPLICATION_UNKNOWN: lambda s: s.say(application=NOTHING),
            R.APPLICATION_CLOSED: close_application,
        },
    ),
    Attest: Case(
        build_attest,
        {
            R.CONSENT_ENDED: revoke,
            R.APPLICATION_UNKNOWN: lambda s: s.say(application=NOTHING),
            R.APPLICATION_CLOSED: close_application,
            R.SIDECAR_MISSING: lambda s: s.say(model=OTHER),
            R.ATTESTER_NOT_GRANTED: take_grant,
            R.ATTESTED_ALREADY: attest_already,
            R.ATTESTATION_MISMATCH: lambda s: s.say(capacity30=Amount(123)),
            R.ATTESTER_CONVICTED: convict_signer,
        },
        {R.APPLICATION_UNKNOWN: (R.CONSENT_ENDED,)},
    ),
    OfferPost: Case(
        build_officers,
        {
            R.AMOUNT_ZERO: lambda s: s.say(principal=Amount(0)),
            R.POOL_NOT_YOURS: lambda s: s.put(PRODUCTS, s.names["product"], lender=s.world.account("jade")),
            R.PRODUCT_UNKNOWN: lambda s: s.say(product=NOTHING),
            R.POLICY_BROKEN: lambda s: s.rule(apr_cap_ppm=Ppm(0)),
            R.CONSENT_ENDED: revoke,
            R.APPLICATION_UNKNOWN: lambda s: s.say(application=NOTHING),
            R.APPLICATION_CLOSED: close_application,
            R.APPLICATION_TERMS_INVALID: lambda s: alter_terms(s, instalments_max=9),
            R.SIDECAR_MISSING: lambda s: alter_terms(s, model=OTHER),
            R.ATTESTER_NOT_GRANTED: take_grant,
            R.DECIDED_ALREADY: answer,
            R.ATTESTATION_MISSING: lambda s: s.put(APPLICATIONS, s.names["application"], attestations=()),
            R.CAP_INSTALMENTS: lambda s: s.rule(instalment_share_ppm=Ppm(0)),
            R.LIQUIDITY_SHORT: lambda s: s.put(POOLS, s.names["pool"], cash=Amount(0)),
            R.CAP_POOL: lambda s: s.put(POOLS, s.names["pool"], borrower_max=Amount(0)),
            R.COVER_LOW: lambda s: s.put(POOLS, s.names["pool"], cover_rate_ppm=Ppm(PPM)),
            R.ANSWERS_TOO_MANY: answer_often,
        },
        {
            R.PRODUCT_UNKNOWN: (R.POOL_NOT_YOURS,),
            R.APPLICATION_UNKNOWN: (R.POLICY_BROKEN, R.CONSENT_ENDED),
        },
    ),
    OfferDecline: Case(
        build_decline,
        {
            R.POOL_NOT_YOURS: lambda s: s.put(PRODUCTS, s.names["product"], lender=s.world.account("jade")),
            R.PRODUCT_UNKNOWN: lambda s: s.say(product=NOTHING),
            R.APPLICATION_UNKNOWN: lambda s: s.say(application=NOTHING),
            R.APPLICATION_CLOSED: close_application,
            R.APPLICATION_TERMS_INVALID: lambda s: alter_terms(s, period_every=2),
            R.SIDECAR_MISSING: lambda s: alter_terms(s, model=OTHER),
            R.ATTESTER_NOT_GRANTED: take_grant,
            R.DECIDED_ALREADY: answer,
            R.REASONS_INVALID: lambda s: s.say(reasons=(0,)),
            R.ANSWERS_TOO_MANY: answer_with_sixteen,
        },
        {R.PRODUCT_UNKNOWN: (R.POOL_NOT_YOURS,)},
    ),
    OfferCancel: Case(
        build_cancel,
        {
            R.OFFER_UNKNOWN: lambda s: s.say(offer=NOTHING),
            R.OFFER_EXPIRED: lambda s: s.put(OFFERS, s.names["offer"], expires_ms=TimeMs(1)),
            R.OFFER_TAKEN: lambda s: s.put(OFFERS, s.names["offer"], state=OfferState.ACCEPTED),
            R.OFFER_NOT_YOURS: lambda s: s.put(OFFERS, s.names["offer"], officer=False),
        },
    ),
    Accept: Case(
        build_accept,
        {
            R.ATTESTATION_MISSING: strike_all,
            R.OFFER_UNKNOWN: lambda s: s.say(offer=NOTHING),
            R.OFFER_EXPIRED: lambda s: s.put(OFFERS, s.names["offer"], expires_ms=TimeMs(1)),
            R.OFFER_TAKEN: close_application,
            R.TERMS_MISMATCH: lambda s: s.say(terms_hash=ZERO_DIGEST),
            R.CAP_DEBT: lambda s: expose(s, "ann", principal_open=1_000_000),
            R.CAP_INSTALMENTS: lambda s: s.rule(instalment_share_ppm=Ppm(0)),
            R.CAP_LENDERS: lambda s: s.rule(lenders_max=0),
            R.CAP_DAILY: lambda s: expose(s, "ann", accepts_day=s.books.today, accepts=9),
            R.BUDGET_SPENT: lambda s: s.put(BUDGETS, s.names["product"], used=Amount(100_000_000)),
            R.LIQUIDITY_SHORT: lambda s: s.put(POOLS, s.names["pool"], cash=Amount(0)),
            R.CAP_POOL: lambda s: s.put(POOLS, s.names["pool"], borrower_max=Amount(0)),
            R.RATE_TOO_HIGH: lambda s: s.rule(apr_cap_ppm=Ppm(0)),
            R.GUARANTOR_MISSING: lambda s: setattr(s, "cosigners", ()),
            R.ASSET_LIENED: lambda s: s.put(ASSETS, s.names["asset"], lien=NOTHING),
            R.AGENT_UNFIT: lambda s: s.say(agent=s.world.account("bob")),
            R.COVER_LOW: lambda s: s.put(POOLS, s.names["pool"], cover_rate_ppm=Ppm(PPM)),
            R.CAP_GUARANTEE: lambda s: expose(s, "bob", principal_open=1_500_000),
            R.LENDER_UNFIT: lambda s: s.put(ACCOUNTS, s.names["lender"], frozen=True),
        },
        {R.OFFER_UNKNOWN: (R.ATTESTATION_MISSING,)},
    ),
    Pay: Case(
        build_pay,
        {
            R.AMOUNT_ZERO: lambda s: s.say(amount=Amount(0)),
            R.FUNDS_SHORT: empty_cash,
            R.LOAN_UNKNOWN: lambda s: s.say(loan=NOTHING),
            R.LOAN_CLOSED: lambda s: s.put(LOANS, s.names["loan"], closed_ms=TimeMs(1)),
            R.LOAN_STATE: lambda s: s.put(LOANS, s.names["loan"], state=LoanState.FUNDED),
            R.MERCHANT_ONLY: lambda s: s.say(source=PaymentSource.MERCHANT_REFUND),
        },
        {R.LOAN_UNKNOWN: (R.FUNDS_SHORT,), R.LOAN_CLOSED: (R.FUNDS_SHORT,)},
    ),
    AutopaySet: Case(
        build_autopay,
        {
            R.LOAN_UNKNOWN: lambda s: s.say(loan=NOTHING),
            R.LOAN_CLOSED: lambda s: s.put(LOANS, s.names["loan"], closed_ms=TimeMs(1)),
            R.LOAN_NOT_YOURS: lambda s: s.put(CONTRACTS, s.names["loan"], disclosure=lend_to_bob(s)),
        },
    ),
    LoanSettle: Case(
        build_settle,
        {
            R.REFERENCE_USED: use_reference,
            R.AGENT_FUNDS_SHORT: empty_fiat,
            R.LOAN_UNKNOWN: lambda s: s.say(loan=NOTHING),
            R.LOAN_CLOSED: lambda s: s.put(LOANS, s.names["loan"], closed_ms=TimeMs(1), state=LoanState.CANCELLED),
            R.LOAN_STATE: lambda s: s.put(CONTRACTS, s.names["loan"], agent_until_ms=TimeMs(1)),
            R.LOAN_NOT_YOURS: lambda s: s.put(CONTRACTS, s.names["loan"], agent=s.world.account("bob")),
        },
        {R.LOAN_UNKNOWN: (R.AGENT_FUNDS_SHORT,), R.LOAN_CLOSED: (R.AGENT_FUNDS_SHORT,)},
    ),
}


def lend_to_bob(scene: Scene) -> object:
    """The contract's disclosure with another borrower."""
    row = scene.books.state.need(CONTRACTS, scene.names["loan"])
    return replace(row.disclosure, borrower=scene.world.account("bob"))
