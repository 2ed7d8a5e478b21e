"""The try-it page: it is served whole, loads nothing from elsewhere, and says everything in both languages."""

import asyncio
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from aiohttp import ClientSession
from aiohttp.test_utils import TestServer

from node.api.app import make_openapi
from node.api.chinese import SUMMARIES_ZH
from node.api.endpoints import ENDPOINTS
from node.api.tryit import PAGE

FILES = {"": "text/html", "/docs.js": "text/javascript", "/docs.css": "text/css"}


async def test_the_page_is_served_with_a_policy_that_allows_this_node_alone(server: TestServer) -> None:
    """Each file with its type, and a policy under which a browser loads and sends nothing elsewhere."""
    async with ClientSession() as session:
        for path, kind in FILES.items():
            async with session.get(server.make_url("/v1/docs" + path)) as answer:
                assert (answer.status, answer.content_type) == (200, kind)
                policy = answer.headers["Content-Security-Policy"]
                assert "default-src 'none'" in policy
                assert "http" not in policy
                assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_the_page_names_no_other_address() -> None:
    """No file holds an absolute address, an inline script or style, or writes markup from text."""
    for path in PAGE.iterdir():
        text = path.read_text(encoding="utf-8")
        assert re.findall(r"""(?:https?:|wss?:)?//[a-z0-9]""", re.sub(r"^\s*//.*$", "", text, flags=re.M)) == [], (
            path.name
        )
        assert "innerHTML" not in text
        assert " style=" not in text
        assert "<script>" not in text


def test_every_word_of_the_page_is_there_in_both_languages() -> None:
    """What is marked for the language switch has an English and a Chinese text, and the same keys are in both."""
    script, page = ((PAGE / name).read_text(encoding="utf-8") for name in ("docs.js", "docs.html"))
    english, chinese = (
        set(re.findall(r"^\s{4}(?:\w+: \".*)$", block, re.M))
        for block in re.search(r"en: \{\n(.*?)\n  \},\n  zh: \{\n(.*?)\n  \},", script, re.S).groups()  # type: ignore[union-attr]
    )
    keys = [set(re.findall(r'(\w+): "', "\n".join(lines))) for lines in (english, chinese)]
    assert keys[0] == keys[1]
    used = set(re.findall(r'data-text="(\w+)"', page)) | set(re.findall(r'(?:words|say)\("(\w+)"\)', script))
    assert used
    assert used <= keys[0]


def test_every_address_is_told_in_chinese() -> None:
    """Each operation has its Chinese summary, and no summary is left of an operation that has gone."""
    assert set(SUMMARIES_ZH) == {one.handler.__name__ for one in ENDPOINTS}
    for operations in make_openapi("1")["paths"].values():
        for operation in operations.values():
            assert re.search("[\u4e00-\u9fff]", operation["x-summary-zh"]), operation["operationId"]


@pytest.mark.long
async def test_a_browser_shows_every_address_and_an_answer(server: TestServer, tmp_path: Path) -> None:
    """Chromium without a screen: the page lists what the document lists."""
    browser = shutil.which("chromium")
    if browser is None:
        pytest.skip("chromium is not installed: nothing to look with")
    url = str(server.make_url("/v1/docs"))
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}"]
    command += ["--virtual-time-budget=20000", "--dump-dom", url]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=100, check=True)
    shown = set(re.findall(r'<details id="(\w+)"', done.stdout))
    assert shown == {one.handler.__name__ for one in ENDPOINTS}, json.dumps(done.stderr[-400:])
