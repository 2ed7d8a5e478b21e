"""What random borrowers and lenders do from application to the last instalment."""

from typing import Any

from protocol.crypto import calculate_hash
from protocol.ids import Day, ObjectId
from protocol.ledger.contracts import LeaseTold, OfferState
from protocol.ledger.lines import quote_draw
from protocol.ledger.offers import calculate_terms_hash
from protocol.ledger.records import Decided, Receipt
from protocol.ledger.rows import ApplicationState
from protocol.ledger.state import ACCOUNTS, APPLICATIONS, ASSETS, LINES, LOANS, OFFERS, PRODUCTS
from protocol.loans.lifecycle import LoanState
from protocol.loans.terms import ExcessRule
from protocol.money import Amount, Ppm
from protocol.rejections import Rejection
from protocol.transactions.assets import AssetRegister, AssetRetire, AssetTransfer
from protocol.transactions.data import ConsentRevoke, Scope
from protocol.transactions.lending import (
    Accept,
    Apply,
    ApplyWithdraw,
    Draw,
    LeaseWish,
    LineClose,
    OfferCancel,
    OfferDecline,
    OfferPost,
    Purchase,
    SalesExpected,
)
from protocol.transactions.products import LeaseKind, MerchantKind, RevenueKind
from protocol.transactions.servicing import AutopaySet, LoanSettle, Pay, PaymentSource, SalesReport, SettleOutcome
from scoring.reasons import REASONS
from tests.protocol.ledger.lives.core import FIRM, PEOPLE, SHOP, Actions, Lives
from tests.protocol.ledger.world import BEST_BINS, CNY, LENDERS, WORST_BINS


def register_asset(lives: Lives) -> Receipt | None:
    """Somebody registers a thing."""
    serial = lives.random.randint(0, 400)
    payload = AssetRegister(
        asset_class=lives.random.choice(("vehicle", "machine")),
        serial_hash=calculate_hash("serial", serial.to_bytes(4, "big")),
        meta_commit=lives.hash(),
        currency=CNY,
        value=Amount(lives.random.randint(500_000, 3_000_000)),
    )
    return lives.do(lives.random.choice((*PEOPLE, FIRM, SHOP)), payload, cosigners=("issuer",))


def move_asset(lives: Lives) -> Receipt | None:
    """A thing changes hands, or is scrapped."""
    asset_id = lives.some(ASSETS, lambda row: row.lien is None and not row.held and not row.retired)
    if asset_id is None:
        return None
    owner = lives.owner(lives.world.ledger.books.state.need(ASSETS, asset_id).owner)
    if lives.random.random() < 0.1:
        return lives.do(owner, AssetRetire(asset=asset_id), cosigners=("issuer",))
    to = lives.random.choice([one for one in PEOPLE if one != owner])
    payload = AssetTransfer(asset=asset_id, to=lives.world.account(to))
    return lives.do(owner, payload, cosigners=(lives.signers[to],))


def _free_asset(lives: Lives, owner: str | None = None) -> ObjectId | None:
    account = None if owner is None else lives.world.account(owner)
    return lives.some(
        ASSETS,
        lambda row: row.lien is None and not row.held and not row.retired and (account is None or row.owner == account),
    )


def _wish(lives: Lives, product: Any, who: str) -> dict[str, Any]:
    """What an application for a product has to say beside the amount."""
    kind = product.terms.kind
    if isinstance(kind, MerchantKind):
        return {"wish": Purchase(merchant=lives.world.account(SHOP))}
    if isinstance(kind, RevenueKind):
        return {"wish": SalesExpected(volume=Amount(lives.random.randint(4_000_000, 40_000_000)))}
    if isinstance(kind, LeaseKind):
        asset = _free_asset(lives)
        return {} if asset is None else {"wish": LeaseWish(asset=asset)}
    extra: dict[str, Any] = {}
    if lives.random.random() < 0.2 and (asset := _free_asset(lives, who)) is not None:
        extra["collateral"] = (asset,)
    if lives.random.random() < 0.2:
        extra["guarantors"] = (lives.world.account(lives.random.choice([one for one in PEOPLE if one != who])),)
    return extra


def apply(lives: Lives) -> Receipt | None:
    """Somebody applies for one of the products, is attested, and often takes the offer."""
    world, random, state = lives.world, lives.random, lives.world.ledger.books.state
    who = lives.person()
    account = state.need(ACCOUNTS, world.account(who))
    if account.frozen or len(account.applications) >= 3:
        return None
    product_id = random.choice(lives.products)
    product = state.need(PRODUCTS, product_id)
    bins = BEST_BINS if random.random() < 0.9 else WORST_BINS
    signer = lives.signers[who]
    data, consent = world.anchor(signer, LENDERS[:2])
    features = world.features(signer)
    if data[0] % 2:
        features = world.features(signer, world.consent(signer, data, LENDERS[2:], Scope.FEATURES))
    else:
        consent = world.consent(signer, data, LENDERS)
    sidecar = world.sidecar(signer, bins)
    terms = product.terms
    payload = world.application(
        signer,
        data,
        consent,
        amount=random.randint(20_000, 900_000),
        sidecar=sidecar,
        product=product_id if random.random() < 0.9 else None,
        segment=terms.segment,
        instalments=random.randint(terms.instalments_min, min(terms.instalments_max, 24)),
        period_unit=terms.period_unit,
        period_every=terms.period_every,
        automated=random.random() < 0.8,
        features=None if data[0] % 8 == 0 else features,
        **_wish(lives, product, who),
    )
    receipt = lives.do(who, payload, sidecars=(sidecar,))
    if receipt.rejection is not None:
        return receipt
    application = world.made("application", signer)
    capacity = random.choice((2_000_000, 5_000_000, 9_000_000, 1_000))
    for lender in LENDERS:
        call = world.attestation(lender, application, sidecar.calculate_commitment(), capacity30=capacity)
        told = lives.do(f"{lender}/attester", call)
        offers = [one.offer for one in told.outcome if isinstance(one, Decided) and one.offer is not None]
        if offers and random.random() < 0.8:
            return accept(lives, offers[0])
    return receipt


def accept(lives: Lives, offer_id: ObjectId | None = None) -> Receipt | None:
    """Take an offer, this way or that."""
    state, random = lives.world.ledger.books.state, lives.random
    wanted = offer_id or lives.some(OFFERS, lambda row: row.state is OfferState.POSTED)
    if wanted is None:
        return None
    offer = state.need(OFFERS, wanted)
    who = lives.owner(offer.disclosure.borrower)
    named = [lives.signers[lives.owner(one)] for one in offer.disclosure.guarantors]
    told = offer.disclosure.told
    if isinstance(told, LeaseTold) and (supplier := lives.signers[lives.owner(told.supplier)]) not in {*named, who}:
        named.append(supplier)
    payload = Accept(
        offer=wanted,
        terms_hash=offer.terms_hash if random.random() < 0.97 else calculate_hash("other"),
        agent=lives.world.account("agent") if told is None and random.random() < 0.3 else None,
        autopay=random.random() < 0.3,
    )
    return lives.do(who, payload, cosigners=tuple(named) if random.random() < 0.95 else ())


def accept_any(lives: Lives) -> Receipt | None:
    """Some offer that stands."""
    return accept(lives)


def _pick_consent(request: Apply) -> ObjectId:
    """One of those that an application names."""
    features = request.features
    apart = features is not None and features.consent is not None and request.data[0][0] % 4 == 1
    return ObjectId(features.consent if apart and features is not None and features.consent else request.consent)


def withdraw(lives: Lives) -> Receipt | None:
    """An application is taken back, or the consent behind it."""
    application = lives.some(APPLICATIONS, lambda row: row.state is ApplicationState.OPEN)
    if application is None:
        return None
    row = lives.world.ledger.books.state.need(APPLICATIONS, application)
    who = lives.owner(row.borrower)
    if lives.random.random() < 0.2:
        return lives.do(who, ConsentRevoke(consent=_pick_consent(row.request)))
    return lives.do(who, ApplyWithdraw(application=application))


def officer_answers(lives: Lives) -> Receipt | None:
    """An officer offers, declines, or takes an offer back."""
    state, random = lives.world.ledger.books.state, lives.random
    if random.random() < 0.2:
        offer = lives.some(OFFERS, lambda row: row.officer and row.state is OfferState.POSTED)
        if offer is None:
            return None
        return lives.do(lives.owner(state.need(OFFERS, offer).disclosure.lender), OfferCancel(offer=offer))
    application = lives.some(APPLICATIONS, lambda row: row.state is ApplicationState.OPEN)
    if application is None:
        return None
    request = state.need(APPLICATIONS, application).request
    product = request.product or random.choice(lives.products)
    lender = lives.owner(state.need(PRODUCTS, product).lender)
    if random.random() < 0.2:
        reasons = tuple(random.sample(sorted(REASONS), 2))
        return lives.do(lender, OfferDecline(application=application, product=product, reasons=reasons))
    payload = OfferPost(
        application=application,
        product=product,
        principal=Amount(max(10_000, request.amount - random.randint(0, 50_000))),
        instalments=request.instalments,
        rate_ppm=Ppm(random.choice((0, 50_000, 120_000, 400_000))),
    )
    return lives.do(lender, payload)


def settle_funding(lives: Lives) -> Receipt | None:
    """The agent says what became of a pay-out."""
    found = lives.loan(LoanState.FUNDED)
    if found is None:
        return None
    outcome = SettleOutcome.FAILED if lives.random.random() < 0.2 else SettleOutcome.DISBURSED
    return lives.do("agent", LoanSettle(loan=found[0], outcome=outcome, ext_ref=lives.reference()))


def pay(lives: Lives) -> Receipt | None:
    """Somebody pays on a loan: a little, what is due, or everything."""
    found = lives.loan(LoanState.ACTIVE, LoanState.DEFAULTED, LoanState.WRITTEN_OFF)
    if found is None:
        return None
    loan_id, contract, loan = found
    random = lives.random
    row = next((one for one in loan.rows if one.unpaid), loan.rows[-1])
    amount = random.choice((1, row.unpaid, row.unpaid // 2 + 1, 2 * row.unpaid, loan.principal_out, 9_000_000))
    who = lives.owner(contract.disclosure.borrower)
    source = PaymentSource.BORROWER
    if random.random() < 0.15:
        who, source = random.choice(((SHOP, PaymentSource.MERCHANT_REFUND), ("bob", PaymentSource.GUARANTOR)))
    if random.random() < 0.8:
        lives.world.mint(who, max(1, min(amount, 6_000_000)))
    payload = Pay(loan=loan_id, amount=Amount(amount), excess=random.choice(list(ExcessRule)), source=source)
    return lives.do(who, payload)


def set_autopay(lives: Lives) -> Receipt | None:
    """A borrower changes her standing order."""
    found = lives.loan(LoanState.ACTIVE)
    if found is None:
        return None
    who = lives.owner(found[1].disclosure.borrower)
    return lives.do(who, AutopaySet(loan=found[0], on=lives.random.random() < 0.5))


def report_sales(lives: Lives) -> Receipt | None:
    """Sales of the days since the last report."""
    loan_id = lives.some(LOANS, lambda row: row.sales is not None and row.state is LoanState.ACTIVE)
    if loan_id is None:
        return None
    loan = lives.world.ledger.books.state.need(LOANS, loan_id)
    if loan.sales is None:
        return None
    today = lives.world.ledger.books.calculate_day(480)
    first = loan.sales.reported_to + 1
    payload = SalesReport(
        loan=loan_id,
        first_day=Day(first if lives.random.random() < 0.9 else first + 1),
        last_day=Day(max(first, today - 1)),
        gross=Amount(lives.random.randint(0, 400_000)),
        commit=lives.hash(),
    )
    return lives.do(lives.lender(loan), payload)


def draw(lives: Lives) -> Receipt | None:
    """A borrower draws on a line, for the disclosure computed for today."""
    line_id = lives.some(LINES, lambda row: not row.closed and row.undrawn > 0)
    if line_id is None:
        return None
    books, random = lives.world.ledger.books, lives.random
    line = books.state.need(LINES, line_id)
    amount, count = random.choice((line.undrawn, line.undrawn // 2, 20_000, line.undrawn + 1)), random.randint(1, 12)
    quoted = quote_draw(books, line_id, amount, count)
    payload = Draw(
        line=line_id,
        amount=Amount(amount),
        instalments=count,
        terms_hash=lives.hash() if isinstance(quoted, Rejection) else calculate_terms_hash(quoted),
    )
    return lives.do(lives.owner(books.state.need(OFFERS, line.offer).disclosure.borrower), payload)


def close_line(lives: Lives) -> Receipt | None:
    """A borrower gives a line up."""
    line_id = lives.some(LINES, lambda row: not row.closed)
    if line_id is None:
        return None
    offer = lives.world.ledger.books.state.need(OFFERS, lives.world.ledger.books.state.need(LINES, line_id).offer)
    return lives.do(lives.owner(offer.disclosure.borrower), LineClose(line=line_id))


ACTIONS: Actions = [
    (register_asset, 12),
    (move_asset, 3),
    (apply, 100),
    (accept_any, 10),
    (withdraw, 3),
    (officer_answers, 15),
    (settle_funding, 12),
    (pay, 55),
    (set_autopay, 3),
    (report_sales, 10),
    (draw, 15),
    (close_line, 1),
]
