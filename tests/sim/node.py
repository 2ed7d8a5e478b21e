"""One simulated node: the real engine inside a shell that does what `node.driver` and its rooms do, on a virtual clock.

Events that are ready share one group commit; nothing is sent before the group is durable; the next turn waits for the
disk. Never let the shell decide about votes.
"""

from collections import deque
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from consensus.effects import (
    Broadcast,
    BuildPayload,
    CheckPayload,
    Commit,
    Effect,
    FetchBlock,
    FetchBlocks,
    FetchCertificates,
    Persist,
    PersistPayload,
    RaiseAlarm,
    ReportEvidence,
    SetTimer,
    StopTimer,
)
from consensus.engine import Engine
from consensus.events import (
    Event,
    Executed,
    PayloadBuilt,
    PayloadChecked,
    ReceivedBlock,
    ReceivedBlocks,
    ReceivedCertificate,
    ReceivedCertificates,
    ReceivedProposal,
    ReceivedVote,
    Started,
    TimerFired,
    TimerName,
    Verdict,
    WorkChanged,
)
from protocol.batch import BatchRef
from protocol.block import Block
from protocol.certificate import Certificate, Vote
from protocol.ids import BatchDigest, BlockDigest, Digest, Height, PublicKey, TimeMs, ValidatorIndex, View
from protocol.messages import Certificates, GetBlocks, Propose
from tests.sim.checks import check_order, check_resumed
from tests.sim.disk import Disk, Saved
from tests.sim.invariants import BrokenLawError
from tests.sim.keys import SimSigner
from tests.sim.seats import execute

if TYPE_CHECKING:
    from tests.sim.world import World

EPOCH_MS = 1_700_000_000_000
TURN_EVENTS_MAX = 64
Message = Propose | Vote | Certificate


class SimNode:
    """A validator or an observer."""

    honest = True
    near = False
    """Whether what is sent to it arrives at once."""

    def __init__(self, world: "World", place: int, signers: tuple[SimSigner, ...]) -> None:
        self.world = world
        self.place = place
        self.name = f"node{place}"
        self.signers = signers
        """Its keys, the present one and those it is to rotate to; none: it only ever observes."""
        self.keys = tuple(one.public_key for one in signers)
        self.skew_ms = world.plan.skews_ms[place]
        self.disk = Disk(world.chain_id, world.genesis_root, world.genesis_seats)
        self.up = False
        self.life = 0
        self.dying = ""
        self.down_ms = 0
        self.evidence: list[ReportEvidence] = []
        self.alarms = 0
        self.steps = 0
        self.turns = 0

    # ------------------------------------------------------------------ life

    def boot(self) -> None:
        """Start over whatever is durable."""
        self.up, self.busy, self.running, self.dying = True, False, False, ""
        self.inbox: deque[Event] = deque()
        self.timers: dict[TimerName, int] = {}
        self.timer_count = 0
        self.held: dict[BatchDigest, bool] = dict(self.disk.batches)
        self.promised = dict(self.disk.votes)
        self.promised_proposals = dict(self.disk.proposals)
        self.pool: dict[BatchDigest, bool] = {}
        self.told_work = False
        self.checks: dict[BlockDigest, Block] = {}
        self.to_execute: deque[tuple[Block, Certificate]] = deque()
        self.executing = False
        self.final = Height(len(self.disk.saved))
        self.known = Height(0)
        self.ordered: dict[BatchDigest, bool] = {ref.digest: True for s in self.disk.saved for ref in s.block.batches}
        self.engine = Engine(
            chain_id=self.world.chain_id,
            signers=self.signers,
            verify=self.world.scheme.verify,
            floor=self.disk.make_floor(self.world.validators),
            notice=self.world.plan.notice,
        )
        self.engine.replay(self.disk.records)
        check_resumed(self)
        for block in sorted(self.disk.blocks.values(), key=lambda one: one.header.height):
            if block.header.height > self.final:
                self.post(ReceivedBlock(block=block))
        self.post(Started())
        self.later(700, self.tick)

    def crash(self) -> None:
        """Lose everything that is not durable."""
        if self.up:
            self.up = False
            self.life += 1
            self.world.schedule(self.down_ms, self.boot_again, self.life)

    def boot_again(self, life: int) -> None:
        """After the time down."""
        if not self.up and life == self.life:
            self.boot()

    def die(self, how: str, down_ms: int) -> None:
        """Crash now, or at the next group commit in the way `how` says."""
        self.down_ms = down_ms
        if how == "now":
            self.crash()
        elif self.up:
            self.dying = how

    def later(self, delay_ms: int, what: Any, *args: Any) -> None:
        """Call `what` later in this life."""
        self.world.schedule(delay_ms, self._in_life, self.life, what, args)

    def _in_life(self, life: int, what: Any, args: tuple[Any, ...]) -> None:
        if self.up and life == self.life:
            what(*args)

    def holds(self, seats: tuple[PublicKey, ...]) -> bool:
        """Whether one of its keys has a seat."""
        return any(key in seats for key in self.keys)

    @property
    def index(self) -> ValidatorIndex | None:
        """Its seat in the epoch it is in."""
        return self.engine.seat

    @property
    def now_ms(self) -> TimeMs:
        """This node's clock."""
        return TimeMs(EPOCH_MS + self.world.now_ms + self.skew_ms)

    # ------------------------------------------------------------------ the driver

    def post(self, event: Event) -> None:
        """Queue an event; take a turn when the disk is free."""
        self.inbox.append(event)
        if not self.busy and not self.running:
            self.run()

    def run(self) -> None:
        """Step what is ready, then carry out the effects as one group."""
        self.running = True
        step, inbox = self.engine.step, self.inbox
        while inbox and not self.busy and self.up:
            effects: list[Effect] = []
            count = min(len(inbox), TURN_EVENTS_MAX)
            now_ms = self.now_ms
            for _ in range(count):
                effects += step(inbox.popleft(), now_ms)
            self.steps += count
            self.turns += 1
            self.world.on_turn(self, count)
            if effects:
                self.carry_out(effects)
        self.running = False

    def carry_out(self, effects: list[Effect]) -> None:
        """Durable first, then the rest in order."""
        for effect in effects:
            if isinstance(effect, Persist | PersistPayload):
                check_order(self, effects)
                delay_ms = self.world.draw_disk_ms()
                if delay_ms or self.dying:
                    self.busy = True
                    self.later(delay_ms, self.on_durable, effects)
                else:
                    self._make_durable(effects)
                    self._perform(effects)
                return
        self._perform(effects)

    def _make_durable(self, effects: list[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, PersistPayload):
                self.disk.append_payload(effect.blocks, self.held)
        self.disk.append([effect.record for effect in effects if isinstance(effect, Persist)])

    def on_durable(self, effects: list[Effect]) -> None:
        """The group commit returns, or the node dies around it."""
        how, self.dying = self.dying, ""
        if how == "lost":
            self.crash()
            return
        if how == "payload":
            blocks = tuple(block for one in effects if isinstance(one, PersistPayload) for block in one.blocks)
            self.disk.append_payload(blocks, self.held)
            self.crash()
            return
        self._make_durable(effects)
        if how == "unsent":
            self.crash()
            return
        if how == "partly":
            self._perform(effects[: self.world.rng.randrange(len(effects) + 1)])
            self.crash()
            return
        self._perform(effects)
        self.busy = False
        if self.up:
            self.run()

    def _perform(self, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Broadcast(message=message):
                    self.say(message)
                case Persist() | PersistPayload():
                    pass
                case SetTimer(name=name, view=view, due_ms=due_ms):
                    self.timer_count += 1
                    self.timers[name] = self.timer_count
                    self.later(max(0, due_ms - self.now_ms), self.fire, name, view, self.timer_count)
                case StopTimer(name=name):
                    self.timers.pop(name, None)
                case BuildPayload():
                    self.later(0, self.build, effect)
                case CheckPayload(block=block):
                    self.checks[block.header.calculate_digest()] = block
                    self.later(0, self.check, block)
                case Commit():
                    self.commit(effect)
                case FetchBlock(digest=digest):
                    self.fetch_block(digest)
                case FetchBlocks(known=known):
                    self.known = known
                    self.ask_some(1, "get_blocks", (self.final, known))
                case FetchCertificates(view_from=view_from, epoch=epoch):
                    self.ask_some(2, "get_certificates", (epoch, view_from))
                case ReportEvidence():
                    self.on_evidence(effect)
                case RaiseAlarm(reason=reason):
                    self.alarms += 1
                    raise BrokenLawError(f"{self.name} raised an alarm: {reason}")

    def fire(self, name: TimerName, view: View, count: int) -> None:
        """A timer is due, unless it was replaced or stopped."""
        if self.timers.get(name) == count:
            del self.timers[name]
            self.post(TimerFired(name=name, view=view))

    def say(self, message: Message) -> None:
        """Send to everybody, then hear oneself."""
        judge = self.world.judge
        if isinstance(message, Vote):
            judge.on_vote(self, message)
            self.world.broadcast(self, message, False)
            self.post(ReceivedVote(vote=message))
        elif isinstance(message, Certificate):
            judge.on_certificate(self.name, message)
            self.world.broadcast(self, message, True)
            self.post(ReceivedCertificate(certificate=message))
        else:
            judge.on_proposal(self, message)
            self.world.broadcast(self, message, True)
            self.post(ReceivedProposal(propose=message))

    def on_evidence(self, effect: ReportEvidence) -> None:
        """Two signed messages must truly accuse a Byzantine key."""
        self.evidence.append(effect)
        key = self.world.find_author(effect.first)
        accused = self.world.owners[key]
        if self.world.nodes[accused].honest:
            raise BrokenLawError(f"{self.name} accuses honest node {accused}")
        self.world.convict(key)

    # ------------------------------------------------------------------ payloads

    def add_batch(self, digest: BatchDigest) -> None:
        """A batch arrives."""
        if digest not in self.held:
            self.held[digest] = True
            if digest not in self.ordered and digest not in self.world.invalid:
                self.pool[digest] = True
                self.tell_work()

    def tell_work(self) -> None:
        """Tell the engine when there begins or ceases to be work."""
        has_work = bool(self.pool)
        if has_work != self.told_work:
            self.told_work = has_work
            self.post(WorkChanged(has_work=has_work))

    def build(self, effect: BuildPayload) -> None:
        """Choose what waits."""
        chosen = [] if effect.empty else [one for one in self.pool if one not in effect.excluded][:8]
        refs = tuple(BatchRef(digest=one, tx_count=1, size=100) for one in chosen)
        self.post(PayloadBuilt(view=effect.view, parent_digest=effect.parent_digest, batches=refs))

    def check(self, block: Block) -> None:
        """Answer once every batch is held."""
        digest = block.header.calculate_digest()
        if digest not in self.checks:
            return
        missing = [ref.digest for ref in block.batches if ref.digest not in self.held]
        if missing:
            for one in missing:
                self.ask_some(2, "get_batch", one)
            self.later(60, self.check, block)
            return
        del self.checks[digest]
        bad = any(ref.digest in self.world.invalid for ref in block.batches)
        self.post(PayloadChecked(digest=digest, verdict=Verdict.BAD if bad else Verdict.OK))

    # ------------------------------------------------------------------ final blocks

    def commit(self, effect: Commit) -> None:
        """Queue for execution."""
        if self.honest:
            latest_ms = EPOCH_MS + self.world.now_ms + max(self.world.plan.skews_ms)
            self.world.judge.on_commit(self.name, self.final, effect.blocks, effect.finalization, latest_ms)
        self.final = effect.blocks[-1].header.height
        for block in effect.blocks:
            self.checks.pop(block.header.calculate_digest(), None)
            for ref in block.batches:
                self.ordered[ref.digest] = True
                self.pool.pop(ref.digest, None)
            self.to_execute.append((block, effect.finalization))
        self.tell_work()
        self.execute_next()

    def execute_next(self) -> None:
        """One worker, in order."""
        if self.to_execute and not self.executing:
            self.executing = True
            self.later(self.world.draw_execute_ms(), self.execute)

    def execute(self) -> None:
        """Execute and save the oldest final block, once its batches are held."""
        block, finalization = self.to_execute[0]
        missing = [ref.digest for ref in block.batches if ref.digest not in self.held]
        if missing:
            for one in missing:
                self.ask_some(2, "get_batch", one)
            self.later(60, self.execute)
            return
        self.to_execute.popleft()
        self.executing = False
        digest = block.header.calculate_digest()
        root = Digest(sha256(self.disk.root + b"".join(ref.digest for ref in block.batches)).digest())
        own = finalization if finalization.digest == digest else None
        seats = execute(self.disk.seats, block, self.world.changes, self.world.decide)
        self.disk.save(Saved(block, digest, own, root, seats))
        if self.honest:
            self.world.judge.on_executed(self.name, block.header.height, root)
        height = block.header.height
        self.post(Executed(height=height, exec_root=root, next_validators=seats.next, suspects=seats.convicted))
        self.execute_next()

    # ------------------------------------------------------------------ asking and answering

    def ask_some(self, count: int, what: str, argument: Any) -> None:
        """Ask randomly chosen others."""
        others = [node.place for node in self.world.nodes if node.place != self.place]
        for place in self.world.rng.sample(others, min(count, len(others))):
            self.world.send(self.place, place, what, argument)

    def fetch_block(self, digest: BlockDigest) -> None:
        """From one's own log first, then from peers."""
        block = self.disk.blocks.get(digest)
        if block is not None:
            self.post(ReceivedBlock(block=block))
        else:
            self.ask_some(3, "get_block", digest)

    def tick(self) -> None:
        """Now and then: say where one stands, push one's waiting batches again."""
        self.ask_some(2, "status", self.final)
        pressing = [digest for digest in self.world.changes if digest in self.pool]
        for digest in [*pressing, *self.pool][:4]:
            self.ask_some(2, "batch", digest)
        self.later(700, self.tick)

    def hear(self, source: int, what: str, argument: Any) -> None:
        """Anything a peer sends."""
        match what:
            case "vote":
                self.post(ReceivedVote(vote=argument))
            case "certificate":
                self.post(ReceivedCertificate(certificate=argument))
            case "propose":
                self.post(ReceivedProposal(propose=argument))
            case "batch":
                self.add_batch(argument)
            case "block":
                self.post(ReceivedBlock(block=argument))
            case "certificates":
                self.post(ReceivedCertificates(certificates=argument))
            case "blocks":
                self.post(ReceivedBlocks(blocks=argument))
            case "status":
                if argument > self.final:
                    self.world.send(self.place, source, "get_blocks", (self.final, self.known))
            case _:
                self.answer(source, what, argument)

    def answer(self, source: int, what: str, argument: Any) -> None:
        """Serve a request."""
        send, here = self.world.send, self.place
        match what:
            case "get_batch":
                if argument in self.held:
                    send(here, source, "batch", argument)
            case "get_block":
                block = self.engine.find_block(argument) or self.disk.find_block(argument)
                if block is not None:
                    send(here, source, "block", block)
            case "get_certificates":
                epoch, view_from = argument
                found = self.engine.certificates_from(view_from, epoch)
                if found:
                    send(here, source, "certificates", Certificates(certificates=found))
            case "get_blocks":
                final, known = argument
                found = self.disk.answer(GetBlocks(height_from=Height(final + 1), count=64, known=known))
                if found.finalization is not None:
                    send(here, source, "blocks", found)
