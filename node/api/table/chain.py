"""Addresses of the node itself, the chain, transactions, events and accounts."""

from typing import Final

from node.api import books, chain, events, goods, network, socket, tryit
from node.api.answers import (
    BlockView,
    ListView,
    LiveView,
    NonceView,
    ReadyView,
    StatusView,
    SubmitAnswer,
    SubmitRequest,
    TransactionView,
)
from node.api.meter import get_metrics
from node.api.openapi import WEBSOCKET, Endpoint
from node.api.parameters import PAGE, Query, one_of
from node.api.submit import WAIT_MS_DEFAULT, WAIT_MS_MAX, SubmitRefused, submit
from node.api.table.common import EVENTS, READ
from protocol.genesis import Genesis
from protocol.ledger.rows import ProposalState

_WAIT: Final = {"type": "integer", "minimum": 0, "maximum": WAIT_MS_MAX, "default": WAIT_MS_DEFAULT}

CHAIN: Final = (
    Endpoint("GET", "/livez", chain.get_live, "The process answers", LiveView, cost=0),
    Endpoint(
        "GET",
        "/readyz",
        chain.get_ready,
        "Whether the node can serve, and why not",
        ReadyView,
        other=((503, ReadyView),),
        cost=0,
    ),
    Endpoint("GET", "/metrics", get_metrics, "Counts and gauges for Prometheus", "text/plain", closable=True, cost=20),
    Endpoint("GET", "/v1/openapi.json", tryit.get_openapi, "This document", "application/json", cost=2),
    Endpoint("GET", "/v1/docs", tryit.get_docs, "This document as a page to try it, offline", "text/html"),
    Endpoint("GET", "/v1/docs/docs.js", tryit.get_docs_script, "The page's script", "text/javascript"),
    Endpoint("GET", "/v1/docs/docs.css", tryit.get_docs_style, "The page's style", "text/css"),
    Endpoint(
        "GET", "/v1/status", chain.get_status, "Where the node stands and what it waits for", StatusView, closable=True
    ),
    Endpoint("GET", "/v1/genesis", chain.get_genesis, "The network's founding document", Genesis),
    Endpoint(
        "GET",
        "/v1/network",
        network.get_network,
        "Policy, members, models and pauses in force",
        network.NetworkView,
        cost=3,
    ),
    Endpoint(
        "GET",
        "/v1/proposals",
        network.list_proposals,
        "What the validators vote on",
        ListView,
        query=(*PAGE, Query("state", "In this state.", one_of(ProposalState))),
        cost=10,
    ),
    Endpoint("GET", "/v1/proposals/{id}", network.get_proposal, "A proposal", network.ProposalView, problems=READ),
    Endpoint(
        "POST",
        "/v1/transactions",
        submit,
        "Submit signed transactions",
        SubmitAnswer,
        request=SubmitRequest,
        packed=True,
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
        cost=0,
    ),
    Endpoint(
        "GET",
        "/v1/transactions/{id}",
        chain.get_transaction,
        "An executed transaction with its receipt",
        TransactionView,
        query=(Query("wait_ms", "Wait so long for it.", _WAIT | {"default": 0}),),
        problems=READ,
    ),
    Endpoint(
        "GET",
        "/v1/transactions/{id}/receipt",
        chain.get_receipt,
        "A receipt file that verifies offline",
        "application/octet-stream",
        problems=(*READ, "receipt_not_ready"),
        cost=5,
    ),
    Endpoint(
        "GET",
        "/v1/blocks/{height}",
        chain.get_block,
        "A block",
        BlockView,
        problems=("not_found", "history_pruned"),
        cost=2,
    ),
    Endpoint(
        "GET",
        "/v1/events",
        events.stream_events,
        "Events as they happen (server-sent events; resumable)",
        "text/event-stream",
        query=EVENTS,
        problems=("busy", "history_pruned"),
        cost=10,
    ),
    Endpoint(
        "GET",
        "/v1/events/ws",
        socket.stream_events_socket,
        "Events as they happen (websocket; resumable)",
        WEBSOCKET,
        query=EVENTS,
        problems=("upgrade_required", "origin_refused", "busy", "history_pruned"),
        cost=10,
    ),
    Endpoint(
        "GET", "/v1/accounts/{id}", books.get_account, "An account, by id or key", books.AccountView, problems=READ
    ),
    Endpoint(
        "GET",
        "/v1/accounts/{id}/exits",
        goods.list_account_exits,
        "Shares of an account that wait to leave pools, or left",
        ListView,
        query=PAGE,
        cost=10,
    ),
    Endpoint(
        "GET",
        "/v1/nonce/{key}",
        books.get_nonce,
        "The next nonce of a key",
        NonceView,
    ),
)
