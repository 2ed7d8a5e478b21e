"""The HTTP application of a node: one table of addresses, from which routes and the OpenAPI document both follow.

    runner = web.AppRunner(make_app(node)); the runtime serves it on api_host:api_port

Reads never wait for consensus; a request that does (wait=final, streams) holds no lock. Never add a route elsewhere.
"""

from collections.abc import Callable
from typing import Any, Final

import msgspec
from aiohttp import web

from node.api import (
    alerts,
    books,
    chain,
    documents,
    events,
    goods,
    loans,
    loanviews,
    network,
    offers,
    reports,
    rights,
    signals,
    socket,
    tryit,
    views,
)
from node.api.answers import (
    AccessLogView,
    BlockView,
    DataView,
    DocumentView,
    EventView,
    ListView,
    LiveView,
    NonceView,
    ReadyView,
    StatusView,
    SubmitAnswer,
    SubmitRequest,
    TransactionView,
)
from node.api.meter import REQUESTS, ROUTES, get_metrics, meter_middleware
from node.api.openapi import WEBSOCKET, Endpoint, Handler, make_document
from node.api.parameters import HEX, NUMBER_MAX, PAGE, POSITION, WORDS, Query, check_parameters, one_of
from node.api.ports import NodePort
from node.api.problems import problem_middleware
from node.api.reading import NODE, NOW_MS, read_clock_ms, require_caller
from node.api.submit import WAIT_MS_DEFAULT, WAIT_MS_MAX, SubmitRefused, submit
from node.meters import Requests
from protocol.genesis import Genesis
from protocol.ids import TimeMs
from protocol.ledger.rows import ApplicationState, ProposalState
from protocol.limits import REQUEST_BODY_BYTES_MAX
from protocol.loans.lifecycle import LoanState

_WAIT: Final = {"type": "integer", "minimum": 0, "maximum": WAIT_MS_MAX, "default": WAIT_MS_DEFAULT}
_SERIAL: Final = Query("after", "Serial of the last alert seen.", {"type": "integer", "minimum": 0})
_AMOUNT: Final = {"type": "integer", "minimum": 1, "maximum": NUMBER_MAX, "examples": [100_000]}
_EVENTS: Final = (
    Query("after", "Position height-index to resume behind.", POSITION),
    Query("kind", "Only events of this kind; may be repeated.", WORDS),
    Query("follow", "false: end where no more are saved.", one_of(("true", "false"), default="true")),
)
_READ: Final = ("not_found",)
_OWNER: Final = Query("owner", "Of this account.", HEX)


async def get_openapi(request: web.Request) -> web.Response:
    """GET /v1/openapi.json."""
    return web.Response(body=request.app[DOCUMENT], content_type="application/json")


ENDPOINTS: Final = (
    Endpoint("GET", "/livez", chain.get_live, "The process answers", LiveView),
    Endpoint(
        "GET",
        "/readyz",
        chain.get_ready,
        "Whether the node can serve, and why not",
        ReadyView,
        other=((503, ReadyView),),
    ),
    Endpoint("GET", "/metrics", get_metrics, "Counts and gauges for Prometheus", "text/plain"),
    Endpoint("GET", "/v1/openapi.json", get_openapi, "This document", "application/json"),
    Endpoint("GET", "/v1/docs", tryit.get_docs, "This document as a page to try it, offline", "text/html"),
    Endpoint("GET", "/v1/docs/docs.js", tryit.get_docs_script, "The page's script", "text/javascript"),
    Endpoint("GET", "/v1/docs/docs.css", tryit.get_docs_style, "The page's style", "text/css"),
    Endpoint("GET", "/v1/status", chain.get_status, "Where the node stands and what it waits for", StatusView),
    Endpoint("GET", "/v1/genesis", chain.get_genesis, "The network's founding document", Genesis),
    Endpoint(
        "GET", "/v1/network", network.get_network, "Policy, members, models and pauses in force", network.NetworkView
    ),
    Endpoint(
        "GET",
        "/v1/proposals",
        network.list_proposals,
        "What the validators vote on",
        ListView,
        query=(*PAGE, Query("state", "In this state.", one_of(ProposalState))),
    ),
    Endpoint("GET", "/v1/proposals/{id}", network.get_proposal, "A proposal", network.ProposalView, problems=_READ),
    Endpoint(
        "POST",
        "/v1/transactions",
        submit,
        "Submit signed transactions",
        SubmitAnswer,
        request=SubmitRequest,
        other=((202, SubmitAnswer), (422, SubmitRefused)),
        query=(
            Query("wait", "final: answer when executed.", one_of(("none", "final"), default="none")),
            Query("timeout_ms", "How long to wait.", _WAIT),
        ),
        problems=(
            "too_large",
            "too_slow",
            "unsupported_media",
            "rejected",
            "busy",
        ),
    ),
    Endpoint(
        "GET",
        "/v1/transactions/{id}",
        chain.get_transaction,
        "An executed transaction with its receipt",
        TransactionView,
        query=(Query("wait_ms", "Wait so long for it.", _WAIT | {"default": 0}),),
        problems=_READ,
    ),
    Endpoint(
        "GET",
        "/v1/transactions/{id}/receipt",
        chain.get_receipt,
        "A receipt file that verifies offline",
        "application/octet-stream",
        problems=(*_READ, "receipt_not_ready"),
    ),
    Endpoint(
        "GET",
        "/v1/blocks/{height}",
        chain.get_block,
        "A block",
        BlockView,
        problems=("not_found", "history_pruned"),
    ),
    Endpoint(
        "GET",
        "/v1/events",
        events.stream_events,
        "Events as they happen (server-sent events; resumable)",
        "text/event-stream",
        query=_EVENTS,
        problems=("busy", "history_pruned"),
    ),
    Endpoint(
        "GET",
        "/v1/events/ws",
        socket.stream_events_socket,
        "Events as they happen (websocket; resumable)",
        WEBSOCKET,
        query=_EVENTS,
        problems=("upgrade_required", "busy", "history_pruned"),
    ),
    Endpoint(
        "GET", "/v1/accounts/{id}", books.get_account, "An account, by id or key", books.AccountView, problems=_READ
    ),
    Endpoint(
        "GET",
        "/v1/accounts/{id}/exits",
        goods.list_account_exits,
        "Shares of an account that wait to leave pools, or left",
        ListView,
        query=PAGE,
    ),
    Endpoint(
        "GET",
        "/v1/nonce/{key}",
        books.get_nonce,
        "The next nonce of a key",
        NonceView,
    ),
    Endpoint(
        "GET",
        "/v1/pools",
        books.list_pools,
        "Lenders' pools",
        ListView,
        query=PAGE,
    ),
    Endpoint("GET", "/v1/pools/{id}", books.get_pool, "A pool", views.PoolView, problems=_READ),
    Endpoint(
        "GET",
        "/v1/products",
        books.list_products,
        "Products",
        ListView,
        query=PAGE,
    ),
    Endpoint("GET", "/v1/products/{id}", books.get_product, "A product", views.ProductView, problems=_READ),
    Endpoint(
        "GET",
        "/v1/applications",
        books.list_applications,
        "Applications of a borrower; of all borrowers for members, who sign the request",
        ListView,
        query=(
            *PAGE,
            Query("borrower", "Of this account.", HEX),
            Query("state", "In this state.", one_of(ApplicationState)),
        ),
        problems=("not_permitted",),
        may_sign=True,
    ),
    Endpoint(
        "GET",
        "/v1/applications/{id}",
        books.get_application,
        "An application with scores, decisions, reasons and offers",
        views.ApplicationView,
        problems=_READ,
    ),
    Endpoint(
        "GET", "/v1/offers/{id}", books.get_offer, "An offer with its whole cost", offers.OfferView, problems=_READ
    ),
    Endpoint(
        "GET",
        "/v1/loans",
        loans.list_loans,
        "Loans",
        ListView,
        query=(
            *PAGE,
            Query("borrower", "Of this account.", HEX),
            Query("lender", "Of this account.", HEX),
            Query("state", "In this state.", one_of(LoanState)),
        ),
    ),
    Endpoint(
        "GET", "/v1/loans/{id}", loans.get_loan, "A loan, its schedule and history", loanviews.LoanView, problems=_READ
    ),
    Endpoint(
        "GET",
        "/v1/loans/{id}/history",
        loans.list_loan_history,
        "All events of a loan with their postings, oldest first",
        ListView,
        query=(PAGE[0], Query("after", "Position height-index to go on behind.", POSITION)),
        problems=(*_READ, "history_pruned"),
    ),
    Endpoint(
        "GET",
        "/v1/loans/{id}/disputes",
        loans.list_loan_disputes,
        "Disputes about a loan",
        ListView,
        query=PAGE,
        problems=_READ,
    ),
    Endpoint(
        "GET",
        "/v1/loans/{id}/amendments",
        loans.list_loan_amendments,
        "Amendments proposed for a loan",
        ListView,
        query=PAGE,
        problems=_READ,
    ),
    Endpoint(
        "GET",
        "/v1/loans/{id}/extension",
        loans.get_extension_quote,
        "What paying on a lease's residual from today would be",
        offers.QuoteView,
        problems=(*_READ, "no_terms"),
    ),
    Endpoint("GET", "/v1/disputes/{id}", loans.get_dispute, "A dispute", loans.DisputeView, problems=_READ),
    Endpoint("GET", "/v1/amendments/{id}", loans.get_amendment, "An amendment", loans.AmendmentView, problems=_READ),
    Endpoint(
        "GET",
        "/v1/amendments/{id}/quote",
        loans.get_amendment_quote,
        "What accepting an amendment today would sign",
        offers.QuoteView,
        problems=(*_READ, "no_terms"),
    ),
    Endpoint(
        "GET",
        "/v1/lines",
        goods.list_lines,
        "Credit lines",
        ListView,
        query=(*PAGE, Query("borrower", "Of this account.", HEX)),
    ),
    Endpoint("GET", "/v1/lines/{id}", goods.get_line, "A credit line", goods.LineView, problems=_READ),
    Endpoint(
        "GET",
        "/v1/lines/{id}/quote",
        goods.get_draw_quote,
        "What drawing on a line today would sign",
        offers.QuoteView,
        query=(
            Query("amount", "In minor units.", _AMOUNT, required=True),
            Query("instalments", "In how many it is repaid.", _AMOUNT, required=True),
        ),
        problems=(*_READ, "no_terms"),
    ),
    Endpoint(
        "GET",
        "/v1/assets",
        goods.list_assets,
        "Registered things",
        ListView,
        query=(*PAGE, Query("owner", "Whose title this account holds.", HEX)),
    ),
    Endpoint("GET", "/v1/assets/{id}", goods.get_asset, "A registered thing", goods.AssetView, problems=_READ),
    Endpoint(
        "GET",
        "/v1/portfolio",
        reports.get_portfolio,
        "Loans and principal by bucket, class, stage, vintage, kind, product and state",
        reports.PortfolioView,
        also=("text/csv",),
        query=(
            Query("lender", "Only this account's parts.", HEX),
            Query("pool", "Only this pool's parts.", HEX),
            Query("format", "csv for a table.", one_of(("json", "csv"), default="json")),
        ),
        problems=_READ,
    ),
    Endpoint(
        "GET",
        "/v1/portfolio/signals",
        signals.get_signals,
        "Vintages, rolls, drift of scores and concentration of this lender's loans",
        signals.PortfolioSignals,
        problems=("not_found", "not_permitted"),
        signed=True,
    ),
    Endpoint(
        "GET",
        "/v1/regulator/report",
        reports.get_regulator_report,
        "What supervisors see of all lenders: principal at risk, concentration, exposure",
        reports.RegulatorReportView,
        problems=("not_permitted",),
        signed=True,
    ),
    Endpoint(
        "GET",
        "/v1/exposure/{tag}",
        books.get_exposure,
        "What one subject owes across all lenders",
        books.ExposureView,
        problems=(*_READ, "not_permitted"),
        signed=True,
    ),
    Endpoint(
        "GET",
        "/v1/alerts",
        alerts.list_alerts,
        "Early warnings of this lender's loans; for observers as far as the ledger shows them",
        alerts.AlertPage,
        query=(
            PAGE[0],
            _SERIAL,
            Query("loan", "Of this loan.", HEX),
            Query("rule", "Of this rule.", {"type": "string"}),
            Query("severity", "At least so urgent.", {"type": "string", "enum": ["watch", "act", "urgent"]}),
        ),
        problems=("not_found", "not_permitted"),
        signed=True,
    ),
    Endpoint(
        "GET",
        "/v1/alerts/stream",
        alerts.stream_alerts,
        "Early warnings as they are raised (server-sent events; resumable)",
        "text/event-stream",
        query=(_SERIAL,),
        problems=("not_found", "busy", "not_permitted"),
        signed=True,
    ),
    Endpoint("GET", "/v1/trial-balance", reports.get_trial_balance, "All books", reports.TrialBalanceView),
    Endpoint("GET", "/v1/data", rights.list_data, "Anchors of statements", ListView, query=(*PAGE, _OWNER)),
    Endpoint("GET", "/v1/data/{id}", rights.get_data, "A statement's anchor on the ledger", DataView, problems=_READ),
    Endpoint("GET", "/v1/consents", rights.list_consents, "Who may read what", ListView, query=(*PAGE, _OWNER)),
    Endpoint(
        "GET",
        "/v1/erasures",
        rights.list_erasures,
        "Orders to erase data, with the receipts given and missing",
        ListView,
        query=(*PAGE, _OWNER, Query("state", "In this state.", one_of(rights.STATES))),
    ),
    Endpoint(
        "GET", "/v1/erasures/{id}", rights.get_erasure, "The order to erase data", rights.ErasureView, problems=_READ
    ),
    Endpoint(
        "PUT",
        "/v1/vault/documents/{digest}",
        documents.put_document,
        "Keep a sealed statement of one's own",
        DocumentView,
        request="application/msgpack",
        problems=(
            "not_permitted",
            "document_mismatch",
            "too_large",
            "too_slow",
            "quota_reached",
            "storage_full",
        ),
        signed=True,
    ),
    Endpoint(
        "GET",
        "/v1/vault/documents/{digest}",
        documents.get_document,
        "A sealed statement with the caller's own grants",
        "application/msgpack",
        problems=_READ,
        signed=True,
    ),
    Endpoint(
        "GET",
        "/v1/vault/access-log/{id}",
        documents.get_access_log,
        "Who opened one's own data on this node",
        AccessLogView,
        problems=_READ,
        signed=True,
    ),
)
DOCUMENT: Final = web.AppKey("openapi", bytes)
STREAMED: Final = (
    EventView,
    goods.ExitView,
    loanviews.LoanSummary,
)
"""Types that only appear inside streams or pages; they are part of the document too."""


def make_openapi(version: str) -> dict[str, Any]:
    """The OpenAPI document of this release."""
    return make_document(ENDPOINTS, version, also=STREAMED)


def make_checked(one: Endpoint) -> Handler:
    """The handler of an address behind what the document says of it: who must sign, and which parameters there are."""

    async def serve(request: web.Request) -> web.StreamResponse:
        if one.signed:
            require_caller(request)
        check_parameters(request, one.query)
        return await one.handler(request)

    return serve


@web.middleware
async def settled_middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Let reads look at whole blocks only: one that comes while a block is executed waits for its end."""
    if request.method == "GET" and request.path.startswith("/v1/"):
        await request.app[NODE].wait_settled()
    return await handler(request)


def make_app(node: NodePort, *, now_ms: Callable[[], TimeMs] = read_clock_ms) -> web.Application:
    """The application over a node. `now_ms` judges the time of signed requests."""
    middlewares = [meter_middleware, problem_middleware, settled_middleware]
    app = web.Application(middlewares=middlewares, client_max_size=REQUEST_BODY_BYTES_MAX)
    app[NODE] = node
    app[REQUESTS] = Requests()
    app[ROUTES] = tuple(dict.fromkeys(one.path for one in ENDPOINTS))
    app[NOW_MS] = now_ms
    app[DOCUMENT] = msgspec.json.encode(make_openapi(node.status().version))
    for one in ENDPOINTS:
        app.router.add_route(one.method, one.path, make_checked(one))
    events.set_up(app)
    reports.set_up(app)
    return app
