"""`liushui gov propose seat`, `liushui gov seats`: who validates, from the proof that a key is held to a conviction.

    on the validator's machine    liushui keys seat-proof NAME --dir DIR -o seat.json
    where a validator votes       liushui gov propose seat admit NAME --proof seat.json

Which seats there can be is the ledger's to say, never this file's.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from node.cli.common import fail, json_option, node_option, print_facts, print_json, print_table
from node.cli.desk import Desk
from node.cli.proposing import effective, propose_action
from node.cli.typed import DIRECTORY, FILE

if TYPE_CHECKING:
    from protocol.crypto import KeySigner
    from protocol.ids import PublicKey, Signature
    from protocol.transactions.governance import SeatSet

BEGINS = "with the next epoch not yet fixed, at least 32 blocks after the day it is decided for"


# ---------------------------------------------------------------------- the proof


class SeatProof(NamedTuple):
    """A file made by `liushui keys seat-proof`."""

    account: bytes
    validator_key: "PublicKey"
    proof: "Signature"
    node_key: "PublicKey | None"


@click.command(name="seat-proof")
@click.argument("name", metavar="NAME")
@click.option("--dir", "directory", type=DIRECTORY, required=True, help="Data directory of the validator's node.")
@click.option("--new", is_flag=True, help="Make the key first; beside one that votes already, as validator-next.")
@click.option("--out", "-o", "path", type=FILE, default=None, help="File to create; otherwise it is printed.")
@node_option
def seat_proof(*, name: str, directory: Path, new: bool, path: Path | None, node_url: str) -> None:
    """Let a validator key sign that it may be seated for the member NAME; nothing is sent.

    Whoever proposes the seat needs what is printed (JSON). It holds no secret: two public keys and a signature.

    Example: liushui keys seat-proof lender5 --dir mynet/lender5 --new -o seat.json
    """
    from node.cli.sign import read_network, resolve_account
    from protocol.transactions.governance import calculate_seat_bytes

    if new:
        _check_role(directory)
    network = read_network(node_url, directory)
    account = resolve_account(network, name)
    signer = _open_validator(directory, new=new)
    node_key = _read_public(directory, "node")
    told = {
        "account": account.hex(),
        "name": next((one.name for one in network.members if one.account == account), None),
        "network": network.calculate_chain_id().hex(),
        "validator_key": signer.public_key.hex(),
        "node_key": None if node_key is None else node_key.hex(),
        "proof": signer.sign(calculate_seat_bytes(network.calculate_chain_id(), account)).hex(),
    }
    text = json.dumps(told, indent=2) + "\n"
    if path is None:
        click.echo(text, nl=False)
        return
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        fail("file_exists", f"{path} exists: choose another name.")
    except OSError as error:
        fail("file_unwritable", f"{path} cannot be written: {error.strerror}.")
    print_facts([("written to", path), ("validator key", told["validator_key"])])


def _open_validator(directory: Path, *, new: bool) -> "KeySigner":
    """The key that is to be seated: the next one while it waits, else the present one."""
    from node.cli.sign import find_passphrase
    from node.keystore import VALIDATOR_NAMES, KeyFileError, list_keys, read_seed, write_key
    from protocol.crypto import KeySigner

    passphrase = find_passphrase(directory)
    try:
        present, waiting = (read_seed(directory, one, passphrase) for one in VALIDATOR_NAMES)
        if new:
            if waiting is not None:
                fail("key_waits", f"{directory} holds a validator-next key already: leave --new out to prove that one.")
            is_sealed = any(list_keys(directory).values())
            name = VALIDATOR_NAMES[0 if present is None else 1]
            return KeySigner(write_key(directory, name, passphrase=passphrase if is_sealed else None))
    except KeyFileError as error:
        fail(error.code, error.sentence)
    except OSError as error:
        fail("directory_unwritable", f"{directory} cannot be written: {error.strerror}.")
    seed = waiting or present
    if seed is None:
        fail("key_missing", f"{directory} holds no validator key: add --new to make one.")
    return KeySigner(seed)


def _check_role(directory: Path) -> None:
    """A key that votes is made where a validator's settings lie, or none at all."""
    from node.config import CONFIG_FILE, ConfigError, load_config

    if not (directory / CONFIG_FILE).exists():
        return
    try:
        role = load_config(directory, environment={}).role
    except ConfigError as error:
        fail(error.code, error.sentence)
    if role == "observer":
        fail(
            "role_is_observer",
            f"{directory} is an observer's and holds no validator key: first set role to validator in {CONFIG_FILE}.",
        )


def _read_public(directory: Path, name: str) -> "PublicKey | None":
    from node.keystore import KeyFileError, read_public_key

    try:
        return read_public_key(directory, name)
    except KeyFileError as error:
        fail(error.code, error.sentence)


def _read_proof(path: Path) -> SeatProof:
    from protocol.ids import PublicKey, Signature

    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        node_key = told.get("node_key")
        found = SeatProof(
            account=bytes.fromhex(told["account"]),
            validator_key=PublicKey(bytes.fromhex(told["validator_key"])),
            proof=Signature(bytes.fromhex(told["proof"])),
            node_key=None if node_key is None else PublicKey(bytes.fromhex(node_key)),
        )
    except OSError as error:
        fail("file_unreadable", f"{path} cannot be read: {error.strerror}.")
    except (ValueError, KeyError, TypeError, AttributeError):
        fail("proof_malformed", f"{path} was not made by liushui keys seat-proof.")
    keys = [found.account, found.validator_key, *(() if found.node_key is None else (found.node_key,))]
    if any(len(one) != 32 for one in keys) or len(found.proof) != 64:
        fail("proof_malformed", f"{path} was not made by liushui keys seat-proof.")
    return found


# ---------------------------------------------------------------------- proposals


@click.group()
def seat() -> None:
    """Let a member validate, give its seat another key, or take the seat away."""


def _proof_option(function: Any) -> Any:
    return click.option(
        "--proof", "path", type=FILE, required=True, help="What liushui keys seat-proof made on the node's machine."
    )(function)


@seat.command()
@click.argument("name", metavar="NAME")
@_proof_option
@effective
def admit(*, desk: Desk, name: str, path: Path, effective_on: int | None) -> None:
    """Let the member NAME validate. Its node may connect from that day on, and votes once its epoch has begun.

    Example: liushui gov propose seat admit lender5 --proof seat.json --officer-dir mynet/lender1
    """
    payload = _make_seat(desk, name, path)
    stands = _find_seat(desk, payload.account)
    if stands is not None:
        fail("seated_already", f"{name} has a seat: give it another key with liushui gov propose seat rotate.")
    propose_action(desk, payload, effective_on, [("so far", "no seat"), ("begins", BEGINS)])


@seat.command()
@click.argument("name", metavar="NAME")
@_proof_option
@effective
def rotate(*, desk: Desk, name: str, path: Path, effective_on: int | None) -> None:
    """Give the seat of NAME another key. Both stay on its machine: whichever has the seat votes.

    Example: liushui gov propose seat rotate lender2 --proof seat.json --officer-dir mynet/lender1
    """
    payload = _make_seat(desk, name, path)
    stands = _find_seat(desk, payload.account)
    if stands is None:
        fail("not_seated", f"{name} has no seat: give it one with liushui gov propose seat admit.")
    propose_action(desk, payload, effective_on, [("key so far", stands["validator_key"]), ("begins", BEGINS)])


@seat.command()
@click.argument("name", metavar="NAME")
@effective
def remove(*, desk: Desk, name: str, effective_on: int | None) -> None:
    """Take the seat of NAME away, and its vote with it. Its node may go on following.

    Example: liushui gov propose seat remove lender4 --officer-dir mynet/lender1
    """
    from protocol.transactions.governance import SeatSet

    payload = SeatSet(account=desk.resolve(name), validator_key=None, proof=None)
    stands = _find_seat(desk, payload.account)
    if stands is None:
        fail("not_seated", f"{name} has no seat: see liushui gov seats.")
    propose_action(desk, payload, effective_on, [("key so far", stands["validator_key"]), ("ends", BEGINS)])


def _make_seat(desk: Desk, name: str, path: Path) -> "SeatSet":
    """The action of a proof that is good: of this member and this network, signed by the key itself."""
    from protocol.crypto import check_signature
    from protocol.transactions.governance import SeatSet, calculate_seat_bytes

    found, account = _read_proof(path), desk.resolve(name)
    if found.account != account:
        fail("proof_mismatch", f"{path} was made for the account {found.account.hex()}, which is not {name}.")
    message = calculate_seat_bytes(desk.network.calculate_chain_id(), account)
    if not check_signature(found.validator_key, message, found.proof):
        fail("proof_invalid", f"{path} was made for another network, or was changed: have it made again.")
    return SeatSet(account=account, validator_key=found.validator_key, proof=found.proof, node_key=found.node_key)


def _find_seat(desk: Desk, account: bytes) -> dict[str, Any] | None:
    """The seat that everything decided so far leads to."""
    told = desk.read("/v1/network")["validators"]
    planned: list[dict[str, Any]] = told["queued"] or told["next"] or told["seats"]
    return next((one for one in planned if one["account"] == account.hex()), None)


# ---------------------------------------------------------------------- who validates


@click.command()
@node_option
@json_option
def seats(*, node_url: str, as_json: bool) -> None:
    """Who validates, who is planned, and which keys evidence has convicted.

    Example: liushui gov seats
    """
    from node.cli.remote import get

    network = get(node_url, "/v1/network")
    told, convictions = network["validators"], network["convictions"]
    if as_json:
        print_json({"validators": told, "convictions": convictions})
        return
    print_facts([("epoch", told["epoch"]), ("since height", told["since_height"])])
    rows = [
        (index, one["name"], one["validator_key"], "convicted, no vote" if one["convicted"] else "votes")
        for index, one in enumerate(told["seats"])
    ]
    print_table(("Index", "Validator", "Key", "State"), rows, right=(0,))
    for title, planned in (("next", told["next"]), ("the one after", told["queued"])):
        if planned is not None:
            click.echo(f"\nPlanned for epoch {told['epoch'] + (1 if title == 'next' else 2)} ({title}):")
            print_table(("Validator", "Key"), [(one["name"], one["validator_key"]) for one in planned])
    if told["next"] is not None:
        click.echo(f"\nDecided at height {told['planned_at']}; the epoch ends at least 32 blocks later.")
    if convictions:
        click.echo("\nConvicted by evidence, for good:")
        print_table(
            ("Validator", "Key", "Epoch", "View", "At height", "Reported by"),
            [
                (one["name"], one["validator_key"], one["epoch"], one["view"], one["height"], one["reporter_name"])
                for one in convictions
            ],
            right=(2, 3, 4),
        )
