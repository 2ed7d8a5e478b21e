"""A local network of separate processes under load: finalised transactions per second, latency, processor, memory.

    ./dev bench network [--validators N] [--seconds S] [--rate R] [--dead K] [--json]

Open loop: pre-signed `Transfer` transactions are submitted at a fixed rate, in groups, over one connection per node,
whether or not earlier ones are final. Latency runs from the instant a group was due until a node's event stream says
that its block is executed and saved. Signatures, execution and fsync are always on; everything is on loopback.
"""

import argparse
import asyncio
import contextlib
import json
import os
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from nacl.utils import random
from rich.console import Console
from rich.table import Table

from node.client.http import ApiError, NodeClient
from node.client.wallet import Intent, Wallet
from node.demo.network import LocalNetwork
from node.keystore import read_seed
from node.setup import make_testnet
from protocol.batch import BatchItem
from protocol.crypto import KeySigner, calculate_hash
from protocol.ids import BoxKey, Day, TimeMs
from protocol.money import Amount, Currency
from protocol.transactions.accounts import AccountKind

CURRENCY: Final = Currency("CNY")
ACCOUNTS: Final = 400  # each may have 256 transfers under way: the nonce window never limits the load
CASH: Final = Amount(1_000_000_000_000)
SET_UP_GROUP: Final = 100
GROUP_EVERY_S: Final = 0.05  # what a gateway collects before it submits
LONE_ROUNDS: Final = 20
LONE_PAUSE_S: Final = 0.15  # long enough for the empty block that carries the last root
IDLE_S: Final = 10.0
SETTLE_S: Final = 2.0
DRAIN_S: Final = 15.0
LEDGER_FILES: Final = ("ledger.sqlite", "ledger.sqlite-wal", "votes.wal", "payload.log")
TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")


def read_now_ms() -> TimeMs:
    """Wall-clock milliseconds."""
    return TimeMs(time.time_ns() // 1_000_000)


def read_cpu_s(pid: int) -> float:
    """Processor seconds a process has used, all its threads, user and system (proc(5), stat fields 14 and 15)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def read_peak_mb(pid: int) -> float:
    """Highest resident memory so far, MB of 10^6 bytes (proc(5), VmHWM)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return round(int(line.split()[1]) * 1024 / 1e6, 1)
    raise LookupError(f"process {pid} has no VmHWM")


def read_written_bytes(pid: int) -> int:
    """Bytes a process has caused to be written to the disk (proc(5), io)."""
    for line in Path(f"/proc/{pid}/io").read_text().splitlines():
        if line.startswith("write_bytes:"):
            return int(line.split()[1])
    raise LookupError(f"process {pid} has no write_bytes")


def pick(values: Sequence[float], percent: int) -> float | None:
    """Nearest-rank percentile, one decimal; None of nothing."""
    ordered = sorted(values)
    return round(ordered[max(0, -(-len(ordered) * percent // 100) - 1)], 1) if ordered else None


class Actors:
    """Accounts with money, and transfers between them, each known by its amount, which is used once."""

    def __init__(self, network: LocalNetwork) -> None:
        testnet = network.testnet
        self.chain_id = testnet.genesis.calculate_chain_id()
        authorities = dict(testnet.authorities)
        self.issuer, clearing = (self._signer(authorities[name]) for name in ("identity", "clearing"))
        self.clearing = Wallet(clearing, self.chain_id, nonce_next=0, now_ms=read_now_ms)
        self.today = Day(testnet.genesis.calculate_day(read_now_ms(), 480))
        self.wallets = [
            Wallet(KeySigner(random(32)), self.chain_id, nonce_next=0, now_ms=read_now_ms) for _ in range(ACCOUNTS)
        ]
        self.serial = 0

    @staticmethod
    def _signer(directory: Path) -> KeySigner:
        seed = read_seed(directory, "officer")
        assert seed is not None, "the network was laid out a moment ago"
        return KeySigner(seed)

    async def open(self, client: NodeClient) -> None:
        """Open the accounts and give each its cash."""
        for start in range(0, ACCOUNTS, SET_UP_GROUP):
            some = self.wallets[start : start + SET_UP_GROUP]
            await must(client, [self._make_account(one) for one in some])
            await must(client, [self._make_cash(one) for one in some])

    def _make_account(self, wallet: Wallet) -> Intent:
        return wallet.open_account(
            issuer=self.issuer,
            kind=AccountKind.PERSON,
            enc_key=BoxKey(random(32)),
            subject_tag=calculate_hash("bench-subject", wallet.public_key),
            level=2,
            expires_on=Day(self.today + 3_650),
        )

    def _make_cash(self, wallet: Wallet) -> Intent:
        reference = calculate_hash("bench-ref", wallet.public_key)
        return self.clearing.mint(to=wallet.account, currency=CURRENCY, amount=CASH, ext_ref=reference)

    def make_transfers(self, count: int) -> list[tuple[int, BatchItem]]:
        """(amount, item) of the next transfers, signed; senders take turns."""
        made: list[tuple[int, BatchItem]] = []
        for _ in range(count):
            sender = self.wallets[self.serial % ACCOUNTS]
            recipient = self.wallets[(self.serial * 7 + 1) % ACCOUNTS]
            self.serial += 1
            intent = sender.transfer(to=recipient.account, currency=CURRENCY, amount=Amount(self.serial))
            made.append((self.serial, intent.item))
        return made


async def must(client: NodeClient, intents: Sequence[Intent]) -> None:
    """Submit what has to succeed, and wait until it is final."""
    for result in await client.submit([one.item for one in intents], wait_final=True):
        if result.status != "finalised":
            raise RuntimeError(f"setting up failed: {result.status} {result.rejection}")


class Watcher:
    """Notes when each transfer's event arrives, by its amount."""

    def __init__(self) -> None:
        self.seen_s: dict[int, float] = {}
        self.twice = 0
        self.expected = 0
        self.done = asyncio.Event()

    async def run(self, client: NodeClient, after: str) -> None:
        """Follow one node's stream until cancelled."""
        async for event in client.stream_events(after):
            if event["kind"] != "transferred":
                continue
            serial = int(event["data"]["amount"])
            self.twice += serial in self.seen_s
            self.seen_s[serial] = time.perf_counter()
            if self.expected and len(self.seen_s) >= self.expected:
                self.done.set()


class Load:
    """Open-loop submission of groups, each at its due time, one connection per node."""

    def __init__(self) -> None:
        self.due_s: dict[int, float] = {}
        self.busy = 0
        self.refused: dict[str, int] = {}

    async def run(
        self, clients: Sequence[NodeClient], groups: Sequence[list[tuple[int, BatchItem]]], step_s: float
    ) -> None:
        """Submit group i at i * step_s, at node i mod len(clients)."""
        began = time.perf_counter()
        lanes = [
            [(began + i * step_s, groups[i]) for i in range(lane, len(groups), len(clients))]
            for lane in range(len(clients))
        ]
        await asyncio.gather(*(self._run_lane(client, lane) for client, lane in zip(clients, lanes, strict=True)))

    async def _run_lane(self, client: NodeClient, lane: Sequence[tuple[float, list[tuple[int, BatchItem]]]]) -> None:
        for due_s, group in lane:
            wait_s = due_s - time.perf_counter()
            if wait_s > 0:
                await asyncio.sleep(wait_s)
            self.due_s.update((serial, due_s) for serial, _ in group)
            try:
                results = await client.submit([item for _, item in group])
            except ApiError as error:
                if error.code != "busy":
                    raise
                self.busy += len(group)
                for serial, _ in group:
                    del self.due_s[serial]
                continue
            for (serial, _), result in zip(group, results, strict=True):
                if result.status == "rejected":
                    assert result.rejection is not None, "a rejected result says why"
                    self.refused[result.rejection.code] = self.refused.get(result.rejection.code, 0) + 1
                    del self.due_s[serial]


class Meter:
    """What the nodes' processes use, between two marks."""

    def __init__(self, network: LocalNetwork, names: Sequence[str]) -> None:
        self._network = network
        self.names = tuple(names)
        self.pids = {name: network.get_pid(name) for name in names}
        self.mark()

    def mark(self) -> None:
        """Begin to count."""
        self._began = time.perf_counter()
        self._cpu = {name: read_cpu_s(pid) for name, pid in self.pids.items()}
        self._own = read_cpu_s(os.getpid())
        self._written = {name: read_written_bytes(pid) for name, pid in self.pids.items()}
        self._sizes = {name: self._measure_files(name) for name in self.names}

    def _measure_files(self, name: str) -> dict[str, int]:
        directory = self._network.get_place(name).directory
        return {one: (directory / one).stat().st_size for one in LEDGER_FILES if (directory / one).exists()}

    def read_cpu(self) -> dict[str, float]:
        """Processor seconds since the mark, by node."""
        return {name: round(read_cpu_s(pid) - self._cpu[name], 3) for name, pid in self.pids.items()}

    def read_own_cpu(self) -> float:
        """Processor seconds of the load generator since the mark."""
        return round(read_cpu_s(os.getpid()) - self._own, 3)

    def read_seconds(self) -> float:
        """Seconds since the mark."""
        return time.perf_counter() - self._began

    def read_peak(self) -> dict[str, float]:
        """Peak memory in MB since the start of each node."""
        return {name: read_peak_mb(pid) for name, pid in self.pids.items()}

    def read_written(self) -> float:
        """Bytes written to the disk since the mark, mean of the nodes."""
        return statistics.fmean(read_written_bytes(pid) - self._written[name] for name, pid in self.pids.items())

    def read_growth(self) -> dict[str, float]:
        """Bytes each file has grown since the mark, mean of the nodes."""
        grown = [(self._measure_files(name), self._sizes[name]) for name in self.names]
        return {
            one: statistics.fmean(now.get(one, 0) - before.get(one, 0) for now, before in grown) for one in LEDGER_FILES
        }


async def measure_idle(meter: Meter) -> dict[str, Any]:
    """Share of one core each node uses while nothing happens."""
    await asyncio.sleep(SETTLE_S)
    meter.mark()
    await asyncio.sleep(IDLE_S)
    share = {name: round(100 * used / meter.read_seconds(), 2) for name, used in meter.read_cpu().items()}
    return {"seconds": IDLE_S, "cpu_percent_per_node": share, "cpu_percent_max": max(share.values())}


async def measure_lone(clients: Sequence[NodeClient], actors: Actors) -> dict[str, Any]:
    """Submit one transaction at a time to an idle network, at each node in turn, and wait for it."""
    took: list[float] = []
    for index, (_, item) in enumerate(actors.make_transfers(LONE_ROUNDS)):
        await asyncio.sleep(LONE_PAUSE_S)
        began = time.perf_counter()
        (result,) = await clients[index % len(clients)].submit([item], wait_final=True)
        took.append((time.perf_counter() - began) * 1000)
        if result.status != "finalised":
            raise RuntimeError(f"a lone transaction was {result.status}")
    return {"rounds": len(took), "p50_ms": pick(took, 50), "p95_ms": pick(took, 95), "max_ms": pick(took, 100)}


async def measure_load(
    clients: Sequence[NodeClient], actors: Actors, meter: Meter, *, rate: int, seconds: int
) -> dict[str, Any]:
    """The load itself, from the first submission until the last transaction is final."""
    transfers = actors.make_transfers(rate * seconds)
    count = max(1, round(rate * GROUP_EVERY_S / len(clients)))
    groups = [transfers[start : start + count] for start in range(0, len(transfers), count)]
    height = (await clients[0].get("/v1/status"))["exec_height"]
    watcher, load = Watcher(), Load()
    watching = asyncio.create_task(watcher.run(clients[0], f"{height}-{2**53 - 1}"))
    meter.mark()
    began = time.perf_counter()
    try:
        await load.run(clients, groups, count / rate)
        submitted_s = time.perf_counter() - began
        backlog = len(load.due_s) - len(watcher.seen_s)
        watcher.expected = len(load.due_s)
        if len(watcher.seen_s) < watcher.expected:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(watcher.done.wait(), DRAIN_S)
        if watching.done():
            await watching
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
    final = [serial for serial in load.due_s if serial in watcher.seen_s]
    took = [(watcher.seen_s[serial] - load.due_s[serial]) * 1000 for serial in final]
    elapsed_s = max(watcher.seen_s.values(), default=began) - began
    cpu, own = meter.read_cpu(), meter.read_own_cpu()
    blocks = (await clients[0].get("/v1/status"))["exec_height"] - height
    each = max(1, len(final))
    return {
        "rate_asked": rate,
        "group": count,
        "submitted": len(load.due_s),
        "submit_seconds": round(submitted_s, 2),
        "backlog_at_end_of_submission": backlog,
        "busy": load.busy,
        "refused": load.refused,
        "finalised": len(final),
        "lost": len(load.due_s) - len(final),
        "executed_twice": watcher.twice,
        "seconds_to_last": round(elapsed_s, 2),
        "finalised_per_s": round(len(final) / elapsed_s, 1) if final else 0.0,
        "latency_ms": {f"p{percent}": pick(took, percent) for percent in (50, 95, 99)},
        "blocks": blocks,
        "cpu_seconds_per_node": cpu,
        "cpu_us_per_transaction_per_node": round(statistics.fmean(cpu.values()) * 1e6 / each, 1),
        "cpu_seconds_of_load_generator": own,
        "machine_cpu_share": round((sum(cpu.values()) + own) / (meter.read_seconds() * (os.cpu_count() or 1)), 2),
        "peak_memory_mb_per_node": meter.read_peak(),
        "bytes_written_per_transaction": round(meter.read_written() / each),
        "file_growth_per_transaction": {one: round(grown / each, 1) for one, grown in meter.read_growth().items()},
        "bytes_of_signed_transaction": len(transfers[0][1].transaction),
    }


async def check_agreement(clients: Sequence[NodeClient]) -> bool:
    """Whether all nodes come to stand at one height with one root."""
    for _ in range(100):
        states = [await client.get("/v1/status") for client in clients]
        if len({(one["exec_height"], one["exec_root"]) for one in states}) == 1:
            return True
        await asyncio.sleep(0.1)
    return False


async def run(asked: argparse.Namespace, directory: Path, console: Console) -> dict[str, Any]:
    """Found the network, measure, and end every process."""
    names = [f"lender{index}" for index in range(asked.validators)]
    testnet = make_testnet(directory, lenders=names, time_ms=read_now_ms(), currency=CURRENCY)
    live = names[: asked.validators - asked.dead]
    report: dict[str, Any] = {
        "validators": asked.validators,
        "dead": asked.dead,
        "cores": os.cpu_count(),
        "python": sys.version.split()[0],
        "load_average_before": round(os.getloadavg()[0], 2),
    }
    async with contextlib.AsyncExitStack() as stack:
        network = await stack.enter_async_context(LocalNetwork(testnet))
        await network.start(names)
        clients = [await stack.enter_async_context(NodeClient(network.get_url(name))) for name in live]
        actors = Actors(network)
        await actors.open(clients[0])
        for name in names[len(live) :]:
            await network.kill(name)
        meter = Meter(network, live)
        if not asked.load_only:
            console.print(f"{len(live)} of {len(names)} nodes run; idle for {SETTLE_S + IDLE_S:.0f} s ...")
            report["idle"] = await measure_idle(meter)
            report["lone"] = await measure_lone(clients, actors)
        console.print(f"Submitting {asked.rate} transactions per second for {asked.seconds} s ...")
        report["load"] = await measure_load(clients, actors, meter, rate=asked.rate, seconds=asked.seconds)
        report["nodes_agree"] = await check_agreement(clients)
    return report


def print_table(report: dict[str, Any]) -> None:
    """One table for people."""
    load = report["load"]
    rows: list[tuple[str, str]] = [
        ("network", f"{report['validators']} validators, {report['dead']} dead, {report['cores']} cores"),
        ("load average before", str(report["load_average_before"])),
    ]
    if "idle" in report:
        rows.append(("idle, share of one core", f"{report['idle']['cpu_percent_max']} % (busiest node)"))
        lone = report["lone"]
        rows.append(("lone transaction", f"p50 {lone['p50_ms']} ms, p95 {lone['p95_ms']} ms"))
    latency = load["latency_ms"]
    rows += [
        ("asked", f"{load['rate_asked']} tx/s in groups of {load['group']}"),
        (
            "finalised and executed",
            f"{load['finalised_per_s']} tx/s ({load['finalised']} in {load['seconds_to_last']} s)",
        ),
        ("latency", f"p50 {latency['p50']} ms, p95 {latency['p95']} ms, p99 {latency['p99']} ms"),
        ("busy / refused / lost", f"{load['busy']} / {sum(load['refused'].values())} / {load['lost']}"),
        ("executed twice", str(load["executed_twice"])),
        ("blocks", str(load["blocks"])),
        ("processor per transaction", f"{load['cpu_us_per_transaction_per_node']} us at each node"),
        ("processor, whole machine", f"{100 * load['machine_cpu_share']:.0f} % by nodes and load generator"),
        ("peak memory", f"{max(load['peak_memory_mb_per_node'].values())} MB (largest node)"),
        ("written to disk", f"{load['bytes_written_per_transaction']} bytes per transaction at each node"),
        ("ledger.sqlite", f"{load['file_growth_per_transaction']['ledger.sqlite']} bytes per transaction"),
        ("nodes agree", "yes" if report["nodes_agree"] else "NO"),
    ]
    table = Table(box=None, show_header=False, pad_edge=False)
    for name, value in rows:
        table.add_row(name, value)
    Console(highlight=False, soft_wrap=True).print(table)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="./dev bench network", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--validators", type=int, default=4, help="processes that vote (default 4)")
    parser.add_argument("--seconds", type=int, default=15, help="how long to submit (default 15)")
    parser.add_argument("--rate", type=int, default=500, help="transactions per second, all nodes (default 500)")
    parser.add_argument("--dead", type=int, default=0, help="validators to kill before measuring (default 0)")
    parser.add_argument("--load-only", action="store_true", help="leave out the idle and lone-transaction parts")
    parser.add_argument("--data-dir", type=Path, default=None, help="keep the nodes' data here (must not exist)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    asked = parser.parse_args(arguments)
    if not 1 <= asked.validators <= 32 or not 0 <= asked.dead <= (asked.validators - 1) // 3:
        parser.error("1 to 32 validators, of which fewer than a third may be dead")
    if not 1 <= asked.seconds <= 600 or not 1 <= asked.rate <= 20_000:
        parser.error("1 to 600 seconds, 1 to 20000 transactions per second")
    return asked


async def _run_bounded(asked: argparse.Namespace, directory: Path, console: Console) -> dict[str, Any]:
    task = asyncio.current_task()
    assert task is not None, "run by asyncio.run"
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)  # so that the nodes end with it
    async with asyncio.timeout(120 + 3 * asked.seconds):
        return await run(asked, directory, console)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print. Returns 1 when a transaction was lost or executed twice, or when the nodes disagree."""
    asked = parse(arguments)
    console = Console(stderr=True, highlight=False)
    with contextlib.ExitStack() as stack:
        directory = asked.data_dir or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        try:
            report = asyncio.run(_run_bounded(asked, directory / "network", console))
        except (KeyboardInterrupt, asyncio.CancelledError):
            console.print("Stopped; all nodes have ended.")
            return 130
    if asked.json:
        sys.stdout.write(json.dumps(report, indent=1) + "\n")
    else:
        print_table(report)
    sound = report["nodes_agree"] and not report["load"]["lost"] and not report["load"]["executed_twice"]
    return 0 if sound else 1


if __name__ == "__main__":
    sys.exit(main())
