"""`liushui data`: what borrowers can do with their own data: see it, take it away, correct it, have it erased.

The key never leaves this process; sealed statements are opened here and nowhere else. Never a rule here.
"""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from node.cli.common import (
    KeyPlace,
    UnverifiedError,
    fail,
    json_option,
    key_place_options,
    lang_option,
    node_option,
    print_facts,
    print_json,
    print_table,
)
from node.cli.desk import Desk, signing
from node.cli.typed import FILE, read_id

if TYPE_CHECKING:
    from collections.abc import Sequence

    from node.client.http import NodeClient
    from node.client.openings import Asked
    from node.client.wallet import Intent, Wallet
    from protocol.vault import VaultEnvelope


@click.group()
def data() -> None:
    """See who read your statements; take them away, correct them, have them erased."""


async def open_wallet_of(client: "NodeClient", seed: bytes) -> "Wallet":
    """The borrower's wallet on this network."""
    from node.cli.remote import read_clock_ms
    from node.client.borrower import open_wallet
    from node.client.network import read_network
    from protocol.crypto import KeySigner

    return await open_wallet(client, await read_network(client), KeySigner(seed), now_ms=read_clock_ms)


async def open_document_of(client: "NodeClient", seed: bytes, data: Any) -> "tuple[Wallet, VaultEnvelope | None]":
    """The wallet, and the sealed statement of some data as the node holds it for its owner."""
    from node.cli.remote import read_clock_ms
    from node.client.refresh import read_committed
    from protocol.ids import Digest

    wallet = await open_wallet_of(client, seed)
    document = Digest(bytes.fromhex((await client.get(f"/v1/data/{data.hex()}"))["document"]))
    return wallet, (await read_committed(client, wallet, data, document, read_clock_ms())).envelope


async def settle(client: "NodeClient", intents: "Sequence[Intent]") -> int:
    """Submit a group and wait until it is final; its height, or the end of the command with the ledger's reason."""
    from node.cli.hints import HINTS

    results = await client.submit([one.item for one in intents], wait_final=True)
    for result in results:
        if result.rejection is not None:
            code = result.rejection.code
            fail(code, " ".join(filter(None, (result.rejection.sentence, HINTS.get(code)))))
    if results[-1].height is None:
        fail("not_final", "It is not final yet: look again with liushui data list.")
    return int(results[-1].height)


# ---------------------------------------------------------------------- what there is


@data.command(name="list")
@key_place_options
@node_option
@json_option
def list_(*, key: KeyPlace, node_url: str, as_json: bool) -> None:
    """Your statements on the ledger, and where an ordered erasure stands.

    Example: liushui data list --key li-na.key
    """
    from node.cli import remote
    from node.client.rights import read_all
    from protocol.crypto import KeySigner, calculate_account_id

    owner = calculate_account_id(KeySigner(remote.open_key(*key)).public_key).hex()

    async def work(client: "NodeClient") -> list[Any]:
        orders = {one["data"]: one for one in await read_all(client, "/v1/erasures", owner=owner)}
        return [{**one, "erasure": orders.get(one["id"])} for one in await read_all(client, "/v1/data", owner=owner)]

    items = remote.run(node_url, work)
    if as_json:
        print_json({"items": items})
        return
    rows = [
        (one["id"], one["first_day"], one["last_day"], one["currency"], (one["erasure"] or {}).get("state", "kept"))
        for one in items
    ]
    print_table(("Data", "From", "To", "Currency", "State"), rows)


@data.command()
@click.argument("data_id", metavar="DATA")
@node_option
@json_option
def status(*, data_id: str, node_url: str, as_json: bool) -> None:
    """Where the erasure of DATA stands: what it waits for, who has erased, and whose receipt is missing or overdue.

    Example: liushui data status DATA
    """
    from node.cli import remote
    from node.cli.consents import show_day
    from node.client.http import ApiError

    plain_id = read_id(data_id, "data").hex()

    async def work(client: "NodeClient") -> Any:
        try:
            return await client.get(f"/v1/erasures/{plain_id}")
        except ApiError as error:
            if error.code != "not_found":
                raise
            fail("erasure_unknown", "Nobody ordered the erasure of this data: liushui data erase does.")

    found = remote.run(node_url, work)
    if as_json:
        print_json(found)
        return
    waits = {
        "waiting": "an open application, loan or line rests on it" if found["wake_ms"] is None else "days for claims",
        "due": "receipts",
        "overdue": "receipts that should have come",
    }
    missing = [name or member[:16] for name, member in zip(found["missing_names"], found["missing"], strict=True)]
    print_facts(
        (
            ("state", found["state"]),
            ("waits for", waits.get(found["state"])),
            ("until", None if found["wake_ms"] is None else show_day(found["wake_ms"])),
            ("ordered", show_day(found["ordered_ms"])),
            ("in its place", found["successor"]),
            ("missing", ", ".join(missing) or None),
        )
    )
    rows = [
        (one["member_name"] or one["member"][:16], show_day(one["time_ms"]), one["documents"], one["sidecars"])
        for one in found["receipts"]
    ]
    if rows:
        print_table(("Erased by", "On", "Statements", "Sets of bins"), rows, right=(2, 3))


# ---------------------------------------------------------------------- erasing and correcting


@data.command()
@click.argument("data_ids", metavar="DATA...", nargs=-1, required=True)
@signing
def erase(*, desk: Desk, data_ids: tuple[str, ...]) -> None:
    """Order that DATA be erased on every node. It cannot be taken back, and the data serves nothing new.

    While an open application, loan or line rests on it, and for the policy's days after that, it is kept; then the
    order falls due by itself. liushui data status follows it. Nobody can prove that a reader kept no copy.

    Example: liushui data erase DATA --key li-na.key
    """
    from protocol.transactions.data import DataErase

    data = tuple(read_id(one, "data") for one in data_ids)
    desk.sign("Have data erased, for ever:", DataErase(data=data))


@data.command()
@click.argument("data_id", metavar="DATA")
@click.option("--documents", type=click.IntRange(0, 1), default=0, show_default=True, help="Statements the node held.")
@click.option("--sidecars", type=click.IntRange(0, 65_535), default=0, show_default=True, help="Sets of bins it held.")
@signing
def receipt(*, desk: Desk, data_id: str, documents: int, sidecars: int) -> None:
    """Say as a member that your node has erased DATA. Nodes with an attester key say so themselves.

    The node's log names what it erased (data_erased): say that and no other.

    Example: liushui data receipt DATA --sidecars 1 --officer-dir regulator
    """
    from protocol.transactions.data import ErasureReceipt

    payload = ErasureReceipt(data=read_id(data_id, "data"), documents=documents, sidecars=sidecars)
    desk.sign("Say that this member's node has erased the data:", payload)


@data.command()
@click.argument("data_id", metavar="DATA")
@click.argument("paths", metavar="FILE...", nargs=-1, required=True, type=click.Path(dir_okay=False, path_type=Path))
@click.option("--yes", is_flag=True, help="Do not ask.")
@key_place_options
@node_option
@json_option
def rectify(*, data_id: str, paths: tuple[Path, ...], yes: bool, key: KeyPlace, node_url: str, as_json: bool) -> None:
    """Put the corrected statement FILE in the place of DATA, for the same readers, and have DATA erased.

    What was decided on DATA stands until it is decided anew: apply again with the corrected statement.

    Example: liushui data rectify DATA corrected.ofx --key li-na.key
    """
    from node.cli import remote
    from node.cli.statement import fail_statement, read_statement_bytes
    from node.client.borrower import prepare_statements
    from scoring.ingest.statement import StatementError

    seed = remote.open_key(*key)
    old = read_id(data_id, "data")
    try:
        prepared = prepare_statements([(path.name, read_statement_bytes(path)) for path in paths], secret=seed)
    except StatementError as error:
        fail_statement(error)
    if not yes:
        statement = prepared.statement
        words = f"{len(statement.rows)} rows take the place of {old.hex()[:16]}, which is erased for ever. Go on?"
        click.confirm(words, abort=True, err=True)

    async def work(client: "NodeClient") -> dict[str, Any]:
        return await _rectify(client, seed, old, prepared)

    made = _run(node_url, work)
    if as_json:
        print_json(made)
    else:
        print_facts(made.items())


async def _rectify(client: "NodeClient", seed: bytes, old: Any, prepared: Any) -> dict[str, Any]:
    from node.cli.remote import read_clock_ms
    from node.client.borrower import Borrower
    from node.client.keyfile import derive_enc_key
    from node.client.network import read_network
    from node.client.rights import make_rectified, read_all
    from protocol.ids import BoxKey

    wallet = await open_wallet_of(client, seed)
    consents = [
        one
        for one in await read_all(client, "/v1/consents", owner=wallet.account.hex())
        if one["live"] and one["data"] == [old.hex()]
    ]
    made = make_rectified(
        wallet,
        prepared,
        old=old,
        consents=consents,
        network=await read_network(client),
        enc_key=BoxKey(bytes(derive_enc_key(seed).public_key)),
        now_ms=read_clock_ms(),
    )
    await Borrower(client, wallet, now_ms=read_clock_ms).put_document(made.sealed)
    height = await settle(client, made.intents)
    return {"data": made.data.hex(), "erased": old.hex(), "consents": len(consents), "height": height}


def _run(node_url: str, work: Any, lang: str = "en") -> Any:
    from node.cli.remote import run
    from node.client.borrower import BorrowError
    from node.vault.crypto import OpenError

    try:
        return run(node_url, work, language=lang)
    except (BorrowError, OpenError) as error:
        _refuse(error.code, error.sentence)


def _refuse(code: str, sentence: str) -> NoReturn:
    fail(code, sentence)


# ---------------------------------------------------------------------- taking it away


@data.command()
@click.argument("data_id", metavar="DATA")
@click.option("--output", "-o", type=FILE, required=True, help="File to write; only you may read it.")
@key_place_options
@node_option
@lang_option
@json_option
def export(*, data_id: str, output: Path, key: KeyPlace, node_url: str, lang: str, as_json: bool) -> None:
    """Write everything about DATA into one file: rows with their proof, scores, reasons, models, readers.

    The rows are opened on this machine and prove their root on the ledger; each score is computed again from them with
    the model that decided, which the file holds as well. Of each application it has the receipt (base64 of the file
    that liushui verify takes) and an explanation in Chinese and English.

    Example: liushui data export DATA -o my-data.json --key li-na.key
    """
    from node.cli import remote

    seed = remote.open_key(*key)
    plain_id = read_id(data_id, "data")

    async def work(client: "NodeClient") -> dict[str, Any]:
        return await _export(client, seed, plain_id)

    found = _run(node_url, work, lang)
    raw = json.dumps(found, ensure_ascii=False, indent=1).encode()
    try:
        handle = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        fail("file_exists", f"{output} exists already: name another file.")
    except OSError as error:
        fail("file_unwritable", f"{output} cannot be written: {error.strerror}.")
    with os.fdopen(handle, "wb") as file:
        file.write(raw)
    statement = found["statement"]
    told = {
        "file": str(output),
        "rows": None if statement is None else len(statement["rows"]),
        "committed": None if statement is None else statement["is_committed"],
        "applications": len(found["applications"]),
        "receipts": sum(one["receipt"]["file"] is not None for one in found["applications"]),
        "scores_equal": all(score["equal"] for one in found["applications"] for score in one["scores"]),
    }
    if as_json:
        print_json(told)
    else:
        print_facts(told.items())


async def _export(client: "NodeClient", seed: bytes, data: Any) -> dict[str, Any]:
    from node.cli.remote import read_clock_ms
    from node.client.borrower import Borrower
    from node.client.keyfile import derive_enc_key
    from node.client.network import read_network
    from node.client.rights import export_data

    wallet, envelope = await open_document_of(client, seed, data)
    access = await Borrower(client, wallet, now_ms=read_clock_ms).read_access_log(data)
    network = await read_network(client)
    return await export_data(client, wallet, network, data, envelope=envelope, key=derive_enc_key(seed), access=access)


@data.command(name="access-log")
@click.argument("data_id", metavar="DATA")
@click.option("--also", "others", multiple=True, metavar="URL", help="Another node to ask. May be repeated.")
@key_place_options
@node_option
@json_option
def access_log(*, data_id: str, others: tuple[str, ...], key: KeyPlace, node_url: str, as_json: bool) -> None:
    """Every opening of DATA by the nodes asked, each chained and signed by its node, merged in order of time.

    Below it stands every member that was ever let in, by the ledger, and what is not known of it: a reader whose node
    was not asked or did not answer, whose log does not hold (exit code 4), or that attested and shows no opening.

    Example: liushui data access-log DATA --also http://jade.example:7400 --key li-na.key
    """
    from node.cli import remote
    from node.cli.common import UnreachableError
    from node.client.http import ApiError
    from node.client.openings import Asked, ask_log, merge_logs, read_readers

    plain_id = read_id(data_id, "data")
    seed = remote.open_key(*key)

    async def work(client: "NodeClient") -> Any:
        wallet = await open_wallet_of(client, seed)
        asked = await ask_log(client, wallet, plain_id, await client.get_genesis(), remote.read_clock_ms)
        return asked, await read_readers(client, wallet, plain_id), wallet.account.hex()

    async def ask(client: "NodeClient") -> Any:
        wallet = await open_wallet_of(client, seed)
        try:
            return await ask_log(client, wallet, plain_id, await client.get_genesis(), remote.read_clock_ms)
        except ApiError as error:
            return Asked(str(client.url).rstrip("/"), None, None, error.code)

    first, readers, owner = _run(node_url, work)
    logs = [first]
    for url in others:
        try:
            logs.append(_run(url, ask))
        except UnreachableError as error:
            logs.append(Asked(url, None, None, error.code))
    found = merge_logs(logs, readers, owner)
    if as_json:
        told = [{**(one.view or {}), "node": one.url, "member": one.name, "fault": one.fault} for one in logs]
        print_json({**(first.view or {}), "logs": told, **found})
    else:
        _show_openings(found, logs)
    for one in logs:
        if one.view is not None and one.fault is not None:
            why = f"The access log of {one.url} does not hold: records are missing, edited or not its own."
            raise UnverifiedError(one.fault, why)


def _show_openings(found: dict[str, Any], logs: "Sequence[Asked]") -> None:
    from datetime import UTC, datetime

    from node.client.openings import GAPS

    rows = [
        (
            datetime.fromtimestamp(one["time_ms"] // 1000, tz=UTC).isoformat(),
            (one["reader_name"] or one["reader"][:16]) + ("" if one["granted"] else " (never granted)"),
            one["purpose"],
            f"{one['node']} no {one['serial']}",
        )
        for one in found["openings"]
    ]
    print_table(("When", "Who", "For", "Logged by"), rows)
    for one in logs:
        if one.view is None:
            click.echo(f"{one.url} was asked and gave no log: {one.fault}.")
    lines = [
        (one["name"] or one["account"][:16], one["openings"], "all told" if one["gap"] is None else GAPS[one["gap"]])
        for one in found["readers"]
    ]
    if lines:
        click.echo("")
        print_table(("Let in", "Openings", "Gap"), lines, right=(1,))
