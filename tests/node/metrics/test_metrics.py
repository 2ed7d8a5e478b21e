"""What Prometheus reads of a node: everything that is documented, from the first moment, and nobody's name."""

import re
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from node import setup
from node.api.endpoints import ENDPOINTS
from node.api.ports import Busy
from node.config import load_config
from node.core import read_clock_ms
from node.meters import Buckets, Requests
from node.metrics.catalog import MESSAGES, OTHER, Metric, make_catalog, name_close, name_family, name_result
from node.metrics.exposition import read_all, render
from node.metrics.readings import Readings, read_alerts
from node.monitor.store import HookState
from node.runtime import Node
from protocol.ids import TimeMs
from protocol.rejections import Rejection
from tests.node.core.cluster import Purse

ROUTES = tuple(dict.fromkeys(one.path for one in ENDPOINTS))
CATALOG = make_catalog(ROUTES)
Series = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def parse(text: str) -> Series:
    """Every sample by name and labels."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def find_missing(series: Series) -> list[str]:
    """Metrics of the catalogue that a scrape does not show."""
    shown = {re.sub("_(bucket|sum|count)$", "", name) for name, _ in series}
    return [one.full_name for one in CATALOG if one.full_name not in shown]


def show(requests: Requests) -> str:
    """What a node shows that did nothing but answer these."""
    readings = Readings()
    return render(read_all(ROUTES, readings, requests), readings).decode()


class Watched:
    """A network of one validator with its API."""

    def __init__(self, node: Node, net: setup.Testnet) -> None:
        self.node, self.net = node, net

    async def scrape(self) -> Series:
        url = f"http://127.0.0.1:{self.node.api_port}/metrics"
        async with aiohttp.ClientSession() as session, session.get(url) as answer:
            assert answer.status == 200
            assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
            return parse(await answer.text())


@pytest.fixture
async def watched(tmp_path: Path) -> AsyncIterator[Watched]:
    """It runs."""
    net = setup.make_testnet(tmp_path / "net", lenders=("solo",), observers=("eye",), time_ms=TimeMs(read_clock_ms()))
    node = Node(load_config(net.directory / "solo", environment={}))
    await node.start()
    yield Watched(node, net)
    await node.stop(drain_s=0)


async def test_a_fresh_node_shows_every_series_and_counts_what_it_does(watched: Watched) -> None:
    """All of the catalogue is there before anything happened; then a transaction moves what it should."""
    first = await watched.scrape()
    assert find_missing(first) == []
    for metric in CATALOG:
        if metric.kind == "counter":
            shown = [value for (name, _), value in first.items() if name == metric.full_name]
            wanted = 1
            for label in metric.labels:
                wanted *= len(label.values)
            assert len(shown) == wanted, metric.name
    node, directory = watched.node, watched.net.directory
    agent, purse = (
        Purse(directory / "authorities" / "clearing", node.chain_id),
        Purse(directory / "solo", node.chain_id),
    )
    (taken,) = await node.submit([agent.mint(purse.account, 100)])
    (refused,) = await node.submit([purse.mint(purse.account, 100)])
    assert (taken.status, refused.status) == ("accepted", "rejected")
    assert taken.id is not None
    await node.wait_final(taken.id, 10.0)
    node.core.door.closed = True
    with pytest.raises(Busy):
        await node.submit([agent.mint(purse.account, 100)] * 3)
    then = await watched.scrape()
    assert then["liushui_submissions_total", (("answer", "accepted"),)] == 1
    assert then["liushui_submissions_rejected_total", (("family", "envelope"),)] == 1
    assert then["liushui_submissions_total", (("answer", "busy"),)] == 3
    assert then["liushui_submissions_busy_total", (("reason", "stopping"),)] == 3
    assert then["liushui_transactions_executed_total", (("outcome", "success"),)] == 1
    assert then["liushui_height_executed", ()] >= 1
    assert then["liushui_blocks_finalised_total", ()] >= 1
    assert then["liushui_vote_log_sync_seconds_count", ()] >= 1
    assert then["liushui_block_save_seconds_count", ()] >= 1
    assert then["liushui_batch_final_seconds_count", ()] >= 1
    assert then["liushui_sync_state", (("state", "participating"),)] == 1
    assert then["liushui_file_bytes", (("file", "ledger"),)] > 0
    assert then["liushui_disk_free_bytes", ()] > 0
    assert then["liushui_api_requests_total", (("route", "/metrics"), ("status", "2xx"))] == 1
    assert then["liushui_views_left_total", (("reason", "notarized"),)] >= 1


async def test_no_label_names_a_peer_a_key_or_an_address(watched: Watched) -> None:
    """Only what the catalogue lists, and the version of the program and of Python."""
    series = await watched.scrape()
    listed = {value for metric in CATALOG for label in metric.labels for value in label.values}
    for name, labels in series:
        for label, value in labels:
            if label != "le" and not name.startswith(("liushui_build", "liushui_process")):
                assert value in listed, (name, label, value)
    told = {value for _, labels in series for _, value in labels}
    assert not told & {"solo", "eye", "127.0.0.1"}
    assert not [value for value in told if re.search("[0-9a-f]{16}", value)]


def test_webhooks_that_fail_are_seen() -> None:
    """One of two addresses does not take what it is sent, and is three behind."""
    behind, level = (
        HookState(hook=bytes(32), delivered=7, dropped=2, failing_since_ms=TimeMs(5)),
        HookState(hook=bytes(31) + b"\x01", delivered=10, dropped=0, failing_since_ms=None),
    )
    desk: Any = SimpleNamespace(
        store=SimpleNamespace(newest=10), hooks=(1, 2), webhooks=SimpleNamespace(states={b"a": behind, b"b": level})
    )
    read_alerts(desk, readings := Readings())
    series = parse(render(CATALOG, readings).decode())
    told = {name.removeprefix("liushui_webhook"): value for (name, _), value in series.items() if "webhook" in name}
    assert told == {"s": 2, "s_failing": 1, "_backlog": 3, "_dropped": 2}
    assert series["liushui_early_warnings", ()] == 10


def test_a_request_is_counted_by_the_address_of_the_table() -> None:
    """Whatever was typed, a label has one of a few values; an unknown one would stop the scrape of the tests here."""
    requests = Requests()
    requests.answered["/v1/loans/{id}", "2xx"] += 3
    requests.answered[OTHER, "4xx"] += 2
    text = show(requests)
    assert 'liushui_api_requests_total{route="/v1/loans/{id}",status="2xx"} 3.0' in text
    assert 'liushui_api_requests_total{route="other",status="4xx"} 2.0' in text
    requests.answered["/v1/loans/abc", "2xx"] += 1
    with pytest.raises(AssertionError, match="api_requests"):
        show(requests)


def test_a_reading_that_nobody_documented_is_a_fault() -> None:
    """Names are held to the catalogue as labels are."""
    readings = Readings()
    readings.put("height_of_the_moon", 1)
    with pytest.raises(AssertionError, match="height_of_the_moon"):
        render(CATALOG, readings)


def test_buckets_add_up_as_prometheus_wants_them() -> None:
    """Each bound counts what was at most so much; the last one counts all."""
    buckets = Buckets((0.1, 1.0))
    for value in (0.05, 0.1, 0.5, 7.0):
        buckets.observe(value)
    readings = Readings()
    readings.put_buckets("told", buckets)
    text = render([Metric("told", "histogram", "Told.", bounds=(0.1, 1.0))], readings).decode()
    found = re.findall(r'liushui_told_bucket{le="([^"]+)"} ([\d.]+)', text)
    assert found == [("0.1", "2.0"), ("1.0", "3.0"), ("+Inf", "4.0")]
    assert "liushui_told_sum 7.65" in text
    assert buckets.count == 4


def test_every_rejection_has_a_family_and_every_message_a_name() -> None:
    """A family is a label with few values, and none is left over."""
    assert name_family(int(Rejection.NONCE_USED)) == "envelope"
    assert name_family(int(Rejection.CAP_DEBT)) == "offers"
    assert name_family(int(Rejection.VOTED_ALREADY)) == "governance"
    assert name_family(int(Rejection.UNKNOWN)) == "unknown"
    assert len(set(MESSAGES.values())) == len(MESSAGES)
    assert "push_batch" in MESSAGES.values()
    assert (name_close("slow"), name_close("whatever")) == ("slow", OTHER)
    assert (name_result("period_differs"), name_result("nonce_used"), name_result("new")) == (
        "period_differs",
        "rejected",
        OTHER,
    )


def test_names_and_units_are_as_prometheus_wants_them() -> None:
    """Lower case, unique, and no unit hidden in a help text alone."""
    names = [one.full_name for one in CATALOG]
    assert len(set(names)) == len(names)
    for one in CATALOG:
        assert re.fullmatch("liushui_[a-z0-9_]+", one.full_name)
        assert one.text.endswith(".")
        assert one.kind != "histogram" or (one.bounds and one.name.endswith("_seconds"))
