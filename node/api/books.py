"""Reads of the books: accounts, pools, products, applications, offers, exposure.

Each answer is made between two blocks, in one go, and names the height it was made at. Never a figure of one's own.
"""

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import msgspec
from aiohttp import web

from node.api.answers import Hex32, IsoDay, ListView, Minor, NonceView
from node.api.offers import view_offer
from node.api.ports import NodePort
from node.api.problems import ProblemError, pick_language
from node.api.reading import get_id, get_limit, get_node, parse_hex32, require_caller, respond, view_day
from node.api.state import (
    find_account,
    find_exponent,
    find_member,
    find_name,
    find_row,
    list_roles,
    list_rows,
    may_see_exposure,
)
from node.api.views import view_application, view_pool, view_product
from protocol.codec import decode
from protocol.ids import AccountId, Digest, ObjectId, PublicKey
from protocol.ledger.exposure import calculate_debt, calculate_due30, find_lenders
from protocol.ledger.journal import Book, read_balance
from protocol.ledger.records import Made, Receipt
from protocol.ledger.rows import Account
from protocol.ledger.state import (
    ACCOUNTS,
    APPLICATIONS,
    EXPOSURES,
    KEYS,
    LOANS,
    OFFERS,
    POOLS,
    PRODUCTS,
    RECOVERIES,
    SHARES,
    Table,
)

R = TypeVar("R")


class BalanceView(msgspec.Struct, frozen=True, kw_only=True):
    """What an account holds in one book and currency, with that book's natural sign."""

    book: str
    currency: str
    exponent: int
    amount: Minor


class ShareView(msgspec.Struct, frozen=True, kw_only=True):
    """Shares of a pool that an account holds."""

    pool: Hex32
    shares: int


class RecoveryView(msgspec.Struct, frozen=True, kw_only=True):
    """Another key that will speak for an account, unless its present key objects in time."""

    new_key: Hex32
    issuer: Hex32
    issuer_name: str | None
    effective_ms: int


class AccountView(msgspec.Struct, frozen=True, kw_only=True):
    """An account. The subject tag is shown to nobody here."""

    height: int
    id: Hex32
    name: str | None
    """Of a member; None for borrowers."""
    kind: str
    key: Hex32
    enc_key: Hex32
    level: int
    expires_on: IsoDay
    roles: list[str]
    frozen: bool
    opened_ms: int
    balances: list[BalanceView]
    shares: list[ShareView]
    applications: list[Hex32]
    recovery: RecoveryView | None


class ExposureView(msgspec.Struct, frozen=True, kw_only=True):
    """What one subject owes across all lenders: for members that validate or observe."""

    height: int
    tag: Hex32
    account: Hex32
    principal_open: Minor
    undrawn: Minor
    """What may still be drawn on open lines."""
    guaranteed: Minor
    """Principal of others' loans that this one stands in for."""
    debt: Minor
    """All that counts against the cap: principal, undrawn lines, and the weight of guarantees."""
    due_in_30_days: Minor
    lenders: list[str]
    """With open loans or lines, whoever made them."""
    loans: list[Hex32]
    lines: list[Hex32]
    guarantees: list[Hex32]
    """Loans of others."""
    debt_cap: Minor
    lenders_max: int


def _get_language(request: web.Request) -> str:
    return pick_language(request.headers.get("Accept-Language", ""))


def _need(row: R | None, what: str) -> R:
    if row is None:
        raise ProblemError("not_found", f"No {what} has this id at this height.")
    return row


def make_page(
    request: web.Request, node: NodePort, rows: Iterable[tuple[bytes, R]], view: Callable[[bytes, R], Any]
) -> web.Response:
    """A page of a table in the order of its keys, after the id `after`."""
    limit, given = get_limit(request), request.query.get("after")
    after = b"" if given is None else parse_hex32(given)
    items: list[Any] = []
    last: str | None = None
    for key, row in rows:
        if key <= after:
            continue
        if len(items) == limit:
            page = ListView(height=node.status().exec_height, items=items, next=last)
            return respond(page, height=page.height)
        items.append(view(key, row))
        last = key.hex()
    page = ListView(height=node.status().exec_height, items=items)
    return respond(page, height=page.height)


async def get_account(request: web.Request) -> web.Response:
    """GET /v1/accounts/{id}: by account id, or by a key that signs for it."""
    node, given = get_node(request), get_id(request)
    account = AccountId(given)
    row = find_row(node, ACCOUNTS, account)
    if row is None:
        by_key = find_account(node, PublicKey(given))
        account = account if by_key is None else by_key
        row = _need(find_row(node, ACCOUNTS, account), "account")
    view = _view_account(node, account, row)
    return respond(view, height=view.height)


def _view_account(node: NodePort, account: AccountId, row: Account) -> AccountView:
    balances = []
    for currency in node.genesis.currencies:
        for book in Book:
            amount = read_balance(node.ledger.books.state, account, book, currency.code)
            if amount:
                balances.append(
                    BalanceView(
                        book=book.name.lower(),
                        currency=currency.code,
                        exponent=find_exponent(node, currency.code),
                        amount=amount,
                    )
                )
    shares = [
        ShareView(pool=pool.hex(), shares=held)
        for pool, _ in list_rows(node, POOLS)
        if (held := find_row(node, SHARES, pool + account))
    ]
    waiting = find_row(node, RECOVERIES, account)
    return AccountView(
        height=node.status().exec_height,
        id=account.hex(),
        name=find_name(node, account),
        kind=row.kind.name.lower(),
        key=row.key.hex(),
        enc_key=row.enc_key.hex(),
        level=row.level,
        expires_on=view_day(row.expires_on),
        roles=list_roles(row),
        frozen=row.frozen,
        opened_ms=row.opened_ms,
        balances=balances,
        shares=shares,
        applications=[one.hex() for one in row.applications],
        recovery=None
        if waiting is None
        else RecoveryView(
            new_key=waiting.new_key.hex(),
            issuer=waiting.issuer.hex(),
            issuer_name=find_name(node, waiting.issuer),
            effective_ms=waiting.effective_ms,
        ),
    )


async def get_nonce(request: web.Request) -> web.Response:
    """GET /v1/nonce/{key}: the next nonce of a key; 0 for one that never signed."""
    node, key = get_node(request), get_id(request, "key")
    row = find_row(node, KEYS, key)
    height = node.status().exec_height
    return respond(NonceView(key=key.hex(), next=0 if row is None else row.top + 1, height=height), height=height)


async def list_pools(request: web.Request) -> web.Response:
    """GET /v1/pools."""
    node = get_node(request)
    return make_page(request, node, list_rows(node, POOLS), lambda key, row: view_pool(node, ObjectId(key), row))


async def get_pool(request: web.Request) -> web.Response:
    """GET /v1/pools/{id}."""
    node, pool = get_node(request), ObjectId(get_id(request))
    view = view_pool(node, pool, _need(find_row(node, POOLS, pool), "pool"))
    return respond(view, height=view.height)


async def list_products(request: web.Request) -> web.Response:
    """GET /v1/products."""
    node = get_node(request)
    return make_page(request, node, list_rows(node, PRODUCTS), lambda key, row: view_product(node, ObjectId(key), row))


async def get_product(request: web.Request) -> web.Response:
    """GET /v1/products/{id}."""
    node, product = get_node(request), ObjectId(get_id(request))
    view = view_product(node, product, _need(find_row(node, PRODUCTS, product), "product"))
    return respond(view, height=view.height)


async def list_applications(request: web.Request) -> web.Response:
    """GET /v1/applications?borrower=[&state=]; of all borrowers only for members, who sign the request."""
    node, language = get_node(request), _get_language(request)
    if "borrower" not in request.query and find_member(node, require_caller(request).key) is None:
        raise ProblemError("not_permitted", "All applications are for members; name a borrower, or sign as a member.")
    wanted = filter_rows(request, node, APPLICATIONS)
    return make_page(request, node, wanted, lambda key, row: view_application(node, ObjectId(key), row, language))


def filter_rows(request: web.Request, node: NodePort, table: Table[R]) -> list[tuple[bytes, R]]:
    """Rows with a borrower and a state, as far as the query names them."""
    borrower, state = request.query.get("borrower"), request.query.get("state")
    account = None if borrower is None else parse_hex32(borrower)
    found: list[tuple[bytes, R]] = []
    for key, row in list_rows(node, table):
        fields: Any = row
        if account is not None and fields.borrower != account:
            continue
        if state is None or fields.state.name.lower() == state:
            found.append((key, row))
    return found


async def get_application(request: web.Request) -> web.Response:
    """GET /v1/applications/{id}: scores, decisions with reasons, offers with their whole disclosure."""
    node, application = get_node(request), ObjectId(get_id(request))
    row = _need(find_row(node, APPLICATIONS, application), "application")
    view = view_application(node, application, row, _get_language(request))
    opened = await _find_opening(node, application)
    return respond(msgspec.structs.replace(view, transaction=opened), height=view.height)


async def _find_opening(node: NodePort, application: ObjectId) -> Hex32 | None:
    """The transaction that made it, by the first event that speaks of it."""
    events = await node.store.read_subject_events(application, 1)
    for raw in [] if not events else await node.store.read_block_receipts(events[0].height):
        if raw.find(application) < 0:
            continue  # thousands may share its block
        receipt = decode(raw, Receipt)
        if any(isinstance(fact, Made) and fact.id == application for fact in receipt.outcome):
            return receipt.transaction_id.hex()
    return None


async def get_offer(request: web.Request) -> web.Response:
    """GET /v1/offers/{id}."""
    node, offer = get_node(request), ObjectId(get_id(request))
    view = view_offer(node, offer, _need(find_row(node, OFFERS, offer), "offer"))
    return respond(view, height=view.height)


async def get_exposure(request: web.Request) -> web.Response:
    """GET /v1/exposure/{tag}: signed by a member that validates or observes."""
    node, caller, tag = get_node(request), require_caller(request), Digest(get_id(request, "tag"))
    if not may_see_exposure(node, caller.key):
        raise ProblemError("not_permitted", "Exposure totals are for members that validate or observe.")
    row = _need(find_row(node, EXPOSURES, tag), "subject")
    books = node.ledger.books
    view = ExposureView(
        height=node.status().exec_height,
        tag=tag.hex(),
        account=row.account.hex(),
        principal_open=row.principal_open,
        undrawn=row.undrawn,
        guaranteed=sum(books.state.need(LOANS, one).principal_out for one in row.guarantees),
        debt=calculate_debt(books, row),
        due_in_30_days=calculate_due30(books, row),
        lenders=[find_name(node, one) or one.hex() for one in find_lenders(books, row)],
        loans=[one.hex() for one in row.loans],
        lines=[one.hex() for one in row.lines],
        guarantees=[one.hex() for one in row.guarantees],
        debt_cap=books.policy.debt_cap,
        lenders_max=books.policy.lenders_max,
    )
    return respond(view, height=view.height)
