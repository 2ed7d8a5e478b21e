"""A validator that signs two things that exclude each other is convicted by the ledger, reported by who saw it."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from consensus.effects import ReportEvidence
from node.api.ports import Submission
from node.client.wallet import Wallet
from node.core import Core, read_clock_ms
from node.evidence import EvidenceDesk, EvidenceRoom
from node.store.chain import StoredTransaction
from protocol.batch import BatchItem
from protocol.certificate import Vote, VoteKind, calculate_vote_bytes
from protocol.ids import BlockDigest, Epoch, PublicKey, TimeMs, TransactionId, ValidatorIndex, View
from protocol.ledger.execute import Ledger
from protocol.ledger.rows import Role
from protocol.ledger.state import ACCOUNTS, CONVICTIONS
from protocol.messages import Certificate, Propose
from tests.node.core.chaintools import until
from tests.node.core.cluster import LENDERS, Cluster, cluster
from tests.node.core.test_epochs import pay
from tests.node.core.test_guard import Seat, make_proposal
from tests.node.core.test_guard import make_vote as make_own_vote

OTHER = BlockDigest(b"\x5a" * 32)


class Port:
    """A node as its evidence room sees it."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self.submitted = 0

    @property
    def ledger(self) -> Ledger:
        return self._core.opened.ledger

    async def submit(self, items: Sequence[BatchItem]) -> list[Submission]:
        self.submitted += len(items)
        return await self._core.door.submit(items)

    async def wait_final(self, transaction_id: TransactionId, timeout_s: float) -> StoredTransaction | None:
        return await self._core.executor.wait_final(transaction_id, timeout_s)


@asynccontextmanager
async def rooms(net: Cluster, names: Sequence[str]) -> AsyncIterator[dict[str, Port]]:
    """Evidence rooms beside these nodes, with their attester keys."""
    ports = {name: Port(net.nodes[name]) for name in names}
    tasks = []
    for name, port in ports.items():
        signer = net.nodes[name].opened.keys.attester
        assert signer is not None
        wallet = Wallet(signer, net.chain_id, nonce_next=0, now_ms=lambda: TimeMs(read_clock_ms()))
        room = EvidenceRoom(desk=net.nodes[name].evidence, port=port, wallet=wallet)
        tasks.append(asyncio.create_task(room.run()))
    try:
        yield ports
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def let_equivocate(core: Core) -> None:
    """From now on this validator notarizes two blocks in every view: what it saw, and one that nobody proposed."""
    say = core.duties.broadcast
    signer = core.opened.signers[0]

    def say_twice(message: Propose | Vote | Certificate) -> None:
        say(message)
        if isinstance(message, Vote) and message.kind is VoteKind.NOTARIZE:
            said = calculate_vote_bytes(message.kind, core.chain_id, Epoch(message.epoch), View(message.view), OTHER)
            say(msgspec.structs.replace(message, digest=OTHER, signature=signer.sign(said)))

    core.duties.broadcast = say_twice  # type: ignore[method-assign]


async def test_an_equivocating_validator_is_convicted_once_and_the_network_goes_on(tmp_path: Path) -> None:
    """Its peers saw two signatures; one transaction convicts the key everywhere, its vote is gone, blocks go on."""
    async with cluster(tmp_path, start=LENDERS) as net, rooms(net, ("ada", "bo", "cy")) as ports:
        await pay(net, "ada", seen_by=LENDERS)
        liar = net.nodes["di"]
        key = liar.opened.signers[0].public_key
        let_equivocate(liar)
        for _ in range(3):
            await pay(net, "ada")
        books = [net.nodes[name].opened.ledger.books for name in LENDERS]
        await until(lambda: all(one.state.get(CONVICTIONS, key) is not None for one in books), 20.0, "a conviction")
        account = net.purses["di"].account
        roles = {int(one.state.need(ACCOUNTS, account).roles) for one in books}
        assert all(not role & Role.VALIDATOR for role in roles)
        assert sum(bool(net.nodes[name].evidence._known) for name in ports) > 1, "more than one could have spoken"
        for _ in range(4):
            await pay(net, "bo", seen_by=("ada", "cy"))
        await asyncio.sleep(3.5)  # every turn has come by now
        assert sum(port.submitted for port in ports.values()) == 1
        assert net.nodes["ada"].opened.ledger.suspects == (key,)
        assert [net.nodes[name].driver.silenced for name in ("ada", "bo", "cy")] == [""] * 3


@pytest.mark.parametrize("second", ["vote", "proposal"])
async def test_a_case_is_taken_once_for_a_key_and_never_against_oneself(second: str) -> None:
    """Proposals count as their leader's words; another epoch's, and one's own, are left to others."""
    seat = Seat()
    desk = EvidenceDesk(seat)
    proposals = [make_proposal(30, time_ms=one) for one in (1, 2)]
    leader = seat.validators.calculate_leader(View(30))
    votes = [
        msgspec.structs.replace(make_own_vote(8, digest=digest), index=leader)
        for digest in (OTHER, BlockDigest(bytes(32)))
    ]
    pair = votes if second == "vote" else proposals
    report = ReportEvidence(first=pair[0], second=pair[1])
    seat.seat = leader
    desk.on_report(report)
    seat.seat, seat.epoch = ValidatorIndex((leader + 1) % 4), Epoch(1)
    desk.on_report(report)
    seat.epoch = Epoch(0)
    desk.on_report(report)
    desk.on_report(report)
    case = await desk.take()
    assert (case.key, case.evidence.index, case.turn) == (PublicKey(seat.validators.keys[leader]), leader, seat.seat)
    kinds = (case.evidence.first.kind, case.evidence.second.kind)
    assert kinds == ((VoteKind.NOTARIZE,) * 2 if second == "vote" else (VoteKind.PROPOSE,) * 2)
    assert case.evidence.first.digest != case.evidence.second.digest
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await desk.take()
