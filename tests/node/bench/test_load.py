"""Submission and watching against a node of paper: due times are kept, busy is honoured, streams are resumed."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from node.bench import load as load_module
from node.bench.layout import Layout
from node.bench.load import Lane, Load, LoadError, join_lists
from node.bench.plan import Kind
from node.bench.signing import HEAD_BYTES
from node.bench.tally import Tally, TransferNames
from node.bench.watch import Watcher
from node.client.http import NodeClient
from node.demo.network import NetworkError
from protocol.batch import BatchItem
from protocol.codec import decode, encode

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def paper_node(submit: Handler | None = None, events: Handler | None = None) -> AsyncIterator[str]:
    """A server that answers submissions and streams events as told; its address."""
    app = web.Application()
    for method, path, handler in (("POST", "/v1/transactions", submit), ("GET", "/v1/events", events)):
        if handler is not None:
            app.router.add_route(method, path, handler)
    async with TestServer(app) as server:
        yield str(server.make_url("/")).rstrip("/")


def write_spool(path: Path, layout: Layout) -> None:
    """Requests of the right sizes; what is in them does not matter to a node of paper."""
    with path.open("wb") as file:
        for first, count in layout.list_groups(0):
            body = encode([BatchItem(transaction=bytes([serial])) for serial in range(first, first + count)])
            file.write(len(body).to_bytes(HEAD_BYTES, "big") + body)


def accept(count: int) -> web.Response:
    """All taken in."""
    return web.json_response({"height": 1, "results": [{"id": "00", "status": "accepted"}] * count}, status=202)


async def run_load(url: str, layout: Layout, spool: Path, *, rate: int, alive: bool = True) -> tuple[Load, Tally]:
    """One lane's load."""
    write_spool(spool, layout)
    tally = Tally(layout)

    def check_alive() -> None:
        if not alive:
            raise NetworkError("v1 ended")

    async with NodeClient(url, timeout_s=1.0) as client:
        load = Load(layout, [Lane(client, spool)], tally, rate=rate, check_alive=check_alive)
        await load.run()
    return load, tally


async def test_groups_go_out_when_they_are_due(tmp_path: Path) -> None:
    """Not before, and in groups of the layout, the last one shorter."""
    came: list[tuple[float, int]] = []

    async def submit(request: web.Request) -> web.StreamResponse:
        count = len(decode(await request.read(), list[BatchItem]))
        came.append((time.perf_counter(), count))
        return accept(count)

    async with paper_node(submit) as url:
        load, tally = await run_load(url, Layout(21, 1, 4), tmp_path / "lane", rate=20)
    assert [round(one - load.began_s, 6) for one in load.due_s] == [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    assert [count for _, count in came] == [4, 4, 4, 4, 4, 1]
    assert all(at >= when for (at, _), when in zip(came, load.due_s, strict=True))
    assert tally.accepted == 21


async def test_what_became_due_while_a_gateway_waited_goes_out_at_once(tmp_path: Path) -> None:
    """In one canonical list, in order, with each transaction once; what is due later still waits for its time."""
    came: list[tuple[float, list[BatchItem]]] = []

    async def submit(request: web.Request) -> web.StreamResponse:
        came.append((time.perf_counter(), decode(await request.read(), list[BatchItem])))
        await asyncio.sleep(0.55 if len(came) == 1 else 0)
        return accept(len(came[-1][1]))

    async with paper_node(submit) as url:
        load, tally = await run_load(url, Layout(70, 1, 10), tmp_path / "lane", rate=100)
    assert [len(items) for _, items in came] == [10, 50, 10]
    assert came[2][0] - load.began_s >= 0.6
    assert [item for _, items in came for item in items] == [BatchItem(transaction=bytes([at])) for at in range(70)]
    assert 0.4 <= load.late_s_max < 1.0
    assert tally.accepted == 70


def test_lists_join_to_the_very_bytes_of_the_whole() -> None:
    """With heads of one byte and of three on either side."""
    for sizes in ((1, 1), (7, 8), (8, 8), (20, 3), (3, 20), (500, 500, 24)):
        items = [BatchItem(transaction=at.to_bytes(2, "big")) for at in range(sum(sizes))]
        parts, at = [], 0
        for size in sizes:
            parts.append(encode(items[at : at + size]))
            at += size
        assert join_lists(parts, len(items)) == encode(items)


async def test_busy_is_asked_again_when_the_node_said(tmp_path: Path) -> None:
    """The same bytes after the time of `Retry-After`, as often as it takes; the group stays due when it was."""
    bodies: list[tuple[float, bytes]] = []

    async def submit(request: web.Request) -> web.StreamResponse:
        bodies.append((time.perf_counter(), await request.read()))
        if len(bodies) < 3:
            return web.json_response({"code": "busy", "retryable": True}, status=503, headers={"Retry-After": "1"})
        return accept(2)

    async with paper_node(submit) as url:
        load, tally = await run_load(url, Layout(2, 1, 2), tmp_path / "lane", rate=10)
    (first, body), (second, again), (third, last) = bodies
    assert body == again == last
    assert second - first >= 1.0
    assert third - second >= 1.0
    assert (load.busy_answers, tally.accepted, tally.not_taken) == (2, 2, 0)


async def test_a_node_that_stays_busy_is_given_up_when_time_is_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The load ends by itself, and what was not taken is counted as that."""
    monkeypatch.setattr(load_module, "OVERTIME_S", 0.5)
    monkeypatch.setattr(load_module, "OVERTIME_SHARE", 1)

    async def submit(request: web.Request) -> web.StreamResponse:
        return web.json_response({"code": "busy"}, status=503, headers={"Retry-After": "60"})

    async with paper_node(submit) as url:
        began = time.perf_counter()
        load, tally = await run_load(url, Layout(6, 1, 2), tmp_path / "lane", rate=20)
    assert time.perf_counter() - began < 2
    assert (load.busy_answers, tally.accepted, tally.not_taken) == (3, 0, 6)


async def test_a_slow_node_is_not_asked_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What has not been sent when time is up, since the node took so long over the rest, is not taken."""
    monkeypatch.setattr(load_module, "OVERTIME_S", 0.1)
    monkeypatch.setattr(load_module, "OVERTIME_SHARE", 0)
    asked: list[int] = []

    async def submit(request: web.Request) -> web.StreamResponse:
        asked.append(len(decode(await request.read(), list[BatchItem])))
        await asyncio.sleep(0.8)
        return accept(asked[-1])

    async with paper_node(submit) as url:
        load, tally = await run_load(url, Layout(100, 1, 10), tmp_path / "lane", rate=100)
    assert len(asked) == 2
    assert tally.accepted == sum(asked) < 100
    assert (tally.accepted + tally.not_taken, load.busy_answers) == (100, 0)


async def test_what_a_full_node_left_is_sent_again_alone(tmp_path: Path) -> None:
    """Part of a group is taken: after the time that the answer names only the rest comes, in its order."""
    busy, taken = {"id": "00", "status": "busy"}, {"id": "00", "status": "accepted"}
    came: list[tuple[float, list[BatchItem]]] = []

    async def submit(request: web.Request) -> web.StreamResponse:
        came.append((time.perf_counter(), decode(await request.read(), list[BatchItem])))
        results = [taken, busy, taken, busy] if len(came) == 1 else [taken] * 2
        return web.json_response({"height": 1, "results": results, "retry_after_ms": 200}, status=202)

    async with paper_node(submit) as url:
        load, tally = await run_load(url, Layout(4, 1, 4), tmp_path / "lane", rate=10)
    (first, whole), (second, rest) = came
    assert second - first >= 0.2
    assert rest == [whole[1], whole[3]]
    assert len(set(whole)) == 4
    assert (tally.accepted, tally.answered, load.busy_answers) == (4, 4, 1)


async def test_refusals_are_counted_by_their_code(tmp_path: Path) -> None:
    """Some of a group, and a whole group, which comes as a problem."""
    refused = {"id": "00", "status": "rejected", "rejection": {"number": 4, "code": "nonce_used", "sentence": "."}}
    answers = iter(
        [
            web.json_response({"height": 1, "results": [refused, {"id": "00", "status": "known"}]}, status=202),
            web.json_response({"code": "nonce_used", "results": [refused, refused]}, status=422),
        ]
    )

    async def submit(request: web.Request) -> web.StreamResponse:
        return next(answers)

    async with paper_node(submit) as url:
        _, tally = await run_load(url, Layout(4, 1, 2), tmp_path / "lane", rate=100)
    assert (tally.accepted, dict(tally.refused)) == (1, {"nonce_used": 3})


async def test_a_node_that_ended_ends_the_load(tmp_path: Path) -> None:
    """No answer and no process: the sentence of the network, at once. Another problem: the node's own."""

    async def submit(request: web.Request) -> web.StreamResponse:
        return web.json_response({"code": "internal", "title": "A mistake."}, status=500)

    async with paper_node(submit) as url:
        with pytest.raises(LoadError, match="internal: A mistake"):
            await run_load(url, Layout(2, 1, 2), tmp_path / "lane", rate=10)
    with pytest.raises(NetworkError, match="v1 ended"):
        await run_load(url, Layout(2, 1, 2), tmp_path / "lane", rate=10, alive=False)


def format_event(height: int, index: int, amount: int) -> bytes:
    """As the event stream writes it."""
    data = json.dumps({"height": height, "index": index, "kind": "transferred", "data": {"amount": amount}})
    return f"id: {height}-{index}\nevent: transferred\ndata: {data}\n\n".encode()


async def test_a_broken_stream_is_resumed_where_it_broke(tmp_path: Path) -> None:
    """Events cut anywhere, a stream that ends, one that is dropped as too slow: each event is counted once."""
    asked: list[str] = []
    sent = [format_event(7, index, 1 + index) for index in range(6)]

    async def events(request: web.Request) -> web.StreamResponse:
        asked.append(request.query["after"])
        assert request.query["kind"] == "transferred"
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"retry: 1000\n\n")
        if len(asked) == 1:
            whole = sent[0] + sent[1]
            for cut in (whole[:9], whole[9:100], whole[100:] + sent[2][:20]):
                await response.write(cut)
                await asyncio.sleep(0.02)
        elif len(asked) == 2:
            await response.write(b": still here\n\n" + sent[2] + sent[3])
            await response.write(b'event: dropped\ndata: {"reason":"slow_client","resume_after":"7-3"}\n\n')
        else:
            await response.write(sent[4] + sent[5])
            await asyncio.sleep(10)
        return response

    tally, last = Tally(Layout(6, 1, 1)), asyncio.Event()

    class Names(TransferNames):
        def find(self, amount: int, loan: str) -> int:
            if amount == 6:
                last.set()
            return super().find(amount, loan)

    async with paper_node(events=events) as url:
        watching = asyncio.create_task(Watcher(url, Kind.TRANSFER, tally, Names(1)).run(6))
        async with asyncio.timeout(30):
            await last.wait()
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
    assert asked == ["6-9007199254740991", "7-1", "7-3"]
    assert (tally.final, tally.twice, tally.strange) == (6, 0, 0)
