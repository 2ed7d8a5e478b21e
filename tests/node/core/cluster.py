"""A whole network in one process over real websockets on loopback, real files and real clocks, for tests of the core.

Each node is what `node.core` wires; only the face to clients is left out. Never replace a room by an imitation here.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from hashlib import sha256
from pathlib import Path

from node.api.ports import Busy, Submission
from node.config import load_config
from node.core import Core, read_clock_ms
from node.keystore import read_seed
from node.opening import open_everything
from node.setup import Testnet, make_testnet
from protocol.batch import BatchItem
from protocol.crypto import KeySigner, calculate_account_id
from protocol.genesis import DAY_MS, RULES_VERSION
from protocol.ids import AccountId, Digest, Height, PublicKey, TimeMs, TransactionId
from protocol.money import Amount, Currency
from protocol.transactions.envelope import Payload, TransactionBody, sign_transaction
from protocol.transactions.money import Mint, Transfer

LENDERS = ("ada", "bo", "cy", "di")
OBSERVER = "eye"
CURRENCY = Currency("CNY")


class Purse:
    """A key that signs transactions with nonces of its own."""

    def __init__(self, directory: Path, chain_id: bytes) -> None:
        seed = read_seed(directory, "officer")
        assert seed is not None
        self._signer = KeySigner(seed)
        self._chain_id = chain_id
        self._nonce = 0
        self.account: AccountId = calculate_account_id(self._signer.public_key)

    @property
    def key(self) -> PublicKey:
        """The public key."""
        return self._signer.public_key

    @property
    def nonce(self) -> int:
        """Of the next transaction."""
        return self._nonce

    def sign(self, payload: Payload) -> BatchItem:
        """The next transaction of this key."""
        body = TransactionBody(
            version=1,
            chain_id=self._chain_id,  # type: ignore[arg-type]
            sender=self._signer.public_key,
            nonce=self._nonce,
            valid_to_ms=TimeMs(read_clock_ms() + 3_600_000),
            payload=payload,
        )
        self._nonce += 1
        return BatchItem(transaction=sign_transaction(body, self._signer))

    def pay(self, to: AccountId, amount: int) -> BatchItem:
        """A transfer."""
        return self.sign(Transfer(to=to, currency=CURRENCY, amount=Amount(amount), memo_commit=Digest(bytes(32))))

    def mint(self, to: AccountId, amount: int) -> BatchItem:
        """New money, for the settlement agent alone."""
        reference = Digest(sha256(f"wire {self._nonce}".encode()).digest())
        return self.sign(Mint(to=to, currency=CURRENCY, amount=Amount(amount), ext_ref=reference))


class Cluster:
    """The running nodes of one testnet."""

    def __init__(self, testnet: Testnet) -> None:
        self.testnet = testnet
        self.chain_id = testnet.genesis.calculate_chain_id()
        self.nodes: dict[str, Core] = {}
        self.rules_known: dict[str, int] = {}
        """By node: the newest rules that its software knows, where that is not this release's."""
        self._stacks: dict[str, AsyncExitStack] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self.purses = {
            name: Purse(testnet.directory / name, self.chain_id)
            for name in (*LENDERS, OBSERVER, "authorities/clearing")
        }
        self.agent = self.purses["authorities/clearing"]

    async def start(self, *names: str) -> None:
        """Start nodes over whatever their directories hold."""
        for name in names:
            stack = AsyncExitStack()
            config = load_config(self.testnet.directory / name, environment={})
            known = self.rules_known.get(name, RULES_VERSION)
            try:
                core = Core(config, await open_everything(config, stack, rules_known=known))
                await core.start(stack)
            except BaseException:
                await stack.aclose()
                raise
            self.nodes[name], self._stacks[name] = core, stack
            self._tasks[name] = asyncio.create_task(core.run())

    async def stop(self, *names: str) -> None:
        """End nodes at once, without draining anything. Raises what a node failed with."""
        for name in names:
            task = self._tasks.pop(name)
            failed = task.done() and not task.cancelled()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await self._stacks.pop(name).aclose()
            del self.nodes[name]
            if failed:
                await task

    async def submit(self, name: str, *items: BatchItem) -> list[TransactionId]:
        """Submit at one node, which may just have started; everything must be accepted."""
        answers = await self.ask(name, *items)
        assert all(answer.status == "accepted" for answer in answers), answers
        return [answer.id for answer in answers if answer.id is not None]

    async def ask(self, name: str, *items: BatchItem, timeout_s: float = 30.0) -> list[Submission]:
        """What one node's door says as soon as it knows where the network stands."""
        async with asyncio.timeout(timeout_s):
            while True:
                try:
                    return await self.nodes[name].door.submit(items)
                except Busy as busy:
                    if busy.reason not in ("starting", "isolated", "syncing"):
                        raise
                await asyncio.sleep(0.02)

    async def finish(self, name: str, ids: Sequence[TransactionId], timeout_s: float = 30.0) -> None:
        """Return when all these are executed and saved at a node."""
        async with asyncio.timeout(timeout_s):
            for one in ids:
                stored = await self.nodes[name].executor.wait_final(one, timeout_s)
                assert stored is not None, f"{name} did not save a transaction in {timeout_s} s: {self.describe()}"

    async def meet(self, height: int | None = None, timeout_s: float = 30.0) -> Height:
        """Return the height that all running nodes have saved, once it is at least the highest of now."""
        target = Height(max(core.executor.height for core in self.nodes.values()) if height is None else height)
        for name, core in self.nodes.items():
            reached = await core.executor.wait_beyond(Height(target - 1), timeout_s)
            assert reached >= target, f"{name} stands at {reached}, not {target}: {self.describe()}"
        return target

    async def read_roots(self, height: Height) -> set[Digest]:
        """The exec_roots that running nodes saved for a height."""
        rows = [await core.opened.store.read_exec_rows(height, height) for core in self.nodes.values()]
        assert all(len(one) == 1 for one in rows)
        return {one[0].exec_root for one in rows}

    def describe(self) -> str:
        """Where every node stands, for a failed assertion."""
        return "; ".join(
            f"{name}: view {core.engine.view} final {core.tip.height} executed {core.executor.height}"
            f" pool {core.mempool.transactions} links {len(core.gossip.get_connected())} {core.driver.silenced}"
            for name, core in self.nodes.items()
        )


@asynccontextmanager
async def cluster(
    directory: Path, *, start: Sequence[str] = (*LENDERS, OBSERVER), day_ms: int = DAY_MS
) -> AsyncIterator[Cluster]:
    """A new network of four validators and an observer, with these nodes started."""
    testnet = make_testnet(
        directory / "net",
        lenders=LENDERS,
        observers=(OBSERVER,),
        time_ms=TimeMs(read_clock_ms()),
        day_ms=day_ms,
        currency=CURRENCY,
    )
    here = Cluster(testnet)
    try:
        await here.start(*start)
        yield here
    finally:
        await here.stop(*list(here.nodes))
