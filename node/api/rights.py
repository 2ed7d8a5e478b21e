"""Reads of what borrowers own and have said about it: data, consents, erasures with their receipts.

All of it stands on the ledger, under random ids and without a byte of the data. Never a row changed here.
"""

from typing import Literal

import msgspec
from aiohttp import web

from node.api.answers import DataView, Hex32
from node.api.books import make_page
from node.api.ports import NodePort
from node.api.problems import ProblemError
from node.api.reading import get_id, get_node, parse_hex32, respond, view_day
from node.api.state import find_name, find_row, list_rows
from protocol.ids import ObjectId
from protocol.ledger.data import is_consent_live
from protocol.ledger.erasure import list_missing
from protocol.ledger.erasurerows import Erasure
from protocol.ledger.rows import Consent, Data
from protocol.ledger.state import CONSENTS, DATA, ERASURES

STATES = ("waiting", "due", "overdue", "complete")


class ConsentView(msgspec.Struct, frozen=True, kw_only=True):
    """Who may read which data for what, until when."""

    height: int
    id: Hex32
    owner: Hex32
    data: list[Hex32]
    grantees: list[Hex32]
    grantee_names: list[str | None]
    """Of members, in the same order."""
    purpose: str
    scope: str
    """raw, the rows; or features, the feature vectors of applications alone."""
    text_hash: Hex32
    """Hash of the words that the borrower was shown."""
    granted_ms: int
    until_ms: int
    revoked_ms: int | None
    live: bool
    """Whether it may still be read under, by the time of the last block."""


class ErasedView(msgspec.Struct, frozen=True, kw_only=True):
    """One member's word that its node has erased."""

    member: Hex32
    member_name: str | None
    time_ms: int
    documents: int
    """Sealed documents it held: the statement, and the features of applications on it."""
    sidecars: int
    """Sets of bins with salts it held."""


class ErasureView(msgspec.Struct, frozen=True, kw_only=True):
    """An order to erase data, and what has come of it."""

    height: int
    data: Hex32
    owner: Hex32
    state: Literal["waiting", "due", "overdue", "complete"]
    """Waiting for something open or for the days of claims; due; with receipts missing for too long; done."""
    ordered_ms: int
    due_ms: int | None
    wake_ms: int | None
    """When claims end, or the time for receipts does; null while a loan or an application is open, and in the end."""
    successor: Hex32 | None
    """Corrected data in its place."""
    receipts: list[ErasedView]
    missing: list[Hex32]
    """Members that owe a receipt."""
    missing_names: list[str | None]


def view_data(node: NodePort, data: ObjectId, row: Data) -> DataView:
    """An anchor."""
    anchor = row.anchor
    return DataView(
        height=node.status().exec_height,
        id=data.hex(),
        owner=row.owner.hex(),
        document=anchor.document.hex(),
        rows_root=anchor.rows_root.hex(),
        currency=anchor.currency,
        first_day=view_day(anchor.first_day),
        last_day=view_day(anchor.last_day),
        provenance=anchor.provenance,
        anchored_ms=row.anchored_ms,
    )


def view_consent(node: NodePort, consent: bytes, row: Consent) -> ConsentView:
    """A consent."""
    grant = row.grant
    return ConsentView(
        height=node.status().exec_height,
        id=consent.hex(),
        owner=row.owner.hex(),
        data=[one.hex() for one in grant.data],
        grantees=[one.hex() for one in grant.grantees],
        grantee_names=[find_name(node, one) for one in grant.grantees],
        purpose=grant.purpose.name.lower(),
        scope=grant.scope.name.lower(),
        text_hash=grant.text_hash.hex(),
        granted_ms=row.granted_ms,
        until_ms=grant.until_ms,
        revoked_ms=row.revoked_ms,
        live=is_consent_live(row, node.ledger.time_ms),
    )


def find_state(row: Erasure) -> Literal["waiting", "due", "overdue", "complete"]:
    """Where an order stands."""
    if row.due_ms is None:
        return "waiting"
    if not list_missing(row):
        return "complete"
    return "overdue" if row.overdue else "due"


def view_erasure(node: NodePort, data: bytes, row: Erasure) -> ErasureView:
    """An order."""
    missing = list_missing(row)
    return ErasureView(
        height=node.status().exec_height,
        data=data.hex(),
        owner=row.owner.hex(),
        state=find_state(row),
        ordered_ms=row.ordered_ms,
        due_ms=row.due_ms,
        wake_ms=row.wake_ms,
        successor=None if row.successor is None else row.successor.hex(),
        receipts=[
            ErasedView(
                member=one.account.hex(),
                member_name=find_name(node, one.account),
                time_ms=one.time_ms,
                documents=one.documents,
                sidecars=one.sidecars,
            )
            for one in row.receipts
        ],
        missing=[one.hex() for one in missing],
        missing_names=[find_name(node, one) for one in missing],
    )


def _get_owner(request: web.Request) -> bytes | None:
    given = request.query.get("owner")
    return None if given is None else parse_hex32(given)


async def get_data(request: web.Request) -> web.Response:
    """GET /v1/data/{id}: what the ledger knows of a statement, which is nothing of its content."""
    node, data = get_node(request), ObjectId(get_id(request))
    row = find_row(node, DATA, data)
    if row is None:
        raise ProblemError("not_found", "No data has this id at this height.")
    view = view_data(node, data, row)
    return respond(view, height=view.height)


async def list_data(request: web.Request) -> web.Response:
    """GET /v1/data[?owner=]."""
    node, owner = get_node(request), _get_owner(request)
    rows = ((key, row) for key, row in list_rows(node, DATA) if owner in (None, row.owner))
    return make_page(request, node, rows, lambda key, row: view_data(node, ObjectId(key), row))


async def list_consents(request: web.Request) -> web.Response:
    """GET /v1/consents[?owner=]."""
    node, owner = get_node(request), _get_owner(request)
    rows = ((key, row) for key, row in list_rows(node, CONSENTS) if owner in (None, row.owner))
    return make_page(request, node, rows, lambda key, row: view_consent(node, key, row))


async def list_erasures(request: web.Request) -> web.Response:
    """GET /v1/erasures[?owner=][&state=]."""
    node, owner, state = get_node(request), _get_owner(request), request.query.get("state")
    rows = (
        (key, row)
        for key, row in list_rows(node, ERASURES)
        if owner in (None, row.owner) and state in (None, find_state(row))
    )
    return make_page(request, node, rows, lambda key, row: view_erasure(node, key, row))


async def get_erasure(request: web.Request) -> web.Response:
    """GET /v1/erasures/{id}: the order to erase this data."""
    node, data = get_node(request), get_id(request)
    row = find_row(node, ERASURES, data)
    if row is None:
        raise ProblemError("not_found", "Nobody ordered the erasure of this data.")
    view = view_erasure(node, data, row)
    return respond(view, height=view.height)
