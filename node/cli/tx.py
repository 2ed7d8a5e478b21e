"""`liushui tx`: any transaction type from a file, by one key or by several, for whatever no other command has a verb.

A draft goes from hand to hand until everybody has signed; each sees in words what the bytes say. Never a type's own
rule here.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from node.cli.common import agree, fail, json_option, node_option, passphrase_options, print_facts, print_json
from node.cli.desk import Desk, signing_together, tell_draft
from node.cli.sign import yes_option
from node.cli.typed import DIRECTORY, FILE

if TYPE_CHECKING:
    from node.client.catalog import FieldText
    from node.client.draft import Draft
    from node.client.forms import Names
    from protocol.genesis import Genesis
    from protocol.transactions.envelope import Payload, TransactionBody
    from protocol.transactions.lending import Accept

ELSEWHERE = {
    "Apply": "liushui apply makes it from the statement, with the sealed features that travel beside it",
}
"""Types that a file alone cannot make, and what makes them."""


@click.group()
def tx() -> None:
    """Send, draft and co-sign any transaction type."""


@tx.command()
@click.argument("name", metavar="[NAME]", required=False)
@json_option
def types(*, name: str | None, as_json: bool) -> None:
    """All transaction types, or one with its fields, units, limits and an example. It needs no node.

    Example: liushui tx types Assign
    """
    from node.client.catalog import PAYLOADS, read_first_sentence

    if name is not None:
        _tell_type(_find_type(name), as_json=as_json)
        return
    found = [(each, read_first_sentence(struct)) for each, struct in PAYLOADS.items()]
    if as_json:
        print_json([{"type": each, "for": sentence} for each, sentence in found])
    else:
        print_facts(found)
        click.echo("\nOne with its fields: liushui tx types NAME")


def _find_type(name: str) -> Any:
    from difflib import get_close_matches

    from node.client.catalog import PAYLOADS

    known = {each.lower(): struct for each, struct in PAYLOADS.items()}
    struct = known.get(name.lower().replace("_", "").replace("-", ""))
    if struct is None:
        near = get_close_matches(name.lower(), known, n=1, cutoff=0.5)
        hint = f" Did you mean {known[near[0]].__name__}?" if near else ""
        fail("type_unknown", f"{name} is no transaction type.{hint} List them with liushui tx types.")
    return struct


def _tell_type(struct: Any, *, as_json: bool) -> None:
    from node.client.catalog import list_fields, list_parts, read_doc
    from node.client.forms import make_example

    example = make_example(struct)
    if as_json:
        print_json(
            {
                "type": struct.__name__,
                "for": read_doc(struct),
                "fields": [_view_field(one) for one in list_fields(struct)],
                "parts": {
                    part.__name__: {"for": read_doc(part), "fields": [_view_field(one) for one in list_fields(part)]}
                    for part in list_parts(struct)
                },
                "example": example,
            }
        )
        return
    click.echo(f"{struct.__name__}\n{read_doc(struct)}")
    for part in (struct, *list_parts(struct)):
        if part is not struct:
            click.echo(f"\n{part.__name__}: {read_doc(part)}")
        for one in list_fields(part):
            click.echo(f"  {one.name}{'' if one.required else ' (may be left out)'}")
            click.echo(f"      {one.shape.describe()}")
            if one.doc:
                click.echo(f"      {one.doc}")
    click.echo(f"\nAn example of its form:\n{json.dumps(example, indent=2)}")


def _view_field(one: "FieldText") -> dict[str, Any]:
    from node.client.forms import write_value

    found = {"name": one.name, "takes": one.shape.describe(), "required": one.required, "about": one.doc}
    return found if one.required else {**found, "default": write_value(one.shape, one.default)}


@tx.command()
@click.argument("name", metavar="TYPE")
@click.argument("file", metavar="FILE|-", type=click.Path(dir_okay=False, allow_dash=True, path_type=Path))
@signing_together
def send(*, desk: Desk, name: str, file: Path) -> None:
    """Sign the payload of FILE (JSON; - for standard input) and send it.

    Ids are hex, days ISO dates, enums go by name, and a member's name will do for an account.

    Example: echo '{"loan": "LOAN", "on": true}' | liushui tx send AutopaySet - --key li-na.key --yes
    """
    desk.sign(f"{_find_type(name).__name__}:", _read_payload(desk, name, file))


@tx.command()
@click.argument("name", metavar="TYPE")
@click.argument("file", metavar="FILE|-", type=click.Path(dir_okay=False, allow_dash=True, path_type=Path))
@signing_together
def draft(*, desk: Desk, name: str, file: Path) -> None:
    """Sign the payload of FILE and write a draft for the others who sign.

    Example: liushui tx draft AssetTransfer transfer.json --officer-dir mynet/lender1 --cosigner lender2 -o a.draft
    """
    if desk.together.draft is None:
        raise click.UsageError("Say where the draft goes: --draft FILE, or -o FILE.")
    desk.sign(f"{_find_type(name).__name__}:", _read_payload(desk, name, file))


def _read_payload(desk: Desk, name: str, file: Path) -> "Payload":
    from node.client.forms import FormError, read_payload

    struct = _find_type(name)
    if struct.__name__ in ELSEWHERE:
        fail("type_elsewhere", f"{struct.__name__} cannot be sent from a file: {ELSEWHERE[struct.__name__]}.")
    try:
        with click.open_file(str(file), encoding="utf-8") as opened:
            value = json.loads(opened.read())
    except OSError as error:
        fail("file_unreadable", f"{file} cannot be read: {error.strerror}.")
    except ValueError as error:
        fail("payload_malformed", f"{file} is not JSON: {error}. liushui tx types {struct.__name__} shows an example.")
    try:
        payload: Payload = read_payload(struct, value, desk.resolve)
    except FormError as error:
        fail("payload_malformed", f"{error}. See liushui tx types {struct.__name__}.")
    return payload


# ---------------------------------------------------------------------- drafts of others


@tx.command()
@click.argument("file", metavar="DRAFT", type=FILE)
@click.option("--genesis", "genesis_path", type=FILE, default=None, help="genesis.json of the network, to see names.")
@json_option
def show(*, file: Path, genesis_path: Path | None, as_json: bool) -> None:
    """What DRAFT says, who signs it and who has. It needs no node.

    Example: liushui tx show a.draft --genesis mynet/genesis.json
    """
    found = _read_draft(file)
    names = _make_names(found, _find_genesis(genesis_path, None))
    if as_json:
        print_json(_view_draft(found))
    else:
        _print_draft(found, names, err=False)


def _view_draft(found: "Draft") -> dict[str, Any]:
    from node.client.forms import write_payload, write_time

    return {
        "type": type(found.body.payload).__name__,
        "payload": write_payload(found.body.payload),
        "chain_id": found.body.chain_id.hex(),
        "nonce": found.body.nonce,
        "valid_until": write_time(found.body.valid_to_ms),
        "signers": [{"key": key.hex(), "signed": key in found.signatures} for key in found.signers],
    }


def _print_draft(found: "Draft", names: "Names", *, err: bool) -> None:
    from node.client.catalog import read_doc
    from node.client.forms import describe, write_time

    struct = type(found.body.payload)
    click.echo(f"{struct.__name__}: {read_doc(struct)}", err=err)
    facts: list[tuple[str, object]] = [(f"  {name}", value) for name, value in describe(found.body.payload, names)]
    for rank, key in enumerate(found.signers):
        state = "signed" if key in found.signatures else "still to sign"
        facts.append(("sender" if rank == 0 else "co-signer", f"{names.accounts.get(key, key.hex())}, {state}"))
    facts += [
        ("valid until", write_time(found.body.valid_to_ms)),
        ("network", f"{found.network}, chain id {found.body.chain_id.hex()}"),
    ]
    print_facts(facts, err=err)


def _read_draft(file: Path) -> "Draft":
    from node.client.draft import FILE_BYTES_MAX, DraftError, read_draft

    try:
        with file.open("rb") as opened:
            return read_draft(opened.read(FILE_BYTES_MAX + 1))
    except OSError as error:
        fail("file_unreadable", f"{file} cannot be read: {error.strerror}.")
    except DraftError as error:
        fail(error.code, error.sentence)


def _find_genesis(path: Path | None, directory: Path | None) -> "Genesis | None":
    """The founding document that was named, or that lies beside an organisation's keys."""
    from node.cli.remote import read_genesis

    beside = () if directory is None else (directory / "genesis.json", directory.parent.parent / "genesis.json")
    for each in (*(() if path is None else (path,)), *beside):
        if each == path or each.is_file():
            return read_genesis(each)
    return None


def _make_names(found: "Draft", genesis: "Genesis | None") -> "Names":
    """What is known of the draft's network; the end of the command where it is another one."""
    from node.cli.desk import make_names
    from node.client.forms import Names

    if genesis is None:
        return Names()
    if genesis.calculate_chain_id() != found.body.chain_id:
        fail("wrong_network", f"The draft is for another network than {genesis.name}: nothing was signed.")
    return make_names(genesis)


@tx.command()
@click.argument("file", metavar="DRAFT", type=FILE)
@click.option(
    "--key", "key_path", type=FILE, default=None, envvar="LIUSHUI_KEY", help="Your key file, made by liushui keys new."
)
@passphrase_options
@click.option(
    "--officer-dir", "directory", type=DIRECTORY, default=None, help="Sign as the organisation of these keys."
)
@click.option(
    "--genesis",
    "genesis_path",
    type=FILE,
    default=None,
    help="genesis.json of your network: no other's draft is signed.",
)
@yes_option
@json_option
def cosign(
    *,
    file: Path,
    key_path: Path | None,
    passphrase_file: Path | None,
    passphrase_fd: int | None,
    directory: Path | None,
    genesis_path: Path | None,
    yes: bool,
    as_json: bool,
) -> None:
    """Sign DRAFT with your key, after seeing what it says; the signature is put into the file. It needs no node.

    Example: liushui tx cosign a.draft --officer-dir mynet/lender2
    """
    from node.cli import remote, sign
    from node.client.draft import DraftError, encode_draft
    from protocol.crypto import KeySigner

    sign.check_sender(key_path, directory)
    found = _read_draft(file)
    names = _make_names(found, _find_genesis(genesis_path, directory))
    _print_draft(found, names, err=True)
    if not yes:
        agree("Sign it?")
    if directory is not None:
        signer = KeySigner(sign.read_officer_seed(directory))
    else:
        assert key_path is not None, "checked by check_sender"
        signer = KeySigner(remote.open_key(key_path, passphrase_file, passphrase_fd))
    try:
        signed = found.sign(signer)
        file.write_bytes(encode_draft(signed))
    except DraftError as error:
        fail(error.code, error.sentence)
    except OSError as error:
        fail("file_unwritable", f"{file} cannot be written: {error.strerror}.")
    tell_draft(file, signed, names, as_json=as_json)


@tx.command()
@click.argument("file", metavar="DRAFT", type=FILE)
@yes_option
@node_option
@json_option
def submit(*, file: Path, yes: bool, node_url: str, as_json: bool) -> None:
    """Send DRAFT once everybody has signed it. Whoever holds the file may.

    Example: liushui tx submit a.draft
    """
    from node.cli import sign
    from node.cli.desk import make_names
    from node.client.wallet import OBJECT_KINDS, make_intent
    from protocol.transactions.lending import Accept

    found = _read_draft(file)
    network = sign.read_network(node_url)
    if network.calculate_chain_id() != found.body.chain_id:
        fail("wrong_network", f"The draft is for another network than that of {node_url}: nothing was sent.")
    names = make_names(network)
    if found.missing:
        missing = ", ".join(names.accounts.get(key, key.hex()) for key in found.missing)
        fail("signature_missing", f"Still to sign: {missing}. Send the draft there, for liushui tx cosign.")
    _print_draft(found, names, err=True)
    if not yes:
        agree("Send it?")
    intent = make_intent(found.finish(), found.body)
    sign.submit(node_url, [intent])
    kind = OBJECT_KINDS.get(type(found.body.payload))
    made = {} if kind is None else {kind: intent.made.hex()}
    if isinstance(found.body.payload, Accept):
        made = _find_accepted(node_url, found.body, found.body.payload)
    sign.print_made({**made, "transaction": intent.id.hex()}, as_json)


def _find_accepted(node_url: str, body: "TransactionBody", payload: "Accept") -> dict[str, str]:
    """What an acceptance has made: a line where the offer was of one, else a loan."""
    from node.cli.remote import get
    from protocol.crypto import calculate_object_id

    name = "line" if get(node_url, f"/v1/offers/{payload.offer.hex()}")["kind"] == "line" else "loan"
    return {name: calculate_object_id(name, body.sender, body.nonce).hex()}
