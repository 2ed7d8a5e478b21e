"""Submitting transactions: JSON for people and pages, canonical msgpack for programs; one answer per transaction.

Submission is idempotent by transaction id: what is known already is answered like what is new. What a busy node did not
take is `busy`, each by itself, and the same bytes may be sent again. Never a check of the ledger's rules here: the door
and the ledger refuse, this file only tells.
"""

import asyncio
from collections.abc import Sequence
from http import HTTPStatus
from typing import Annotated, Final

import msgspec
from aiohttp import web

from node.api.advice import advise
from node.api.answers import RejectionView, SubmitAnswer, SubmitRequest, SubmitResult
from node.api.ports import NodePort, Submission
from node.api.problems import KINDS, TYPE_PREFIX, Problem, ProblemError, format_retry_after, pick_language
from node.api.reading import NOW_MS, get_node, get_number, parse_hex32, read_body, respond
from node.store.chain import StoredTransaction
from protocol.batch import BatchItem, Sidecar, calculate_transaction_id
from protocol.codec import CodecError, decode
from protocol.ids import Digest, ModelId, TimeMs
from protocol.ledger.records import Receipt
from protocol.limits import (
    BATCH_TRANSACTIONS_MAX,
    SIDECARS_PER_APPLICATION_MAX,
    SUBMIT_BODY_BYTES_MAX,
    TRANSACTION_BYTES_MAX,
)
from protocol.rejections import SENTENCES, Rejection
from protocol.transactions.envelope import Transaction, decode_transaction

WAIT_MS_DEFAULT: Final = 10_000
WAIT_MS_MAX: Final = 60_000
RETRY_AFTER_MS: Final = 1_000
_Group = Annotated[list[BatchItem], msgspec.Meta(min_length=1, max_length=BATCH_TRANSACTIONS_MAX)]
"""The length is in the first bytes, so that a list of millions is refused before any of it is decoded."""
_OBJECTS_MAX: Final = 1 + BATCH_TRANSACTIONS_MAX * (1 + SIDECARS_PER_APPLICATION_MAX)
"""Opening braces of the largest JSON request; no string in it may hold one."""


class SubmitRefused(Problem, frozen=True, kw_only=True):
    """All transactions were rejected: a problem that carries the results (RFC 9457, section 3.2, allows members)."""

    height: int
    results: list[SubmitResult]


async def submit(request: web.Request) -> web.Response:
    """POST /v1/transactions[?wait=final&timeout_ms=N]."""
    node = get_node(request)
    wait = request.query.get("wait", "none")
    if wait not in ("none", "final"):
        raise ProblemError("malformed_request", "wait is none or final.")
    timeout_ms = get_number(request, "timeout_ms", default=WAIT_MS_DEFAULT, lowest=0, highest=WAIT_MS_MAX)
    body = await read_body(request, SUBMIT_BODY_BYTES_MAX)
    items, early = _read_items(request.content_type, body)
    submissions = list(await node.submit(items)) if items else []
    answers = [given if given is not None else submissions.pop(0) for given in early]
    deadline = asyncio.get_running_loop().time() + (timeout_ms / 1000 if wait == "final" else 0)
    results = [await _tell(node, one, deadline if wait == "final" else None) for one in answers]
    if wait == "final":
        results = await _find_dead(node, items, results, request.app[NOW_MS]())
    is_partial = any(one.status == "busy" for one in results)
    answer = SubmitAnswer(
        height=node.status().exec_height, results=results, retry_after_ms=RETRY_AFTER_MS if is_partial else None
    )
    if all(one.status == "rejected" for one in results):
        return _refuse(request, answer)
    done = all(one.status in ("finalised", "rejected") for one in results)
    written = msgspec.Raw(msgspec.json.encode(answer))  # JSON values alone: what `respond` does for others is slow
    response = respond(written, status=HTTPStatus.OK if done else HTTPStatus.ACCEPTED, height=answer.height)
    if is_partial:
        response.headers["Retry-After"] = format_retry_after(RETRY_AFTER_MS)
    return response


def _read_items(content_type: str, body: bytes) -> tuple[list[BatchItem], list[Submission | None]]:
    """Items to submit, and for each transaction of the request an answer known already, or None."""
    if content_type in ("application/msgpack", "application/x-msgpack", "application/vnd.msgpack"):
        try:
            group: list[BatchItem] = decode(body, _Group)
        except CodecError as error:
            told = f"Not a canonical list of 1 to {BATCH_TRANSACTIONS_MAX} items: {error}."
            raise ProblemError("malformed_request", told) from error
        return group, [None] * len(group)
    if content_type != "application/json":
        raise ProblemError("unsupported_media", "Send application/json or application/msgpack.")
    if body.count(b"{") > _OBJECTS_MAX:  # JSON does not say its length: count before anything is decoded
        raise ProblemError("malformed_request", f"A request holds 1 to {BATCH_TRANSACTIONS_MAX} transactions.")
    try:
        asked = msgspec.json.decode(body, type=SubmitRequest)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ProblemError("malformed_request", f"{error}.") from error
    items: list[BatchItem] = []
    early: list[Submission | None] = []
    for one in asked.transactions:
        if len(one.transaction) > TRANSACTION_BYTES_MAX:
            early.append(Submission(id=None, status="rejected", rejection=Rejection.TOO_LARGE))
            continue
        sidecars = tuple(
            Sidecar(model=ModelId(parse_hex32(each.model)), salt=Digest(parse_hex32(each.salt)), bins=tuple(each.bins))
            for each in one.sidecars
        )
        items.append(BatchItem(transaction=one.transaction, sidecars=sidecars))
        early.append(None)
    return items, early


async def _tell(node: NodePort, submission: Submission, deadline: float | None) -> SubmitResult:
    """What to say of one transaction now, or when it is final, or when time is up."""
    shown = None if submission.id is None else submission.id.hex()
    if submission.status == "rejected" or submission.id is None:
        rejection = submission.rejection or Rejection.UNKNOWN
        return SubmitResult(id=shown, status="rejected", rejection=view_rejection(rejection))
    if submission.status == "busy":
        return SubmitResult(id=shown, status="busy")
    stored: StoredTransaction | None = None
    if deadline is not None:
        left_s = max(0.0, deadline - asyncio.get_running_loop().time())
        stored = await node.wait_final(submission.id, left_s)
    elif submission.status == "known":
        stored = await node.store.find_transaction(submission.id)
    if stored is None:
        return SubmitResult(id=shown, status="accepted")
    return view_stored(stored)


async def _find_dead(
    node: NodePort, items: Sequence[BatchItem], results: Sequence[SubmitResult], now_ms: TimeMs
) -> list[SubmitResult]:
    """What waits in vain is told so: another transaction of the key was executed with the same nonce."""
    raw = {calculate_transaction_id(item.transaction).hex(): item.transaction for item in items}
    answers: list[SubmitResult] = []
    for result in results:
        found = decode_transaction(raw[result.id]) if result.status == "accepted" and result.id in raw else None
        if isinstance(found, Transaction) and node.ledger.check_door(found, now_ms) is Rejection.NONCE_USED:
            await node.wait_settled()  # who used the nonce may be this very one, in a block that is not saved yet
            stored = await node.store.find_transaction(found.id)
            dead = SubmitResult(id=result.id, status="rejected", rejection=view_rejection(Rejection.NONCE_USED))
            answers.append(dead if stored is None else view_stored(stored))
        else:
            answers.append(result)
    return answers


def view_stored(stored: StoredTransaction) -> SubmitResult:
    """The outcome of an executed transaction."""
    rejection = decode(stored.receipt, Receipt).rejection
    return SubmitResult(
        id=stored.id.hex(),
        status="finalised" if rejection is None else "rejected",
        rejection=None if rejection is None else view_rejection(rejection),
        height=stored.height,
        index=stored.index,
    )


def view_rejection(rejection: Rejection) -> RejectionView:
    """A rejection in words."""
    return RejectionView(number=int(rejection), code=rejection.code, sentence=SENTENCES[rejection])


def _refuse(request: web.Request, answer: SubmitAnswer) -> web.Response:
    """All of them were rejected."""
    language, kind = pick_language(request.headers.get("Accept-Language", "")), KINDS["rejected"]
    first = answer.results[0].rejection
    assert first is not None, "a rejected result says why"
    body = SubmitRefused(
        type=TYPE_PREFIX + first.code,
        title=kind.title_zh if language == "zh" else kind.title_en,
        status=kind.status,
        code=first.code,
        detail=first.sentence,
        action=advise("rejected", language),
        instance=request.path,
        height=answer.height,
        results=answer.results,
    )
    return web.Response(
        status=kind.status,
        body=msgspec.json.encode(body),
        content_type="application/problem+json",
        headers={"Content-Language": language, "Cache-Control": "no-store"},
    )
