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
from consensus.events import (
    Event,
    Executed,
    ReceivedCertificate,
    ReceivedCertificates,
    ReceivedVote,
    Started,
    TimerFired,
    TimerName,
)
from consensus.records import Record, VoteRecord
from node.conduct import SignatureWatch
from node.driver import EVENTS_PER_TURN_MAX, Driver, Message
from node.turns import EVENTS_AT_ONCE, EVENTS_PER_PEER_MAX, Turns
from protocol.block import Block, Header
from protocol.certificate import Certificate, Vote, VoteKind
from protocol.ids import (
    ZERO_DIGEST,
    BlockDigest,
    ChainId,
    Epoch,
    Height,
    PublicKey,
    Signature,
    TimeMs,
    ValidatorIndex,
    View,
)
from protocol.messages import Certificates

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


A, B = (PublicKey(bytes((one,)) * 32) for one in (1, 2))


async def test_a_peer_that_says_too_much_waits_alone_and_own_events_never_do() -> None:
    """What waits of one peer is bounded; others still find room, and are heard in turn."""
    bench = Bench(lambda _: [])
    for _ in range(EVENTS_PER_PEER_MAX):
        await bench.driver.post_from_peer(A, ReceivedVote(vote=make_vote(1)))
    waiting = asyncio.create_task(bench.driver.post_from_peer(A, ReceivedVote(vote=make_vote(1))))
    await settle()
    assert not waiting.done()
    await bench.driver.post_from_peer(B, ReceivedVote(vote=make_vote(2)))
    bench.driver.post(Started())
    await bench.driver.turn()
    assert bench.stepped[0] == Started()
    assert ReceivedVote(vote=make_vote(2)) in bench.stepped[1:3]
    assert len(bench.stepped) <= 1 + 2 * EVENTS_PER_TURN_MAX
    await settle()
    assert waiting.done()
    bench.driver.close()


async def test_a_peer_that_goes_on_saying_much_is_slowed_down_to_its_allowance() -> None:
    """Cheap words cost reading them too: after a burst a flood is taken at a steady rate."""
    now_ms = 0
    turns = Turns(lambda: now_ms)
    event = ReceivedVote(vote=make_vote(1))
    for _ in range(EVENTS_AT_ONCE):
        await turns.put_from(A, event)
        turns.pop()
    slowed = asyncio.create_task(turns.put_from(A, event))
    await turns.put_from(B, event)
    assert turns.pop().peer == B
    assert not slowed.done()
    await slowed
    assert turns.pop().peer == A
    page = ReceivedCertificates(certificates=Certificates(certificates=(make_certificate(1),) * 40))
    await turns.put_from(B, page)
    assert turns._allowances[B]._level_milli <= (EVENTS_AT_ONCE - 41) * 1000


class Liars:
    """A verification that fails for odd views, and who was reported for it."""

    def __init__(self) -> None:
        self.reported: list[PublicKey] = []
        self.watch = SignatureWatch(lambda _, message, __: message != b"false")

    def step(self, event: Event) -> list[Effect]:
        """Verify what a vote of an odd view stands for."""
        if isinstance(event, ReceivedVote):
            message = b"false" if event.vote.view % 2 else b"true"
            self.watch(A, message, Signature(bytes(64)))
        return []

    def on_falsehood(self, peer: PublicKey) -> bool:
        """Enough at the second."""
        self.reported.append(peer)
        return self.reported.count(peer) == 2


async def test_only_the_peer_that_said_what_does_not_hold_is_reported_and_at_last_not_heard_out() -> None:
    """A falsehood is of whoever said it, never of the one before or after, nor of this node itself."""
    liars = Liars()
    bench = Bench(liars.step)
    bench.driver = Driver(bench, bench, bench, lambda: 1_000, watch=liars.watch, on_falsehood=liars.on_falsehood)
    bench.driver.post(ReceivedVote(vote=make_vote(1)))  # one's own word is nobody's falsehood
    for view in (2, 3, 4, 5, 7):
        await bench.driver.post_from_peer(A, ReceivedVote(vote=make_vote(view)))
        await bench.driver.post_from_peer(B, ReceivedVote(vote=make_vote(2 * view)))
    await bench.driver.turn()
    assert liars.reported == [A, A]
    heard = [one.vote.view for one in bench.stepped if isinstance(one, ReceivedVote)]
    assert 7 not in heard
    assert heard[-1] == 14
    assert bench.driver.falsehoods == 2


async def test_a_step_of_the_wall_clock_does_not_move_a_timer() -> None:
    """The clock goes back an hour while a group is made durable: the timer fires when it was meant to."""

    def script(event: Event) -> list[Effect]:
        if isinstance(event, Started):
            record = Persist(record=VoteRecord(vote=make_vote(1)))
            return [record, SetTimer(name=TimerName.LEAD, view=View(1), due_ms=TimeMs(3_600_000_020))]
        return []

    async with running(script) as bench:
        bench.now_ms = 3_600_000_000
        bench.disk.clear()
        bench.driver.post(Started())
        await settle()
        bench.now_ms = 1_000
        bench.disk.set()
        await asyncio.sleep(0.08)
        assert bench.stepped[1:] == [TimerFired(name=TimerName.LEAD, view=View(1))]
