"""Submits a signed load open loop: each group when it is due, over one connection per node, whatever became of others.

A node that says "busy, retry after" is asked again after that time with the same bytes; the group stays due when it
was, so waiting counts as latency. A group not taken when the load's time is up is given up and counted.
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
        groups = self._layout.list_groups(number)
        for (first, count), body in zip(groups, read_spool(lane.spool), strict=True):
            due_s = self.began_s + first // self._layout.group * self._step_s
            wait_s = due_s - time.perf_counter()
            if wait_s > 0:
                await asyncio.sleep(wait_s)
            self.late_s_max = max(self.late_s_max, -wait_s)
            left = await self._submit(lane.client, body, range(first, first + count), until_s)
            for serial in left:
                self._tally.on_answer(serial, Answered.NOT_TAKEN)

    async def _submit(self, client: NodeClient, body: bytes, serials: Sequence[int], until_s: float) -> Sequence[int]:
        """Submit a group, and again what the node was too busy for; what it did not take until time was up."""
        whole, left = body, list(serials)
        while time.perf_counter() < until_s:
            try:
                answer = await self._ask(client, body)
                left = [serial for serial, one in zip(left, answer.results, strict=True) if not self._note(serial, one)]
                if not left:
                    return left
                items = decode(whole, list[BatchItem])
                body = encode([items[serial - serials[0]] for serial in left])
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
        return left

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
