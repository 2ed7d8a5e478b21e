"""Reads of the chain: status, readiness, genesis, blocks, transactions, receipts. What it says is what was saved."""

from http import HTTPStatus
from typing import Any, Final

import msgspec
from aiohttp import web

from node.api.answers import (
    BatchView,
    BlockView,
    LiveView,
    PeerView,
    ReadyView,
    RulesView,
    StatusView,
    TransactionView,
)
from node.api.problems import ProblemError
from node.api.reading import get_id, get_node, get_number, respond, to_plain
from node.api.submit import WAIT_MS_MAX, view_rejection
from node.stops import describe_stop
from node.upgrading import tell_rules
from protocol.codec import decode
from protocol.genesis import encode_genesis
from protocol.ids import Height, TransactionId
from protocol.ledger.records import Receipt
from protocol.transactions.envelope import Transaction, decode_transaction

READY_STATES: Final = ("following", "participating")
REASONS: Final = {
    "starting": "the node has not heard enough validators yet to know where the network stands",
    "isolated": "the node hears fewer validators than a quorum",
    "syncing": "the node is syncing",
    "stopped": "the node is stopped",
}


async def get_live(request: web.Request) -> web.Response:
    """GET /livez: the process answers."""
    return respond(LiveView(live=True))


async def get_ready(request: web.Request) -> web.Response:
    """GET /readyz: 200 when the node can serve, else 503 with the reasons."""
    found = get_node(request).status()
    reasons = [] if found.sync_state in READY_STATES else [REASONS[found.sync_state]]
    if found.voting_stopped:
        reasons.append(f"{found.voting_stopped}: {describe_stop(found.voting_stopped)}")
    view = ReadyView(ready=not reasons, reasons=reasons, height=found.exec_height)
    status = HTTPStatus.OK if view.ready else HTTPStatus.SERVICE_UNAVAILABLE
    return respond(view, status=status, height=found.exec_height)


async def get_status(request: web.Request) -> web.Response:
    """GET /v1/status."""
    node = get_node(request)
    found = node.status()
    view = StatusView(
        name=found.name,
        role=found.role,
        version=found.version,
        chain_id=node.chain_id.hex(),
        height=found.height,
        view=found.view,
        exec_height=found.exec_height,
        exec_root=found.exec_root.hex(),
        final_digest=found.final_digest.hex(),
        leader=found.leader,
        waiting_for=found.waiting_for,
        why=found.why,
        sync=found.progress,
        sync_state=found.sync_state,
        epoch=found.epoch,
        voting_stopped=found.voting_stopped,
        voting_advice=describe_stop(found.voting_stopped),
        not_recomputed=found.not_recomputed,
        rules=msgspec.convert(tell_rules(node.ledger.rules, node.ledger.rules_known), RulesView),
        pool_transactions=found.pool_transactions,
        gossip_bytes_sent=found.gossip_bytes_sent,
        gossip_bytes_received=found.gossip_bytes_received,
        peers=[
            PeerView(name=one.name, connected=one.connected, height=one.height, silent_ms=one.silent_ms)
            for one in found.peers
        ],
        guests=found.guests,
    )
    return respond(view, height=found.exec_height)


async def get_genesis(request: web.Request) -> web.Response:
    """GET /v1/genesis: the very document (its own form: keys as base64)."""
    return web.Response(body=encode_genesis(get_node(request).genesis), content_type="application/json")


def check_history(base: Height, height: Height) -> None:
    """Raise ProblemError(history_pruned) for a height that this node has nothing of."""
    if 0 < height <= base:
        raise ProblemError("history_pruned", f"The history of this node begins after block {base}.")


def describe_missing(base: Height) -> str:
    """Why there may be no transaction of an id."""
    waiting = "No executed transaction has this id here; it may still wait"
    pruned = f", or be older than this node's history, which begins after block {base}"
    return waiting + (pruned if base else "") + "."


async def get_block(request: web.Request) -> web.Response:
    """GET /v1/blocks/{height}."""
    node = get_node(request)
    text = request.match_info["height"]
    if not (text.isascii() and text.isdecimal() and len(text) <= 16):
        raise ProblemError("malformed_request", "A height is a number from 1 on.")
    height = Height(int(text))
    check_history(node.store.base, height)
    block = await node.store.read_block(height)
    if block is None:
        raise ProblemError("not_found", f"No block of height {height} is saved here.")
    receipts = [decode(raw, Receipt) for raw in await node.store.read_block_receipts(height)]
    header = block.header
    read_height = node.status().exec_height
    view = BlockView(
        height=height,
        view=header.view,
        time_ms=header.time_ms,
        digest=header.calculate_digest().hex(),
        parent_digest=header.parent_digest.hex(),
        exec_height=header.exec_height,
        exec_root=header.exec_root.hex(),
        history_root=header.history_root.hex(),
        proposer=header.proposer,
        tx_count=header.tx_count,
        batches=[BatchView(digest=one.digest.hex(), tx_count=one.tx_count, size=one.size) for one in block.batches],
        receipts=[to_plain(one) for one in receipts],
        read_height=read_height,
    )
    return respond(view, height=read_height)


async def get_transaction(request: web.Request) -> web.Response:
    """GET /v1/transactions/{id}[?wait_ms=N]. What stands for a person (`subject_tag`) is null here."""
    node = get_node(request)
    transaction_id = TransactionId(get_id(request))
    stored = await node.store.find_transaction(transaction_id)
    wait_ms = get_number(request, "wait_ms", default=0, lowest=0, highest=WAIT_MS_MAX)
    if stored is None and wait_ms:
        stored = await node.wait_final(transaction_id, wait_ms / 1000)
    if stored is None:
        raise ProblemError("not_found", describe_missing(node.store.base))
    transaction = decode_transaction(stored.raw)
    assert isinstance(transaction, Transaction), "what was executed can be decoded"
    receipt = decode(stored.receipt, Receipt)
    rejection = receipt.rejection
    read_height = node.status().exec_height
    view = TransactionView(
        id=stored.id.hex(),
        height=stored.height,
        index=stored.index,
        type=type(transaction.body.payload).__name__,
        sender=transaction.body.sender.hex(),
        nonce=transaction.body.nonce,
        cosigners=[key.hex() for key in transaction.cosigners],
        payload=_view_payload(transaction),
        success=rejection is None,
        rejection=None if rejection is None else view_rejection(rejection),
        receipt=to_plain(receipt),
        read_height=read_height,
    )
    return respond(view, height=read_height)


def _view_payload(transaction: Transaction) -> Any:
    """The payload for everybody: without the tag by which one person's accounts could be found on every node."""
    payload = to_plain(transaction.body.payload)
    if isinstance(payload, dict) and "subject_tag" in payload:
        payload["subject_tag"] = None
    return payload


async def get_receipt(request: web.Request) -> web.Response:
    """GET /v1/transactions/{id}/receipt: a file that verifies with no node at all."""
    node = get_node(request)
    transaction_id = TransactionId(get_id(request))
    raw = await node.make_receipt_file(transaction_id)
    if raw is None:
        if await node.store.find_transaction(transaction_id) is None:
            raise ProblemError("not_found", describe_missing(node.store.base))
        raise ProblemError("receipt_not_ready", "A later block must name the state first.", retry_after_ms=1_000)
    name = f"receipt-{transaction_id.hex()[:16]}.lsr"
    return web.Response(
        body=raw,
        content_type="application/octet-stream",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )
