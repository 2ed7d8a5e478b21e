"""Keys: changed at once by their owner, after a delay for who lost hers; the account and all that hangs on it stay."""

import pytest

from protocol.crypto import calculate_hash
from protocol.ids import BoxKey, Day
from protocol.ledger.books import EventKind
from protocol.ledger.invariants import find_violations
from protocol.ledger.keys import find_signer
from protocol.ledger.rows import ApplicationState, ProposalState
from protocol.ledger.rules import Pause
from protocol.ledger.state import ACCOUNTS, APPLICATIONS, KEYS, LOANS, OFFERS, QUEUE, RECOVERIES
from protocol.money import Amount, Ppm
from protocol.rejections import Rejection
from protocol.transactions.accounts import (
    AccountKind,
    AccountOpen,
    CredentialOperation,
    CredentialSet,
    KeyRecover,
    KeyRecoverCancel,
    KeyRotate,
)
from protocol.transactions.data import ConsentRevoke
from protocol.transactions.governance import PauseSet, Vote
from protocol.transactions.lending import Accept, ApplyWithdraw
from protocol.transactions.money import Transfer
from protocol.transactions.pools import PoolOpen
from protocol.transactions.products import Partner
from tests.protocol.ledger.votes import enact, make_member, propose, restart, vote
from tests.protocol.ledger.world import CNY, DAY_MS, DAY_START, World, make_signer, refused

NOTHING = calculate_hash("nothing")


@pytest.fixture
def world() -> World:
    """One lender, Ann with money, Bob."""
    made = World()
    made.found_lender("harbour", attestations_min=1)
    for person in ("ann", "bob"):
        assert made.open_account(person).rejection is None
    made.mint("ann", 1_000_000, "first")
    return made


def rotation(who: str) -> KeyRotate:
    """To the key of a name."""
    return KeyRotate(new_key=make_signer(who).public_key, enc_key=BoxKey(calculate_hash("box", who.encode())))


def recovery(world: World, who: str, new: str) -> KeyRecover:
    """An account's recovery with the key of a name."""
    return KeyRecover(
        account=world.account(who),
        new_key=make_signer(new).public_key,
        enc_key=BoxKey(calculate_hash("box", new.encode())),
    )


def transfer(world: World, to: str = "bob") -> Transfer:
    """One cent."""
    return Transfer(to=world.account(to), currency=CNY, amount=Amount(1), memo_commit=NOTHING)


def freeze(world: World, who: str) -> CredentialSet:
    """An issuer's order."""
    return CredentialSet(account=world.account(who), operation=CredentialOperation.FREEZE, reason_hash=NOTHING)


def opening(who: str, tag: str) -> AccountOpen:
    """An account for a name's key under a person's tag."""
    return AccountOpen(
        kind=AccountKind.PERSON,
        enc_key=BoxKey(calculate_hash("box", who.encode())),
        subject_tag=calculate_hash("tag", tag.encode()),
        level=5,
        expires_on=Day(DAY_START + 2_000),
    )


# ---------------------------------------------------------------------- rotation


def test_a_rotated_account_goes_on_under_its_id(world: World) -> None:
    """Loan, application, offer, consent and renewal are the new key's from the next transaction on, not the old's."""
    loan = world.borrow("ann", amount=120_000)
    (offer,) = world.offer("ann", amount=20_000)
    application = world.apply("ann", amount=10_000)
    _, consent = world.anchor("ann")
    account = world.account("ann")
    world.must("ann", rotation("ann/2"), cosigners=("ann/2",))
    row = world.ledger.books.state.need(ACCOUNTS, account)
    assert (row.key, row.enc_key) == (make_signer("ann/2").public_key, BoxKey(calculate_hash("box", b"ann/2")))
    old = world.ledger.books.state.need(KEYS, make_signer("ann").public_key)
    assert (old.account, old.retired_from, old.top) == (None, account, world.nonces["ann"])
    assert find_signer(world.ledger.books, make_signer("ann").public_key) == account
    assert find_signer(world.ledger.books, make_signer("ann/2").public_key) == account
    for payload in (transfer(world), ApplyWithdraw(application=application), ConsentRevoke(consent=consent)):
        assert refused(world, "ann", payload) is Rejection.ACCOUNT_UNKNOWN
    terms_hash = world.ledger.books.state.need(OFFERS, offer).terms_hash
    assert refused(world, "ann/2", Accept(offer=offer, terms_hash=terms_hash)) is None
    assert world.pay("ann/2", loan, 10_000).rejection is None
    assert refused(world, "ann/2", ApplyWithdraw(application=application)) is None
    assert world.ledger.books.state.need(APPLICATIONS, application).state is ApplicationState.WITHDRAWN
    assert refused(world, "ann/2", ConsentRevoke(consent=consent)) is None
    renewal = opening("ann/2", "ann")
    assert refused(world, "ann/2", renewal, cosigners=("issuer",)) is None
    assert world.ledger.books.state.need(ACCOUNTS, account).level == 5
    again = restart(world)
    assert again.books.state.need(ACCOUNTS, account).key == make_signer("ann/2").public_key


def test_a_used_nonce_of_an_old_key_stays_used(world: World) -> None:
    """Its row is kept for that alone: what it signed once is neither executed again nor given a second receipt."""
    signed = world.transaction("ann", transfer(world))
    assert world.block((signed, ()))[0] is not None
    world.must("ann", rotation("ann/2"), cosigners=("ann/2",))
    assert world.block((signed, ()))[0] is None
    assert refused(world, "ann", transfer(world)) is Rejection.ACCOUNT_UNKNOWN
    assert find_violations(world.ledger) == {}


def test_an_old_key_never_opens_or_takes_an_account_again(world: World) -> None:
    """Neither with an issuer's help, nor as another account's new key: it may be in a thief's hands."""
    world.must("ann", rotation("ann/2"), cosigners=("ann/2",))
    before = world.ledger.books.state.need(ACCOUNTS, world.account("ann"))
    for tag in ("ann", "someone new"):
        assert refused(world, "ann", opening("ann", tag), cosigners=("issuer",)) is Rejection.KEY_TAKEN
    assert refused(world, "bob", rotation("ann"), cosigners=("ann",)) is Rejection.KEY_TAKEN
    assert refused(world, "ann/2", rotation("ann"), cosigners=("ann",)) is Rejection.KEY_TAKEN
    assert world.ledger.books.state.need(ACCOUNTS, world.account("ann")) == before


def test_key_rotate_refuses_in_order(world: World) -> None:
    """Frozen, then a key that is known anywhere, then one whose holder has not signed."""
    world.must("issuer", recovery(world, "bob", "bob/2"), cosigners=("bob/2",))
    for known in ("bob", "harbour", "harbour/attester", "harbour/node", "harbour/validator", "bob/2"):
        assert refused(world, "ann", rotation(known)) is Rejection.KEY_TAKEN
    assert refused(world, "ann", rotation("ann/2")) is Rejection.COSIGNER_MISSING
    assert refused(world, "ann", rotation("ann/2"), cosigners=("bob",)) is Rejection.COSIGNER_MISSING
    assert refused(world, "harbour/attester", rotation("ann/2"), cosigners=("ann/2",)) is Rejection.ROLE_MISSING
    world.must("issuer", freeze(world, "ann"))
    assert refused(world, "ann", rotation("bob")) is Rejection.ACCOUNT_FROZEN


def test_rotation_in_a_block_with_others_holds_from_its_place_on(world: World) -> None:
    """What the old key signed before it in the same block counts, what it signed after does not."""
    nonces = iter(range(world.nonces["ann"] + 1, 300))
    first = world.transaction("ann", transfer(world), nonce=next(nonces))
    change = world.transaction("ann", rotation("ann/2"), nonce=next(nonces), cosigners=("ann/2",))
    late = world.transaction("ann", transfer(world), nonce=next(nonces))
    new = world.transaction("ann/2", transfer(world))
    receipts = world.block(*((one, ()) for one in (first, change, late, new)))
    codes = [None if one is None else one.rejection for one in receipts]
    assert codes == [None, None, Rejection.ACCOUNT_UNKNOWN, None]
    assert find_violations(world.ledger) == {}


def test_officers_rotate_too_and_vote_issue_and_share_loans_with_the_new_key(world: World) -> None:
    """A member's account id stays the genesis'; co-signatures count with the key of today alone."""
    for name in ("jade", "issuer"):
        world.must(name, rotation(f"{name}/2"), cosigners=(f"{name}/2",))
    proposal = propose(world, PauseSet(families=0))
    assert refused(world, "jade", Vote(proposal=proposal, approve=True)) is Rejection.ACCOUNT_UNKNOWN
    vote(world, "jade/2", proposal)
    assert world.block((world.transaction("cal", opening("cal", "cal"), cosigners=("issuer",)), ()))[0] is None
    world.nonces["cal"] = -1
    assert refused(world, "cal", opening("cal", "cal"), cosigners=("issuer/2",)) is None
    world.must("jade/2", PoolOpen(currency=CNY, borrower_max=Amount(1_000_000)))
    partner = Partner(pool=world.made("pool", "jade/2"), share_ppm=Ppm(300_000))
    shared = world.product(world.made("pool", "harbour", 0), partners=(partner,))
    assert refused(world, "harbour", shared, cosigners=("jade",)) is Rejection.PARTNER_MISSING
    assert refused(world, "harbour", shared, cosigners=("jade/2",)) is None
    restart(world)


def test_a_guarantor_signs_with_the_key_of_today(world: World) -> None:
    """Bob stands in for Ann; since his application-time key is gone, its signature is none."""
    data, consent = world.anchor("ann")
    sidecar = world.sidecar("ann")
    asked = world.application("ann", data, consent, amount=20_000, sidecar=sidecar, guarantors=(world.account("bob"),))
    world.must("ann", asked, sidecars=(sidecar,))
    (decided,) = world.attest(world.made("application", "ann"), "ann", lenders=("harbour",))
    assert decided.offer is not None
    world.must("bob", rotation("bob/2"), cosigners=("bob/2",))
    payload = Accept(offer=decided.offer, terms_hash=world.ledger.books.state.need(OFFERS, decided.offer).terms_hash)
    assert refused(world, "ann", payload, cosigners=("bob",)) is Rejection.GUARANTOR_MISSING
    assert refused(world, "ann", payload, cosigners=("bob/2",)) is None


# ---------------------------------------------------------------------- recovery


def test_a_recovery_takes_effect_after_its_days(world: World) -> None:
    """Three days of the policy: until then the old key signs, from then on the new one alone."""
    loan = world.borrow("ann", amount=120_000)
    world.must("issuer", recovery(world, "ann", "ann/2"), cosigners=("ann/2",))
    row = world.ledger.books.state.need(RECOVERIES, world.account("ann"))
    assert row.effective_ms == world.now_ms + 3 * DAY_MS
    world.block(ms=3 * DAY_MS - 2_000)
    assert world.pay("ann", loan, 1_000).rejection is None
    assert find_violations(world.ledger) == {}
    assert refused(world, "ann", transfer(world)) is Rejection.ACCOUNT_UNKNOWN
    assert refused(world, "ann/2", transfer(world)) is None
    assert world.pay("ann/2", loan, 1_000).rejection is None
    assert world.ledger.books.state.count(RECOVERIES) == 0
    assert world.ledger.books.state.need(LOANS, loan).closed_ms is None
    kinds = [one.kind for one in world.events if world.account("issuer") in one.subjects]
    assert kinds[-2:] == ["recovery_opened", "key_recovered"]
    restart(world)


def test_key_recover_refuses_in_order(world: World) -> None:
    """Role, known key, unknown account, a member's account, another that waits, a key that has not signed."""
    assert refused(world, "harbour", recovery(world, "ann", "bob")) is Rejection.ROLE_MISSING
    assert refused(world, "issuer", recovery(world, "nobody", "bob")) is Rejection.KEY_TAKEN
    assert refused(world, "issuer", recovery(world, "nobody", "ann/2")) is Rejection.TARGET_UNKNOWN
    assert refused(world, "issuer", recovery(world, "harbour", "ann/2")) is Rejection.CREDENTIAL_STATE
    assert refused(world, "issuer", recovery(world, "ann", "ann/2")) is Rejection.COSIGNER_MISSING
    assert refused(world, "issuer", recovery(world, "ann", "ann/2"), cosigners=("ann/2",)) is None
    assert refused(world, "issuer", recovery(world, "ann", "ann/2")) is Rejection.KEY_TAKEN
    assert refused(world, "issuer", recovery(world, "ann", "ann/3")) is Rejection.RECOVERY_OPEN
    assert refused(world, "issuer", recovery(world, "bob", "ann/2"), cosigners=("ann/2",)) is Rejection.KEY_TAKEN


def test_the_present_key_cancels_and_nothing_else_happens(world: World) -> None:
    """Whoever still has the key was not lost: the wait ends, the issuer may ask again."""
    assert refused(world, "ann", KeyRecoverCancel()) is Rejection.RECOVERY_UNKNOWN
    world.must("issuer", recovery(world, "ann", "ann/2"), cosigners=("ann/2",))
    assert refused(world, "bob", KeyRecoverCancel()) is Rejection.RECOVERY_UNKNOWN
    assert refused(world, "ann", KeyRecoverCancel()) is None
    assert refused(world, "ann", KeyRecoverCancel()) is Rejection.RECOVERY_UNKNOWN
    world.pass_days(4)
    assert refused(world, "ann", transfer(world)) is None
    assert refused(world, "issuer", recovery(world, "ann", "ann/2"), cosigners=("ann/2",)) is None


def test_rotation_ends_a_recovery(world: World) -> None:
    """Otherwise the old request would take the new key away again."""
    world.must("issuer", recovery(world, "ann", "ann/2"), cosigners=("ann/2",))
    world.must("ann", rotation("ann/3"), cosigners=("ann/3",))
    assert world.ledger.books.state.count(RECOVERIES) == world.ledger.books.state.count(QUEUE) == 0
    world.pass_days(4)
    assert refused(world, "ann/3", transfer(world)) is None
    assert [one.kind for one in world.events if one.kind.startswith("recovery")] == [
        "recovery_opened",
        "recovery_cancelled",
    ]


def test_who_is_frozen_is_recovered_and_neither_rotates_nor_objects(world: World) -> None:
    """A stolen key is frozen first: the thief can then no longer keep the owner out. She stays frozen until freed."""
    world.must("issuer", freeze(world, "ann"))
    assert refused(world, "issuer", recovery(world, "ann", "ann/2"), cosigners=("ann/2",)) is None
    assert refused(world, "ann", KeyRecoverCancel()) is Rejection.ACCOUNT_FROZEN
    assert refused(world, "ann", rotation("ann/3"), cosigners=("ann/3",)) is Rejection.ACCOUNT_FROZEN
    world.pass_days(3)
    assert refused(world, "ann/2", transfer(world)) is Rejection.ACCOUNT_FROZEN
    free = CredentialSet(account=world.account("ann"), operation=CredentialOperation.UNFREEZE, reason_hash=NOTHING)
    world.must("issuer", free)
    assert refused(world, "ann/2", transfer(world)) is None


def test_a_recovery_lapses_when_its_key_or_its_issuer_is_gone(world: World) -> None:
    """The key opened an account of its own, or the validators suspended the issuer: nothing changes hands."""
    world.must("issuer", recovery(world, "ann", "ann/2"), cosigners=("ann/2",))
    world.must("issuer", recovery(world, "bob", "bob/2"), cosigners=("bob/2",))
    world.must("ann/2", opening("ann/2", "other"), cosigners=("issuer",))
    assert enact(world, make_member("issuer", 0, attester_key=None)) is ProposalState.DONE
    world.pass_days(2)
    told = {one.data["account"]: one.data["reason"] for one in world.events if one.kind == "recovery_lapsed"}
    assert told == {world.account("ann").hex(): "key_taken", world.account("bob").hex(): "issuer_unknown"}
    for who in ("ann", "bob"):
        assert refused(world, who, transfer(world, "harbour")) in (None, Rejection.FUNDS_SHORT)


def test_without_a_delay_the_next_block_recovers() -> None:
    """A policy of no days: the event is due at once, and happens when the next block begins."""
    world = World(recovery_delay_days=0)
    world.open_account("ann")
    world.must("issuer", recovery(world, "ann", "ann/2"), cosigners=("ann/2",))
    assert world.ledger.has_due_events(world.ledger.time_ms)
    world.block()
    assert world.ledger.books.state.need(ACCOUNTS, world.account("ann")).key == make_signer("ann/2").public_key
    assert find_violations(world.ledger) == {}


def test_the_queue_knows_a_recovery_by_its_account(world: World) -> None:
    """One event, of the account, at the instant told."""
    world.must("issuer", recovery(world, "ann", "ann/2"), cosigners=("ann/2",))
    ((key, kind),) = world.ledger.books.state.items(QUEUE)
    assert key[9:] == world.account("ann")
    assert EventKind(kind) is EventKind.RECOVERY


def test_no_pause_keeps_anybody_from_saving_a_key(world: World) -> None:
    """With everything paused that can be: rotate, recover, cancel."""
    assert enact(world, PauseSet(families=int(~Pause(0)))) is ProposalState.DONE
    assert refused(world, "issuer", recovery(world, "ann", "ann/2"), cosigners=("ann/2",)) is None
    assert refused(world, "ann", KeyRecoverCancel()) is None
    assert refused(world, "ann", rotation("ann/2"), cosigners=("ann/2",)) is None
