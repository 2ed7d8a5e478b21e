"""Problems as RFC 9457 tells them: a stable code, a title in the reader's language, what happened, what to do.

    ProblemError("not_found", detail="...")  ->  application/problem+json

Every code of the API stands in the table; rejections of the ledger keep their own codes. Never put an exception's
text or a stack into an answer: an unexpected error is logged once, and the reader gets its code alone.
"""

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Final, NamedTuple

import msgspec
from aiohttp import web

from node.api.advice import advise, translate_detail
from node.api.ports import Busy, BusyReason
from node.store.chain import StoreError
from node.telemetry import get_logger
from node.vault.store import VaultError

CONTENT_TYPE: Final = "application/problem+json"
TYPE_PREFIX: Final = "urn:liushui:problem:"
SIGNATURE: Final = "Liushui-Signature"
"""The challenge of an address that takes signed requests alone."""

_log = get_logger("api")


class Kind(NamedTuple):
    """One kind of problem."""

    status: int
    title_en: str
    title_zh: str
    retryable: bool = False


KINDS: Final[dict[str, Kind]] = {
    "malformed_request": Kind(400, "The request cannot be read.", "请求格式有误。"),
    "malformed_id": Kind(400, "An id is 64 hexadecimal digits.", "标识应为 64 位十六进制数字。"),
    "signature_missing": Kind(401, "A signed request is needed.", "此请求需要签名。"),
    "signature_invalid": Kind(401, "The request's signature does not hold.", "请求签名无效。"),
    "signature_stale": Kind(
        401, "The request's signature is too old or too new; check the clock.", "请求签名已过期，请检查时钟。"
    ),
    "token_missing": Kind(401, "A bearer token is needed.", "此请求需要访问令牌。"),
    "token_invalid": Kind(401, "The bearer token is not valid.", "访问令牌无效。"),
    "insufficient_scope": Kind(403, "The bearer token is not good for this.", "访问令牌的权限不足。"),
    "not_permitted": Kind(403, "This key may not read or do this.", "此密钥无权进行该操作。"),
    "origin_refused": Kind(403, "This page may not read this node.", "该网页无权读取本节点。"),
    "too_slow": Kind(408, "The request did not arrive in time.", "请求内容未能及时送达。", retryable=True),
    "not_found": Kind(404, "There is nothing under this address.", "未找到所请求的内容。"),
    "history_pruned": Kind(
        410,
        "This node's history begins later; a node that keeps all of it has this.",
        "本节点的历史从更晚的区块开始，请向保存完整历史的节点查询。",
    ),
    "method_not_allowed": Kind(405, "The address does not know this method.", "该地址不支持此方法。"),
    "receipt_not_ready": Kind(
        409, "The receipt is not provable yet; try again shortly.", "凭证尚未可证明，请稍后重试。", retryable=True
    ),
    "proof_not_ready": Kind(
        409, "The state is not provable yet; try again shortly.", "该状态尚未可证明，请稍后重试。", retryable=True
    ),
    "no_terms": Kind(409, "No lawful terms follow from this today.", "当前无法据此形成合法条款。"),
    "document_mismatch": Kind(409, "The document is not what its address says.", "文件与其地址不符。"),
    "too_large": Kind(413, "The request is larger than this node takes.", "请求超过大小限制。"),
    "unsupported_media": Kind(415, "The content type is not one this address reads.", "不支持该内容类型。"),
    "upgrade_required": Kind(426, "This address is for websockets.", "该地址仅供 websocket 使用。"),
    "rejected": Kind(422, "The transaction was rejected.", "交易被拒绝。"),
    "quota_reached": Kind(429, "This account keeps as many documents here as it may.", "该账户的文件数量已达上限。"),
    "too_many_requests": Kind(
        429, "This caller asks for more than its share.", "该调用方的请求超出其份额。", retryable=True
    ),
    "internal": Kind(500, "The node made a mistake; it has been logged.", "节点内部错误，已记录。", retryable=True),
    "bans_unusable": Kind(500, "This node cannot read or keep its bans.", "本节点无法读取或保存封禁名单。"),
    "busy": Kind(503, "The node is busy; try again shortly.", "节点繁忙，请稍后重试。", retryable=True),
    "not_ready": Kind(503, "The node is not ready yet.", "节点尚未就绪。", retryable=True),
    "storage_full": Kind(507, "The node's disk is full; nothing was kept.", "节点磁盘已满，未保存。", retryable=True),
}

BUSY: Final[dict[BusyReason, tuple[str, str]]] = {
    "starting": (
        "It started and has not yet heard enough validators to know where the network stands.",
        "节点刚启动，尚未收到足够多验证者的消息，无法确定网络进度。",
    ),
    "isolated": (
        "It hears fewer validators than a quorum, so nothing sent to it could become final.",
        "节点能联系到的验证者不足法定数量，提交的交易暂时无法最终确认。",
    ),
    "syncing": ("It is catching up with the network.", "节点正在追赶网络进度。"),
    "executing": ("It is still executing blocks that are final.", "节点尚在执行已最终确认的区块。"),
    "saturated": (
        "The network takes seconds for what was sent before: more comes in than it can do.",
        "网络处理先前的交易需要数秒：提交速度超过其处理能力。",
    ),
    "verifying": ("Too many signatures wait here to be verified.", "等待验证签名的交易过多。"),
    "pool_full": ("Too many transactions wait here to be ordered.", "等待排序的交易过多。"),
    "guest": (
        "It belongs to no member and only reads; send to a member's node.",
        "该节点不属于任何成员，仅供读取；请提交至成员节点。",
    ),
    "stopping": ("It is being stopped; send to another node.", "节点正在停止，请提交至其他节点。"),
}
"""Why a node takes nothing for a moment, in English and Chinese."""


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """The body of an answer that is not a success (RFC 9457)."""

    type: str
    """URN of the code."""
    title: str
    """A sentence for people, in the language asked for (zh or en)."""
    status: int
    code: str
    """Stable; programs branch on it."""
    detail: str = ""
    """What happened this time, in the same language where this node has the words; texts of formats are English."""
    action: str = ""
    """What to do about it, in the same language."""
    retryable: bool = False
    reason: str = ""
    """Of `busy`: what the node is busy with; stable."""
    instance: str = ""
    """The path asked for."""


class ProblemError(Exception):
    """Raised by handlers for the caller's faults; the middleware turns it into the answer."""

    def __init__(
        self, code: str, detail: str = "", *, retry_after_ms: int | None = None, challenge: str = SIGNATURE
    ) -> None:
        """`challenge`: how to ask instead, where the code's status is 401 or the token is the matter."""
        super().__init__(code)
        assert code in KINDS, code
        self.code = code
        self.detail = detail
        self.retry_after_ms = retry_after_ms
        self.challenge = challenge


def pick_language(accept: str) -> str:
    """`zh` or `en`: whichever an Accept-Language header ranks higher; English when neither is named."""
    best, language = 0, "en"
    for part in accept.split(",")[:16]:
        tag, _, parameters = part.strip().partition(";")
        name = tag.strip().lower().partition("-")[0]
        weight = _parse_weight(parameters)
        if name in ("zh", "en") and weight > best:
            best, language = weight, name
    return language


def _parse_weight(parameters: str) -> int:
    """The q of RFC 9110 section 12.4.2 in thousandths; 1000 when absent, 0 when unreadable."""
    name, _, value = parameters.strip().partition("=")
    if name.strip().lower() != "q":
        return 1000
    whole, _, digits = value.strip().partition(".")
    if whole not in ("0", "1") or not (digits or "0").isdecimal() or len(digits) > 3:
        return 0
    return min(1000, int(whole) * 1000 + int((digits + "000")[:3]))


def make_problem(
    code: str,
    *,
    language: str,
    detail: str = "",
    reason: str = "",
    path: str = "",
    retry_after_ms: int | None = None,
    challenge: str = SIGNATURE,
) -> web.Response:
    """The answer for a code of the table."""
    kind = KINDS[code]
    problem = Problem(
        type=TYPE_PREFIX + code,
        title=kind.title_zh if language == "zh" else kind.title_en,
        status=kind.status,
        code=code,
        detail=translate_detail(detail) if language == "zh" else detail,
        action=advise(code, language),
        retryable=kind.retryable,
        reason=reason,
        instance=path,
    )
    headers = {"Content-Language": language, "Cache-Control": "no-store"}
    if retry_after_ms is not None:
        headers["Retry-After"] = format_retry_after(retry_after_ms)
    if kind.status == HTTPStatus.UNAUTHORIZED or code == "insufficient_scope":
        headers["WWW-Authenticate"] = challenge
    if kind.status == HTTPStatus.UPGRADE_REQUIRED:
        headers |= {"Upgrade": "websocket", "Connection": "Upgrade"}
    body = msgspec.json.encode(problem)
    return web.Response(status=kind.status, body=body, content_type=CONTENT_TYPE, headers=headers)


def make_busy_problem(busy: Busy, *, language: str, path: str) -> web.Response:
    """The answer of a node that took nothing."""
    english, chinese = BUSY[busy.reason]
    return make_problem(
        "busy",
        language=language,
        detail=chinese if language == "zh" else english,
        reason=busy.reason,
        path=path,
        retry_after_ms=busy.retry_after_ms,
    )


def format_retry_after(after_ms: int) -> str:
    """The header's whole seconds (RFC 9110, section 10.2.3), rounded up."""
    return str(max(1, -(-after_ms // 1000)))


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_BY_STATUS: Final = {404: "not_found", 405: "method_not_allowed", 413: "too_large", 415: "unsupported_media"}


@web.middleware
async def problem_middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Every failure becomes a problem; only an unexpected one is logged, once."""
    language = pick_language(request.headers.get("Accept-Language", ""))
    try:
        return await handler(request)
    except ProblemError as error:
        return make_problem(
            error.code,
            language=language,
            detail=error.detail,
            path=request.path,
            retry_after_ms=error.retry_after_ms,
            challenge=error.challenge,
        )
    except Busy as busy:
        return make_busy_problem(busy, language=language, path=request.path)
    except web.HTTPException as error:
        code = _BY_STATUS.get(error.status)
        if code is None and error.status < HTTPStatus.BAD_REQUEST:
            raise
        answer = make_problem(code or "malformed_request", language=language, path=request.path)
        if "Allow" in error.headers:
            answer.headers["Allow"] = error.headers["Allow"]
        return answer
    except (ConnectionResetError, ConnectionAbortedError):
        raise
    except (StoreError, VaultError) as error:
        _log.error("request_failed", method=request.method, path=request.path, code=error.code, reason=error.sentence)
        code = "storage_full" if error.code == "vault_full" else "internal"
        return make_problem(code, language=language, path=request.path)
    except Exception:
        _log.exception("request_failed", method=request.method, path=request.path)
        return make_problem("internal", language=language, path=request.path)
