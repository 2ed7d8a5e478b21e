"""The order law of the driver: nothing is said before what forbids its opposite is durable."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import pytest

from consensus.effects import (
    Broadcast,
    Commit,
    Effect,
    FetchBlocks,
    Persist,
    PersistPayload,
    RaiseAlarm,
    SetTimer,
    StopTimer,
)
from consensus.events import Event, Executed, ReceivedCertificate, ReceivedVote, Started, TimerFired, TimerName
from consensus.records import Record, VoteRecord
from node.driver import QUEUE_EVENTS_MAX, Driver, Message
from protocol.block import Block, Header
from protocol.certificate import Certificate, Vote, VoteKind
from protocol.ids import (
    ZERO_DIGEST,
    BlockDigest,
    ChainId,
    Epoch,
    Height,
    Signature,
    TimeMs,
    ValidatorIndex,
    View,
)

Script = Callable[[Event], list[Effect]]


def make_vote(view: int) -> Vote:
    """A vote of validator 0."""
    return Vote(
        kind=VoteKind.NOTARIZE,
        epoch=Epoch(0),
        view=View(view),
        digest=BlockDigest(bytes(32)),
        index=ValidatorIndex(0),
        signature=Signature(bytes(64)),
    )


def make_certificate(view: int) -> Certificate:
    """A certificate of one signer."""
    return Certificate(
        kind=VoteKind.NOTARIZE,
        epoch=Epoch(0),
        view=View(view),
        digest=BlockDigest(bytes(32)),
        signers=1,
        signatures=(Signature(bytes(64)),),
    )


HEADER = Header(
    version=1,
    chain_id=ChainId(bytes(32)),
    epoch=Epoch(0),
    height=Height(1),
    view=View(1),
    parent_digest=BlockDigest(bytes(32)),
    time_ms=TimeMs(1),
    batches_root=ZERO_DIGEST,
    batch_count=0,
    tx_count=0,
    exec_height=Height(0),
    exec_root=ZERO_DIGEST,
    history_root=ZERO_DIGEST,
    next_validators_hash=ZERO_DIGEST,
    epoch_end=Height(0),
    params_hash=ZERO_DIGEST,
    proposer=ValidatorIndex(0),
)
BLOCK = Block(header=HEADER, batches=())


class Bench:
    """A driver between a scripted engine and logs that record what happened in which order."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.story: list[str] = []
        self.stepped: list[Event] = []
        self.disk = asyncio.Event()
        self.disk.set()
        self.appends = 0
        self.now_ms = 1_000
        self.driver = Driver(self, self, self, lambda: self.now_ms)

    def step(self, event: Event, now_ms: TimeMs) -> list[Effect]:
        self.stepped.append(event)
        self.story.append(f"step {type(event).__name__}")
        return self.script(event)

    async def append(self, records: Sequence[Record]) -> None:
        self.appends += 1
        await self.disk.wait()
        self.story += [f"durable vote {one.vote.view}" for one in records if isinstance(one, VoteRecord)]

    async def persist_payload(self, blocks: Sequence[Block]) -> None:
        await self.disk.wait()
        self.story += [f"durable block {block.header.height}" for block in blocks]

    def broadcast(self, message: Message) -> None:
        self.story.append(f"send {type(message).__name__} {message.view}")

    def on_effect(self, effect: Effect) -> None:
        self.story.append(f"duty {type(effect).__name__}")


@asynccontextmanager
async def running(script: Script) -> AsyncIterator[Bench]:
    """A bench whose driver runs."""
    bench = Bench(script)
    task = asyncio.create_task(bench.driver.run())
    try:
        yield bench
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        bench.driver.close()


async def settle() -> None:
    """Let everything that is ready run."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_a_vote_is_durable_before_it_is_sent_and_sent_before_it_counts() -> None:
    """Rule S5, and `Broadcast`: one's own vote comes back to the engine only after it was sent."""

    def script(event: Event) -> list[Effect]:
        if isinstance(event, Started):
            return [Persist(record=VoteRecord(vote=make_vote(7))), Broadcast(message=make_vote(7))]
        return []

    async with running(script) as bench:
        bench.disk.clear()
        bench.driver.post(Started())
        await settle()
        assert bench.story == ["step Started"], "the disk has not answered: nothing may be said"
        bench.disk.set()
        await settle()
        assert bench.story[1:] == ["durable vote 7", "send Vote 7", "step ReceivedVote"]


async def test_a_payload_is_durable_before_the_vote_that_finalizes_it() -> None:
    """Rule S3: after a crash between the two, the log must not hold a Finalize whose block is gone."""

    def script(event: Event) -> list[Effect]:
        if isinstance(event, Started):
            return [
                Persist(record=VoteRecord(vote=make_vote(3))),
                PersistPayload(blocks=(BLOCK,)),
                Broadcast(message=make_vote(3)),
            ]
        return []

    async with running(script) as bench:
        bench.driver.post(Started())
        await settle()
        assert bench.story[1:4] == ["durable block 1", "durable vote 3", "send Vote 3"]


async def test_no_event_is_stepped_while_an_earlier_record_is_not_durable_and_then_all_share_one_commit() -> None:
    """Events that arrive during a slow write wait, and form one group afterwards."""

    def script(event: Event) -> list[Effect]:
        if isinstance(event, Executed):
            vote = make_vote(event.height)
            return [Persist(record=VoteRecord(vote=vote)), Broadcast(message=vote)]
        return []

    async with running(script) as bench:
        bench.disk.clear()
        bench.driver.post(Executed(height=Height(1), exec_root=ZERO_DIGEST))
        await settle()
        for height in (2, 3, 4):
            bench.driver.post(Executed(height=Height(height), exec_root=ZERO_DIGEST))
        await settle()
        assert bench.story == ["step Executed"]
        bench.disk.set()
        await settle()
        assert bench.appends == 2
        assert bench.story[1:3] == ["durable vote 1", "send Vote 1"]
        later = bench.story[3:]
        assert later.index("durable vote 4") < later.index("send Vote 2")
        assert [one for one in later if one.startswith("send")] == ["send Vote 2", "send Vote 3", "send Vote 4"]


async def test_a_failed_disk_stops_the_node_and_nothing_was_said() -> None:
    """An fsync error ends the driver; the vote is never sent."""

    class BrokenError(Exception):
        pass

    def script(event: Event) -> list[Effect]:
        return [Persist(record=VoteRecord(vote=make_vote(1))), Broadcast(message=make_vote(1))]

    bench = Bench(script)

    async def fail(records: Sequence[Record]) -> None:
        raise BrokenError

    bench.append = fail  # type: ignore[method-assign]
    bench.driver.post(Started())
    with pytest.raises(BrokenError):
        await bench.driver.run()
    assert bench.story == ["step Started"]


async def test_an_alarm_silences_votes_for_good_and_certificates_still_travel() -> None:
    """A divergence of state stops voting; helping others with certificates is harmless."""

    def script(event: Event) -> list[Effect]:
        match event:
            case Started():
                return [RaiseAlarm(header=HEADER, reason="root differs"), Broadcast(message=make_vote(1))]
            case Executed():
                return [Broadcast(message=make_vote(2)), Broadcast(message=make_certificate(2))]
        return []

    async with running(script) as bench:
        bench.driver.post(Started())
        bench.driver.post(Executed(height=Height(1), exec_root=ZERO_DIGEST))
        await settle()
        assert bench.driver.silenced == "root differs"
        assert [one for one in bench.story if one.startswith("send")] == ["send Certificate 2"]
        assert not any(isinstance(one, ReceivedVote) for one in bench.stepped)
        assert any(isinstance(one, ReceivedCertificate) for one in bench.stepped)


async def test_timers_fire_once_with_their_view_and_a_later_one_replaces_them() -> None:
    """A timer of a name holds one due time; a stopped one never fires."""

    def script(event: Event) -> list[Effect]:
        if isinstance(event, Started):
            return [
                SetTimer(name=TimerName.LEAD, view=View(1), due_ms=TimeMs(1_010)),
                SetTimer(name=TimerName.LEAD, view=View(2), due_ms=TimeMs(1_020)),
                SetTimer(name=TimerName.VIEW, view=View(1), due_ms=TimeMs(1_005)),
                StopTimer(name=TimerName.VIEW),
                SetTimer(name=TimerName.RETRY, view=View(3), due_ms=TimeMs(1)),
            ]
        return []

    async with running(script) as bench:
        bench.driver.post(Started())
        await asyncio.sleep(0.08)
        assert bench.stepped[1:] == [
            TimerFired(name=TimerName.RETRY, view=View(3)),
            TimerFired(name=TimerName.LEAD, view=View(2)),
        ]


async def test_duties_keep_their_place_among_sends() -> None:
    """Effects are carried out in the order they stand in."""

    def script(event: Event) -> list[Effect]:
        if isinstance(event, Started):
            commit = Commit(blocks=(BLOCK,), finalization=make_certificate(1))
            return [Broadcast(message=make_certificate(1)), commit, FetchBlocks(), Broadcast(message=make_vote(2))]
        return []

    async with running(script) as bench:
        await bench.driver.post_and_wait(Started())
        assert bench.story[1:5] == ["send Certificate 1", "duty Commit", "duty FetchBlocks", "send Vote 2"]


async def test_peers_wait_when_the_engine_is_far_behind_and_own_events_do_not() -> None:
    """The queue is bounded for peers; backpressure holds up who floods."""
    bench = Bench(lambda _: [])
    vote = ReceivedVote(vote=make_vote(1))
    for _ in range(QUEUE_EVENTS_MAX):
        await bench.driver.post_from_peer(vote)
    waiting = asyncio.create_task(bench.driver.post_from_peer(vote))
    await settle()
    assert not waiting.done()
    bench.driver.post(Started())
    await bench.driver.turn()
    await settle()
    assert waiting.done()
