"""Credentials: what issuers may end, freeze and free, and what nobody can keep a person from."""

import pytest

from protocol.crypto import calculate_hash
from protocol.ids import BoxKey, Day, ObjectId
from protocol.ledger.invariants import find_violations
from protocol.ledger.rows import ProposalState
from protocol.ledger.rules import Pause
from protocol.ledger.state import ACCOUNTS
from protocol.money import Amount
from protocol.rejections import Rejection
from protocol.transactions.accounts import AccountKind, AccountOpen, CredentialOperation, CredentialSet
from protocol.transactions.data import ConsentRevoke
from protocol.transactions.governance import Freeze, PauseSet
from protocol.transactions.lending import Accept, ApplyWithdraw
from protocol.transactions.money import Transfer
from protocol.transactions.servicing import AutopaySet
from tests.protocol.ledger.votes import enact, make_member, restart
from tests.protocol.ledger.world import CNY, DAY_START, World, refused

NOTHING = calculate_hash("nothing")
REVOKE, FREEZE, UNFREEZE = CredentialOperation.REVOKE, CredentialOperation.FREEZE, CredentialOperation.UNFREEZE


@pytest.fixture
def world() -> World:
    """One lender, Ann with money, Bob."""
    made = World()
    made.found_lender("harbour", attestations_min=1)
    for person in ("ann", "bob"):
        assert made.open_account(person).rejection is None
    made.mint("ann", 1_000_000, "first")
    return made


def order(world: World, who: str, operation: CredentialOperation) -> CredentialSet:
    """What an issuer signs."""
    return CredentialSet(account=world.account(who), operation=operation, reason_hash=NOTHING)


def opening(who: str, **fields: int) -> AccountOpen:
    """An account as the world opens it, with another level or expiry."""
    return AccountOpen(
        kind=AccountKind.PERSON,
        enc_key=BoxKey(calculate_hash("box", who.encode())),
        subject_tag=calculate_hash("tag", who.encode()),
        level=fields.get("level", 2),
        expires_on=Day(fields.get("expires_on", DAY_START + 5_000)),
    )


def test_credential_set_refuses_in_order(world: World) -> None:
    """Role, then whom, then whether anything would change; members are the validators' matter."""
    for who in ("ann", "harbour", "agent"):
        assert refused(world, who, order(world, "bob", REVOKE)) is Rejection.ROLE_MISSING
    assert refused(world, "issuer", order(world, "nobody", REVOKE)) is Rejection.TARGET_UNKNOWN
    for operation in CredentialOperation:
        for member in ("harbour", "issuer"):
            assert refused(world, "issuer", order(world, member, operation)) is Rejection.CREDENTIAL_STATE
    for operation, code in (
        (UNFREEZE, Rejection.CREDENTIAL_STATE),
        (FREEZE, None),
        (FREEZE, Rejection.CREDENTIAL_STATE),
        (UNFREEZE, None),
        (REVOKE, None),
        (REVOKE, Rejection.CREDENTIAL_STATE),
    ):
        assert refused(world, "issuer", order(world, "bob", operation)) is code
    assert [one.kind for one in world.events if world.account("bob") in one.subjects][1:] == [
        "account_frozen",
        "account_freed",
        "credential_revoked",
    ]


def test_an_expired_credential_has_nothing_to_revoke(world: World) -> None:
    """What ended by itself cannot be ended."""
    world.must("cal", opening("cal", expires_on=world.today + 1), cosigners=("issuer",))
    world.pass_days(1)
    assert refused(world, "issuer", order(world, "cal", REVOKE)) is Rejection.CREDENTIAL_STATE


def test_revoked_takes_no_loan_and_pays_as_before(world: World) -> None:
    """From this block on no application and no acceptance; everything owed can be paid, and a renewal ends it."""
    loan = world.borrow("ann", amount=120_000)
    offers = world.offer("ann", amount=20_000)
    data, consent = world.anchor("ann")
    world.must("issuer", order(world, "ann", REVOKE))
    assert world.ledger.books.state.need(ACCOUNTS, world.account("ann")).expires_on == world.today
    assert world.accept("ann", offers[0]).rejection is Rejection.CREDENTIAL_EXPIRED
    asked, sidecar = world.application("ann", data, consent, amount=20_000), world.sidecar("ann")
    assert refused(world, "ann", asked, sidecars=(sidecar,)) is Rejection.CREDENTIAL_EXPIRED
    money = Transfer(to=world.account("bob"), currency=CNY, amount=Amount(1), memo_commit=NOTHING)
    assert refused(world, "ann", money) is Rejection.CREDENTIAL_EXPIRED
    assert world.pay("ann", loan, 10_000).rejection is None
    assert refused(world, "ann", ConsentRevoke(consent=consent)) is None
    world.must("ann", opening("ann", level=3), cosigners=("issuer",))
    assert world.accept("ann", offers[0]).rejection is None
    restart(world)


def test_the_frozen_pay_order_payment_and_take_consent_and_wishes_back(world: World) -> None:
    """Nothing else: no transfer, no loan; freed again, all is as it was."""
    loan = world.borrow("ann", amount=120_000)
    application = world.apply("ann", amount=20_000)
    (decided,) = world.attest(application, "ann", lenders=("harbour",))
    _, consent = world.anchor("ann")
    world.must("issuer", order(world, "ann", FREEZE))
    money = Transfer(to=world.account("bob"), currency=CNY, amount=Amount(1), memo_commit=NOTHING)
    assert refused(world, "ann", money) is Rejection.ACCOUNT_FROZEN
    assert decided.offer is not None
    assert refused(world, "ann", Accept(offer=decided.offer, terms_hash=NOTHING)) is Rejection.ACCOUNT_FROZEN
    assert world.pay("ann", loan, 10_000).rejection is None
    assert refused(world, "ann", AutopaySet(loan=loan, on=True)) is None
    assert refused(world, "ann", ConsentRevoke(consent=consent)) is None
    assert refused(world, "ann", ApplyWithdraw(application=application)) is None
    world.must("issuer", order(world, "ann", UNFREEZE))
    assert refused(world, "ann", money) is None
    restart(world)


def test_whom_the_validators_froze_no_issuer_frees(world: World) -> None:
    """A vote weighs more than an issuer's order, in both directions; what an issuer froze they may free."""
    account = world.account("ann")
    assert enact(world, Freeze(account=account, frozen=True)) is ProposalState.DONE
    for operation in (FREEZE, UNFREEZE):
        assert refused(world, "issuer", order(world, "ann", operation)) is Rejection.CREDENTIAL_STATE
    assert enact(world, Freeze(account=account, frozen=False)) is ProposalState.DONE
    world.must("issuer", order(world, "ann", FREEZE))
    assert enact(world, Freeze(account=account, frozen=True)) is ProposalState.DONE
    assert refused(world, "issuer", order(world, "ann", UNFREEZE)) is Rejection.CREDENTIAL_STATE
    assert enact(world, Freeze(account=account, frozen=False)) is ProposalState.DONE
    world.must("issuer", order(world, "ann", FREEZE))
    assert enact(world, Freeze(account=account, frozen=False)) is ProposalState.DONE
    assert enact(world, Freeze(account=account, frozen=False)) is ProposalState.LAPSED
    restart(world)


def test_an_issuer_without_its_role_vouches_for_nobody(world: World) -> None:
    """Suspended, it neither opens, nor revokes."""
    assert enact(world, make_member("issuer", 0, attester_key=None)) is ProposalState.DONE
    assert refused(world, "issuer", order(world, "ann", REVOKE)) is Rejection.ROLE_MISSING
    receipt = world.block((world.transaction("cal", opening("cal"), cosigners=("issuer",)), ()))[0]
    assert receipt is None, "a key that nobody vouches for leaves no receipt"
    assert find_violations(world.ledger) == {}


def test_openings_can_be_paused_in_their_place_among_the_reasons(world: World) -> None:
    """After role and expiry, before keys and tags; credentials can be ended and accounts freed all the same."""
    assert enact(world, PauseSet(families=int(Pause.ACCOUNTS))) is ProposalState.DONE
    late = opening("cal", expires_on=world.today)
    assert refused(world, "cal", late, cosigners=("issuer",)) is Rejection.CREDENTIAL_EXPIRED
    assert refused(world, "cal", opening("ann"), cosigners=("issuer",)) is Rejection.PAUSED
    assert refused(world, "ann", opening("bob"), cosigners=("issuer",)) is Rejection.PAUSED
    for operation in (FREEZE, UNFREEZE, REVOKE):
        assert refused(world, "issuer", order(world, "ann", operation)) is None
    assert enact(world, PauseSet(families=0)) is ProposalState.DONE
    assert refused(world, "cal", opening("ann"), cosigners=("issuer",)) is Rejection.TAG_TAKEN
    assert refused(world, "ann", opening("bob"), cosigners=("issuer",)) is Rejection.KEY_TAKEN
    assert refused(world, "cal", opening("cal"), cosigners=("issuer",)) is None
    assert world.ledger.books.state.get(ACCOUNTS, ObjectId(world.account("cal"))) is not None
