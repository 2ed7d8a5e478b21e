"""Seats at the desk: the proof that a key is held, the proposals made of it, and who validates, for all to read."""

import json
from pathlib import Path
from typing import Any

import pytest

from node.cli.common import EXIT_OK
from node.keystore import read_seed, write_key
from protocol.certificate import VoteKind, calculate_vote_bytes
from protocol.crypto import KeySigner, calculate_account_id, check_signature
from protocol.genesis import DAY_MS
from protocol.ids import BlockDigest, Epoch, TimeMs, ValidatorIndex, View
from protocol.ledger.rows import ProposalState
from protocol.ledger.seatrows import list_keys
from protocol.ledger.state import PROPOSALS
from protocol.transactions.governance import Evidence, MemberSet, SeatSet, SignedFact, calculate_seat_bytes
from tests.node.api.harness import make_keys, make_seed
from tests.node.cli.terminal import Desk


def make_home(desk: Desk, name: str, *, votes: bool) -> Path:
    """A node's directory, with a validator key if it votes already."""
    directory = desk.folder / "homes" / name
    write_key(directory, "node", make_seed(f"{name}/node"))
    if votes:
        write_key(directory, "validator", make_seed(f"{name}/validator"))
    return directory


async def prove(desk: Desk, name: str, directory: Path, *more: str) -> tuple[Path, dict[str, Any]]:
    """The file that `keys seat-proof` makes, and what stands in it."""
    path = directory / "seat.json"
    done = await desk.run(
        "keys", "seat-proof", name, "--dir", str(directory), "--node", desk.url, "-o", str(path), *more
    )
    assert done.exit_code == EXIT_OK, done.output
    return path, json.loads(path.read_text())


def read_action(desk: Desk) -> Any:
    """The action of the newest proposal on the books."""
    rows = [row for _, row in desk.node.ledger.books.state.items(PROPOSALS)]
    (row,) = [one for one in rows if one.state is ProposalState.OPEN]
    return row.action


def account(name: str) -> bytes:
    """Of a member of the harness."""
    officer = make_keys(name).officer
    assert officer is not None
    return calculate_account_id(officer.public_key)


async def test_a_member_is_seated_by_what_its_machine_has_signed(desk: Desk) -> None:
    """The new key stays where it was made; two public keys and a signature travel."""
    home = make_home(desk, "identity", votes=False)
    path, told = await prove(desk, "identity", home, "--new")
    seed = read_seed(home, "validator")
    assert seed is not None
    key = KeySigner(seed).public_key
    assert (told["validator_key"], told["account"]) == (key.hex(), account("identity").hex())
    message = calculate_seat_bytes(desk.node.chain_id, account("identity"))  # type: ignore[arg-type]
    assert check_signature(key, message, bytes.fromhex(told["proof"]))  # type: ignore[arg-type]
    assert seed.hex() not in path.read_text()
    await desk.order("harbour", "gov", "propose", "seat", "admit", "identity", "--proof", str(path))
    action = read_action(desk)
    assert isinstance(action, SeatSet)
    assert (action.validator_key, action.account) == (key, account("identity"))
    assert action.node_key == KeySigner(make_seed("identity/node")).public_key


async def test_a_seat_gets_the_key_that_waits_beside_the_one_that_votes(desk: Desk) -> None:
    """`--new` makes validator-next and touches nothing; without it the waiting one is proved again."""
    home = make_home(desk, "jade", votes=True)
    path, told = await prove(desk, "jade", home, "--new")
    seed = read_seed(home, "validator-next")
    assert seed is not None
    assert told["validator_key"] == KeySigner(seed).public_key.hex()
    assert read_seed(home, "validator") == make_seed("jade/validator")
    again = await desk.run("keys", "seat-proof", "jade", "--dir", str(home), "--node", desk.url)
    assert json.loads(again.stdout) == told
    await desk.order("harbour", "gov", "propose", "seat", "rotate", "jade", "--proof", str(path))
    assert read_action(desk).validator_key.hex() == told["validator_key"]
    twice = await desk.run("keys", "seat-proof", "jade", "--dir", str(home), "--node", desk.url, "--new")
    assert (twice.exit_code, "leave --new out" in twice.output) == (1, True)


async def test_a_key_that_has_its_seat_is_adopted(desk: Desk) -> None:
    """The waiting key takes the present one's place; a second time there is none to adopt."""
    home = make_home(desk, "jade", votes=True)
    _, told = await prove(desk, "jade", home, "--new")
    done = await desk.run("keys", "adopt", "--dir", str(home))
    assert done.exit_code == EXIT_OK, done.output
    assert told["validator_key"] in done.stdout
    seed = read_seed(home, "validator")
    assert seed is not None
    assert KeySigner(seed).public_key.hex() == told["validator_key"]
    assert read_seed(home, "validator-next") is None
    twice = await desk.run("keys", "adopt", "--dir", str(home))
    assert (twice.exit_code, "no next validator key" in twice.output) == (1, True)


async def test_a_seat_is_taken_away_by_name(desk: Desk) -> None:
    """Nothing of the member is needed; what is shown names the key that goes."""
    keys = ("--officer-dir", str(desk.open_office("harbour")), "--yes", "--node", desk.url)
    done = await desk.run("gov", "propose", "seat", "remove", "jade", *keys)
    assert done.exit_code == EXIT_OK, done.output
    assert KeySigner(make_seed("jade/validator")).public_key.hex() in done.stderr
    assert read_action(desk) == SeatSet(account=account("jade"), validator_key=None, proof=None)  # type: ignore[arg-type]
    ((proposal, _),) = desk.node.ledger.books.state.items(PROPOSALS)
    shown = await desk.run("gov", "show", proposal.hex(), "--node", desk.url)
    for words in ("seat_set", f"{account('jade').hex()} (jade)", "none"):
        assert words in shown.stdout


async def test_mistakes_have_their_own_sentences(desk: Desk) -> None:
    """Of another member, another network, no file of ours; a seat that is there or is not; keys that are not."""
    home = make_home(desk, "jade", votes=True)
    path, told = await prove(desk, "jade", home)
    seat = ("gov", "propose", "seat")
    rest = ("--officer-dir", str(desk.open_office("harbour")), "--yes", "--node", desk.url)
    assert await desk.refuse(*seat, "admit", "jade", "--proof", str(path), *rest) == "seated_already"
    assert await desk.refuse(*seat, "admit", "identity", "--proof", str(path), *rest) == "proof_mismatch"
    assert await desk.refuse(*seat, "remove", "identity", *rest) == "not_seated"
    forged = desk.folder / "forged.json"
    for changes, code in (
        ({}, "proof_invalid"),
        ({"proof": "00" * 64}, "proof_invalid"),
        ({"proof": "00"}, "proof_malformed"),
        ({"validator_key": None}, "proof_malformed"),
        ({"node_key": "zz"}, "proof_malformed"),
    ):
        forged.write_text(json.dumps({**told, "account": account("identity").hex(), **changes}))
        assert await desk.refuse(*seat, "admit", "identity", "--proof", str(forged), *rest) == code
    forged.write_text("[]")
    assert await desk.refuse(*seat, "admit", "identity", "--proof", str(forged), *rest) == "proof_malformed"
    assert await desk.refuse(*seat, "admit", "identity", "--proof", "nowhere", *rest) == "file_unreadable"
    empty = make_home(desk, "identity", votes=False)
    lost = await desk.run("keys", "seat-proof", "identity", "--dir", str(empty), "--node", desk.url)
    assert (lost.exit_code, "add --new" in lost.output) == (1, True)
    over = await desk.run("keys", "seat-proof", "jade", "--dir", str(home), "--node", desk.url, "-o", str(path))
    assert (over.exit_code, "choose another name" in over.output) == (1, True)


async def test_rotating_needs_a_seat(desk: Desk) -> None:
    """Whoever has none is admitted."""
    path, _ = await prove(desk, "identity", make_home(desk, "identity", votes=False), "--new")
    rest = ("--officer-dir", str(desk.open_office("harbour")), "--yes", "--node", desk.url)
    assert (
        await desk.refuse("gov", "propose", "seat", "rotate", "identity", "--proof", str(path), *rest) == "not_seated"
    )


async def test_seats_plans_and_convictions_are_there_to_read(desk: Desk) -> None:
    """Who sits, who is planned, who was convicted of what and by whom it was reported."""
    seats = desk.node.ledger.epoch_row.seats
    told = await desk.read("gov", "seats")
    assert [one["validator_key"] for one in told["validators"]["seats"]] == [one.hex() for one in list_keys(seats)]
    assert (told["validators"]["next"], told["convictions"]) == (None, [])
    key = KeySigner(make_seed("jade/validator"))
    index = list_keys(seats).index(key.public_key)
    facts = []
    for digest in (BlockDigest(b"1" * 32), BlockDigest(b"2" * 32)):
        message = calculate_vote_bytes(VoteKind.NOTARIZE, desk.node.chain_id, Epoch(0), View(5), digest)
        facts.append(SignedFact(kind=VoteKind.NOTARIZE, view=View(5), digest=digest, signature=key.sign(message)))
    payload = Evidence(epoch=Epoch(0), index=ValidatorIndex(index), first=facts[0], second=facts[1])
    await desk.order("harbour", "gov", "propose", "seat", "remove", "jade", "--on", "2026-11-27")
    await desk.node.do(desk.node.make_officer("identity").build(payload))
    desk.node.clock_ms = TimeMs(desk.node.clock_ms + 30 * DAY_MS)
    await desk.node.make_block()
    told = await desk.read("gov", "seats")
    convicted = {one["name"]: one["convicted"] for one in told["validators"]["seats"]}
    assert convicted == {"harbour": False, "jade": True}
    (conviction,) = told["convictions"]
    assert (conviction["name"], conviction["reporter_name"], conviction["view"]) == ("jade", "identity", 5)
    assert [one["name"] for one in told["validators"]["next"]] == ["harbour"]
    shown = (await desk.run("gov", "seats", "--node", desk.url)).stdout
    for words in ("convicted, no vote", "Planned for epoch 1", "Convicted by evidence, for good:", "identity"):
        assert words in shown


@pytest.mark.parametrize("typed", [(), ("--node-key", "ab" * 32)])
async def test_a_new_member_is_proposed_by_its_entry(desk: Desk, typed: tuple[str, ...]) -> None:
    """What `liushui init` printed has all its keys, that of its node too; what is typed beside it wins."""
    home = desk.folder / "peony"
    made = await desk.run("init", "peony", "--data-dir", str(home), "--lender", "--unsealed")
    entry = desk.folder / "peony.json"
    entry.write_text(made.stdout)
    proposal = ("gov", "propose", "member", "peony", "--role", "lender", "--entry", str(entry), *typed)
    await desk.order("harbour", *proposal)
    action = read_action(desk)
    assert isinstance(action, MemberSet)
    seed = read_seed(home, "node")
    assert seed is not None
    assert action.node_key == (bytes.fromhex(typed[1]) if typed else KeySigner(seed).public_key)
    rest = ("--officer-dir", str(desk.open_office("harbour")), "--yes", "--node", desk.url)
    wrong = ("gov", "propose", "member", "iris", "--role", "lender", "--entry", str(entry))
    assert await desk.refuse(*wrong, *rest) == "entry_mismatch"
    entry.write_text("{}")
    assert await desk.refuse(*proposal, *rest) == "entry_malformed"
