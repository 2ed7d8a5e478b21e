"""Addresses of portfolios, reports and early warnings, and of statements, consents and the vault."""

from typing import Final

from node.api import alerts, books, documents, reports, rights, signals
from node.api.answers import AccessLogView, DataView, DocumentView, ListView
from node.api.openapi import Endpoint
from node.api.parameters import HEX, NUMBER_MAX, PAGE, Query, one_of
from node.api.table.common import OWNER, READ
from node.tokens import Scope

_SERIAL: Final = Query(
    "after", "Serial of the last alert seen.", {"type": "integer", "minimum": 0, "maximum": NUMBER_MAX}
)

OVERSIGHT: Final = (
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
        problems=READ,
        cost=20,
    ),
    Endpoint(
        "GET",
        "/v1/portfolio/signals",
        signals.get_signals,
        "Vintages, rolls, drift of scores and concentration of this lender's loans",
        signals.PortfolioSignals,
        problems=("not_found", "not_permitted"),
        signed=True,
        scope=Scope.READ_PRIVATE,
        cost=20,
    ),
    Endpoint(
        "GET",
        "/v1/regulator/report",
        reports.get_regulator_report,
        "What supervisors see of all lenders: principal at risk, concentration, exposure",
        reports.RegulatorReportView,
        problems=("not_permitted",),
        signed=True,
        scope=Scope.READ_PRIVATE,
        cost=20,
    ),
    Endpoint(
        "GET",
        "/v1/exposure/{tag}",
        books.get_exposure,
        "What one subject owes across all lenders",
        books.ExposureView,
        problems=(*READ, "not_permitted"),
        signed=True,
        scope=Scope.READ_PRIVATE,
        cost=2,
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
        scope=Scope.READ_PRIVATE,
        cost=10,
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
        scope=Scope.READ_PRIVATE,
        cost=10,
    ),
    Endpoint("GET", "/v1/trial-balance", reports.get_trial_balance, "All books", reports.TrialBalanceView, cost=20),
    Endpoint("GET", "/v1/data", rights.list_data, "Anchors of statements", ListView, query=(*PAGE, OWNER), cost=10),
    Endpoint("GET", "/v1/data/{id}", rights.get_data, "A statement's anchor on the ledger", DataView, problems=READ),
    Endpoint("GET", "/v1/consents", rights.list_consents, "Who may read what", ListView, query=(*PAGE, OWNER), cost=10),
    Endpoint(
        "GET",
        "/v1/erasures",
        rights.list_erasures,
        "Orders to erase data, with the receipts given and missing",
        ListView,
        query=(*PAGE, OWNER, Query("state", "In this state.", one_of(rights.STATES))),
        cost=10,
    ),
    Endpoint(
        "GET", "/v1/erasures/{id}", rights.get_erasure, "The order to erase data", rights.ErasureView, problems=READ
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
        cost=20,
    ),
    Endpoint(
        "GET",
        "/v1/vault/documents/{digest}",
        documents.get_document,
        "A sealed statement with the caller's own grants",
        "application/msgpack",
        problems=READ,
        signed=True,
        cost=20,
    ),
    Endpoint(
        "GET",
        "/v1/vault/access-log/{id}",
        documents.get_access_log,
        "Who opened one's own data on this node",
        AccessLogView,
        problems=READ,
        signed=True,
        cost=10,
    ),
)
