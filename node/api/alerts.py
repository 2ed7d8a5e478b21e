"""Early warnings over HTTP: for officers of the member whose node raised them, and for observers what the ledger shows.

Every request is signed. Alerts are numbered as this node raised them; another lender's node has others. Never a rule
here, and never an alert for a key that may not see it.
"""

from collections.abc import AsyncIterator
from contextlib import suppress
from http import HTTPStatus
from typing import Final, NamedTuple

import msgspec
from aiohttp import web

from node.api.access import has_ended
from node.api.answers import Hex32, IsoDay
from node.api.events import KEEP_ALIVE_S, STREAMS_KEPT, counted, write_or_part
from node.api.ports import NodePort
from node.api.problems import ProblemError
from node.api.reading import NOW_MS, get_limit, get_node, get_number, parse_hex32, require_caller, respond
from node.api.state import find_account, find_row
from node.monitor.desk import AlertDesk
from node.monitor.records import StoredAlert, view_record
from node.tokens import Scope
from protocol.ids import PublicKey
from protocol.ledger.rows import Role
from protocol.ledger.state import ACCOUNTS, MEMBERS
from protocol.limits import PAGE_ITEMS_MAX
from scoring.warning_table import Severity

SERIAL_MAX: Final = 2**53 - 1


class AlertView(msgspec.Struct, frozen=True, kw_only=True):
    """One early warning; webhooks post the same, with an id."""

    serial: int
    """Its place among the alerts of this node: the position to go on from."""
    kind: str
    """loan or portfolio."""
    loan: Hex32 | None
    borrower: Hex32 | None
    lender: Hex32
    rule: str
    severity: str
    """watch, act or urgent."""
    day: IsoDay
    window: int
    evidence: dict[str, int]
    """Figures the rule judged by: minor units, basis points, days; empty once the statement was erased."""
    text_en: str
    text_zh: str
    public: bool
    """Rests on the ledger alone."""
    data: Hex32 | None
    """The refreshed statement it rests on."""
    height: int
    time_ms: int


class WebhookView(msgspec.Struct, frozen=True, kw_only=True):
    """How far an address of the config is. Path and query are left out: they may hold what others must not know."""

    address: str
    delivered: int
    """Serial of the last alert that was taken or given up."""
    waiting: int
    dropped: int
    failing_since_ms: int | None


class AlertPage(msgspec.Struct, frozen=True, kw_only=True):
    """A page of alerts, oldest first."""

    height: int
    items: list[AlertView]
    next: int | None
    """Serial to ask on from; None when these are the newest."""
    newest: int
    """Serial of the last alert, seen or not: where a stream goes on."""
    webhooks: list[WebhookView]
    """For the member's own officers."""


class Wanted(NamedTuple):
    """What a reader asks for and may see."""

    own: bool
    """Speaks for the member itself; others see what is public."""
    loan: str | None
    rule: str | None
    severity_min: Severity

    def take(self, found: StoredAlert) -> bool:
        """Whether an alert is for this reader."""
        record = found.record
        return (
            (self.own or record.public)
            and record.severity >= self.severity_min
            and self.rule in (None, record.rule)
            and self.loan in (None, record.subject.hex())
        )


def need_desk(node: NodePort) -> AlertDesk:
    """The desk of a node that watches. Raises ProblemError(not_found)."""
    if node.alerts is None:
        raise ProblemError("not_found", "This node watches no loans: ask the node of the lender.")
    return node.alerts


def read_wanted(request: web.Request, node: NodePort, desk: AlertDesk) -> Wanted:
    """Raises ProblemError(not_permitted) for who is neither of the member nor an observer."""
    caller = require_caller(request)
    account = find_account(node, PublicKey(caller.key))
    row = None if account is None else find_row(node, ACCOUNTS, account)
    own = account is not None and account == desk.find_member() and find_row(node, MEMBERS, account) is not None
    observes = row is not None and bool(row.roles & Role.OBSERVER) and not row.frozen
    if not own and not observes:
        raise ProblemError(
            "not_permitted", "Alerts are for the lender's own officers, and for observers as far as public."
        )
    loan, named = request.query.get("loan"), request.query.get("severity", "watch")
    if named.upper() not in Severity.__members__:
        raise ProblemError("malformed_request", "severity is watch, act or urgent.")
    if loan is not None:
        parse_hex32(loan)
    return Wanted(own, loan, request.query.get("rule"), Severity[named.upper()])


def _get_after(request: web.Request, default: int) -> int:
    return get_number(request, "after", default=default, lowest=0, highest=SERIAL_MAX)


def view_alert(found: StoredAlert) -> AlertView:
    """An alert as readers see it."""
    return AlertView(**view_record(found.serial, found.record))


async def list_alerts(request: web.Request) -> web.Response:
    """GET /v1/alerts[?after=serial][&loan=][&rule=][&severity=]: oldest first."""
    node, limit = get_node(request), get_limit(request)
    desk = need_desk(node)
    wanted, position = read_wanted(request, node, desk), _get_after(request, 0)
    height, items = node.status().exec_height, list[AlertView]()
    while len(items) < limit:
        found = await desk.store.read(position, PAGE_ITEMS_MAX)
        for one in found:
            position = one.serial
            if wanted.take(one):
                items.append(view_alert(one))
            if len(items) == limit:
                break
        if len(found) < PAGE_ITEMS_MAX and (not found or position == found[-1].serial):
            break
    newest = desk.store.newest
    more = position if position < newest else None
    hooks = _view_hooks(desk) if wanted.own else []
    page = AlertPage(height=height, items=items, next=more, newest=newest, webhooks=hooks)
    return respond(page, height=height)


def _view_hooks(desk: AlertDesk) -> list[WebhookView]:
    views = []
    for hook in desk.hooks:
        state = desk.webhooks.states.get(hook.id)
        if state is not None:
            views.append(
                WebhookView(
                    address=hook.shown,
                    delivered=state.delivered,
                    waiting=max(0, desk.store.newest - state.delivered),
                    dropped=state.dropped,
                    failing_since_ms=state.failing_since_ms,
                )
            )
    return views


def format_alert(view: AlertView) -> bytes:
    """One alert in the stream's text form (WHATWG HTML, section 9.2)."""
    return b"id: %d\nevent: alert\ndata: %s\n\n" % (view.serial, msgspec.json.encode(view))


async def stream_alerts(request: web.Request) -> web.StreamResponse:
    """GET /v1/alerts/stream: later alerts as they are raised; Last-Event-ID or `after` resumes behind a serial."""
    node = get_node(request)
    desk = need_desk(node)
    wanted = read_wanted(request, node, desk)
    given = request.headers.get("Last-Event-ID")
    if given is not None and not (given.isascii() and given.isdecimal() and len(given) <= 16):
        raise ProblemError("malformed_request", "A position in this stream is an alert's serial.")
    position = _get_after(request, desk.store.newest) if given is None else int(given)
    response = web.StreamResponse(
        status=HTTPStatus.OK, headers={"Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-store"}
    )
    with counted(request, kept=STREAMS_KEPT), suppress(ConnectionResetError, ConnectionAbortedError):
        await response.prepare(request)
        await response.write(b"retry: 1000\n\n")
        async for text, reached in _read_on(desk, wanted, position):
            if has_ended(request, Scope.READ_PRIVATE, request.app[NOW_MS]()):
                break
            if not await write_or_part(request, response, text, str(reached)):
                break
    return response


async def _read_on(desk: AlertDesk, wanted: Wanted, position: int) -> AsyncIterator[tuple[bytes, int]]:
    """Alerts for this reader as they are raised, each piece with the serial up to which it brings him."""
    while True:
        newest = await desk.store.wait_beyond(position, KEEP_ALIVE_S)
        if newest <= position:
            yield b": still here\n\n", position
            continue
        found = await desk.store.read(position, PAGE_ITEMS_MAX)
        position = found[-1].serial if found else newest
        text = b"".join(format_alert(view_alert(one)) for one in found if wanted.take(one))
        if text:
            yield text, position
