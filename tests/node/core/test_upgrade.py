"""Other rules by vote, while nodes are updated one by one: who is too old stops in time and comes back whole."""

import asyncio
from pathlib import Path

import pytest

from consensus.records import ProposalRecord, VoteRecord
from node.opening import StartError
from node.store.appendlog import parse_groups
from node.store.votelog import VOTES, decode_record
from node.upgrading import RULES_UNKNOWN, UpgradeNeededError, calculate_params_hash
from protocol.certificate import VoteKind
from protocol.crypto import calculate_object_id
from protocol.genesis import RULES_VERSION
from protocol.ids import Day, Height, TimeMs
from protocol.limits import RULES_NOTICE
from protocol.transactions.governance import Propose, RulesUpgrade, Vote
from tests.node.core.cluster import LENDERS, Cluster, cluster
from tests.node.core.test_epochs import DAY_MS
from tests.node.disk.test_returning import make_blocks

NEW = RULES_VERSION + 1
AHEAD = RULES_NOTICE + 60


async def decide(net: Cluster, *, at: str = "ada") -> Height:
    """A vote for the next rules; the height at which they begin, once that is decided."""
    core = net.nodes[at]
    today = core.opened.genesis.calculate_day(TimeMs(core.opened.ledger.time_ms), 0)
    since = Height(core.executor.height + AHEAD)
    proposer = net.purses[at]
    proposal = calculate_object_id("proposal", proposer.key, proposer.nonce)
    action = RulesUpgrade(version=NEW, activation_height=since)
    ids = await net.submit(at, proposer.sign(Propose(action=action, effective_on=Day(today + 8))))
    await net.finish(at, ids)
    votes = [net.purses[name].sign(Vote(proposal=proposal, approve=True)) for name in LENDERS if name != at][:2]
    await net.finish(at, await net.submit(at, *votes))
    async with asyncio.timeout(20):
        while core.opened.ledger.rules.next is None:
            await make_blocks(net, 1, at)
            await asyncio.sleep(0.05)
    entry = core.opened.ledger.rules.next
    assert entry is not None
    assert (entry.version, entry.since) == (NEW, since)
    return since


async def pass_height(net: Cluster, height: int, at: str) -> None:
    """Blocks until a node has executed the height."""
    while net.nodes[at].executor.height < height:
        await make_blocks(net, 1, at)


async def read_hash(net: Cluster, height: int, at: str = "ada") -> bytes:
    """What the header of a saved block names as its parameters."""
    block = await net.nodes[at].opened.store.read_block(Height(height))
    assert block is not None
    return block.header.params_hash


async def test_a_node_that_was_not_updated_stops_in_time_and_goes_on_once_it_is(tmp_path: Path) -> None:
    """Three know the new rules and go on by them; the fourth ends by name below the height, without a vote there."""
    async with cluster(tmp_path, start=(), day_ms=DAY_MS) as net:
        net.rules_known = dict.fromkeys(("ada", "bo", "cy"), NEW)
        await net.start(*LENDERS)
        since = await decide(net)
        old = net.nodes["di"]
        assert old.opened.ledger.rules_known == RULES_VERSION
        task = net._tasks["di"]
        await pass_height(net, since + 3, "ada")
        await asyncio.wait((task,), timeout=20)
        with pytest.raises(BaseExceptionGroup) as caught:
            await net.stop("di")
        (error,) = find_errors(caught.value)
        assert error.code == RULES_UNKNOWN
        assert f"rules {NEW}" in error.sentence
        assert old.executor.height == since - 1
        assert not [one for one in read_votes(net) if one >= since], "it voted for no block by rules it does not know"
        with pytest.raises(StartError) as refused:
            await net.start("di")
        assert refused.value.code == RULES_UNKNOWN
        net.rules_known["di"] = NEW
        await net.start("di")
        await net.meet()
        await make_blocks(net, 2)
        assert len(await net.read_roots(await net.meet())) == 1
        genesis = net.testnet.genesis
        assert await read_hash(net, since - 1) == calculate_params_hash(genesis)
        assert await read_hash(net, since) == calculate_params_hash(genesis, NEW) != calculate_params_hash(genesis)
        assert {core.opened.ledger.rules.present.version for core in net.nodes.values()} == {NEW}
        assert [core.driver.silenced for core in net.nodes.values()] == [""] * 4


def find_errors(group: BaseException) -> list[UpgradeNeededError]:
    """What a node ended with."""
    if isinstance(group, BaseExceptionGroup):
        return [error for one in group.exceptions for error in find_errors(one)]
    assert isinstance(group, UpgradeNeededError), group
    return [group]


def read_votes(net: Cluster, name: str = "di") -> list[int]:
    """Heights of blocks that a node proposed and voted for, by its vote log."""
    heights = {}
    raw = (net.testnet.directory / name / VOTES).read_bytes()
    records = [decode_record(one) for group in parse_groups(raw, VOTES)[0] for one in group]
    for record in records:
        if isinstance(record, ProposalRecord):
            header = record.propose.block.header
            heights[header.calculate_digest()] = header.height
    voted = {
        one.vote.digest for one in records if isinstance(one, VoteRecord) and one.vote.kind is not VoteKind.NULLIFY
    }
    return [height for digest, height in heights.items() if digest in voted]


@pytest.mark.long
async def test_a_rolling_update_before_the_height_interrupts_nobody(tmp_path: Path) -> None:
    """Each node is restarted with the new release while three of four go on; then the rules begin everywhere."""
    async with cluster(tmp_path, start=LENDERS, day_ms=DAY_MS) as net:
        since = await decide(net)
        for name in LENDERS:
            await net.stop(name)
            net.rules_known[name] = NEW
            other = next(one for one in LENDERS if one != name)
            await make_blocks(net, 2, other)
            await net.start(name)
            await net.meet()
        assert net.nodes["ada"].executor.height < since
        await pass_height(net, since + 2, "ada")
        assert len(await net.read_roots(await net.meet())) == 1
        assert {core.opened.ledger.rules.present.version for core in net.nodes.values()} == {NEW}
        assert await read_hash(net, since, "di") == calculate_params_hash(net.testnet.genesis, NEW)
