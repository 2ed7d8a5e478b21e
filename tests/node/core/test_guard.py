"""Why a validator falls silent: its key speaks elsewhere, its log forgot what it said, its state is not the network's.

In every case the node follows on, says why, and a restart does not make it forget.
"""

import shutil
from collections.abc import Callable, Generator
from contextlib import AsyncExitStack
from pathlib import Path

import msgspec
import pytest

from consensus.effects import RaiseAlarm
from consensus.records import ProposalRecord, VoteRecord
from node.config import load_config
from node.guard import VotingGuard
from node.keystore import write_key
from node.opening import Opened, open_everything
from node.stops import (
    BEHIND_OWN_VOTES,
    EXEC_ROOT_DIVERGED,
    KEY_IN_USE,
    OWN_VOTE_UNKNOWN,
    SENTENCES,
    VOTE_LOG_DAMAGED,
    VOTE_LOG_EMPTIED,
    VOTE_LOG_MISSING,
    describe_stop,
)
from node.store.appendlog import LogError
from node.store.chain import ExecRow
from node.store.stopfile import STOP_FILE, StopFile
from node.store.votelog import VOTES, VoteLog
from protocol.block import Block
from protocol.certificate import Certificate, Vote, VoteKind, calculate_vote_bytes
from protocol.crypto import KeySigner
from protocol.ids import BlockDigest, ChainId, Digest, Epoch, Height, Signature, ValidatorIndex, View
from protocol.ledger.records import Execution
from protocol.ledger.state import MEMBERS, replace
from protocol.messages import Blocks, Certificates, Message, Propose
from protocol.validators import ValidatorSet, make_validator_set
from tests.node.core.chaintools import until
from tests.node.core.cluster import LENDERS, OBSERVER, Cluster, cluster
from tests.node.core.test_driver import HEADER

CHAIN = ChainId(bytes(range(32)))
SIGNERS = sorted((KeySigner(bytes([one]) * 32) for one in range(1, 5)), key=lambda one: one.public_key)
OWN = ValidatorIndex(2)
DIGEST = BlockDigest(b"\x0d" * 32)
OTHER = BlockDigest(b"\x0e" * 32)


class Seat:
    """An engine's place, for guards that need no engine."""

    def __init__(self) -> None:
        self.epoch = Epoch(0)
        self.seat: ValidatorIndex | None = OWN
        self.validators: ValidatorSet = make_validator_set(
            tuple(one.public_key for one in SIGNERS), BlockDigest(bytes(32))
        )

    def certificates_from(self, view: View, epoch: Epoch | None = None) -> tuple[Certificate, ...]:
        return ()


class Post:
    """A guard over real files, and what it told the driver."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.seat = Seat()
        self.told: list[str] = []
        self.log, records = VoteLog.open(directory / VOTES)
        self.guard = VotingGuard(
            chain_id=CHAIN,
            seat=self.seat,
            file=StopFile.open(directory),
            log=self.log,
            records=records,
            clock_ms=lambda: 1,
            silence=self.told.append,
            resume=lambda code: self.told.append(f"resume {code}"),
        )


def sign(kind: VoteKind, view: int, digest: BlockDigest, index: int = OWN, epoch: int = 0) -> Signature:
    """What validator `index` says."""
    return SIGNERS[index].sign(calculate_vote_bytes(kind, CHAIN, Epoch(epoch), View(view), digest))


def make_vote(view: int, kind: VoteKind = VoteKind.NOTARIZE, digest: BlockDigest = DIGEST, epoch: int = 0) -> Vote:
    """A vote of this node's key."""
    return Vote(
        kind=kind,
        epoch=Epoch(epoch),
        view=View(view),
        digest=digest,
        index=OWN,
        signature=sign(kind, view, digest, epoch=epoch),
    )


def make_certificate(view: int, kind: VoteKind = VoteKind.NOTARIZE, digest: BlockDigest = DIGEST) -> Certificate:
    """A certificate of validators 0, 1 and 2, the last being this node."""
    signatures = tuple(sign(kind, view, digest, index) for index in range(3))
    return Certificate(kind=kind, epoch=Epoch(0), view=View(view), digest=digest, signers=0b111, signatures=signatures)


def make_proposal(view: int, time_ms: int = 1) -> Propose:
    """A proposal signed by this node."""
    block = Block(header=msgspec.structs.replace(HEADER, view=View(view), time_ms=time_ms), batches=())
    return Propose(
        epoch=Epoch(0),
        view=View(view),
        block=block,
        parent_view=View(0),
        parent_cert=None,
        finalization=None,
        nullifications=(),
        signature=sign(VoteKind.PROPOSE, view, block.header.calculate_digest()),
    )


def find_own_view(seat: Seat, view_from: int) -> int:
    """The first view that this node leads."""
    return next(view for view in range(view_from, view_from + 4) if seat.validators.calculate_leader(View(view)) == OWN)


# ---------------------------------------------------------------------- the log's amnesia, message by message


@pytest.mark.parametrize(
    "show",
    [
        lambda _: make_vote(8),
        lambda _: make_vote(5, digest=OTHER),  # said otherwise than the log knows
        lambda _: make_vote(5, kind=VoteKind.NULLIFY, digest=BlockDigest(bytes(32))),
        lambda _: make_certificate(8),
        lambda _: Certificates(certificates=(make_certificate(5), make_certificate(9))),
        lambda _: Blocks(blocks=(), finalization=make_certificate(8, VoteKind.FINALIZE)),
        lambda seat: make_proposal(find_own_view(seat, 12)),
        lambda _: msgspec.structs.replace(make_proposal(30), signature=bytes(64), parent_cert=make_certificate(9)),
    ],
)
async def test_an_own_word_that_the_log_does_not_know_silences_the_key_for_good(
    tmp_path: Path, show: Callable[[Seat], Message]
) -> None:
    """In whatever message it comes: vote, proposal, or inside a certificate. It is kept, and found by the next life."""
    post = Post(tmp_path)
    await post.guard.append([VoteRecord(vote=make_vote(5))])
    post.guard.watch(show(post.seat))
    assert post.told == [OWN_VOTE_UNKNOWN]
    await post.log.close()
    later = Post(tmp_path)
    later.guard.recall([SIGNERS[OWN]])
    assert later.told == [OWN_VOTE_UNKNOWN]
    (stop,) = StopFile.open(tmp_path).stops
    assert (stop.validator_key, len(stop.evidence)) == (SIGNERS[OWN].public_key.hex(), 1)
    await later.log.close()
    another = Post(tmp_path)
    another.guard.recall([SIGNERS[OWN], SIGNERS[0]])
    assert another.told == [], "another key may vote"
    await another.log.close()


async def test_what_one_said_oneself_is_no_news_in_this_life_or_the_next(tmp_path: Path) -> None:
    """Echoes of logged votes and proposals, alone or in certificates, silence nobody."""
    post = Post(tmp_path)
    lead = find_own_view(post.seat, 6)
    said = [make_vote(5), make_vote(5, VoteKind.FINALIZE)]
    records = [*(VoteRecord(vote=one) for one in said), ProposalRecord(propose=make_proposal(lead))]
    await post.guard.append(records)
    echoes: list[Message] = [*said, make_proposal(lead), make_certificate(5), make_certificate(5, VoteKind.FINALIZE)]
    for one in echoes:
        post.guard.watch(one)
    await post.log.close()
    later = Post(tmp_path)
    for one in echoes:
        later.guard.watch(one)
    assert post.told + later.told == []
    await later.log.close()


async def test_echoes_of_what_the_log_was_shortened_by_silence_nobody(tmp_path: Path) -> None:
    """A pruned log does not know old votes: a node that syncs anew is shown them in every finalization."""
    post = Post(tmp_path)
    await post.guard.append([VoteRecord(vote=make_vote(view)) for view in (5, 6, 7)])
    await post.guard.prune((Epoch(0), View(7)))
    old = [make_certificate(4), make_certificate(5), make_vote(6), make_certificate(7)]
    for one in old:
        post.guard.watch(one)
    await post.log.close()
    later = Post(tmp_path)
    for one in old:
        later.guard.watch(one)
    assert post.told + later.told == []
    later.guard.watch(make_certificate(8))
    assert later.told == [OWN_VOTE_UNKNOWN]
    await later.log.close()


async def test_nobody_can_forge_an_own_word(tmp_path: Path) -> None:
    """Only this key's signature over these very bytes counts; other epochs and other seats are none of its business."""
    post = Post(tmp_path)
    vote, certificate = make_vote(8), make_certificate(8)
    forged: list[Message] = [
        msgspec.structs.replace(vote, signature=bytes(64)),
        msgspec.structs.replace(vote, view=View(9)),
        msgspec.structs.replace(vote, kind=VoteKind.FINALIZE),
        msgspec.structs.replace(vote, index=ValidatorIndex(1)),
        msgspec.structs.replace(vote, signature=sign(VoteKind.NOTARIZE, 8, DIGEST, index=1)),
        make_vote(8, epoch=1),
        msgspec.structs.replace(certificate, signatures=certificate.signatures[::-1]),
        msgspec.structs.replace(certificate, signatures=certificate.signatures[:2]),
        msgspec.structs.replace(certificate, signers=0b1011),
        msgspec.structs.replace(make_proposal(find_own_view(post.seat, 3)), signature=bytes(64)),
    ]
    for one in forged:
        post.guard.watch(one)
    post.seat.seat = None
    post.guard.watch(vote)
    post.guard.watch(certificate)
    assert post.told == []
    await post.log.close()


# ---------------------------------------------------------------------- a state of one's own


async def test_a_divergence_is_kept_with_its_evidence_and_ends_when_the_state_has_come_to_the_certified_one(
    tmp_path: Path,
) -> None:
    """Header and own root lie on disk; a restart stays silent; executing the height to the certified root ends it."""
    post = Post(tmp_path)
    header = msgspec.structs.replace(HEADER, height=Height(9), exec_height=Height(7), exec_root=Digest(b"\x01" * 32))
    post.guard.on_alarm(RaiseAlarm(header=header, reason=EXEC_ROOT_DIVERGED), Digest(b"\x02" * 32))
    await post.log.close()
    later = Post(tmp_path)
    later.guard.recall([SIGNERS[OWN]])
    assert post.told == later.told == [EXEC_ROOT_DIVERGED]
    (stop,) = StopFile.open(tmp_path).stops
    assert (stop.height, stop.exec_height) == (9, 7)
    assert (stop.certified_root, stop.own_root) == ("01" * 32, "02" * 32)
    assert stop.digest == header.calculate_digest().hex()
    later.guard.on_saved(Height(7), DIGEST, Digest(b"\x02" * 32))
    later.guard.on_saved(Height(6), DIGEST, Digest(b"\x01" * 32))
    assert later.told == [EXEC_ROOT_DIVERGED]
    later.guard.on_saved(Height(7), DIGEST, Digest(b"\x01" * 32))
    assert later.told[1:] == [f"resume {EXEC_ROOT_DIVERGED}"]
    assert StopFile.open(tmp_path).stops == ()
    await later.log.close()


class Database:
    """What a store holds of one height."""

    def __init__(self, height: int, root: Digest | None) -> None:
        self.height, self.root = height, root

    async def read_exec_rows(self, height_from: Height, height_to: Height) -> list[ExecRow]:
        here = self.root is not None and height_from == self.height
        return [ExecRow(height_from, Digest(bytes(32)), Digest(bytes(32)), self.root)] if here and self.root else []

    async def read_block(self, height: Height) -> Block | None:
        header = msgspec.structs.replace(HEADER, height=height)
        return None if height != self.height or self.root is None else Block(header=header, batches=())


@pytest.mark.parametrize(
    ("database", "tip", "heals"),
    [
        (Database(7, Digest(b"\x02" * 32)), 30, False),  # the same database as before
        (Database(7, Digest(b"\x01" * 32)), 30, True),  # made anew, and far enough already
        (Database(7, None), 0, False),  # made anew, and only at its beginning
        (Database(7, None), 8, False),
        (Database(7, None), 30, True),  # it stands on a snapshot: a certified state
    ],
)
async def test_at_the_start_a_divergence_ends_only_with_another_database(
    tmp_path: Path, database: Database, tip: int, heals: bool
) -> None:
    """What the node computed stands as long as its database says the same."""
    post = Post(tmp_path)
    header = msgspec.structs.replace(HEADER, height=Height(9), exec_height=Height(7), exec_root=Digest(b"\x01" * 32))
    post.guard.on_alarm(RaiseAlarm(header=header, reason=EXEC_ROOT_DIVERGED), Digest(b"\x02" * 32))
    await post.guard.review(database, Height(tip))
    assert (StopFile.open(tmp_path).stops == ()) is heals
    assert post.told[1:] == ([f"resume {EXEC_ROOT_DIVERGED}"] if heals else [])
    await post.log.close()


def test_a_stop_file_that_cannot_be_read_is_not_ignored(tmp_path: Path) -> None:
    """It says why the node must not vote."""
    (tmp_path / STOP_FILE).write_text("[{")
    with pytest.raises(LogError) as caught:
        StopFile.open(tmp_path)
    assert caught.value.code == "stop_file_damaged"


def test_every_reason_has_a_sentence_that_says_what_to_do(tmp_path: Path) -> None:
    """Codes are stable and each has its advice."""
    for code, sentence in SENTENCES.items():
        assert describe_stop(code) == sentence
        advice = ("make another key", "stop one", "syncs anew", "remove voting_stopped.json", "by itself")
        assert any(word in sentence for word in advice), code
    assert describe_stop("") == ""


# ---------------------------------------------------------------------- in a network


async def open_node(net: Cluster, name: str, stack: AsyncExitStack) -> Opened:
    """What a node that is not started has on disk."""
    return await open_everything(load_config(net.testnet.directory / name, environment={}), stack)


async def pay(net: Cluster, at: str, amount: int, waiting: tuple[str, ...] = ()) -> None:
    """A mint that is final at `at` and the others."""
    ids = await net.submit(at, net.agent.mint(net.purses["ada"].account, amount))
    for name in (at, *waiting):
        await net.finish(name, ids)


@pytest.mark.parametrize("code", [VOTE_LOG_MISSING, VOTE_LOG_EMPTIED, VOTE_LOG_DAMAGED])
async def test_a_node_whose_vote_log_is_lost_follows_without_voting_and_stays_so(tmp_path: Path, code: str) -> None:
    """It starts, serves and follows; three of four go on; a further restart with the new log does not make it vote."""
    async with cluster(tmp_path, start=LENDERS) as net:
        for amount in range(1, 4):
            await pay(net, "ada", amount, ("di",))
        await net.stop("di")
        path = net.testnet.directory / "di" / VOTES
        raw = path.read_bytes()
        match code:
            case "vote_log_missing":
                path.unlink()
            case "vote_log_emptied":
                path.write_bytes(b"")
            case _:
                at = len(raw) // 2
                path.write_bytes(raw[:at] + bytes((raw[at] ^ 0x55,)) + raw[at + 1 :])
        for _ in range(2):
            await net.start("di")
            core = net.nodes["di"]
            assert (core.driver.silenced, core.engine.seat) == (code, None)
            await pay(net, "ada", 7, ("di",))
            assert core.driver.records_written == 0
            await net.stop("di")
        if code == VOTE_LOG_DAMAGED:
            assert [one.read_bytes() for one in path.parent.glob("votes.wal.aside-*")] != []
        write_key(net.testnet.directory / "di", "validator-next")
        async with AsyncExitStack() as stack:
            opened = await open_node(net, "di", stack)
            assert [one.public_key for one in opened.signers] == [opened.keys.validators[1].public_key]


async def test_a_disk_that_was_set_back_is_noticed_by_what_peers_hold(tmp_path: Path) -> None:
    """The whole directory comes back from an older copy: the node is told of its newer votes and falls silent."""
    async with cluster(tmp_path, start=LENDERS) as net:
        await pay(net, "ada", 1, ("di",))
        directory, copy = net.testnet.directory / "di", tmp_path / "copy"
        await net.stop("di")
        shutil.copytree(directory, copy)
        await net.start("di")
        for amount in range(2, 8):
            await pay(net, "ada", amount, ("di",))
        await net.stop("di")
        shutil.rmtree(directory)
        shutil.copytree(copy, directory)
        await net.start("di")
        core = net.nodes["di"]
        await until(lambda: core.driver.silenced == OWN_VOTE_UNKNOWN, what="di learns that it spoke")
        await pay(net, "ada", 9, ("di",))
        await net.stop("di")
        await net.start("di")
        assert net.nodes["di"].driver.silenced == OWN_VOTE_UNKNOWN
        assert net.nodes["di"].engine.seat is None
        assert len(await net.read_roots(await net.meet())) == 1


async def test_a_node_that_syncs_anew_with_its_own_log_votes_on(tmp_path: Path) -> None:
    """The database is dropped as the sentence says, logs and keys stay: it follows until it is past the beginning of
    its pruned log, then a new start lets it vote, and old finalizations bring no false alarm.
    """
    async with cluster(tmp_path, start=LENDERS) as net:
        for amount in range(1, 6):
            await pay(net, "ada", amount, ("di",))
        await net.nodes["di"].guard.prune((Epoch(0), net.nodes["di"].engine.view))
        await net.stop("di")
        for one in ("ledger.sqlite", "ledger.sqlite-wal", "ledger.sqlite-shm"):
            (net.testnet.directory / "di" / one).unlink(missing_ok=True)
        await net.start("di")
        assert net.nodes["di"].driver.silenced == BEHIND_OWN_VOTES
        for amount in range(10, 60):
            await pay(net, "ada", amount, ("di",))
            if net.nodes["di"].opened.returning.ready.is_set():
                break
        await net.stop("di")
        await net.start("di")
        await net.stop("cy")
        await pay(net, "ada", 60, ("di",))
        assert [core.driver.silenced for core in net.nodes.values()] == [""] * 3


async def test_two_processes_with_one_key_stop_voting_both_and_the_others_go_on(tmp_path: Path) -> None:
    """A copy of a directory is started elsewhere: whoever meets both tells both; a quorum without them goes on."""
    async with cluster(tmp_path, start=LENDERS) as net:
        await pay(net, "ada", 1, ("di",))
        directory, copy = net.testnet.directory / "di", net.testnet.directory / "twin"
        await net.stop("di")
        shutil.copytree(directory, copy)
        config = copy / "config.toml"
        port = next(one.listen_port for one in net.testnet.nodes if one.name == "di")
        text = config.read_text(encoding="utf-8")
        assert f"listen_port = {port}" in text
        config.write_text(text.replace(f"listen_port = {port}", "listen_port = 0"), encoding="utf-8")
        await net.start("di")
        await until(lambda: len(net.nodes["di"].gossip.get_connected()) == 3, what="di is linked")
        await net.start("twin")
        both = [net.nodes[name] for name in ("di", "twin")]
        await until(lambda: all(one.driver.silenced for one in both), what="both fall silent")
        assert {one.driver.silenced for one in both} <= {KEY_IN_USE, OWN_VOTE_UNKNOWN}
        assert both[0].driver.silenced == KEY_IN_USE
        await pay(net, "ada", 2, ("bo", "cy", "di"))
        assert [net.nodes[name].driver.silenced for name in ("ada", "bo", "cy")] == [""] * 3
        await net.stop("di", "twin")
        await net.start("di")
        assert net.nodes["di"].driver.silenced == KEY_IN_USE, "no restart lets it vote before it can know"


async def test_two_nodes_with_one_validator_key_do_not_both_go_on_to_vote(tmp_path: Path) -> None:
    """Another member's node holds a copy of the key: who hears a word of its own that it never said falls silent."""
    async with cluster(tmp_path, start=LENDERS) as net:
        await pay(net, "ada", 1)
        directory = net.testnet.directory / OBSERVER
        shutil.copy(net.testnet.directory / "di" / "keys" / "validator.key", directory / "keys" / "validator.key")
        config = directory / "config.toml"
        text = config.read_text(encoding="utf-8")
        assert 'role = "observer"' in text
        config.write_text(text.replace('role = "observer"', 'role = "validator"'), encoding="utf-8")
        await net.start(OBSERVER)
        both = [net.nodes[name] for name in ("di", OBSERVER)]
        assert both[0].engine.seat == both[1].engine.seat is not None
        for amount in range(2, 40):
            await pay(net, "ada", amount)
            if any(one.driver.silenced for one in both):
                break
        assert {one.driver.silenced for one in both} & {OWN_VOTE_UNKNOWN}
        await pay(net, "ada", 50, ("bo", "cy", "di", OBSERVER))
        assert [net.nodes[name].driver.silenced for name in ("ada", "bo", "cy")] == [""] * 3


async def test_a_node_that_computes_another_state_stays_silent_after_a_restart_until_it_syncs_anew(
    tmp_path: Path,
) -> None:
    """What the certified header says and what the node computed are kept; the dropped database heals it."""
    async with cluster(tmp_path, start=LENDERS) as net:
        await pay(net, "ada", 1, ("di",))
        core = net.nodes["di"]
        _spoil_next_block(core.opened)
        ids = await net.submit("ada", net.agent.mint(net.purses["ada"].account, 5))
        await net.finish("ada", ids)
        await until(lambda: core.driver.silenced == EXEC_ROOT_DIVERGED, what="the alarm")
        await until(lambda: bool(core.opened.stops.stops), what="evidence is kept")
        (stop,) = core.opened.stops.stops
        assert stop.certified_root != stop.own_root != ""
        await net.stop("di")
        await net.start("di")
        assert net.nodes["di"].driver.silenced == EXEC_ROOT_DIVERGED
        await pay(net, "ada", 6, ("di",))
        await net.stop("di")
        for one in ("ledger.sqlite", "ledger.sqlite-wal", "ledger.sqlite-shm"):
            (net.testnet.directory / "di" / one).unlink(missing_ok=True)
        await net.start("di")
        healed = net.nodes["di"]
        await until(lambda: healed.driver.silenced == "", what="di came to the certified state")
        assert healed.opened.stops.stops == ()
        await net.stop("cy")
        await pay(net, "ada", 8, ("di",))


def _spoil_next_block(opened: Opened) -> None:
    """In the next block the node's books come to differ by one row."""
    ledger, close_block = opened.ledger, opened.ledger.close_block

    def spoil() -> Generator[None, None, Execution]:
        ledger.close_block = close_block  # type: ignore[method-assign]
        key, row = next(ledger.books.state.items(MEMBERS))
        ledger.books.state.put(MEMBERS, key, replace(row, name="spoiled"))
        ledger.books.state.keep()
        return close_block()

    ledger.close_block = spoil  # type: ignore[method-assign]
