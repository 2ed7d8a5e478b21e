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
from protocol.genesis import RULES_VERSION
from protocol.ids import Height
from protocol.ledger.rows import ProposalState
from protocol.ledger.state import PROPOSALS
from protocol.limits import RULES_NOTICE
from protocol.transactions.governance import RulesUpgrade
from tests.node.core.cluster import LENDERS, Cluster, cluster
from tests.node.core.test_epochs import AHEAD_DAYS, DAY_MS, propose
from tests.node.disk.test_returning import make_blocks

NEW = RULES_VERSION + 1
SPARE = 20
BLOCKS_A_DAY = 5


async def decide(net: Cluster, *, at: str = "ada") -> Height:
    """A vote for the next rules; the height at which they begin, once that is decided.

    Proposed anew for a later day, and a later height, when this machine was too busy to bring the votes in time.
    """
    core = net.nodes[at]
    voters = (at, *(name for name in LENDERS if name != at))[:3]
    for ahead in AHEAD_DAYS:
        since = Height(core.executor.height + RULES_NOTICE + SPARE + BLOCKS_A_DAY * ahead)
        proposal = await propose(net, RulesUpgrade(version=NEW, activation_height=since), voters, ahead)
        row = core.opened.ledger.books.state.get(PROPOSALS, proposal)
        while row is not None and row.state is ProposalState.PASSED:
            await make_blocks(net, 1, at)
            await asyncio.sleep(DAY_MS / 2000)
            row = core.opened.ledger.books.state.get(PROPOSALS, proposal)
        entry = core.opened.ledger.rules.next
        if entry is not None:
            assert (entry.version, entry.since) == (NEW, since)
            return since
    raise AssertionError("no vote was in time")


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
