"""Decisions in sentences of both languages: only what the ledger said, and a receipt or why there is none."""

from typing import Any

import pytest

from node.client.explaining import explain, read_receipt
from node.client.http import ApiError
from scoring.reasons import REASONS

CODE = min(REASONS)


def make_view(*decisions: dict[str, Any], reasons: tuple[int, ...] = ()) -> dict[str, Any]:
    """Of an application, as the API gives it."""
    told = [{"code": one, "text": ""} for one in reasons]
    return {
        "assessed": [{"model": "ab" * 32, "points": 512, "pd_ppm": 123_456, "band": 0, "reasons": told}],
        "decisions": list(decisions),
    }


def decide(outcome: str, reasons: tuple[int, ...] = (), rule: str | None = None) -> dict[str, Any]:
    """One product's answer."""
    return {
        "lender": "cd" * 32,
        "lender_name": "harbour",
        "product_name": "personal",
        "outcome": outcome,
        "reasons": [{"code": one} for one in reasons],
        "rule": None if rule is None else {"code": rule},
    }


def test_scores_and_decisions_are_told_in_both_languages() -> None:
    """Points, chance, band, reasons as the table has them; an unknown code keeps its number."""
    told = explain(make_view(decide("offer"), decide("decline", (CODE, 999_999)), reasons=(CODE,)))
    english, chinese = told["en"], told["zh"]
    assert "gave 512 points: an estimated chance of default of 12.34 %, band 1 " in english[0]
    assert f"{REASONS[CODE].text_en}." in english[0]
    assert "给出 512 分，估计违约概率 12.34%，第 1 档" in chinese[0]
    assert REASONS[CODE].text_zh in chinese[0]
    assert english[1] == "harbour (personal) made an offer."
    assert english[2].startswith(f"harbour (personal) declined: {REASONS[CODE].text_en}; 999999.")
    assert chinese[2].startswith(f"harbour (personal) 拒绝了申请：{REASONS[CODE].text_zh}；999999。")


def test_a_limit_is_told_where_no_reason_was() -> None:
    """And nothing is made up where the score cost no points."""
    told = explain(make_view(decide("decline", rule="debt_cap_exceeded")))
    assert "Nothing cost points." in told["en"][0]
    assert "declined: debt_cap_exceeded." in told["en"][1]


class Node:
    """A node that cannot prove it."""

    def __init__(self, transaction: str | None, code: str = "") -> None:
        self.transaction, self.code = transaction, code

    async def get(self, _path: str) -> Any:
        return {"transaction": self.transaction}

    async def get_receipt_file(self, _id: bytes, *, timeout_s: float) -> bytes:
        raise ApiError(409, {"code": self.code, "title": "", "detail": ""}, None)


@pytest.mark.parametrize(
    ("node", "why"),
    [(Node(None), "history_pruned"), (Node("ab" * 32, "receipt_not_ready"), "receipt_not_ready")],
)
async def test_a_receipt_that_cannot_be_had_says_why(node: Node, why: str) -> None:
    """The rest of the file is written all the same."""
    found = await read_receipt(node, "00" * 32)  # type: ignore[arg-type]
    assert (found["file"], found["why"]) == (None, why)
