"""Clients: a bounded load of signed transfers that are sent again, byte for byte, until a node says they are final.

Each client has senders of its own and finishes a group before it begins the next, so the nonce window never refuses
what is merely late. What was answered is remembered for the judge. Never a fault here.
"""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final, NamedTuple

from nacl.utils import random as draw_bytes

from node.api.answers import SubmitResult
from node.client.http import ApiError, NodeClient, NodeUnreachable
from node.client.wallet import Intent, Wallet
from node.keystore import read_seed
from protocol.crypto import KeySigner, calculate_hash
from protocol.ids import AccountId, BoxKey, Day, TimeMs, TransactionId
from protocol.money import Amount, Currency
from protocol.transactions.accounts import AccountKind
from tests.e2e.faults.processes import Processes

CURRENCY: Final = Currency("CNY")
CASH: Final = Amount(1_000_000_000)
SENDERS_EACH: Final = 4
ANSWER_WITHIN_S: Final = 2.0
WAIT_MS: Final = 1_500
PAUSE_S: Final = 0.05
PROBE_MS: Final = 400
OPEN_TRIES: Final = 40


class Answer(NamedTuple):
    """What a client was told of a final transaction."""

    height: int
    index: int


def read_now_ms() -> TimeMs:
    """Wall-clock milliseconds."""
    return TimeMs(time.time_ns() // 1_000_000)


class Load:
    """All clients of one scene."""

    def __init__(self, processes: Processes, *, seed: int, clients: int = 3, group: int = 6) -> None:
        self._processes = processes
        self._chance = random.Random(seed)
        self._group = group
        self._stack = AsyncExitStack()
        self._nodes: dict[str, NodeClient] = {}
        self._running: list[asyncio.Task[None]] = []
        self._ending = False
        testnet = processes.testnet
        self._chain_id = testnet.genesis.calculate_chain_id()
        self._today = Day(testnet.genesis.calculate_day(read_now_ms(), 480))
        authorities = dict(testnet.authorities)
        self._issuer = _read_signer(authorities["identity"])
        self._clearing = Wallet(_read_signer(authorities["clearing"]), self._chain_id, nonce_next=0, now_ms=read_now_ms)
        self._clients = [[self._make_wallet() for _ in range(SENDERS_EACH)] for _ in range(clients)]
        self._prober = self._make_wallet()
        self.moved: Counter[AccountId] = Counter()
        """What every account must have gained by the transfers that were sent."""
        self.sent: set[str] = set()
        self.final: dict[str, Answer] = {}
        self.problems: list[str] = []

    def _make_wallet(self) -> Wallet:
        return Wallet(KeySigner(draw_bytes(32)), self._chain_id, nonce_next=0, now_ms=read_now_ms)

    @property
    def wallets(self) -> list[Wallet]:
        """All senders."""
        return [self._prober, *(one for senders in self._clients for one in senders)]

    async def open(self) -> None:
        """Give every sender an account with money. The nodes must run."""
        for name in self._processes.names:
            await self.add_node(name)
        accounts = [
            one.open_account(
                issuer=self._issuer,
                kind=AccountKind.PERSON,
                enc_key=BoxKey(draw_bytes(32)),
                subject_tag=calculate_hash("faults-subject", one.public_key),
                level=2,
                expires_on=Day(self._today + 3_650),
            )
            for one in self.wallets
        ]
        cash = [
            self._clearing.mint(
                to=one.account, currency=CURRENCY, amount=CASH, ext_ref=calculate_hash("faults", one.public_key)
            )
            for one in self.wallets
        ]
        for group in (accounts, cash):
            assert await self._finish(group, tries=OPEN_TRIES), "the network did not begin to serve"

    async def add_node(self, name: str) -> None:
        """Talk to a node, too, whether it runs or not."""
        client = NodeClient(self._processes.get_url(name), timeout_s=ANSWER_WITHIN_S, patience_s=0)
        self._nodes[name] = await self._stack.enter_async_context(client)

    async def finish(self, intents: Sequence[Intent]) -> None:
        """Send what somebody else signed until all of it is final; nothing of it may be refused."""
        await self._finish(intents)

    async def get_receipt(self, name: str, transaction: str) -> bytes:
        """The receipt file of a final transaction from one node."""
        return await self._nodes[name].get_receipt_file(TransactionId(bytes.fromhex(transaction)), timeout_s=10.0)

    def begin(self) -> None:
        """Send from now on."""
        assert not self._running
        self._ending = False
        self._running = [asyncio.create_task(self._run(senders)) for senders in self._clients]

    async def end(self, timeout_s: float = 30.0) -> None:
        """Begin nothing more, and return when all that was begun is final."""
        self._ending = True
        await asyncio.wait_for(asyncio.gather(*self._running), timeout_s)
        self._running = []

    async def close(self) -> None:
        """Stop at once."""
        for one in self._running:
            one.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        await self._stack.aclose()

    async def _run(self, senders: Sequence[Wallet]) -> None:
        while not self._ending:
            await self._finish([self._make_transfer(senders[i % len(senders)]) for i in range(self._group)])
            await asyncio.sleep(PAUSE_S)

    def _make_transfer(self, sender: Wallet) -> Intent:
        others = [one.account for one in self.wallets if one is not sender]
        to, amount = self._chance.choice(others), Amount(self._chance.randrange(1, 100))
        self.moved[to] += amount
        self.moved[sender.account] -= amount
        return sender.transfer(to=to, currency=CURRENCY, amount=amount)

    # ------------------------------------------------------------------ one group

    async def _finish(self, group: Sequence[Intent], *, tries: int | None = None) -> bool:
        """Send a group to one node after another until all of it is final."""
        left = {one.id.hex(): one for one in group}
        self.sent.update(left)
        done = 0
        while left and (tries is None or done < tries):
            done += 1
            name = self._chance.choice(self._processes.names)
            try:
                results = await self._nodes[name].submit(
                    [one.item for one in left.values()], wait_final=True, timeout_ms=WAIT_MS
                )
            except (NodeUnreachable, ApiError) as error:
                if error.code not in ("node_unreachable", "busy"):
                    self.problems.append(f"{name} answered {error.code}: {error.sentence}")
                await asyncio.sleep(PAUSE_S)
                continue
            for one in self.note(name, results):
                left.pop(one, None)
        return not left

    def note(self, name: str, results: Sequence[SubmitResult]) -> list[str]:
        """Remember what became final; ids of those, and of what was refused, which is a problem."""
        done: list[str] = []
        for one in results:
            if one.status == "accepted" or one.id is None:
                continue
            done.append(one.id)
            if one.status != "finalised" or one.height is None or one.index is None:
                self.problems.append(f"{name} refused {one.id[:16]}: {one.rejection}")
                continue
            told = Answer(one.height, one.index)
            if self.final.setdefault(one.id, told) != told:
                self.problems.append(f"{name} says {one.id[:16]} is at {told}, it was at {self.final[one.id]}")
        return done

    async def measure_service(self, since_s: float, *, within_s: float) -> float:
        """Seconds from `since_s` (monotonic) until a transfer signed now is final at some node, sent to all alive."""
        intent = self.make_probe()
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            names = self._processes.alive
            tasks = [asyncio.create_task(self._probe(name, intent)) for name in names]
            try:
                for answered in asyncio.as_completed(tasks):
                    if await answered:
                        return time.monotonic() - since_s
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
            await asyncio.sleep(PAUSE_S)
        raise AssertionError(f"no service within {within_s:.0f} s: {await self.describe()}")

    def make_probe(self) -> Intent:
        """A transfer of its own sender, to be sent by the caller."""
        intent = self._make_transfer(self._prober)
        self.sent.add(intent.id.hex())
        return intent

    def make_transfers(self, count: int) -> list[Intent]:
        """Transfers of all clients' senders in turn, to be sent by the caller."""
        senders = [one for senders in self._clients for one in senders]
        made = [self._make_transfer(senders[i % len(senders)]) for i in range(count)]
        self.sent.update(one.id.hex() for one in made)
        return made

    async def _probe(self, name: str, intent: Intent) -> bool:
        try:
            results = await self._nodes[name].submit([intent.item], wait_final=True, timeout_ms=PROBE_MS)
        except (NodeUnreachable, ApiError):
            return False
        return bool(self.note(name, results))

    # ------------------------------------------------------------------ reading

    async def get(self, name: str, path: str) -> dict[str, object]:
        """JSON of one node's API."""
        answer: dict[str, object] = await self._nodes[name].get(path)
        return answer

    async def describe(self) -> str:
        """Where the nodes that are alive say they stand, for a failure's sentence."""
        told: list[str] = []
        for name in self._processes.alive:
            try:
                now = await self.get(name, "/v1/status")
            except (NodeUnreachable, ApiError) as error:
                told.append(f"{name}: {error.code}")
            else:
                told.append(f"{name}: " + ", ".join(f"{key} {now[key]}" for key in ("height", "view", "waiting_for")))
        return "; ".join(told)

    async def wait_level(self, names: Sequence[str], *, within_s: float) -> float:
        """Seconds until these nodes have executed all that any client was told, and what others have now."""
        began = time.monotonic()
        heights = [int(str((await self.get(name, "/v1/status"))["exec_height"])) for name in names]
        goal = max([*heights, *(one.height for one in self.final.values())])
        while time.monotonic() < began + within_s:
            try:
                heights = [int(str((await self.get(name, "/v1/status"))["exec_height"])) for name in names]
            except (NodeUnreachable, ApiError):
                continue
            if min(heights) >= goal:
                return time.monotonic() - began
            await asyncio.sleep(0.1)
        raise AssertionError(f"not level at {goal} within {within_s:.0f} s: {await self.describe()}")


def _read_signer(directory: Path) -> KeySigner:
    seed = read_seed(directory, "officer")
    assert seed is not None, "the network was laid out a moment ago"
    return KeySigner(seed)
