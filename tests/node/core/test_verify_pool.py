"""Worker processes that verify signatures: the loop's verdicts; a node outlives them, and they never outlive it."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
import structlog

from node import verifypool
from node.verifier import Verdict, Verifier
from node.verifypool import choose_processes
from protocol.batch import BatchItem
from protocol.codec import encode
from protocol.crypto import KeySigner
from protocol.ids import ChainId, Signature
from protocol.rejections import Rejection
from protocol.transactions.envelope import (
    Cosignature,
    SignedTransaction,
    Transaction,
    check_stateless,
    sign_transaction,
)
from tests.node.core.chaintools import CHAIN, SENDER, make_item, make_transaction, until

OTHERS = tuple(sorted((KeySigner(bytes([i]) * 32) for i in (1, 2)), key=lambda one: one.public_key))


def make_together(*, named: bool = True, forged: bool = False) -> BatchItem:
    """A transfer that two more sign; by keys its body does not name, or with one signature of nothing."""
    names = tuple(one.public_key for one in OTHERS)
    body = msgspec.structs.replace(make_transaction(make_item(1)).body, cosigners=names if named else ())
    if named and not forged:
        return BatchItem(transaction=sign_transaction(body, SENDER, OTHERS))
    raw = encode(body)
    message = b"LST1" + raw
    signatures = [one.sign(message) for one in OTHERS]
    if forged:
        signatures[1] = Signature(bytes(64))
    cosignatures = tuple(
        Cosignature(key=one.public_key, signature=s) for one, s in zip(OTHERS, signatures, strict=True)
    )
    signed = SignedTransaction(body=raw, signature=SENDER.sign(message), cosignatures=cosignatures)
    return BatchItem(transaction=encode(signed))


def make_forged(nonce: int) -> BatchItem:
    """A transfer whose signature is of another one."""
    signed = msgspec.msgpack.decode(make_item(nonce).transaction, type=SignedTransaction)
    other = msgspec.msgpack.decode(make_item(nonce + 1).transaction, type=SignedTransaction)
    return BatchItem(transaction=encode(msgspec.structs.replace(signed, signature=other.signature)))


@asynccontextmanager
async def working(count: int = 2) -> AsyncIterator[Verifier]:
    """A verifier whose worker processes have started."""
    verifier = Verifier(CHAIN, processes=count)
    try:
        await verifier.check([make_item(10_000 + i) for i in range(20)])
        await until(
            lambda: verifier.pool is not None and len(verifier.pool.pids) == count,
            timeout_s=30.0,
            what="workers started",
        )
        yield verifier
    finally:
        await verifier.close()


def pids_of(verifier: Verifier) -> tuple[int, ...]:
    """The worker processes of a verifier."""
    assert verifier.pool is not None
    return verifier.pool.pids


def is_alive(pid: int) -> bool:
    """Whether a process runs: one that waits to be reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def test_worker_processes_give_the_verdicts_of_the_loop() -> None:
    """Good, forged, of another chain, garbage, with co-signers right and wrong: each as `check_stateless` says."""
    items = [make_item(i) for i in range(700)]
    items[3] = make_item(3, chain=ChainId(bytes(32)))
    items[5] = make_forged(5)
    items[600] = make_forged(600)
    items[7] = BatchItem(transaction=b"\xc1")
    items += [make_together(), make_together(named=False), make_together(forged=True)]
    async with working() as verifier:
        verdicts = await verifier.check(items)
        assert pids_of(verifier), "nothing broke"
        again = await verifier.check(items[:1])
    expected: list[Verdict] = [check_stateless(item, CHAIN) for item in items]
    assert verdicts == expected
    kinds = {one for one in verdicts if isinstance(one, Rejection)}
    assert kinds == {
        Rejection.WRONG_CHAIN,
        Rejection.SIGNATURE_INVALID,
        Rejection.MALFORMED,
        Rejection.COSIGNATURE_INVALID,
    }
    assert isinstance(verdicts[-3], Transaction)
    assert again[0] is verdicts[0], "remembered"


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
async def test_a_worker_that_dies_or_hangs_costs_one_line_of_log(
    how: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The node answers all the same, by itself, and starts them anew after a rest."""
    monkeypatch.setattr(verifypool, "JOB_TIMEOUT_S", 0.5)
    async with working() as verifier:
        lost = pids_of(verifier)
        with structlog.testing.capture_logs() as told:
            os.kill(lost[0], how)
            checks = [verifier.check([make_item(1_000 * k + i) for i in range(300)]) for k in range(3)]
            for verdicts in await asyncio.gather(*checks):
                assert all(isinstance(one, Transaction) for one in verdicts)
            assert pids_of(verifier) == ()
            await verifier.check([make_item(5_000 + i) for i in range(20)])
            await asyncio.sleep(0.4)
            assert pids_of(verifier) == (), "it rests"
        assert [line["event"] for line in told] == ["verifiers_lost"]
        monkeypatch.setattr(verifypool, "REST_S", 0.0)
        await verifier.close()
        await until(lambda: not any(map(is_alive, lost)), what="the lost ones have ended")


async def test_workers_come_back_after_their_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """With new processes, which verify as the old ones did."""
    monkeypatch.setattr(verifypool, "REST_S", 0.0)
    async with working() as verifier:
        lost = pids_of(verifier)
        os.kill(lost[1], signal.SIGKILL)
        await verifier.check([make_item(i) for i in range(600)])
        await verifier.check([make_item(1_000 + i) for i in range(20)])
        await until(lambda: len(pids_of(verifier)) == 2, what="started anew")
        assert not set(pids_of(verifier)) & set(lost)
        verdicts = await verifier.check([make_item(2_000 + i) for i in range(300)] + [make_forged(3_000)])
        assert verdicts[-1] is Rejection.SIGNATURE_INVALID
        assert pids_of(verifier)


async def test_a_node_that_cannot_start_workers_verifies_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """No such program, no process left: one line of log, and every verdict."""
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    verifier = Verifier(CHAIN, processes=1)
    with structlog.testing.capture_logs() as told:
        for k in range(3):
            verdicts = await verifier.check([make_item(100 * k + i) for i in range(20)])
            assert all(isinstance(one, Transaction) for one in verdicts)
            await asyncio.sleep(0.05)
        await verifier.close()
    assert [line["event"] for line in told] == ["verifiers_lost"]


async def test_workers_end_with_the_node_however_it_ends() -> None:
    """Killed without a word, it leaves no process behind: their input ends."""
    script = (
        "import asyncio\n"
        "from node.verifier import Verifier\n"
        "from tests.node.core.chaintools import CHAIN, make_item\n"
        "import itertools\n"
        "nonces = itertools.count()\n"
        "async def main():\n"
        "    verifier = Verifier(CHAIN, processes=2)\n"
        "    while len(verifier.pool.pids) < 2:\n"
        "        await verifier.check([make_item(next(nonces)) for _ in range(20)])\n"
        "        await asyncio.sleep(0.01)\n"
        "    print(*verifier.pool.pids, flush=True)\n"
        "    await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    root = Path(__file__).parents[3]
    node = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, stdout=asyncio.subprocess.PIPE, cwd=root, start_new_session=True
    )
    assert node.stdout is not None
    line = await asyncio.wait_for(node.stdout.readline(), 30)
    pids = [int(one) for one in line.split()]
    assert len(pids) == 2
    assert all(map(is_alive, pids))
    for pid in pids:
        os.kill(pid, signal.SIGTERM)  # what a service manager sends to everybody: theirs is not to answer it
    await asyncio.sleep(0.1)
    assert all(map(is_alive, pids))
    node.kill()
    await node.wait()
    await until(lambda: not any(map(is_alive, pids)), what="workers of a dead node")


async def test_closing_ends_the_workers() -> None:
    """At once, and reaped."""
    async with working() as verifier:
        pids = pids_of(verifier)
    assert not any(map(is_alive, pids))
    assert await verifier.check([make_item(i) for i in range(20)])
    assert pids_of(verifier) == (), "none is started after the end"


def test_processes_are_chosen_by_the_cores() -> None:
    """None where they would stand in the node's own way; what is set counts as it is."""
    assert [choose_processes(-1, cores) for cores in (1, 2, 3, 4, 6, 64)] == [0, 0, 1, 2, 4, 4]
    assert choose_processes(0, 64) == 0
    assert choose_processes(3, 1) == 3
