"""Reads of what the validators' votes set: policy, pauses, members with their roles, models, seats and the proposals.

What a network was founded with stands in its genesis; what is in force today stands here.
"""

from typing import Any

import msgspec
from aiohttp import web

from node.api.answers import Hex32, IsoDay
from node.api.books import make_page
from node.api.ports import NodePort
from node.api.problems import ProblemError
from node.api.reading import get_id, get_node, respond, to_plain, view_day
from node.api.state import find_name, find_row, list_roles, list_rows
from protocol.genesis import Policy
from protocol.ids import AccountId, ModelId, ObjectId
from protocol.ledger.actions import name_action
from protocol.ledger.rows import Member, Proposal
from protocol.ledger.rules import Pause
from protocol.ledger.seatrows import Conviction, Seats
from protocol.ledger.state import ACCOUNTS, CONVICTIONS, MEMBERS, MODELS, PROPOSALS
from protocol.ledger.verdicts import is_convicted
from protocol.ledger.voters import count_votes


class MemberView(msgspec.Struct, frozen=True, kw_only=True):
    """An organisation as it stands."""

    account: Hex32
    name: str
    roles: list[str]
    """In force; none for one that is suspended."""
    frozen: bool
    officer_key: Hex32
    enc_key: Hex32
    attester_key: Hex32 | None
    node_key: Hex32 | None
    """Identity of its node on the network."""
    admitted_ms: int
    convicted: bool
    """Of a false attestation: nothing it attests counts until a vote gives it another attester key."""


class ModelView(msgspec.Struct, frozen=True, kw_only=True):
    """A scoring model."""

    id: Hex32
    name: str
    currency: str
    retired: bool
    """Scores no new application."""
    registered_ms: int
    text: str
    """Canonical JSON."""
    card: Hex32 | None
    """SHA-256 of its card, and of the validation report, as voted last; none of a model of the genesis."""
    report: Hex32 | None


class SeatView(msgspec.Struct, frozen=True, kw_only=True):
    """One organisation's place among the validators; its place in the list is the index that votes name."""

    account: Hex32
    name: str
    validator_key: Hex32
    convicted: bool
    """Evidence has convicted the key: its views are skipped and the organisation has no vote."""


class EpochView(msgspec.Struct, frozen=True, kw_only=True):
    """Who validates, and who will."""

    epoch: int
    """From 0, the genesis' own validators."""
    since_height: int
    seats: list[SeatView]
    next: list[SeatView] | None
    """Of the next epoch, once planned."""
    planned_at: int | None
    """Height whose execution planned it; the epoch ends at least 32 blocks later."""
    queued: list[SeatView] | None
    """Of the epoch after that one."""


class ConvictionView(msgspec.Struct, frozen=True, kw_only=True):
    """A validator key that signed two things that exclude each other."""

    validator_key: Hex32
    account: Hex32
    name: str
    epoch: int
    view: int
    height: int
    reporter: Hex32
    reporter_name: str


class NetworkView(msgspec.Struct, frozen=True, kw_only=True):
    """What is in force."""

    height: int
    policy_version: int
    """From 1, the genesis' own."""
    policy: Policy
    paused: list[str]
    """Families of transactions that are refused for now."""
    members: list[MemberView]
    models: list[ModelView]
    validators: EpochView
    convictions: list[ConvictionView]


class ProposalView(msgspec.Struct, frozen=True, kw_only=True):
    """An action before the validators."""

    id: Hex32
    proposer: Hex32
    proposer_name: str | None
    action: str
    terms: dict[str, Any]
    """The action's own fields."""
    effective_on: IsoDay
    state: str
    approved: list[Hex32]
    rejected: list[Hex32]
    votes_needed: int


async def get_network(request: web.Request) -> web.Response:
    """GET /v1/network."""
    node = get_node(request)
    books = node.ledger.books
    view = NetworkView(
        height=node.status().exec_height,
        policy_version=books.policy_version,
        policy=books.policy,
        paused=[str(one.name).lower() for one in Pause if books.paused & one],
        members=[_view_member(node, key, row) for key, row in list_rows(node, MEMBERS)],
        models=[
            ModelView(
                id=key.hex(),
                name=books.models[ModelId(key)].name,
                currency=books.models[ModelId(key)].currency,
                retired=row.retired,
                registered_ms=row.registered_ms,
                text=row.text,
                card=None if row.card is None else row.card.hex(),
                report=None if row.report is None else row.report.hex(),
            )
            for key, row in list_rows(node, MODELS)
        ],
        validators=_view_epoch(node),
        convictions=[_view_conviction(node, key, row) for key, row in list_rows(node, CONVICTIONS)],
    )
    return respond(view, height=view.height)


def _view_member(node: NodePort, account: bytes, row: Member) -> MemberView:
    standing = find_row(node, ACCOUNTS, account)
    assert standing is not None, "every member has its account"
    return MemberView(
        account=account.hex(),
        name=row.name,
        roles=list_roles(standing),
        frozen=standing.frozen,
        officer_key=standing.key.hex(),
        enc_key=standing.enc_key.hex(),
        attester_key=None if row.attester_key is None else row.attester_key.hex(),
        node_key=None if row.node_key is None else row.node_key.hex(),
        admitted_ms=row.admitted_ms,
        convicted=is_convicted(node.ledger.books, AccountId(account)),
    )


def _view_epoch(node: NodePort) -> EpochView:
    row = node.ledger.epoch_row
    seats = _view_seats(node, row.seats)
    assert seats is not None, "an epoch has validators"
    return EpochView(
        epoch=row.epoch,
        since_height=row.since,
        seats=seats,
        next=_view_seats(node, row.next),
        planned_at=row.next_at or None,
        queued=_view_seats(node, row.queued),
    )


def _view_seats(node: NodePort, seats: Seats | None) -> list[SeatView] | None:
    if seats is None:
        return None
    return [
        SeatView(
            account=one.account.hex(),
            name=find_name(node, one.account) or one.account.hex(),
            validator_key=one.validator_key.hex(),
            convicted=find_row(node, CONVICTIONS, one.validator_key) is not None,
        )
        for one in seats
    ]


def _view_conviction(node: NodePort, key: bytes, row: Conviction) -> ConvictionView:
    return ConvictionView(
        validator_key=key.hex(),
        account=row.account.hex(),
        name=find_name(node, row.account) or row.account.hex(),
        epoch=row.epoch,
        view=row.view,
        height=row.height,
        reporter=row.reporter.hex(),
        reporter_name=find_name(node, row.reporter) or row.reporter.hex(),
    )


async def list_proposals(request: web.Request) -> web.Response:
    """GET /v1/proposals[?state=]."""
    node, state = get_node(request), request.query.get("state")
    rows = ((key, row) for key, row in list_rows(node, PROPOSALS) if state in (None, row.state.name.lower()))
    return make_page(request, node, rows, lambda key, row: _view_proposal(node, ObjectId(key), row))


async def get_proposal(request: web.Request) -> web.Response:
    """GET /v1/proposals/{id}."""
    node, proposal = get_node(request), ObjectId(get_id(request))
    row = find_row(node, PROPOSALS, proposal)
    if row is None:
        raise ProblemError("not_found", "No proposal has this id at this height.")
    return respond(_view_proposal(node, proposal, row), height=node.status().exec_height)


def _view_proposal(node: NodePort, proposal: ObjectId, row: Proposal) -> ProposalView:
    return ProposalView(
        id=proposal.hex(),
        proposer=row.proposer.hex(),
        proposer_name=find_name(node, row.proposer),
        action=name_action(row.action),
        terms=to_plain(row.action),
        effective_on=view_day(row.effective_on),
        state=row.state.name.lower(),
        approved=[one.hex() for one in row.approved],
        rejected=[one.hex() for one in row.rejected],
        votes_needed=row.needed or count_votes(node.ledger.books)[1],
    )
