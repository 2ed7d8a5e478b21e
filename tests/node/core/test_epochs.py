"""Validators come, go and change keys while the network runs: by votes of their organisations, over real websockets.

Every node learns of it from the blocks alone; nobody is restarted but whoever gets another key.
"""

import asyncio
import shutil
from pathlib import Path

import msgspec

from node.config import CONFIG_FILE, PeerAddress, format_config, load_config
from node.core import Core, read_clock_ms
from node.keystore import adopt_next_validator, read_seed, write_key
from node.proving import prove_rows, prove_transaction
from node.setup import NodePlace, find_free_ports, make_member
from protocol.codec import decode
from protocol.crypto import KeySigner, calculate_object_id
from protocol.genesis import Member
from protocol.ids import AccountId, BoxKey, Day, Epoch, Height, ObjectId, Signature, TimeMs, TransactionId
from protocol.ledger.rows import ProposalState, Role
from protocol.ledger.seatrows import EpochRow, list_keys
from protocol.ledger.state import EPOCH, EPOCH_KEY, MEMBERS, PROPOSALS
from protocol.receipt import VerifiedReceipt, verify_receipt_file
from protocol.rowproof import VerifiedRows, make_trusted, verify_row_proof
from protocol.transactions.governance import Action, MemberSet, Propose, SeatSet, Vote, calculate_seat_bytes
from tests.node.core.chaintools import until
from tests.node.core.cluster import LENDERS, OBSERVER, Cluster, Purse, cluster

DAY_MS = 400
AHEAD_DAYS = (4, 20, 60)
NEW = "eve"
CHANGE_S = 40.0


def prepare_newcomer(net: Cluster, name: str = NEW, *, validator: bool = True) -> Member:
    """A directory with keys and settings, as `liushui init` makes it; the network does not know it."""
    directory = net.testnet.directory / name
    member = make_member(directory, name, validator=validator, lender=True)
    listen, api = find_free_ports(2)
    config = load_config(net.testnet.directory / "ada", environment={})
    ada = next(one for one in net.testnet.nodes if one.name == "ada")
    home = next(one for one in net.testnet.genesis.members if one.name == "ada")
    peers = (
        PeerAddress(name="ada", node_key=home.node_key.hex(), url=f"wss://127.0.0.1:{ada.listen_port}/gossip"),
        *config.peers,
    )
    role = "validator" if validator else "observer"
    own = msgspec.structs.replace(
        config,
        name=name,
        role=role,
        data_dir=".",
        genesis="genesis.json",
        listen_port=listen,
        api_port=api,
        peers=peers,
    )
    (directory / CONFIG_FILE).write_text(format_config(own), encoding="utf-8")
    shutil.copy(net.testnet.directory / "genesis.json", directory / "genesis.json")
    net.testnet = net.testnet._replace(nodes=(*net.testnet.nodes, NodePlace(name, role, directory, listen, api)))
    net.purses[name] = Purse(directory, net.chain_id)
    return member


def make_seat(net: Cluster, name: str, key_name: str = "validator") -> SeatSet:
    """The action that seats a key of `name`, with its proof."""
    directory = net.testnet.directory / name
    seed = read_seed(directory, key_name)
    assert seed is not None
    signer, account = KeySigner(seed), net.purses[name].account
    proof: Signature = signer.sign(calculate_seat_bytes(net.chain_id, account))
    return SeatSet(account=account, validator_key=signer.public_key, proof=proof)


def make_admission(member: Member) -> MemberSet:
    """The action that lets an organisation in."""
    return MemberSet(
        name=member.name,
        officer_key=member.officer_key,
        enc_key=BoxKey(member.enc_key),
        attester_key=member.attester_key,
        roles=int(Role.LENDER),
        node_key=member.node_key,
    )


async def govern(net: Cluster, action: Action, voters: tuple[str, ...] = LENDERS[:3]) -> None:
    """Put an action before the validators; it passes, and takes effect within a few days.

    Proposed anew for a later day when this machine was too busy to bring the votes in time.
    """
    state = net.nodes[voters[0]].opened.ledger.books.state
    for ahead in AHEAD_DAYS:
        proposal = await propose(net, action, voters, ahead)
        row = state.get(PROPOSALS, proposal)
        if row is not None and row.state in (ProposalState.PASSED, ProposalState.DONE):
            return
    raise AssertionError("no vote was in time")


async def propose(net: Cluster, action: Action, voters: tuple[str, ...], ahead: int) -> ObjectId:
    """Propose it and vote for it; the proposal's id."""
    today = net.testnet.genesis.calculate_day(TimeMs(read_clock_ms()), 0)  # the books' own rests while the chain does
    first, *others = (net.purses[name] for name in voters)
    proposal = calculate_object_id("proposal", first.key, first.nonce)
    proposed = await net.submit(voters[0], first.sign(Propose(action=action, effective_on=Day(today + ahead))))
    await net.finish(voters[0], proposed)
    votes = [one.sign(Vote(proposal=proposal, approve=True)) for one in others]
    await net.finish(voters[0], await net.submit(voters[0], *votes))
    return proposal


async def reach_epoch(net: Cluster, epoch: int, names: tuple[str, ...] | None = None) -> None:
    """Return when these nodes, or all that run, are in an epoch."""
    cores = [net.nodes[name] for name in (names or tuple(net.nodes))]
    await until(lambda: all(one.engine.epoch >= epoch for one in cores), CHANGE_S, f"epoch {epoch}: {net.describe()}")


async def pay(net: Cluster, at: str, *, seen_by: tuple[str, ...] = ()) -> TransactionId:
    """A mint that is final at `at` and at others."""
    (one,) = await net.submit(at, net.agent.mint(net.purses["ada"].account, 5))
    for name in (at, *seen_by):
        await net.finish(name, [one])
    return one


async def prove(net: Cluster, core: Core, one: TransactionId) -> VerifiedReceipt:
    """The receipt file of a transaction, verified with the genesis alone."""
    raw = None
    async with asyncio.timeout(30):
        while raw is None:
            raw = await prove_transaction(core.opened.store, one, core.opened.genesis_root)
            await asyncio.sleep(0.02)
    proved = verify_receipt_file(raw, net.testnet.genesis)
    assert isinstance(proved, VerifiedReceipt), proved
    await prove_seats(net, core)
    return proved


class Books:
    """A node's books, as proofs of rows need them."""

    def __init__(self, core: Core) -> None:
        self.ledger, self.store = core.opened.ledger, core.opened.store
        self.wait_settled, self.wait_height_beyond = core.executor.wait_settled, core.executor.wait_beyond


async def prove_seats(net: Cluster, core: Core) -> None:
    """Who validates, proved to a reader who has the genesis alone, and to one who goes on from there."""
    genesis, place = net.testnet.genesis, (EPOCH.number, EPOCH_KEY)
    known = make_trusted(genesis)
    for _ in range(2):
        async with asyncio.timeout(60):
            while True:
                raw = await prove_rows(
                    Books(core), [place], height_min=Height(known.height), known=Epoch(known.epoch), timeout_s=30
                )
                assert raw is not None
                found = verify_row_proof(raw, genesis, [place], known)
                assert isinstance(found, VerifiedRows), found
                row = decode(found.rows[place] or b"", EpochRow)
                known = found.trusted
                if row.epoch == core.engine.epoch:
                    break
                # A state from before the boundary, perhaps under a header from after it: a later one is named soon.
                assert row.epoch == core.engine.epoch - 1
                await asyncio.sleep(0.05)
        assert (row.epoch, list_keys(row.seats)) == (known.epoch, known.validators)


async def test_a_member_is_admitted_follows_is_seated_and_votes_without_anybodys_restart(tmp_path: Path) -> None:
    """A stranger is kept out until the votes let it in; then it syncs, is seated, and its vote is needed and given."""
    async with cluster(tmp_path, start=LENDERS, day_ms=DAY_MS) as net:
        before = await pay(net, "ada")
        member = prepare_newcomer(net)
        await net.start(NEW)
        eve = net.nodes[NEW]
        await until(lambda: eve.gossip.closed["stranger"] > 0, what="a stranger is refused")
        assert (eve.engine.seat, eve.gossip.get_connected()) == (None, ())
        await govern(net, make_admission(member))
        account = AccountId(net.purses[NEW].account)
        books = net.nodes["ada"].opened.ledger.books
        await until(lambda: books.state.get(MEMBERS, account) is not None, timeout_s=CHANGE_S, what="eve is a member")
        await net.finish(NEW, [before], CHANGE_S)
        await until(lambda: len(eve.gossip.get_connected()) == len(LENDERS), what="all let eve in")
        await govern(net, make_seat(net, NEW))
        await reach_epoch(net, 1)
        assert eve.engine.seat is not None
        assert {len(core.roster.validators) for core in net.nodes.values()} == {5}
        assert {core.make_status().epoch for core in net.nodes.values()} == {1}
        await net.stop("di")  # of five, four make a quorum
        after = await pay(net, NEW, seen_by=("ada", "bo", "cy"))
        assert [core.driver.silenced for core in net.nodes.values()] == [""] * 4
        assert len(await net.read_roots(await net.meet())) == 1
        for one, epoch in ((before, 0), (after, 1)):
            proved = await prove(net, eve, one)
            assert (proved.transaction.id, proved.epoch) == (one, epoch)


async def test_a_validator_that_is_removed_follows_on_and_the_rest_decide_alone(tmp_path: Path) -> None:
    """Its node stays a member's: it executes every block and serves, and says nothing in consensus."""
    async with cluster(tmp_path, start=(*LENDERS, OBSERVER), day_ms=DAY_MS) as net:
        await govern(net, SeatSet(account=net.purses["di"].account, validator_key=None, proof=None))
        await reach_epoch(net, 1)
        gone = net.nodes["di"]
        assert (gone.engine.seat, gone.roster.is_validator) == (None, False)
        await pay(net, "di")  # what the last step of the epoch left to write is written by now
        written = gone.driver.records_written
        one = await pay(net, "di", seen_by=(*LENDERS, OBSERVER))
        assert gone.driver.records_written == written
        assert (await prove(net, net.nodes[OBSERVER], one)).epoch == 1
        await net.stop("di")
        await pay(net, "ada", seen_by=("bo", "cy", OBSERVER))
        await net.start("di")  # over a floor of the second epoch
        assert net.nodes["di"].engine.epoch == 1
        await pay(net, "ada", seen_by=("di",))


async def test_a_key_is_rotated_with_both_in_the_store_and_the_old_one_may_go(tmp_path: Path) -> None:
    """The node votes with the old key to the boundary and with the new one from the next view on."""
    async with cluster(tmp_path, start=LENDERS, day_ms=DAY_MS) as net:
        await pay(net, "ada", seen_by=LENDERS)
        await net.stop("bo")
        write_key(net.testnet.directory / "bo", "validator-next")
        await net.start("bo")
        old, new = (one.public_key for one in net.nodes["bo"].opened.signers)
        assert old in net.nodes["ada"].engine.validators.keys
        await govern(net, make_seat(net, "bo", "validator-next"))
        await reach_epoch(net, 1)
        keys = net.nodes["ada"].engine.validators.keys
        assert (old in keys, new in keys) == (False, True)
        await net.stop("cy")  # bo's vote is needed
        await pay(net, "bo", seen_by=("ada", "di"))
        await net.stop("bo")
        assert adopt_next_validator(net.testnet.directory / "bo") is not None
        await net.start("bo")
        await pay(net, "bo", seen_by=("ada", "di"))


async def test_nodes_that_were_away_over_the_boundary_come_back_into_the_new_epoch(tmp_path: Path) -> None:
    """One that stopped before it and one with an empty directory; receipts prove outcomes of both sides."""
    async with cluster(tmp_path, start=LENDERS, day_ms=DAY_MS) as net:
        before = await pay(net, "ada", seen_by=LENDERS)
        member = prepare_newcomer(net)
        await govern(net, make_admission(member))
        books = net.nodes["ada"].opened.ledger.books
        account = AccountId(net.purses[NEW].account)
        await until(lambda: books.state.get(MEMBERS, account) is not None, timeout_s=CHANGE_S, what="eve is a member")
        await net.start(NEW)
        await net.finish(NEW, [before], CHANGE_S)
        await govern(net, make_seat(net, NEW))
        ada = net.nodes["ada"].engine
        await until(lambda: net.nodes["ada"].opened.ledger.epoch_row.next is not None, what="a plan")
        await net.stop("cy")
        await reach_epoch(net, 1)
        assert ada.epoch == 1
        for _ in range(5):
            after = await pay(net, "ada", seen_by=("bo", "di", NEW))
        await net.start("cy", OBSERVER)
        await net.finish("cy", [after], CHANGE_S)
        await net.finish(OBSERVER, [after], CHANGE_S)
        assert net.nodes["cy"].engine.epoch == net.nodes[OBSERVER].engine.epoch == 1
        assert [net.nodes[name].sync._lies for name in ("cy", OBSERVER, NEW)] == [{}] * 3, "an honest peer is no liar"
        height = await net.meet()
        assert len(await net.read_roots(Height(height))) == 1
        for one, epoch in ((before, 0), (after, 1)):
            assert (await prove(net, net.nodes[OBSERVER], one)).epoch == epoch
        await net.stop("ada")
        await pay(net, "cy", seen_by=("bo", "di", NEW, OBSERVER))
