"""Grants of features alone on the ledger: what they open, what they do not, and how they are kept apart from rows."""

from collections.abc import Iterator
from typing import Any

import pytest

from protocol.crypto import calculate_hash
from protocol.ids import ObjectId
from protocol.ledger.laws.records import check_consent
from protocol.ledger.state import APPLICATIONS, CONSENTS, DECISIONS, replace
from protocol.money import Amount, Ppm
from protocol.rejections import Rejection
from protocol.transactions.data import ConsentRevoke, DataErase, Purpose, Scope
from protocol.transactions.lending import OfferDecline, OfferPost
from scoring.reasons import DEBT
from tests.protocol.ledger.goods import Goods, lawful
from tests.protocol.ledger.world import change, refused

R = Rejection
RAW, APART = ("plum",), ("harbour",)


@pytest.fixture
def world() -> Iterator[Goods]:
    """Three lenders with pools."""
    with lawful() as goods:
        yield goods


def ask(world: Goods, features: ObjectId | None, data: ObjectId, consent: ObjectId, **fields: Any) -> Rejection | None:
    """Why Ann's application with a commitment to features is refused."""
    sidecar = world.sidecar("ann")
    commitment = world.features("ann", features)
    payload = world.application("ann", data, consent, sidecar=sidecar, features=commitment, **fields)
    return refused(world, "ann", payload, sidecars=(sidecar,))


def open_(world: Goods) -> tuple[ObjectId, ObjectId]:
    """Plum reads Ann's rows, Harbour the features; (application, the consent to features)."""
    data, consent = world.anchor("ann", RAW)
    apart = world.consent("ann", data, APART, Scope.FEATURES)
    assert ask(world, apart, data, consent) is None
    return world.made("application", "ann"), apart


def post(world: Goods, application: ObjectId, product: ObjectId) -> OfferPost:
    """What Harbour's officer would lend."""
    return OfferPost(
        application=application, product=product, principal=Amount(300_000), instalments=10, rate_ppm=Ppm(90_000)
    )


def test_rows_and_features_are_consented_to_apart(world: Goods) -> None:
    """A consent to features is none to rows, and one to rows is none to features; each is named as what it is."""
    data, consent = world.anchor("ann", RAW)
    apart = world.consent("ann", data, APART, Scope.FEATURES)
    assert ask(world, apart, data, apart) is R.CONSENT_SCOPE
    assert ask(world, consent, data, consent) is R.CONSENT_SCOPE
    assert ask(world, apart, data, consent) is None
    assert ask(world, None, data, consent) is None, "a root alone opens nothing to anybody"


def test_the_consent_to_features_must_hold_like_the_other(world: Goods) -> None:
    """Unknown, another's, of another purpose, of other data, withdrawn: the smallest reason of both consents."""
    data, consent = world.anchor("ann", RAW)
    apart = world.consent("ann", data, APART, Scope.FEATURES)
    bobs, _ = world.anchor("bob", RAW)
    bobs_apart = world.consent("bob", bobs, APART, Scope.FEATURES)
    other, _ = world.anchor("ann", RAW)
    assert ask(world, ObjectId(calculate_hash("none")), data, consent) is R.CONSENT_UNKNOWN
    assert ask(world, bobs_apart, data, consent) is R.CONSENT_NOT_YOURS
    assert ask(world, world.consent("ann", other, APART, Scope.FEATURES), data, consent) is R.CONSENT_ENDED
    grant = world.ledger.books.state.need(CONSENTS, apart).grant
    change(world, CONSENTS, apart, grant=replace(grant, purpose=Purpose.RESEARCH))
    assert ask(world, apart, data, consent) is R.CONSENT_ENDED
    change(world, CONSENTS, apart, grant=grant)
    world.must("ann", ConsentRevoke(consent=apart))
    assert ask(world, apart, data, consent) is R.CONSENT_ENDED
    world.must("ann", ConsentRevoke(consent=consent))
    assert ask(world, ObjectId(calculate_hash("none")), data, consent) is R.CONSENT_UNKNOWN
    world.must("ann", DataErase(data=(data,)))
    assert ask(world, apart, data, apart) is R.CONSENT_ENDED, "it comes before an erasure and a wrong scope"


def test_a_reader_of_features_is_told_and_attests_nothing(world: Goods) -> None:
    """The event names it once; its word is refused, so it is never one of those that a product asks for."""
    application, _ = open_(world)
    assert world.execution is not None
    (opened,) = [one for one in world.execution.events if one.kind == "application_opened"]
    assert opened.subjects == (application, world.account("ann"), world.account("plum"), world.account("harbour"))
    commitment = world.sidecar("ann").calculate_commitment()
    for who in ("harbour", "harbour/attester"):
        assert refused(world, who, world.attestation("harbour", application, commitment)) is R.ATTESTER_NOT_GRANTED
    assert refused(world, "plum/attester", world.attestation("plum", application, commitment)) is None
    row = world.ledger.books.state.need(APPLICATIONS, application)
    assert [one.attester for one in row.attestations] == [world.account("plum")]


def test_its_officer_offers_on_what_others_confirmed_from_the_rows(world: Goods) -> None:
    """Not before anybody has; not by a program; not without a consent that holds; and not who was granted nothing."""
    product, others = world.publish("harbour"), world.publish("jade")
    application, apart = open_(world)
    assert refused(world, "harbour", post(world, application, product)) is R.ATTESTATION_MISSING
    world.attest(application, "ann", lenders=RAW)
    state = world.ledger.books.state
    assert state.get(DECISIONS, application + product) is None, "a product does not answer by itself"
    assert refused(world, "jade", post(world, application, others)) is R.ATTESTER_NOT_GRANTED
    assert refused(world, "harbour", post(world, application, product)) is None
    assert state.need(DECISIONS, application + product).attesters == (world.account("plum"),)
    world.must("ann", ConsentRevoke(consent=apart))
    again = world.publish("harbour")
    assert refused(world, "harbour", post(world, application, again)) is R.ATTESTER_NOT_GRANTED
    decline = OfferDecline(application=application, product=again, reasons=(DEBT,))
    assert refused(world, "harbour", decline) is R.ATTESTER_NOT_GRANTED


def test_the_law_of_consent_knows_a_grant_of_features(world: Goods) -> None:
    """Were an attestation taken on one, the books would not be lawful."""
    application, _ = open_(world)
    world.attest(application, "ann", lenders=RAW)
    consent = world.ledger.books.state.need(APPLICATIONS, application).request.consent
    grant = world.ledger.books.state.need(CONSENTS, consent).grant
    assert check_consent(world.ledger) == []
    change(world, CONSENTS, consent, grant=replace(grant, scope=Scope.FEATURES))
    assert check_consent(world.ledger) != []
    change(world, CONSENTS, consent, grant=grant)
