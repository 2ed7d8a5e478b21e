"""Problems: every code says in both languages what is wrong and what to do, and the documentation lists them all."""

import ast
import re
from pathlib import Path

import pytest

import node.api.problems
from node.api.advice import ACTIONS, DETAILS_ZH, advise, translate_detail
from node.api.problems import KINDS, pick_language
from node.client.http import ApiError, NodeClient
from tests.rules import tree

API = Path(node.api.problems.__file__).parent
CHINESE = re.compile("[\u4e00-\u9fff]")
FROM_ELSEWHERE = {"{}.", "{} {}.", "{} [{}]"}
"""Texts of decoders and of the ledger's own rules, which are English; and misfits, which the table has whole."""


def render_table() -> str:
    """The table of docs/api.md."""
    rows = [
        f"| `{code}` | {kind.status} | {'yes' if kind.retryable else 'no'} | {kind.title_en} | {ACTIONS[code][0]} |"
        for code, kind in KINDS.items()
    ]
    return "\n".join(
        ("| Code | Status | Same again later | What it says | What to do |", "|---|---|---|---|---|", *rows)
    )


def test_every_code_is_documented() -> None:
    """The table in docs/api.md is this one."""
    assert render_table() in (tree.ROOT / "docs" / "api.md").read_text(encoding="utf-8"), render_table()


def test_every_code_says_what_to_do_in_both_languages() -> None:
    """Titles and advice are sentences, one in each language, for each code and no other."""
    assert set(ACTIONS) == set(KINDS)
    for code, kind in KINDS.items():
        for english, chinese in ((kind.title_en, kind.title_zh), ACTIONS[code]):
            assert english.endswith("."), code
            assert not CHINESE.search(english), code
            assert CHINESE.search(chinese), code
        assert advise(code, "zh") != advise(code, "en")


def _find_template(node: ast.expr) -> str | None:
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(str(one.value) if isinstance(one, ast.Constant) else "{}" for one in node.values)
    return None


def test_every_sentence_of_the_source_has_its_chinese() -> None:
    """Each detail that is written where a problem is raised is in the table, figures left out."""
    found: dict[str, str] = {}
    for path in API.glob("*.py"):
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "ProblemError" and len(call.args) > 1:
                template = _find_template(call.args[1])
                if template is not None:
                    found[template] = path.name
    assert len(found) > 30
    assert {one: name for one, name in found.items() if one not in {*DETAILS_ZH, *FROM_ELSEWHERE}} == {}


@pytest.mark.parametrize("english", sorted(DETAILS_ZH))
def test_a_detail_keeps_its_figures(english: str) -> None:
    """What stands in the place of each figure is in the Chinese sentence too, in its order."""
    figures = [f"<{n}>" for n in range(english.count("{}"))]
    told = translate_detail(english.format(*figures))
    assert re.findall(r"<\d>", told) == figures
    assert CHINESE.search(told)
    assert "{" not in told


async def test_a_problem_speaks_the_readers_language(client: NodeClient) -> None:
    """Title, detail and advice follow Accept-Language; the code does not change."""
    async with NodeClient(str(client.url), language="zh-CN,zh;q=0.9", patience_s=0) as chinese:
        for reader, speaks_chinese in ((client, False), (chinese, True)):
            for path, query, code in (
                ("/v1/loans/xyz", {}, "malformed_id"),
                (f"/v1/loans/{'ab' * 32}", {}, "not_found"),
                ("/v1/loans", {"limit": "0"}, "malformed_request"),
            ):
                with pytest.raises(ApiError) as caught:
                    await reader.get(path, **query)
                problem = caught.value.problem
                assert problem["code"] == code
                for name in ("title", "detail", "action"):
                    assert bool(CHINESE.search(problem[name])) is speaks_chinese, (path, name, problem[name])


def test_a_language_that_is_not_spoken_is_english() -> None:
    """And the one that is ranked higher wins."""
    assert [pick_language(one) for one in ("", "fr", "zh", "en;q=0.5, zh-TW", "zh;q=0.1, en")] == [
        "en",
        "en",
        "zh",
        "zh",
        "en",
    ]
