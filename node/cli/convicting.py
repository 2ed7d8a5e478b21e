"""`liushui gov propose convict` and `gov evidence`: a false attestation is shown, looked at, and put to the vote.

What shows it is opened to the voters off the ledger; only its hash is signed. Never a rule here.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from node.cli.common import UnverifiedError, fail, json_option, node_option, print_json, print_table
from node.cli.desk import Desk
from node.cli.proposing import effective, propose_action
from node.cli.sign import officer_option, resolve_account
from node.cli.typed import FILE, evidence_options, read_evidence, read_id

if TYPE_CHECKING:
    from node.client.http import NodeClient
    from node.client.judging import Judged
    from protocol.ids import ObjectId


@click.command()
@click.argument("member", metavar="MEMBER")
@click.option("--application", "application_id", required=True, metavar="ID", help="On which its word is false.")
@click.option("--reporter", required=True, metavar="MEMBER", help="Who showed it, and is given the policy's penalty.")
@click.option("--model", "model_id", default=None, metavar="ID", help="Where it attested for several models.")
@evidence_options
@effective
def convict(
    *,
    desk: Desk,
    member: str,
    application_id: str,
    reporter: str,
    model_id: str | None,
    evidence: Path | None,
    digest: str | None,
    effective_on: int | None,
) -> None:
    """Convict MEMBER of a false attestation: nothing it attests counts until a vote gives it another attester key.

    Show the voters the opened statement, or the proof paths of the rows that matter; they recompute what it gives.

    Example: liushui gov propose convict jade --application APPLICATION --reporter harbour --evidence shown.zip
    --officer-dir mynet/harbour
    """
    from protocol.ids import ModelId
    from protocol.transactions.governance import AttesterConvict

    application = read_id(application_id, "an application")
    attester = resolve_account(desk.network, member)
    view = desk.find("/v1/applications", application.hex(), "application", "See its id where it was opened.")
    models = [one["model"] for one in view["attestations"] if one["attester"] == attester.hex()]
    wanted = [one for one in models if model_id in (None, one)]
    if len(wanted) != 1:
        fail(
            "attestation_unknown",
            f"{member} has attested this application for {', '.join(models) or 'no model'}: name one with --model.",
        )
    action = AttesterConvict(
        attester=attester,
        application=application,
        model=ModelId(bytes.fromhex(wanted[0])),
        evidence=read_evidence(evidence, digest),
        reporter=resolve_account(desk.network, reporter),
    )
    propose_action(desk, action, effective_on)


@click.group()
def evidence() -> None:
    """Show voters an opened statement, and see what it says of its attestations."""


@evidence.command(name="open")
@click.argument("application_id", metavar="APPLICATION")
@officer_option("--officer-dir", "Directory with the officer and enc keys of a member that was granted the statement.")
@click.option("--out", type=FILE, required=True, help="File to create; it holds every row in the clear.")
@node_option
@json_option
def open_statement(*, application_id: str, directory: Path, out: Path, node_url: str, as_json: bool) -> None:
    """Open the statement of APPLICATION, as it was granted to you, into a file for those who vote.

    The file is as secret as the statement. Whom you show it needs a ground in law or the borrower's consent; what is
    signed on the ledger is its hash alone.

    Example: liushui gov evidence open APPLICATION --officer-dir mynet/harbour --out shown.lsev
    """
    import hashlib
    import os

    from node.cli.remote import run
    from node.client.judging import encode_shown

    application = read_id(application_id, "an application")

    async def work(client: "NodeClient") -> Any:
        return await _fetch(client, application, directory)

    raw = encode_shown(run(node_url, work))
    try:
        with os.fdopen(os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(raw)
    except FileExistsError:
        fail("file_exists", f"{out} exists: choose another name.")
    except OSError as error:
        fail("file_unwritable", f"{out} cannot be written: {error.strerror}.")
    facts = {"file": str(out), "evidence": hashlib.sha256(raw).hexdigest()}
    if as_json:
        print_json(facts)
    else:
        click.echo(f"file      {facts['file']}\nevidence  {facts['evidence']}")


async def _fetch(client: "NodeClient", application: "ObjectId", directory: Path) -> Any:
    """The opened statement, or the end of the command."""
    from nacl.public import PrivateKey

    from node.cli.remote import read_clock_ms
    from node.cli.sign import find_passphrase, read_officer_seed
    from node.client.judging import Shown
    from node.keystore import KeyFileError, read_seed
    from node.vault.crypto import OpenError, open_document
    from protocol.codec import CodecError, decode
    from protocol.crypto import KeySigner
    from protocol.ids import AccountId
    from protocol.vault import VaultEnvelope

    officer = KeySigner(read_officer_seed(directory))
    try:
        seed = read_seed(directory, "enc", find_passphrase(directory))
    except KeyFileError as error:
        fail(error.code, error.sentence)
    if seed is None:
        fail("enc_key_missing", f"{directory} holds no enc key: name the directory of the member's node.")
    (data, *_) = (await client.get(f"/v1/applications/{application.hex()}"))["data"]
    document = (await client.get(f"/v1/data/{data}"))["document"]
    account = AccountId(bytes.fromhex((await client.get(f"/v1/accounts/{officer.public_key.hex()}"))["id"]))
    raw = await client.call("GET", f"/v1/vault/documents/{document}", signer=officer, now_ms=read_clock_ms)
    try:
        plain = open_document(decode(raw, VaultEnvelope), account=account, key=PrivateKey(seed))
    except CodecError as error:
        fail("answer_malformed", f"The node's answer is no sealed document: {error}.")
    except OpenError as error:
        fail(error.code, error.sentence)
    return Shown(application=application, plain=plain)


@evidence.command(name="judge")
@click.argument("path", metavar="FILE", type=FILE)
@node_option
@json_option
def judge_statement(*, path: Path, node_url: str, as_json: bool) -> None:
    """Recompute from the opened statement FILE what its attestations should say. Ask your own node.

    The rows must hash to the root on the ledger; exit code 4 when they do not. An attestation is false when the rows
    give other points than the bins it confirms, or another cash flow than it states.
    """
    from node.cli.remote import run
    from node.client.judging import EvidenceFault, decode_shown, judge, read_models

    try:
        shown = decode_shown(path.read_bytes())
    except OSError as error:
        fail("file_unreadable", f"{path} cannot be read: {error.strerror}.")
    except EvidenceFault as error:
        fail(error.code, error.sentence)

    async def work(client: "NodeClient") -> tuple[Any, Any, Any]:
        view = await client.get(f"/v1/applications/{shown.application.hex()}")
        return view, await client.get(f"/v1/data/{view['data'][0]}"), await client.get("/v1/network")

    view, anchor, network = run(node_url, work)
    try:
        found = judge(shown, view, anchor, read_models(network))
    except EvidenceFault as error:
        raise UnverifiedError(error.code, error.sentence) from error
    _show_judged(found, as_json=as_json)


def _show_judged(found: tuple["Judged", ...], *, as_json: bool) -> None:
    if as_json:
        print_json({"attestations": [one._asdict() for one in found]})
        return
    titles = ("Attester", "Verdict", "Said", "Rows give", "Points", "Rows give")
    rows = [
        (one.name or one.attester[:16], one.verdict, one.said, one.gives, one.points, one.points_given) for one in found
    ]
    print_table(titles, rows, right=(2, 3, 4, 5))
