"""Reads of credit lines, of registered things, and of shares that wait to leave a pool.

Lines and things can be read as loans can: by whoever knows an id, without names of persons. Never a row changed here.
"""

import msgspec
from aiohttp import web

from node.api.answers import Hex32, IsoDay, Minor
from node.api.books import make_page
from node.api.offers import view_quote
from node.api.ports import NodePort
from node.api.problems import ProblemError
from node.api.reading import get_id, get_node, get_number, parse_hex32, respond, view_day
from node.api.state import find_exponent, find_name, find_row, list_rows
from protocol.ids import ObjectId
from protocol.ledger.contracts import LineTold
from protocol.ledger.lines import quote_draw
from protocol.ledger.rows import Asset, Exit, Line
from protocol.ledger.state import ASSETS, EXITS, LINES, OFFERS
from protocol.limits import INSTALMENTS_MAX
from protocol.money import AMOUNT_MAX
from protocol.rejections import SENTENCES, Rejection


class LineView(msgspec.Struct, frozen=True, kw_only=True):
    """A revolving line."""

    height: int
    id: Hex32
    offer: Hex32
    """With the terms that its draws have."""
    borrower: Hex32
    lender: Hex32
    lender_name: str | None
    pool: Hex32
    product: Hex32
    currency: str
    exponent: int
    limit: Minor
    undrawn: Minor
    draw_min: Minor
    rate_ppm: int
    draws: list[Hex32]
    """Open loans drawn on it, oldest first."""
    opened_on: IsoDay
    closes_on: IsoDay
    """First day on which nothing can be drawn any more."""
    autopay: bool
    """Draws begin with automatic payment."""
    closed: bool


class HeldView(msgspec.Struct, frozen=True, kw_only=True):
    """A pool that took a thing in, and at which value."""

    pool: Hex32
    value: Minor


class AssetView(msgspec.Struct, frozen=True, kw_only=True):
    """A registered thing. Its serial number is a keyed hash, its description a commitment."""

    height: int
    id: Hex32
    asset_class: str
    serial_hash: Hex32
    meta_commit: Hex32
    owner: Hex32
    """Who holds title: of a leased thing the lessor."""
    owner_name: str | None
    currency: str
    exponent: int
    value: Minor
    """As stated when it was registered."""
    lien: Hex32 | None
    """The loan it secures, or by which it is leased."""
    held: list[HeldView]
    """After a return or a seizure, until it is sold."""
    retired: bool


class ExitView(msgspec.Struct, frozen=True, kw_only=True):
    """Shares that wait for a pool's free cash, or waited for it."""

    id: Hex32
    pool: Hex32
    account: Hex32
    shares: int
    """Still to be paid; 0 once done or cancelled."""
    paid: Minor
    requested_ms: int
    due_ms: int | None
    """When it is served next; None once done or cancelled."""


def view_line(node: NodePort, line_id: ObjectId, row: Line) -> LineView:
    """A line with the terms it was agreed on."""
    offer = find_row(node, OFFERS, row.offer)
    assert offer is not None, "every line comes of an offer"
    told = offer.disclosure
    return LineView(
        height=node.status().exec_height,
        id=line_id.hex(),
        offer=row.offer.hex(),
        borrower=told.borrower.hex(),
        lender=told.lender.hex(),
        lender_name=find_name(node, told.lender),
        pool=told.pool.hex(),
        product=told.product.hex(),
        currency=told.currency,
        exponent=find_exponent(node, told.currency),
        limit=row.limit,
        undrawn=row.undrawn,
        draw_min=told.told.kind.draw_min if isinstance(told.told, LineTold) else 0,
        rate_ppm=told.schedule.rate_ppm,
        draws=[one.hex() for one in row.draws],
        opened_on=view_day(row.opened_on),
        closes_on=view_day(row.closes_on),
        autopay=row.autopay,
        closed=row.closed or row.closes_ms <= node.ledger.books.now_ms,
    )


def view_asset(node: NodePort, asset_id: ObjectId, row: Asset) -> AssetView:
    """A thing."""
    return AssetView(
        height=node.status().exec_height,
        id=asset_id.hex(),
        asset_class=row.asset_class,
        serial_hash=row.serial_hash.hex(),
        meta_commit=row.meta_commit.hex(),
        owner=row.owner.hex(),
        owner_name=find_name(node, row.owner),
        currency=row.currency,
        exponent=find_exponent(node, row.currency),
        value=row.value,
        lien=None if row.lien is None else row.lien.hex(),
        held=[HeldView(pool=pool.hex(), value=value) for pool, value in row.held],
        retired=row.retired,
    )


def view_exit(exit_id: ObjectId, row: Exit) -> ExitView:
    """Shares that wait."""
    return ExitView(
        id=exit_id.hex(),
        pool=row.pool.hex(),
        account=row.account.hex(),
        shares=row.shares,
        paid=row.paid,
        requested_ms=row.requested_ms,
        due_ms=row.due_ms,
    )


async def list_lines(request: web.Request) -> web.Response:
    """GET /v1/lines[?borrower=]."""
    node, given = get_node(request), request.query.get("borrower")
    borrower = None if given is None else parse_hex32(given)
    rows = ((key, row) for key, row in list_rows(node, LINES) if borrower in (None, _get_borrower(node, row)))
    return make_page(request, node, rows, lambda key, row: view_line(node, ObjectId(key), row))


def _get_borrower(node: NodePort, row: Line) -> bytes:
    offer = find_row(node, OFFERS, row.offer)
    assert offer is not None, "every line comes of an offer"
    return offer.disclosure.borrower


async def get_line(request: web.Request) -> web.Response:
    """GET /v1/lines/{id}."""
    node, line_id = get_node(request), ObjectId(get_id(request))
    row = find_row(node, LINES, line_id)
    if row is None:
        raise ProblemError("not_found", "No line has this id at this height.")
    view = view_line(node, line_id, row)
    return respond(view, height=view.height)


async def get_draw_quote(request: web.Request) -> web.Response:
    """GET /v1/lines/{id}/quote?amount=&instalments=: the terms that drawing so much today would sign."""
    node, line_id = get_node(request), ObjectId(get_id(request))
    if find_row(node, LINES, line_id) is None:
        raise ProblemError("not_found", "No line has this id at this height.")
    if not {"amount", "instalments"} <= request.query.keys():
        raise ProblemError("malformed_request", "A quote needs amount and instalments.")
    amount = get_number(request, "amount", default=1, lowest=1, highest=AMOUNT_MAX)
    instalments = get_number(request, "instalments", default=1, lowest=1, highest=INSTALMENTS_MAX)
    found = quote_draw(node.ledger.books, line_id, amount, instalments)
    if isinstance(found, Rejection):
        raise ProblemError("no_terms", f"{SENTENCES[found]} [{found.code}]")
    view = view_quote(node, found)
    return respond(view, height=view.height)


async def list_assets(request: web.Request) -> web.Response:
    """GET /v1/assets[?owner=]."""
    node, given = get_node(request), request.query.get("owner")
    owner = None if given is None else parse_hex32(given)
    rows = ((key, row) for key, row in list_rows(node, ASSETS) if owner in (None, row.owner))
    return make_page(request, node, rows, lambda key, row: view_asset(node, ObjectId(key), row))


async def get_asset(request: web.Request) -> web.Response:
    """GET /v1/assets/{id}."""
    node, asset_id = get_node(request), ObjectId(get_id(request))
    row = find_row(node, ASSETS, asset_id)
    if row is None:
        raise ProblemError("not_found", "No thing has this id at this height.")
    view = view_asset(node, asset_id, row)
    return respond(view, height=view.height)


async def list_account_exits(request: web.Request) -> web.Response:
    """GET /v1/accounts/{id}/exits: an account's shares that wait to leave pools, and those that left."""
    node, account = get_node(request), get_id(request)
    rows = ((key, row) for key, row in list_rows(node, EXITS) if row.account == account)
    return make_page(request, node, rows, lambda key, row: view_exit(ObjectId(key), row))
