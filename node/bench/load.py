"""Submits a signed load open loop: each group when it is due, over one connection per node, whatever became of others.

A gateway that waited for an answer sends all that has become due meanwhile in one request. A node that says "busy,
retry after" is asked again after that time with the same bytes; a group stays due when it was, so waiting counts as
latency. What is not taken when the load's time is up is given up and counted.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from node.bench.layout import Layout
from node.bench.signing import read_spool
from node.bench.tally import Answered, Tally
from node.client.http import ApiError, NodeClient, NodeUnreachable
from protocol.batch import BatchItem
from protocol.codec import decode, encode
from protocol.limits import BATCH_TRANSACTIONS_MAX

RETRY_AFTER_S: Final = 1.0
OVERTIME_S: Final = 10.0
OVERTIME_SHARE: Final = 2
"""How long after the last group is due a slow or busy node is still asked: so many times the load's own time, at least
so many seconds. What has not been taken then is given up."""
BUSY: Final = frozenset({"busy", "not_ready"})


class Rejected(msgspec.Struct):
    """Why the door refused."""

    code: str


class Result(msgspec.Struct):
    """One transaction's answer, as far as a load needs it."""

    status: str
    rejection: Rejected | None = None


class _Answer(msgspec.Struct):
    results: list[Result]
    retry_after_ms: int | None = None


def join_lists(bodies: Sequence[bytes], count: int) -> bytes:
    """One canonical list of `count` items from lists of fewer: msgpack writes a head of one byte up to fifteen items
    and one of three bytes up to 65,535.
    """
    if len(bodies) == 1:
        return bodies[0]
    head = bytes([0x90 | count]) if count < 16 else b"\xdc" + count.to_bytes(2, "big")
    return head + b"".join(body[3 if body[0] == 0xDC else 1 :] for body in bodies)


class LoadError(Exception):
    """The load could not go on; the sentence says at which node and why."""


class Lane(NamedTuple):
    """One node's share."""

    client: NodeClient
    spool: Path


class Load:
    """One load, from the first group to the last answer."""

    def __init__(
        self, layout: Layout, lanes: Sequence[Lane], tally: Tally, *, rate: int, check_alive: Callable[[], None]
    ) -> None:
        """`check_alive` raises when a node of the network has ended."""
        self._layout = layout
        self._lanes = lanes
        self._tally = tally
        self._step_s = layout.group / rate
        self._check_alive = check_alive
        self._decoder = msgspec.json.Decoder(_Answer)
        self.began_s = 0.0
        self.busy_answers = 0
        self.unanswered_requests = 0
        self.late_s_max = 0.0
        """How long after it was due a group was sent at the latest: a connection carries one request at a time."""

    @property
    def due_s(self) -> Sequence[float]:
        """When each group is due, by its number."""
        return [self.began_s + number * self._step_s for number in range(self._layout.groups)]

    async def run(self) -> None:
        """Submit everything. Raises LoadError, and what `check_alive` raises."""
        self.began_s = time.perf_counter()
        try:
            async with asyncio.TaskGroup() as group:
                for number, lane in enumerate(self._lanes):
                    group.create_task(self._run_lane(number, lane))
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from failed

    async def _run_lane(self, number: int, lane: Lane) -> None:
        planned_s = self._layout.groups * self._step_s
        until_s = self.began_s + planned_s + max(OVERTIME_S, OVERTIME_SHARE * planned_s)
        groups = zip(self._layout.list_groups(number), read_spool(lane.spool), strict=True)
        waiting = next(groups, None)
        while waiting is not None:
            wait_s = self._find_due_s(waiting[0][0]) - time.perf_counter()
            if wait_s > 0:
                await asyncio.sleep(wait_s)
            self.late_s_max = max(self.late_s_max, -wait_s)
            serials: list[int] = []
            bodies: list[bytes] = []
            now_s = time.perf_counter()
            while waiting is not None:
                (first, count), body = waiting
                if serials and (len(serials) + count > BATCH_TRANSACTIONS_MAX or self._find_due_s(first) > now_s):
                    break
                serials += range(first, first + count)
                bodies.append(body)
                waiting = next(groups, None)
            for serial in await self._submit(lane.client, join_lists(bodies, len(serials)), serials, until_s):
                self._tally.on_answer(serial, Answered.NOT_TAKEN)

    def _find_due_s(self, serial: int) -> float:
        return self.began_s + serial // self._layout.group * self._step_s

    async def _submit(self, client: NodeClient, body: bytes, serials: Sequence[int], until_s: float) -> Sequence[int]:
        """Submit transactions, and again what the node was too busy for; what it did not take until time was up."""
        whole, left = body, list(range(len(serials)))
        while time.perf_counter() < until_s:
            try:
                answer = await self._ask(client, body)
                left = [at for at, one in zip(left, answer.results, strict=True) if not self._note(serials[at], one)]
                if not left:
                    break
                items = decode(whole, list[BatchItem])
                body = encode([items[at] for at in left])
                pause_s = (answer.retry_after_ms or 0) / 1_000 or RETRY_AFTER_S
                self.busy_answers += 1
            except ApiError as error:
                if error.code not in BUSY:
                    raise LoadError(
                        f"{client.url} answered a submission with {error.code}: {error.sentence}"
                    ) from error
                pause_s = error.retry_after_s or RETRY_AFTER_S
                self.busy_answers += 1
            except NodeUnreachable:
                self._check_alive()
                pause_s = RETRY_AFTER_S
                self.unanswered_requests += 1
            if time.perf_counter() + pause_s > until_s:
                break
            await asyncio.sleep(pause_s)
        return [serials[at] for at in left]

    async def _ask(self, client: NodeClient, body: bytes) -> _Answer:
        try:
            raw = await client.call("POST", "/v1/transactions", body=body, content_type="application/msgpack")
        except ApiError as error:
            if error.status != HTTPStatus.UNPROCESSABLE_ENTITY or "results" not in error.problem:
                raise
            return msgspec.convert(error.problem, _Answer)
        return self._decoder.decode(raw)

    def _note(self, serial: int, result: Result) -> bool:
        """Book an answer; False for one that is none yet."""
        if result.status == "busy":
            return False
        if result.status != "rejected":
            self._tally.on_answer(serial, Answered.ACCEPTED)
        else:
            code = "unknown" if result.rejection is None else result.rejection.code
            self._tally.on_answer(serial, Answered.REFUSED, code)
        return True
