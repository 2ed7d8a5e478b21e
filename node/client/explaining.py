"""What was decided on an application, in sentences in both languages, and the receipt that proves it with no node.

Part of what a borrower takes away (`node.client.rights.export_data`). Says what the ledger recorded.
Never a reason here that the ledger did not give.
"""

import base64
from typing import Any, Final

from node.client.http import ApiError, NodeClient
from protocol.ids import TransactionId
from scoring.reasons import REASONS

LANGUAGES: Final = ("en", "zh")
PROVABLE_S: Final = 5.0
"""A receipt needs a block after its own."""


async def read_receipt(client: NodeClient, application: str, *, timeout_s: float = PROVABLE_S) -> dict[str, Any]:
    """The application's transaction and its receipt file (base64) for `liushui verify`, or why there is none."""
    transaction = (await client.get(f"/v1/applications/{application}"))["transaction"]
    if transaction is None:  # this node's history begins later
        return {"transaction": None, "file": None, "why": "history_pruned"}
    try:
        raw = await client.get_receipt_file(TransactionId(bytes.fromhex(transaction)), timeout_s=timeout_s)
    except ApiError as error:
        return {"transaction": transaction, "file": None, "why": error.code}
    return {"transaction": transaction, "file": base64.b64encode(raw).decode("ascii"), "why": None}


def explain(application: dict[str, Any]) -> dict[str, list[str]]:
    """Sentences on scores and decisions of an application's view, by language."""
    return {
        language: [
            *(_tell_score(one, language) for one in application["assessed"]),
            *(_tell_decision(one, language) for one in application["decisions"]),
        ]
        for language in LANGUAGES
    }


def _list_reasons(reasons: list[dict[str, Any]], language: str) -> str:
    texts = []
    for one in reasons:
        reason = REASONS.get(one["code"])
        known = None if reason is None else reason.text_zh if language == "zh" else reason.text_en
        texts.append(known or str(one["code"]))
    return ("；" if language == "zh" else "; ").join(texts)


def _show_percent(ppm: int) -> str:
    return f"{ppm // 10_000}.{ppm % 10_000 // 100:02}"


def _tell_score(one: dict[str, Any], language: str) -> str:
    model, reasons = one["model"][:16], _list_reasons(one["reasons"], language)
    chance, band = _show_percent(one["pd_ppm"]), one["band"] + 1
    if language == "zh":
        why = f"扣分最多的原因：{reasons}。" if reasons else "没有扣分的原因。"
        return f"模型 {model} 给出 {one['points']} 分，估计违约概率 {chance}%，第 {band} 档（第 1 档最好）。{why}"
    why = f"What cost most points: {reasons}." if reasons else "Nothing cost points."
    return (
        f"Model {model} gave {one['points']} points: an estimated chance of default of {chance} %, band {band} (1 is"
        f" the best). {why}"
    )


def _tell_decision(one: dict[str, Any], language: str) -> str:
    who = f"{one['lender_name'] or one['lender'][:16]} ({one['product_name']})"
    if one["outcome"] == "offer":
        return f"{who} 提出了贷款要约。" if language == "zh" else f"{who} made an offer."
    reasons = _list_reasons(one["reasons"], language)
    rule = (one["rule"] or {}).get("code", "")
    if language == "zh":
        return f"{who} 拒绝了申请：{reasons or rule}。以 --no-automation 再次申请，则由人工决定。"
    return f"{who} declined: {reasons or rule}. Asked again with --no-automation, a person decides."
