"""A credential that has run out can be renewed by the same person on the same key, and by nobody else."""

import msgspec
import pytest

from protocol.crypto import calculate_hash
from protocol.ids import BoxKey, Day
from protocol.ledger.invariants import find_violations
from protocol.ledger.state import ACCOUNTS, EXPOSURES
from protocol.money import Amount
from protocol.rejections import Rejection
from protocol.transactions.accounts import AccountKind, AccountOpen
from protocol.transactions.money import Transfer
from tests.protocol.ledger.world import CNY, DAY_MS, World, change, refused


@pytest.fixture
def world() -> World:
    """Ann's credential ran out while she owes a loan; Bob has an account."""
    made = World()
    made.found_lender("harbour")
    for person in ("ann", "bob"):
        made.open_account(person)
    made.borrow("ann")
    made.block(ms=DAY_MS)
    change(made, ACCOUNTS, made.account("ann"), expires_on=made.today)
    return made


def make_payload(world: World) -> AccountOpen:
    """What Ann opened her account with, for another hundred days."""
    row = world.ledger.books.state.need(ACCOUNTS, world.account("ann"))
    return AccountOpen(
        kind=row.kind,
        enc_key=BoxKey(row.enc_key),
        subject_tag=row.subject_tag,
        level=3,
        expires_on=Day(world.today + 100),
    )


def test_renewing_changes_level_and_expiry_alone(world: World) -> None:
    """Money moves again; debts, keys and what an authority froze stay as they were."""
    state, ann = world.ledger.books.state, world.account("ann")
    transfer = Transfer(to=world.account("bob"), currency=CNY, amount=Amount(1), memo_commit=calculate_hash("memo"))
    assert refused(world, "ann", transfer) is Rejection.CREDENTIAL_EXPIRED
    change(world, ACCOUNTS, ann, frozen=True)
    before = state.need(ACCOUNTS, ann)
    exposure = state.need(EXPOSURES, before.subject_tag)
    payload = make_payload(world)
    assert refused(world, "ann", payload, cosigners=("issuer",)) is None
    assert state.need(ACCOUNTS, ann) == msgspec.structs.replace(before, level=3, expires_on=payload.expires_on)
    assert state.need(EXPOSURES, before.subject_tag) == exposure
    assert exposure.loans
    change(world, ACCOUNTS, ann, frozen=False)
    assert refused(world, "ann", transfer) is None
    assert find_violations(world.ledger) == {}


def test_what_is_no_renewal_is_refused(world: World) -> None:
    """Another tag, kind or sealing key, another key, no issuer, or a day that is over."""
    payload = make_payload(world)
    for who, fields, cosigners, code in (
        ("ann", {"subject_tag": calculate_hash("other")}, ("issuer",), Rejection.KEY_TAKEN),
        ("ann", {"kind": AccountKind.BUSINESS}, ("issuer",), Rejection.KEY_TAKEN),
        ("ann", {"enc_key": BoxKey(calculate_hash("other"))}, ("issuer",), Rejection.KEY_TAKEN),
        ("bob", {}, ("issuer",), Rejection.KEY_TAKEN),
        ("cai", {}, ("issuer",), Rejection.TAG_TAKEN),
        ("ann", {}, ("harbour",), Rejection.ISSUER_UNKNOWN),
        ("ann", {}, (), Rejection.ISSUER_UNKNOWN),
        ("ann", {"expires_on": world.today}, ("issuer",), Rejection.CREDENTIAL_EXPIRED),
    ):
        assert refused(world, who, msgspec.structs.replace(payload, **fields), cosigners=cosigners) is code
