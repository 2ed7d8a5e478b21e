"""One node's road of a transaction without a network: from a peer's frame to the saved row, in one process.

    ./dev bench path [--transactions N] [--batch B] [--block K] [--accounts A] [--json]

The rooms are the node's own (batch room, verifier, executor, store), on a real disk; only the peers and the engine are
missing. Times are processor times, so they bear company on the machine; memory is this process's resident size after
each tenth of the run, with the transactions themselves made on the way and forgotten.
"""

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from nacl.utils import random

from node.api.events import format_event
from node.config import load_config
from node.core import Core, read_clock_ms
from node.gossip.frames import decode_frame
from node.keystore import read_seed
from node.opening import open_everything
from node.setup import Testnet, make_testnet
from protocol.batch import Batch, BatchItem, BatchRef
from protocol.block import FIRST_EPOCH, Block, Header, calculate_batches_root
from protocol.certificate import Certificate, VoteKind
from protocol.codec import encode
from protocol.crypto import KeySigner, calculate_account_id, calculate_hash, check_signed
from protocol.ids import ZERO_DIGEST, BlockDigest, BoxKey, Day, Height, PublicKey, TimeMs, ValidatorIndex, View
from protocol.messages import PushBatch
from protocol.money import Amount, Currency
from protocol.transactions.accounts import AccountKind, AccountOpen
from protocol.transactions.envelope import Payload, TransactionBody, sign_transaction
from protocol.transactions.money import Mint, Transfer

CURRENCY: Final = Currency("CNY")
PEERS: Final = 64  # so that no peer's allowance of signatures is what is measured
REPORTS: Final = 10
YARDSTICKS: Final = 10
_SIGNER: Final = KeySigner(bytes(32))
_YARDSTICK: Final = (_SIGNER.public_key, _SIGNER.sign(bytes(170)) + bytes(170))


def read_resident_mb() -> float:
    """Resident memory of this process, MB of 10^6 bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


class Meter:
    """Processor microseconds by part: of the loop's thread, and of all other threads together."""

    def __init__(self) -> None:
        self.us: dict[str, float] = {}
        self._began = (0.0, 0.0)

    def begin(self) -> None:
        """Begin to count."""
        self._began = (time.thread_time(), time.process_time())

    def end(self, part: str) -> None:
        """Put what was used since `begin` to a part."""
        own, whole = time.thread_time() - self._began[0], time.process_time() - self._began[1]
        self.us[part] = self.us.get(part, 0.0) + own * 1e6
        self.us[part + ", other threads"] = self.us.get(part + ", other threads", 0.0) + max(0.0, whole - own) * 1e6

    def reset(self) -> None:
        """Forget everything counted."""
        self.us.clear()


class Actors:
    """Signs what the accounts of the run do."""

    def __init__(self, testnet: Testnet, accounts: int) -> None:
        self._chain_id = testnet.genesis.calculate_chain_id()
        self._issuer, self._clearing = (
            KeySigner(self._read(dict(testnet.authorities)[name])) for name in ("identity", "clearing")
        )
        self._today = testnet.genesis.calculate_day(TimeMs(read_clock_ms()), 480)
        self._people = [KeySigner(random(32)) for _ in range(accounts)]
        self._nonces: dict[PublicKey, int] = {}
        self._serial = 0

    @staticmethod
    def _read(directory: Path) -> bytes:
        seed = read_seed(directory, "officer")
        assert seed is not None, "laid out a moment ago"
        return seed

    def _sign(self, signer: KeySigner, payload: Payload, cosigners: tuple[KeySigner, ...] = ()) -> BatchItem:
        nonce = self._nonces.get(signer.public_key, 0)
        self._nonces[signer.public_key] = nonce + 1
        body = TransactionBody(
            version=1,
            chain_id=self._chain_id,
            sender=signer.public_key,
            nonce=nonce,
            valid_to_ms=TimeMs(read_clock_ms() + 86_400_000),
            payload=payload,
            cosigners=tuple(one.public_key for one in cosigners),
        )
        return BatchItem(transaction=sign_transaction(body, signer, cosigners))

    def make_openings(self) -> Iterator[BatchItem]:
        """Every account's opening and its money, in that order."""
        for one in self._people:
            account = AccountOpen(
                kind=AccountKind.PERSON,
                enc_key=BoxKey(random(32)),
                subject_tag=calculate_hash("bench-subject", one.public_key),
                level=2,
                expires_on=Day(self._today + 3_650),
            )
            yield self._sign(one, account, (self._issuer,))
            mint = Mint(
                to=calculate_account_id(one.public_key),
                currency=CURRENCY,
                amount=Amount(1_000_000_000),
                ext_ref=calculate_hash("bench-ref", one.public_key),
            )
            yield self._sign(self._clearing, mint)

    def make_transfers(self, count: int) -> list[BatchItem]:
        """The next transfers; senders take turns."""
        made: list[BatchItem] = []
        for _ in range(count):
            sender = self._people[self._serial % len(self._people)]
            recipient = self._people[(self._serial * 7 + 1) % len(self._people)]
            self._serial += 1
            payload = Transfer(
                to=calculate_account_id(recipient.public_key),
                currency=CURRENCY,
                amount=Amount(self._serial),
                memo_commit=ZERO_DIGEST,
            )
            made.append(self._sign(sender, payload))
        return made


class Road:
    """One node's rooms, fed with frames and blocks."""

    def __init__(self, core: Core, meter: Meter) -> None:
        self.core = core
        self.meter = meter
        self.executed = 0
        self.yard_us: list[float] = []
        self._height = core.executor.height
        self._time_ms = TimeMs(core.opened.ledger.time_ms)
        self._peers = [PublicKey(sha256(bytes((index,))).digest()) for index in range(PEERS)]
        self._turn = 0
        ledger = core.opened.ledger
        self._wrap(ledger, "execute", "execution")
        self._wrap_steps(ledger, "close_block", "commitment")

    def _wrap(self, owner: Any, name: str, part: str) -> None:
        inner, us = getattr(owner, name), self.meter.us

        def timed(*arguments: Any) -> Any:
            began = time.thread_time()
            given = inner(*arguments)
            us[part] = us.get(part, 0.0) + (time.thread_time() - began) * 1e6
            return given

        setattr(owner, name, timed)

    def _wrap_steps(self, owner: Any, name: str, part: str) -> None:
        inner, us = getattr(owner, name), self.meter.us

        def timed() -> Any:
            steps = inner()
            while True:
                began = time.thread_time()
                try:
                    next(steps)
                except StopIteration as end:
                    return end.value
                finally:
                    us[part] = us.get(part, 0.0) + (time.thread_time() - began) * 1e6
                yield

        setattr(owner, name, timed)

    async def take(self, frames: Sequence[bytes]) -> None:
        """Batches as peers push them, until all are held."""
        left = len(frames)
        done = asyncio.Event()

        def on_held() -> None:
            nonlocal left
            left -= 1
            if not left:
                done.set()

        self.core.batches._on_held = on_held
        self.meter.begin()
        for raw in frames:
            message = decode_frame(raw)
            assert isinstance(message, PushBatch), "made so"
            self._turn += 1
            self.core.batches.on_push(self._peers[self._turn % PEERS], message)
            await asyncio.sleep(0)
        await done.wait()
        self.meter.end("decoding and verification")

    async def order(self) -> None:
        """A block of all batches that are held, until it is saved."""
        refs = self.core.mempool.choose(())
        block = self._make_block(refs)
        finalization = Certificate(
            kind=VoteKind.FINALIZE, epoch=FIRST_EPOCH, view=View(1), digest=ZERO_DIGEST, signers=b"", signatures=()
        )
        self.core.mempool.on_ordered([ref.digest for ref in refs])
        self.meter.begin()
        self.core.executor.enqueue([block], finalization)
        await self.core.executor.wait_beyond(Height(self._height - 1), 60.0)
        self.meter.end("block, execution to save")
        self.executed += block.header.tx_count

    def _make_block(self, refs: Sequence[BatchRef]) -> Block:
        self._height = Height(self._height + 1)
        self._time_ms = TimeMs(max(read_clock_ms(), self._time_ms + 1))
        header = Header(
            version=1,
            chain_id=self.core.chain_id,
            epoch=FIRST_EPOCH,
            height=self._height,
            view=View(self._height),
            parent_digest=BlockDigest(ZERO_DIGEST),
            time_ms=self._time_ms,
            batches_root=calculate_batches_root(refs),
            batch_count=len(refs),
            tx_count=sum(ref.tx_count for ref in refs),
            exec_height=self.core.executor.height,
            exec_root=self.core.executor.exec_root,
            history_root=ZERO_DIGEST,
            next_validators_hash=ZERO_DIGEST,
            epoch_end=Height(0),
            params_hash=ZERO_DIGEST,
            proposer=ValidatorIndex(0),
        )
        return Block(header=header, batches=tuple(refs))

    def measure_yardstick(self) -> None:
        """One Ed25519 verification, now: cores that are shared are slower for everything alike."""
        began = time.thread_time()
        for _ in range(YARDSTICKS):
            assert check_signed(*_YARDSTICK), "made so"
        self.yard_us.append((time.thread_time() - began) * 1e6 / YARDSTICKS)

    async def stream(self) -> None:
        """Events of the last block as one subscriber gets them."""
        self.meter.begin()
        events = await self.core.opened.store.read_events(Height(self._height - 1), 2**53 - 1, 100_000)
        assert b"".join(format_event(one) for one in events), "a transfer is an event"
        self.meter.end("event stream of one subscriber")


async def run(asked: argparse.Namespace, directory: Path) -> dict[str, Any]:
    """Found a network of one, open the accounts, then measure."""
    testnet = make_testnet(directory, lenders=["lender0"], time_ms=TimeMs(read_clock_ms()), currency=CURRENCY)
    config = load_config(testnet.nodes[0].directory, environment={})
    meter, actors = Meter(), Actors(testnet, asked.accounts)
    memory: dict[str, float] = {}
    async with AsyncExitStack() as stack:
        core = Core(config, await open_everything(config, stack))
        stack.push_async_callback(core.verifier.close)
        tasks = [asyncio.create_task(room()) for room in (core.batches.run_intake, core.executor.run)]
        road = Road(core, meter)
        openings = list(actors.make_openings())
        for start in range(0, len(openings), 200):
            await road.take([encode(PushBatch(batch=Batch(items=tuple(openings[start : start + 200]))))])
            await road.order()
        meter.reset()
        road.executed = 0
        size_before = (testnet.nodes[0].directory / "ledger.sqlite").stat().st_size
        memory["0"] = round(read_resident_mb(), 1)
        while road.executed < asked.transactions:
            frames = [
                encode(PushBatch(batch=Batch(items=tuple(actors.make_transfers(asked.batch)))))
                for _ in range(asked.block // asked.batch)
            ]
            before = road.executed
            await road.take(frames)
            await road.order()
            road.measure_yardstick()
            if asked.stream:
                await road.stream()
            step = -(-asked.transactions // REPORTS)
            if before // step != road.executed // step:
                memory[str(road.executed)] = round(read_resident_mb(), 1)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await core._close_rooms()
    size = (testnet.nodes[0].directory / "ledger.sqlite").stat().st_size
    us = {part: spent / road.executed for part, spent in sorted(meter.us.items())}
    whole = sum(us[name] for name in us if name.startswith(("decoding", "block")))
    yard_us = statistics.fmean(road.yard_us)
    return {
        "transactions": road.executed,
        "batch": asked.batch,
        "block": asked.block,
        "accounts": asked.accounts,
        "us_of_a_verification": round(yard_us, 1),
        "us_per_transaction": {part: round(spent, 1) for part, spent in us.items()},
        "us_from_frame_to_save": round(whole, 1),
        "verifications_from_frame_to_save": round(whole / yard_us, 2),
        "verifications_per_transaction": {part: round(spent / yard_us, 3) for part, spent in us.items()},
        "transactions_per_core_second": round(1e6 / whole),
        "bytes_of_ledger_per_transaction": round((size - size_before) / road.executed),
        "resident_mb": memory,
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="./dev bench path", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--transactions", type=int, default=20_000, help="how many (default 20000)")
    parser.add_argument("--batch", type=int, default=25, help="transactions in a batch (default 25)")
    parser.add_argument("--block", type=int, default=300, help="transactions in a block (default 300)")
    parser.add_argument("--accounts", type=int, default=400, help="senders and recipients (default 400)")
    parser.add_argument("--stream", action="store_true", help="with one subscriber of the event stream")
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="bench-") as directory:
        report = asyncio.run(run(asked, Path(directory) / "network"))
    sys.stdout.write(json.dumps(report, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
