"""Evidence: two signatures of one validator that exclude each other take its vote at once, and its seat when they can.

    is_contradiction     what no honest validator signs beside each other in one view
    Evidence             its key is convicted for good: skipped in this epoch, left out of the next one not yet fixed

The key is convicted, not the organisation: another key, seated by vote, brings seat and vote back. Two signatures are
verified at most, and only when everything else is in order. Never an opinion of consensus here.
"""

from typing import Final

from protocol.certificate import VoteKind, calculate_vote_bytes
from protocol.crypto import check_signature
from protocol.ids import BlockDigest, Epoch, Height, PublicKey, Signature, View
from protocol.ledger.books import Books, Call
from protocol.ledger.governance import recount_votes
from protocol.ledger.records import Fact
from protocol.ledger.rows import Role
from protocol.ledger.rules import Rule, Rules
from protocol.ledger.seatrows import Conviction, EpochRow, Seat, Seats, list_keys
from protocol.ledger.seats import convict_key, follow_seats, plan_seats, read_epoch, read_plan
from protocol.ledger.state import CONVICTIONS
from protocol.rejections import Rejection
from protocol.transactions.governance import Evidence, SignedFact

SEATS_KEPT_MIN: Final = 4
"""Validators that evidence alone leaves at least: with fewer, not one could fail any more."""
ONCE: Final = (VoteKind.PROPOSE, VoteKind.NOTARIZE, VoteKind.FINALIZE)
"""What an honest validator signs for one block of a view at most."""
EITHER: Final = (VoteKind.NULLIFY, VoteKind.FINALIZE)
"""Of which it signs only one in a view."""


def is_contradiction(first: SignedFact, second: SignedFact) -> bool:
    """Whether no honest validator signs both: one view, and two blocks of one kind, or given up beside finalised."""
    if first.view != second.view:
        return False
    if any(one.kind is VoteKind.NULLIFY and any(one.digest) for one in (first, second)):
        return False
    if first.kind is second.kind:
        return first.kind in ONCE and first.digest != second.digest
    return tuple(sorted((first.kind, second.kind))) == EITHER


def check_evidence(books: Books, call: Call, payload: Evidence) -> Rejection | None:
    """Why it convicts nobody; signatures are verified last."""
    seats = _find_seats(read_epoch(books), payload.epoch)
    if seats is None:
        return Rejection.EVIDENCE_EPOCH
    if payload.index >= len(seats):
        return Rejection.EVIDENCE_INDEX
    if not is_contradiction(payload.first, payload.second):
        return Rejection.EVIDENCE_CONSISTENT
    key = PublicKey(seats[payload.index].validator_key)
    if books.state.get(CONVICTIONS, key) is not None:
        return Rejection.CONVICTED_ALREADY
    signed = all(_is_signed(books, key, payload.epoch, one) for one in (payload.first, payload.second))
    return None if signed else Rejection.EVIDENCE_UNSIGNED


def _find_seats(row: EpochRow, epoch: int) -> Seats | None:
    """The validators of this epoch or of the last; None of any other."""
    if epoch == row.epoch:
        return row.seats
    return row.previous if row.previous and epoch == row.epoch - 1 else None


def _is_signed(books: Books, key: PublicKey, epoch: int, fact: SignedFact) -> bool:
    digest = BlockDigest(fact.digest)
    message = calculate_vote_bytes(fact.kind, books.chain_id, Epoch(epoch), View(fact.view), digest)
    return check_signature(key, message, Signature(fact.signature))


def apply_evidence(books: Books, call: Call, payload: Evidence) -> tuple[Fact, ...]:
    """Convict the key: no vote from now on, and no seat once four are left without it."""
    row = read_epoch(books)
    seats = _find_seats(row, payload.epoch)
    assert seats is not None, "checked before"
    seat = seats[payload.index]
    conviction = Conviction(
        account=seat.account,
        reporter=call.account,
        epoch=Epoch(payload.epoch),
        view=View(payload.first.view),
        height=Height(books.height),
    )
    convict_key(books, PublicKey(seat.validator_key), conviction)
    left = tuple(one for one in read_plan(row) if one.validator_key != seat.validator_key)
    removed = len(left) < len(read_plan(row)) and len(left) >= SEATS_KEPT_MIN
    _emit(books, payload, seat, conviction, removed=removed)
    if removed:
        plan_seats(books, left)
    if seat.validator_key in list_keys(row.seats):
        follow_seats(books)
        recount_votes(books)
    return ()


def _emit(books: Books, payload: Evidence, seat: Seat, conviction: Conviction, *, removed: bool) -> None:
    books.emit(
        "validator_equivocated",
        (seat.account, conviction.reporter),
        {
            "account": seat.account.hex(),
            "validator_key": seat.validator_key.hex(),
            "epoch": conviction.epoch,
            "view": conviction.view,
            "signed": [one.kind.name.lower() for one in (payload.first, payload.second)],
            "reporter": conviction.reporter.hex(),
            "removed": removed,
        },
    )


ANY_MEMBER: Final = Role((1 << len(Role)) - 1)
RULES: Rules = {Evidence: Rule(check_evidence, apply_evidence, roles=ANY_MEMBER, attester_may=True)}
