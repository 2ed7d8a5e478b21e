"""`liushui tx`: any type from a file, a thing sold by a draft that goes round, and drafts that nobody should sign."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from node.cli.common import EXIT_OK, EXIT_REFUSED, EXIT_USAGE
from node.client.catalog import PAYLOADS
from protocol.crypto import calculate_account_id
from protocol.genesis import encode_genesis
from protocol.ledger.rows import ProposalState
from protocol.ledger.state import ACCOUNTS, ASSETS, KEYS, PROPOSALS
from tests.node.api.harness import make_genesis, make_keys
from tests.node.cli.terminal import Desk


def get_account(name: str) -> bytes:
    officer = make_keys(name).officer
    assert officer is not None
    return calculate_account_id(officer.public_key)


async def register(desk: Desk) -> str:
    """A vehicle of harbour, seen by the issuer, whose keys are on the same machine."""
    told = await desk.order(
        "harbour", "asset", "register", "--class", "vehicle", "--serial", "VIN-0001", "--issuer-dir",
        str(desk.open_office("identity")), "--value-minor", "8000000",
    )  # fmt: skip
    ((asset, _),) = desk.node.ledger.books.state.items(ASSETS)
    assert told["asset"] == asset.hex()
    return asset.hex()


async def draft_transfer(desk: Desk, asset: str, *more: str) -> Path:
    """A draft by which harbour gives the vehicle to jade, signed by harbour."""
    payload, path = desk.folder / "transfer.json", desk.folder / "transfer.draft"
    payload.write_text(json.dumps({"asset": asset, "to": "jade"}))
    told = await desk.order(
        "harbour", "tx", "draft", "AssetTransfer", str(payload), "--cosigner", "jade", "-o", str(path), *more
    )
    assert told["missing"] == ["jade"]
    return path


async def test_a_thing_changes_hands_by_a_draft(desk: Desk) -> None:
    """Draft, show, cosign elsewhere, submit by whoever holds it: the ledger has the new owner."""
    asset = await register(desk)
    path = await draft_transfer(desk, asset)
    shown = await desk.run("tx", "show", str(path), "--genesis", str(desk.genesis))
    for words in (asset, "jade, still to sign", "harbour, signed", "AssetTransfer: Give a free asset"):
        assert words in shown.stdout
    early = await desk.run("tx", "submit", str(path), "--node", desk.url)
    assert (early.exit_code, "Still to sign: jade." in early.stderr) == (EXIT_REFUSED, True)
    jade = ("--officer-dir", str(desk.open_office("jade")))
    signed = await desk.run("tx", "cosign", str(path), *jade, text="y\n")
    assert signed.exit_code == EXIT_OK, signed.output
    assert asset in signed.stderr
    assert await desk.refuse("tx", "cosign", str(path), *jade, "--yes") == "signed_already"
    told = await desk.read("tx", "submit", str(path), "--yes")
    assert len(told["transaction"]) == 64
    assert desk.node.ledger.books.state.need(ASSETS, bytes.fromhex(asset)).owner == get_account("jade")


async def test_a_draft_stands_while_its_sender_signs_other_things(desk: Desk) -> None:
    """What the sender sends between draft and submission does not use the draft up."""
    asset = await register(desk)
    path = await draft_transfer(desk, asset)
    await desk.order("harbour", "gov", "propose", "pause", "lending")
    await desk.run("tx", "cosign", str(path), "--officer-dir", str(desk.open_office("jade")), "--yes")
    await desk.read("tx", "submit", str(path), "--yes")
    await desk.order("harbour", "gov", "propose", "pause", "money")


async def test_a_draft_that_was_touched_is_refused_by_every_command(desk: Desk) -> None:
    """Words that do not fit the bytes stop show, cosign and submit alike, with one clear sentence."""
    path = await draft_transfer(desk, await register(desk))
    value = json.loads(path.read_text())
    value["says"]["to"] = get_account("regulator").hex()
    path.write_text(json.dumps(value))
    jade = str(desk.open_office("jade"))
    for words in (["show"], ["cosign", "--officer-dir", jade, "--yes"], ["submit", "--yes", "--node", desk.url]):
        done = await desk.run("tx", words[0], str(path), *words[1:])
        assert (done.exit_code, "do not sign it" in done.stderr) == (EXIT_REFUSED, True), words
        assert "draft_altered" in done.stderr


async def test_nobody_signs_for_another_network_or_in_anothers_place(desk: Desk) -> None:
    """A genesis beside the keys, or named, stops a draft of another network; a stranger's key is not asked for."""
    path = await draft_transfer(desk, await register(desk))
    other = desk.folder / "other.json"
    other.write_bytes(encode_genesis(msgspec.structs.replace(make_genesis(), name="other")))
    jade = desk.open_office("jade")
    words = ("tx", "cosign", str(path), "--officer-dir", str(jade), "--yes")
    assert await desk.refuse(*words, "--genesis", str(other)) == "wrong_network"
    (jade / "genesis.json").write_bytes(other.read_bytes())
    assert await desk.refuse(*words) == "wrong_network"
    stranger = ("--key", str(desk.key), "--passphrase-file", str(desk.secret), "--yes")
    assert await desk.refuse("tx", "cosign", str(path), *stranger) == "not_a_signer"
    declined = await desk.run("tx", "cosign", str(path), "--officer-dir", str(desk.open_office("harbour")), text="n\n")
    assert declined.exit_code == EXIT_REFUSED


async def test_a_draft_never_overwrites_a_file(desk: Desk) -> None:
    """A file that exists stays as it is."""
    path = await draft_transfer(desk, await register(desk))
    before = path.read_bytes()
    office = str(desk.open_office("harbour"))
    code = await desk.refuse(
        "tx", "draft", "AssetTransfer", str(desk.folder / "transfer.json"), "--cosigner", "jade", "-o", str(path),
        "--officer-dir", office, "--yes", "--node", desk.url,
    )  # fmt: skip
    assert (code, path.read_bytes()) == ("file_exists", before)


async def test_any_type_goes_by_a_file_or_by_standard_input(desk: Desk) -> None:
    """A payload typed as JSON is signed and sent; the id of what it makes is not lost."""
    office = str(desk.open_office("harbour"))
    text = json.dumps({"action": {"type": "PauseSet", "families": ["lending"]}, "effective_on": "2026-11-05"})
    done = await desk.run("tx", "send", "propose", "-", "--officer-dir", office, "--node", desk.url, "--yes", text=text)
    assert done.exit_code == EXIT_OK, done.output
    assert "action families  lending" in done.stderr
    ((proposal, row),) = desk.node.ledger.books.state.items(PROPOSALS)
    assert row.state is ProposalState.OPEN
    assert proposal.hex() in done.stdout


@pytest.mark.parametrize(
    ("name", "text", "code"),
    [
        ("Autopay", "{}", "type_unknown"),
        ("Apply", "{}", "type_elsewhere"),
        ("AutopaySet", "{", "payload_malformed"),
        ("AutopaySet", '{"loan": "ab", "on": true}', "payload_malformed"),
        ("Transfer", '{"to": "nobody"}', "account_malformed"),
    ],
)
async def test_a_payload_that_cannot_be_is_refused_before_signing(desk: Desk, name: str, text: str, code: str) -> None:
    """A wrong type, form or name ends with a code, and says where to look."""
    path = desk.folder / "payload.json"
    path.write_text(text)
    office = str(desk.open_office("harbour"))
    assert await desk.refuse("tx", "send", name, str(path), "--officer-dir", office, "--node", desk.url) == code


async def test_types_are_listed_and_explained(desk: Desk) -> None:
    """All types with a sentence; one with its fields, parts and an example, however its name is typed."""
    done = await desk.run("tx", "types", "--json")
    assert {one["type"] for one in json.loads(done.stdout)} == set(PAYLOADS)
    shown = await desk.run("tx", "types", "loan-adjust")
    for words in ("LoanAdjust", "one of waive, refund, reversal, cost", "minor units", "payment (may be left out)"):
        assert words in shown.stdout
    told = json.loads((await desk.run("tx", "types", "Propose", "--json")).stdout)
    assert "PolicySet" in told["parts"]
    wrong = await desk.run("tx", "types", "LoanAjust")
    assert (wrong.exit_code, "Did you mean LoanAdjust?" in wrong.stderr) == (EXIT_REFUSED, True)


# ---------------------------------------------------------------------- votes and keys, whole


async def test_a_policy_is_voted_in_by_commands(desk: Desk) -> None:
    """Propose what changes, look, vote: the proposal passes with both lenders' officers."""
    told = await desk.order(
        "harbour", "gov", "propose", "policy", "--set", "debt_cap=30000000", "--set", "us_rate=true"
    )
    proposal = told["proposal"]
    assert [one["id"] for one in (await desk.read("gov", "list", "--state", "open"))["items"]] == [proposal]
    shown = await desk.run("gov", "show", proposal, "--node", desk.url)
    assert "harbour" in shown.stdout
    assert "20000000 -> 30000000" in shown.stdout
    assert "apr_cap" not in shown.stdout
    await desk.order("jade", "gov", "vote", proposal, "yes")
    assert (await desk.read("gov", "show", proposal))["state"] == "passed"
    row = desk.node.ledger.books.state.need(PROPOSALS, bytes.fromhex(proposal))
    policy: Any = row.action
    assert (policy.policy.debt_cap, policy.policy.us_rate) == (30_000_000, True)
    assert policy.policy.apr_cap_ppm == desk.node.genesis.policy.apr_cap_ppm
    office = ("--officer-dir", str(desk.open_office("jade")), "--yes", "--node", desk.url)
    assert await desk.refuse("gov", "vote", proposal, "no", *office) in {"voted_already", "proposal_closed"}
    assert await desk.refuse("gov", "propose", "policy", "--set", "us_rate=false", *office) == "nothing_to_change"
    assert await desk.refuse("gov", "propose", "policy", "--set", "debt_cap=much", *office) == "policy_malformed"


async def test_a_member_gets_another_role_by_votes(desk: Desk) -> None:
    """What is not named about a standing member stays as it is, and its keys are found."""
    told = await desk.order("harbour", "gov", "propose", "member", "jade", "--role", "lender", "--role", "arbiter")
    row: Any = desk.node.ledger.books.state.need(PROPOSALS, bytes.fromhex(told["proposal"])).action
    keys = make_keys("jade")
    assert keys.officer is not None
    assert keys.attester is not None
    assert (row.officer_key, row.attester_key, row.roles) == (keys.officer.public_key, keys.attester.public_key, 33)


async def test_a_key_is_changed_and_the_account_stays(desk: Desk) -> None:
    """keys rotate: the new key file speaks for the old account, and the old one for nobody."""
    new, secret = desk.folder / "new.key", str(desk.secret)
    assert (await desk.run("keys", "new", "--out", str(new), "--passphrase-file", secret)).exit_code == EXIT_OK
    before = await desk.read("account", "show", "--key", str(desk.key))
    await desk.sign("keys", "rotate", "--to", str(new), "--to-passphrase-file", secret, "--yes")
    after = await desk.read("account", "show", "--key", str(new))
    assert (after["id"], after["key"] != before["key"]) == (before["id"], True)
    assert desk.node.ledger.books.state.need(ACCOUNTS, bytes.fromhex(after["id"])).key.hex() == after["key"]
    old = desk.node.ledger.books.state.need(KEYS, bytes.fromhex(before["key"]))
    assert old.account is None
    both = await desk.run("keys", "rotate", "--key", str(desk.key), "--to", str(new), "--to-dir", "x")
    assert both.exit_code == EXIT_USAGE
