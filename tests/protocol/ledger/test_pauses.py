"""Which transactions the validators can pause, type by type, and that a pause never holds anybody captive."""

from typing import get_args

import pytest

from protocol.crypto import calculate_hash
from protocol.ids import ObjectId
from protocol.ledger.execute import RULES
from protocol.ledger.rows import ProposalState
from protocol.ledger.rules import Pause
from protocol.rejections import Rejection
from protocol.transactions.accounts import AccountOpen, CredentialSet, KeyRecover, KeyRecoverCancel, KeyRotate
from protocol.transactions.assets import AssetRegister, AssetRetire, AssetSeize, AssetSell, AssetTransfer, LeaseEnd
from protocol.transactions.data import ConsentGrant, ConsentRevoke, DataAnchor, DataErase, ErasureReceipt
from protocol.transactions.envelope import Payload
from protocol.transactions.governance import Evidence, PauseSet, Propose, Vote
from protocol.transactions.lending import (
    Accept,
    Apply,
    ApplyWithdraw,
    Attest,
    Draw,
    LineClose,
    OfferCancel,
    OfferDecline,
    OfferPost,
)
from protocol.transactions.money import Mint, RedeemRequest, RedeemSettle, Transfer
from protocol.transactions.pools import (
    CoverDeposit,
    CoverWithdraw,
    PoolDeposit,
    PoolExit,
    PoolExitCancel,
    PoolOpen,
    PoolSet,
)
from protocol.transactions.products import LoanProduct
from protocol.transactions.servicing import (
    AmendAnswer,
    AmendPropose,
    Assign,
    AutopaySet,
    DisputeAnswer,
    DisputeOpen,
    DisputeResolve,
    LoanAdjust,
    LoanDistress,
    LoanSettle,
    Pay,
    SalesReport,
)
from tests.protocol.ledger.votes import enact, propose, vote
from tests.protocol.ledger.world import World, refused

NEVER = Pause(0)
EVERYTHING = PauseSet(families=int(~Pause(0)))

PAUSES: dict[type, Pause] = {
    # openings alone: keys are saved and credentials ended in any case
    AccountOpen: Pause.ACCOUNTS,
    CredentialSet: NEVER,
    KeyRotate: NEVER,
    KeyRecover: NEVER,
    KeyRecoverCancel: NEVER,
    # what ends a pause
    Propose: NEVER,
    Vote: NEVER,
    Evidence: NEVER,
    # money: what waits in escrow is answered in any case
    Mint: Pause.MONEY,
    Transfer: Pause.MONEY,
    RedeemRequest: Pause.MONEY,
    RedeemSettle: NEVER,
    # pools: whoever waits may think better of it; cover may always come in
    PoolOpen: Pause.POOLS,
    PoolSet: Pause.POOLS,
    PoolDeposit: Pause.POOLS,
    PoolExit: Pause.POOLS,
    PoolExitCancel: NEVER,
    CoverDeposit: NEVER,
    CoverWithdraw: Pause.POOLS,
    LoanProduct: Pause.PRODUCTS,
    # new debt, and what is only for new debt
    DataAnchor: Pause.LENDING,
    ConsentGrant: Pause.LENDING,
    Apply: Pause.LENDING,
    Attest: Pause.LENDING,
    OfferPost: Pause.LENDING,
    Accept: Pause.LENDING,
    Draw: Pause.LENDING,
    AssetRegister: Pause.LENDING,
    AssetTransfer: Pause.LENDING,
    # ways back from it
    ConsentRevoke: NEVER,
    DataErase: NEVER,
    ErasureReceipt: NEVER,
    ApplyWithdraw: NEVER,
    OfferCancel: NEVER,
    OfferDecline: NEVER,
    LineClose: NEVER,
    AssetRetire: NEVER,
    LeaseEnd: NEVER,
    # paying, and what both sides of a loan agree on or contest
    Pay: NEVER,
    AutopaySet: NEVER,
    LoanSettle: NEVER,
    SalesReport: NEVER,
    AmendPropose: NEVER,
    AmendAnswer: NEVER,
    DisputeOpen: NEVER,
    DisputeAnswer: NEVER,
    DisputeResolve: NEVER,
    # what lenders do to loans by themselves
    LoanAdjust: Pause.SERVICING,
    LoanDistress: Pause.SERVICING,
    Assign: Pause.SERVICING,
    AssetSeize: Pause.SERVICING,
    AssetSell: Pause.SERVICING,
}


def test_every_payload_is_classified_on_purpose() -> None:
    """A new type is paused with a family, or never, by decision and not by default."""
    assert set(PAUSES) == set(get_args(Payload))


@pytest.mark.parametrize("kind", [one for one in get_args(Payload) if one in RULES], ids=lambda kind: kind.__name__)
def test_rules_pause_as_classified(kind: type) -> None:
    """The rule of each type says what the table says."""
    assert RULES[kind].pause == PAUSES[kind]


def test_each_family_pauses_something_and_no_type_belongs_to_two() -> None:
    """A bit without a type could be voted for in vain."""
    used = {pause for pause in PAUSES.values() if pause}
    assert used == set(Pause)


def test_with_everything_paused_debts_are_paid_and_the_pause_is_ended() -> None:
    """Nobody is captive: paying, withdrawing, revoking and voting go on, borrowing does not."""
    world = World()
    world.found_lender("harbour", attestations_min=1)
    world.open_account("ann")
    world.mint("ann", 100_000, "first")
    loan = world.borrow("ann", amount=20_000)
    application = world.apply("ann", amount=10_000)
    _, consent = world.anchor("ann")
    asked = world.application("ann", *world.anchor("ann"), amount=10_000)
    assert enact(world, EVERYTHING) is ProposalState.DONE
    assert refused(world, "ann", asked, sidecars=(world.sidecar("ann"),)) is Rejection.PAUSED
    # The order among the reasons of standing: frozen, role, credential, then the pause, then the family's own.
    nothing = ObjectId(calculate_hash("nothing"))
    assert refused(world, "ann", world.product(nothing)) is Rejection.ROLE_MISSING
    assert refused(world, "harbour", world.product(nothing)) is Rejection.PAUSED
    assert world.pay("ann", loan, 5_000).rejection is None
    assert refused(world, "ann", AutopaySet(loan=loan, on=True)) is None
    assert refused(world, "ann", ApplyWithdraw(application=application)) is None
    assert refused(world, "ann", ConsentRevoke(consent=consent)) is None
    vote(world, "jade", propose(world, PauseSet(families=0)))
    world.pass_days(1)
    assert refused(world, "harbour", world.product(nothing)) is Rejection.POOL_UNKNOWN
