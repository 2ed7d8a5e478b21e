"""Real nodes, honest clients whose waiting is measured, and a swarm of strangers beside them. Never a verdict here."""

import asyncio
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from node.client.http import ApiError, NodeClient, NodeUnreachable
from node.keystore import read_seed
from protocol.codec import encode
from tests.e2e.faults.load import Load
from tests.e2e.faults.processes import OBSERVER, ROOT, VALIDATORS, Processes, found
from tests.strangers.attacks import ATTACKS, Victim
from tests.strangers.swarm import encode_task

WAIT_MS: Final = 20_000


class Weight(NamedTuple):
    """What a node's process holds."""

    descriptors: int
    memory_mb: int


def weigh(pid: int) -> Weight:
    """Open descriptors and resident memory of a process."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    resident = int(next(line for line in status.splitlines() if line.startswith("VmRSS:")).split()[1])
    return Weight(sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir()), resident // 1_024)


class Measured(NamedTuple):
    """Honest clients' waiting from the send to the answer that it is final, and the heaviest that a node was."""

    waits_s: list[float]
    heaviest: Weight

    def pick(self, share: float) -> float:
        """The wait that so large a share stayed under."""
        ordered = sorted(self.waits_s)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


class Field:
    """A network of real processes under a light, honest load."""

    def __init__(self, processes: Processes, load: Load, clients: dict[str, NodeClient]) -> None:
        self.processes = processes
        self.load = load
        self._clients = clients

    async def make_victims(self) -> list[Victim]:
        """Every node, with a submission that was executed and a member's key of which a greeting was recorded."""
        (intent,) = self.load.make_transfers(1)
        await self.load.finish([intent])
        net = self.processes.testnet
        seed = read_seed(net.directory / OBSERVER, "node")
        assert seed is not None
        chain_id = net.genesis.calculate_chain_id()
        places = [self.processes.places[name] for name in (*VALIDATORS, OBSERVER)]
        return [Victim(one.listen_port, one.api_port, chain_id, seed, encode([intent.item])) for one in places]

    async def measure(self, seconds: float, per_s: int) -> Measured:
        """Send single transfers at a pace, to the validators in turn, and wait for each."""
        waits: list[float] = []
        weights: list[Weight] = []
        tasks: list[asyncio.Task[None]] = []
        loop = asyncio.get_running_loop()
        began = due = loop.time()
        while loop.time() < began + seconds:
            name = VALIDATORS[len(tasks) % len(VALIDATORS)]
            tasks.append(asyncio.create_task(self._send(name, waits)))
            if len(tasks) % per_s == 0:
                weights += [weigh(self.processes.get_pid(one)) for one in self.processes.alive]
            due = max(due + 1 / per_s, loop.time())
            await asyncio.sleep(due - loop.time())
        await asyncio.gather(*tasks)
        heaviest = Weight(max(one.descriptors for one in weights), max(one.memory_mb for one in weights))
        return Measured(waits, heaviest)

    async def _send(self, name: str, waits: list[float]) -> None:
        (intent,) = self.load.make_transfers(1)
        began_s = time.monotonic()
        told: Counter[str] = Counter()
        while True:
            try:
                results = await self._clients[name].submit([intent.item], wait_final=True, timeout_ms=WAIT_MS)
            except (ApiError, NodeUnreachable) as error:
                told[f"{error.code}: {error.sentence}"] += 1
                if (waited_s := time.monotonic() - began_s) > WAIT_MS / 1_000:
                    stands = await self.load.describe()
                    raise AssertionError(
                        f"{name} did not serve an honest client in {waited_s:.1f} s; it said {dict(told)}; {stands}"
                    ) from error
                await asyncio.sleep(0.05)
                continue
            if self.load.note(name, results):
                waits.append(time.monotonic() - began_s)
                return
            told.update(one.status for one in results)


async def swarm(victims: Sequence[Victim], seconds: float, names: Sequence[str] = tuple(ATTACKS)) -> dict[str, Any]:
    """Let strangers loose for so long; what they were told, and the processor time they took themselves."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.strangers.swarm", cwd=ROOT,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        out, _ = await process.communicate(encode_task(list(victims), seconds, list(names)).encode())
    except BaseException:
        process.kill()
        await process.wait()
        raise
    assert process.returncode == 0, "the strangers failed"
    told: dict[str, Any] = msgspec.json.decode(out)
    return told


@asynccontextmanager
async def open_field(directory: Path, seed: int) -> AsyncIterator[Field]:
    """Four validators and an observer with accounts that have money."""
    processes = Processes(found(directory))
    load = Load(processes, seed=seed, clients=8, group=1)
    clients = {name: NodeClient(processes.get_url(name), timeout_s=30, patience_s=5) for name in VALIDATORS}
    async with processes, AsyncExitStack() as stack:
        stack.push_async_callback(load.close)
        await processes.start(processes.names)
        await load.open()
        for one in clients.values():
            await stack.enter_async_context(one)
        yield Field(processes, load, clients)
