"""Worker processes that verify signatures beside the node, and what becomes of it when one of them dies or hangs.

They are started when first needed and ended with the node. One that fails ends them all: the node verifies by itself
for a while, says so once, and then starts them anew. Never a verdict of its own here.
"""

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import Sequence
from typing import Final

import msgpack

from node.telemetry import get_logger
from protocol.ids import PublicKey

JOB_SIGNATURES: Final = 256  # about 15 ms of one core
JOB_TIMEOUT_S: Final = 10.0  # a machine may stall; a worker that takes longer is not coming back
START_TIMEOUT_S: Final = 30.0  # an interpreter and its modules, on a machine that is busy with everything else
REST_S: Final = 60.0

Signed = tuple[PublicKey, bytes]
"""A key, and its signature with the message behind it."""
_NOTHING: Final[Signed] = (PublicKey(bytes(32)), bytes(64))


def choose_processes(asked: int, cores: int | None = None) -> int:
    """Worker processes for a setting: itself, or by the machine's cores when it is -1.

    The node's loop and its database come first; on one or two cores verification is cheapest where it stands, and
    four processes keep up with any loop.
    """
    if asked >= 0:
        return asked
    return max(0, min(4, (cores or os.cpu_count() or 1) - 2))


class _Worker:
    """One process, with one job at a time."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.waiting = 0
        self._turn = asyncio.Lock()

    async def verify(self, part: Sequence[Signed]) -> bytes:
        """Verdicts on a part. Raises OSError or IncompleteReadError when the process is no more."""
        stdin, stdout = self.process.stdin, self.process.stdout
        assert stdin is not None, "piped"
        assert stdout is not None, "piped"
        raw = msgpack.packb(part)
        self.waiting += 1
        try:
            async with self._turn:
                stdin.write(len(raw).to_bytes(4, "big") + raw)
                await stdin.drain()
                return await stdout.readexactly(len(part))
        finally:
            self.waiting -= 1


class VerifyPool:
    """The worker processes of one node."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._workers: list[_Worker] = []
        self._processes: list[asyncio.subprocess.Process] = []
        """Those that work and those that have just been ended."""
        self._starting: asyncio.Task[None] | None = None
        self._rest_until_s = 0.0
        self._closed = False
        self._log = get_logger("verifier")

    @property
    def pids(self) -> tuple[int, ...]:
        """The processes that work now."""
        return tuple(worker.process.pid for worker in self._workers)

    async def verify(self, jobs: Sequence[Signed]) -> bytes | None:
        """One byte per signature, 1 for a good one; None when nobody is there to verify them now."""
        if not self._workers:
            self._try_start()
            return None
        parts = [jobs[at : at + JOB_SIGNATURES] for at in range(0, len(jobs), JOB_SIGNATURES)]
        workers = self._workers
        first = min(range(len(workers)), key=lambda i: workers[i].waiting)
        asked = [
            asyncio.ensure_future(workers[(first + i) % len(workers)].verify(part)) for i, part in enumerate(parts)
        ]
        _, late = await asyncio.wait(asked, timeout=JOB_TIMEOUT_S)
        if late:
            self._end_all("a worker did not answer")
        answers = await asyncio.gather(*asked, return_exceptions=True)
        if any(isinstance(answer, BaseException) for answer in answers):
            self._end_all("a worker ended")
            return None
        return b"".join(answer for answer in answers if isinstance(answer, bytes))

    def _try_start(self) -> None:
        if self._starting is None and not self._closed and time.monotonic() >= self._rest_until_s:
            self._starting = asyncio.ensure_future(self._start())

    async def _start(self) -> None:
        try:
            started = [await self._spawn() for _ in range(self._count)]
            # Ready is who has answered: nothing waits for a process that still reads its modules.
            async with asyncio.timeout(START_TIMEOUT_S):
                await asyncio.gather(*(worker.verify([_NOTHING]) for worker in started))
            self._workers = started
        except (OSError, asyncio.IncompleteReadError, TimeoutError) as error:
            self._end_all(f"no worker could be started ({type(error).__name__})")
        finally:
            self._starting = None

    async def _spawn(self) -> _Worker:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "node.verifyworker",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for the node
        )
        self._processes.append(process)
        return _Worker(process)

    def _end_all(self, reason: str) -> None:
        """Verify without them for a while."""
        had_some = bool(self._workers) or self._starting is not None
        self._workers = []
        self._rest_until_s = time.monotonic() + REST_S
        self._processes = [one for one in self._processes if one.returncode is None]
        for process in self._processes:
            with contextlib.suppress(ProcessLookupError):  # it was faster
                process.kill()  # it holds nothing, and one that is stopped ends too
        if had_some and not self._closed:
            self._log.warning("verifiers_lost", reason=reason, again_in_s=int(REST_S))

    async def close(self) -> None:
        """End the processes; what they were asked is answered with nothing."""
        self._closed = True
        self._end_all("closed")
        if self._starting is not None:
            await asyncio.wait((self._starting,))
            self._end_all("closed")
        for process in self._processes:
            await process.wait()
