"""`liushui gov`: what the validators decide: policy, models, members, seats, pauses, freezes. Propose, vote, look.

A proposal is a signed action with a day; each validator's officer votes once. Never an action's own rule here.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from node.cli.common import fail, json_option, node_option, print_facts, print_json, print_table
from node.cli.convicting import convict, evidence
from node.cli.desk import Desk, signing
from node.cli.modelvotes import register, retire
from node.cli.proposing import effective, propose_action
from node.cli.seats import seat, seats
from node.cli.typed import FILE, read_id

if TYPE_CHECKING:
    from protocol.genesis import Member

ROLES: Final = ("lender", "settlement_agent", "issuer", "observer", "arbiter", "provider")
FAMILIES: Final = ("accounts", "money", "pools", "products", "lending", "servicing")
STATES: Final = ("open", "passed", "done", "rejected", "lapsed")


@click.group()
def gov() -> None:
    """Propose what the validators decide, and vote on it."""


@gov.group()
def propose() -> None:
    """Put an action before the validators. A validator's officer signs, and so votes for it."""


gov.add_command(seats)
gov.add_command(evidence)
propose.add_command(seat)
propose.add_command(register, "model")
propose.add_command(retire, "retire-model")
propose.add_command(convict)


@propose.command()
@click.option("--set", "changes", multiple=True, metavar="NAME=VALUE", help="One limit to change. May be repeated.")
@click.option("--file", "path", type=FILE, default=None, help="JSON object of limits to change.")
@effective
def policy(*, desk: Desk, changes: tuple[str, ...], path: Path | None, effective_on: int | None) -> None:
    """Other limits for loans to come; what is not named stays as it is. liushui tx types Propose explains each.

    Example: liushui gov propose policy --set debt_cap=30000000 --officer-dir mynet/lender1
    """
    from node.client.forms import FormError, Names, describe, read_payload, write_payload
    from protocol.genesis import Policy
    from protocol.transactions.governance import PolicySet

    wanted = {**({} if path is None else _read_json(path)), **dict(_split(one) for one in changes)}
    if not wanted:
        raise click.UsageError("Say what changes: --set NAME=VALUE or --file FILE.")
    before = desk.network.policy
    try:
        after = read_payload(Policy, {**write_payload(before), **wanted}, desk.resolve)
    except FormError as error:
        fail("policy_malformed", f"{error}. liushui tx types Propose explains each limit.")
    names: Names = desk.make_names(desk.network.currencies[0].code)
    old, new = dict(describe(before, names)), dict(describe(after, names))
    beside = [
        (f"changes {name}", f"{old.get(name, 'none')} -> {text}") for name, text in new.items() if old.get(name) != text
    ]
    if not beside:
        fail("nothing_to_change", "The policy in force says all of this already.")
    propose_action(desk, PolicySet(policy=after), effective_on, list(beside))


def _split(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals:
        raise click.BadParameter(f"{text!r} is not NAME=VALUE.", param_hint="--set")
    try:
        return name.strip(), json.loads(value)
    except ValueError:
        return name.strip(), value.strip()


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        fail("file_unreadable", f"{path} cannot be read: {error.strerror}.")
    except ValueError as error:
        fail("policy_malformed", f"{path} is not JSON: {error}.")
    if not isinstance(value, dict):
        fail("policy_malformed", f"{path} holds no JSON object of limits.")
    return value


@propose.command()
@click.argument("name", metavar="NAME")
@click.option("--role", "roles", type=click.Choice(ROLES), multiple=True, help="What it may do. May be repeated.")
@click.option("--suspend", is_flag=True, help="No role at all; what it owes and is owed stays.")
@click.option("--officer-key", default=None, metavar="HEX", help="Of a new member, its officer's public key.")
@click.option("--enc-key", default=None, metavar="HEX", help="Of a new member, the key statements are sealed to.")
@click.option("--attester-key", default=None, metavar="HEX", help="The key that attests; 'none' takes it away.")
@click.option("--new-officer-key", default=None, metavar="HEX", help="For a member that lost its officer key.")
@click.option("--node-key", default=None, metavar="HEX", help="Its node's identity, so that others let it connect.")
@click.option("--entry", type=FILE, default=None, help="Of a new member, what liushui init printed: all its keys.")
@effective
def member(
    *,
    desk: Desk,
    name: str,
    roles: tuple[str, ...],
    suspend: bool,
    officer_key: str | None,
    enc_key: str | None,
    attester_key: str | None,
    new_officer_key: str | None,
    node_key: str | None,
    entry: Path | None,
    effective_on: int | None,
) -> None:
    """Admit the organisation NAME, or change what it may do. Roles that are not named are taken away.

    Whether it validates is another decision: liushui gov propose seat.

    Example: liushui gov propose member lender2 --role lender --role issuer --officer-dir mynet/lender1
    """
    from protocol.ids import BoxKey
    from protocol.ledger.rows import Role
    from protocol.transactions.governance import MemberSet

    if bool(roles) == suspend:
        raise click.UsageError("Name what it may do with --role, or give --suspend for no role at all.")
    stands = next((one for one in desk.read("/v1/network")["members"] if one["name"] == name), None)
    if entry is not None:
        told = _read_entry(entry, name)
        officer_key, enc_key = officer_key or told.officer_key.hex(), enc_key or told.enc_key.hex()
        attester_key = attester_key or (None if told.attester_key is None else told.attester_key.hex())
        node_key = node_key or told.node_key.hex()
    officer = _find_officer_key(desk, name, stands, officer_key)
    sealing = enc_key or (None if stands is None else stands["enc_key"])
    if sealing is None:
        raise click.UsageError(f"{name} is no member yet: give its --officer-key and --enc-key.")
    attests = attester_key or (None if stands is None else stands["attester_key"])
    payload = MemberSet(
        name=name,
        officer_key=officer,
        enc_key=BoxKey(read_id(sealing, "a sealing key")),
        attester_key=None if attests in (None, "none") else _read_key(attests, "an attester key"),
        roles=sum(int(Role[one.upper()]) for one in set(roles)),
        new_officer_key=None if new_officer_key is None else _read_key(new_officer_key, "an officer key"),
        node_key=None if node_key is None else _read_key(node_key, "a node key"),
    )
    now = "is no member" if stands is None else ", ".join(stands["roles"]) or "suspended"
    propose_action(desk, payload, effective_on, [("so far", now)])


def _read_entry(path: Path, name: str) -> "Member":
    """The public entry that `liushui init` prints."""
    import msgspec

    from protocol.codec import JSON_FAULTS
    from protocol.genesis import Member

    try:
        entry = msgspec.json.decode(path.read_bytes(), type=Member)
    except OSError as error:
        fail("file_unreadable", f"{path} cannot be read: {error.strerror}.")
    except JSON_FAULTS as error:
        fail("entry_malformed", f"{path} is not what liushui init prints: {error}.")
    if entry.name != name:
        fail("entry_mismatch", f"{path} is the entry of {entry.name}, not of {name}.")
    return entry


def _read_key(text: str, what: str) -> Any:
    from protocol.ids import PublicKey

    return PublicKey(read_id(text, what))


def _find_officer_key(desk: Desk, name: str, stands: dict[str, Any] | None, typed: str | None) -> Any:
    """The key a member was admitted with, which its account is named after."""
    from protocol.crypto import calculate_account_id

    if typed is not None:
        return _read_key(typed, "an officer key")
    if stands is None:
        raise click.UsageError(f"{name} is no member yet: give its --officer-key and --enc-key.")
    known = [one.officer_key.hex() for one in desk.network.genesis.members] + [stands["officer_key"]]
    for each in known:
        key = _read_key(each, "an officer key")
        if calculate_account_id(key).hex() == stands["account"]:
            return key
    raise click.UsageError(f"{name} has changed its officer key: give the one it was admitted with by --officer-key.")


@propose.command()
@click.argument("families", nargs=-1, type=click.Choice(FAMILIES))
@click.option("--none", "nothing", is_flag=True, help="Pause nothing any more.")
@effective
def pause(*, desk: Desk, families: tuple[str, ...], nothing: bool, effective_on: int | None) -> None:
    """Pause FAMILIES of transactions, and no others. Paying and leaving can never be paused.

    Example: liushui gov propose pause lending products --officer-dir mynet/lender1
    """
    from protocol.ledger.rules import Pause
    from protocol.transactions.governance import PauseSet

    if bool(families) == nothing:
        raise click.UsageError(f"Name what to pause ({', '.join(FAMILIES)}), or give --none.")
    bits = sum(int(Pause[one.upper()]) for one in sorted(set(families)))
    propose_action(
        desk, PauseSet(families=bits), effective_on, [("paused so far", ", ".join(desk.network.paused) or "nothing")]
    )


@propose.command()
@click.argument("account", metavar="ACCOUNT")
@click.option("--free", is_flag=True, help="Free it instead.")
@effective
def freeze(*, desk: Desk, account: str, free: bool, effective_on: int | None) -> None:
    """Freeze ACCOUNT, a member's too. A frozen account can still repay.

    Example: liushui gov propose freeze lender3 --officer-dir mynet/lender1
    """
    from protocol.transactions.governance import Freeze

    propose_action(desk, Freeze(account=desk.resolve(account), frozen=not free), effective_on, [])


@propose.command()
@click.argument("version", metavar="VERSION", type=click.IntRange(2))
@click.option("--at", "height", type=click.IntRange(1), required=True, help="The first block by the new rules.")
@effective
def rules(*, desk: Desk, version: int, height: int, effective_on: int | None) -> None:
    """Execute by rules VERSION from a height on; it can be neither changed nor taken back.

    Every member installs a release that knows them first. A node that does not know them stops before the height and
    goes on once it was updated. The height lies at least 32 blocks above the block in which the decision takes effect.

    Example: liushui gov propose rules 2 --at 250000 --officer-dir mynet/lender1
    """
    from protocol.ids import Height
    from protocol.transactions.governance import RulesUpgrade

    propose_action(desk, RulesUpgrade(version=version, activation_height=Height(height)), effective_on, [])


@gov.command()
@click.argument("proposal_id", metavar="PROPOSAL")
@click.argument("answer", type=click.Choice(["yes", "no"]))
@signing
def vote(*, desk: Desk, proposal_id: str, answer: str) -> None:
    """Vote on PROPOSAL, once, after seeing what it would do.

    Example: liushui gov vote PROPOSAL yes --officer-dir mynet/lender2
    """
    from protocol.transactions.governance import Vote

    proposal = read_id(proposal_id, "a proposal")
    told = desk.find("/v1/proposals", proposal.hex(), "proposal", "List them with liushui gov list.")
    terms = _tell_terms(told, desk.read("/v1/network"))
    beside = [("action", told["action"]), *terms, ("effective on", told["effective_on"]), *_count_votes(told)]
    desk.sign("Vote:", Vote(proposal=proposal, approve=answer == "yes"), beside=beside)


def _tell_terms(told: dict[str, Any], network: dict[str, Any]) -> list[tuple[str, object]]:
    """What a proposal would do: of a policy what differs from the one in force, bits by their names."""
    from protocol.ledger.rows import Role
    from protocol.ledger.rules import Pause

    terms = told["terms"]
    if told["action"] == "policy_set":
        before = network["policy"]
        changes = [(name, value) for name, value in terms["policy"].items() if before.get(name) != value]
        found: list[tuple[str, object]] = [
            (f"  {name}", f"{_tell(before.get(name))} -> {_tell(value)}") for name, value in changes
        ]
        return found or [("  nothing", "it is the policy in force")]
    flags = {"roles": Role, "families": Pause}
    names = {one["account"]: f"{one['account']} ({one['name']})" for one in network["members"]}
    return [
        (f"  {name}", _tell_flags(flags[name], value) if name in flags else names.get(str(value), _tell(value)))
        for name, value in terms.items()
    ]


def _tell_flags(kind: Any, bits: int) -> str:
    return ", ".join(one.name.lower() for one in kind if bits & one) or "none"


def _tell(value: Any) -> str:
    if value is None:
        return "none"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _count_votes(told: dict[str, Any]) -> list[tuple[str, object]]:
    votes = f"{len(told['approved'])} for, {len(told['rejected'])} against, {told['votes_needed']} needed"
    return [("votes so far", votes)]


@gov.command(name="list")
@click.option("--state", type=click.Choice(STATES), default=None, help="Only in this state.")
@node_option
@json_option
def list_proposals(*, state: str | None, node_url: str, as_json: bool) -> None:
    """What the validators vote on, and have voted on.

    Example: liushui gov list --state open
    """
    from node.cli.remote import get

    query = {"limit": "200"} if state is None else {"limit": "200", "state": state}
    found = get(node_url, "/v1/proposals", **query)
    if as_json:
        print_json(found)
        return
    rows = [
        (one["id"], one["action"], one["state"], one["effective_on"], len(one["approved"]), one["votes_needed"])
        for one in found["items"]
    ]
    print_table(("Proposal", "Action", "State", "On", "For", "Needed"), rows, right=(4, 5))


@gov.command()
@click.argument("proposal_id", metavar="PROPOSAL")
@node_option
@json_option
def show(*, proposal_id: str, node_url: str, as_json: bool) -> None:
    """One proposal: what it would do, when, and who has voted how.

    Example: liushui gov show PROPOSAL
    """
    from node.cli.remote import check_hex, get

    told = get(node_url, f"/v1/proposals/{check_hex(proposal_id, 'a proposal')}")
    if as_json:
        print_json(told)
        return
    network = get(node_url, "/v1/network")
    names = {one["account"]: one["name"] for one in network["members"]}
    print_facts(
        [
            ("proposal", told["id"]),
            ("action", told["action"]),
            *_tell_terms(told, network),
            ("proposed by", told["proposer_name"] or told["proposer"]),
            ("state", told["state"]),
            ("effective on", told["effective_on"]),
            ("for", ", ".join(names.get(one, one) for one in told["approved"]) or "nobody"),
            ("against", ", ".join(names.get(one, one) for one in told["rejected"]) or "nobody"),
            ("votes needed", told["votes_needed"]),
        ]
    )
