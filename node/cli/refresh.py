"""`liushui monitor refresh`: a borrower shows the lender of a running loan a newer statement, sealed on this machine.

The key never leaves this process, and nobody reads the statement but the one lender. Never a rule here.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from node.cli.common import (
    KeyPlace,
    fail,
    json_option,
    key_place_options,
    lang_option,
    node_option,
    print_facts,
    print_json,
)
from node.cli.typed import read_id

if TYPE_CHECKING:
    from node.client.http import NodeClient
    from node.client.network import Organisation
    from protocol.ids import ObjectId

DAY_MS = 86_400_000


@click.command()
@click.argument("paths", metavar="FILE...", nargs=-1, required=True, type=click.Path(dir_okay=False, path_type=Path))
@click.option("--loan", "loan_id", required=True, metavar="LOAN", help="The running loan it is about.")
@click.option("--days", type=click.IntRange(1, 1_096), default=365, show_default=True, help="How long it may be read.")
@click.option("--yes", is_flag=True, help="Give the consent that is shown without being asked.")
@key_place_options
@node_option
@lang_option
@json_option
def refresh(
    *,
    paths: tuple[Path, ...],
    loan_id: str,
    days: int,
    yes: bool,
    key: KeyPlace,
    node_url: str,
    lang: str,
    as_json: bool,
) -> None:
    """Let the lender of LOAN watch it: seal the newer statement FILE for that lender, with a consent of its own.

    The consent also covers the statement the loan was granted on, so that the two can be compared. Withdraw it with
    liushui consent revoke; liushui data access-log shows each reading.

    Example: liushui monitor refresh december.ofx --loan LOAN --key li-na.key
    """
    from node.cli import remote
    from node.cli.statement import fail_statement, read_statement_bytes
    from node.client.borrower import prepare_statements
    from protocol.ids import ObjectId
    from scoring.ingest.statement import StatementError

    seed = remote.open_key(*key)
    loan = ObjectId(read_id(loan_id, "a loan"))
    try:
        prepared = prepare_statements([(path.name, read_statement_bytes(path)) for path in paths], secret=seed)
    except StatementError as error:
        fail_statement(error)
    until_ms = remote.read_clock_ms() + days * DAY_MS

    async def look(client: "NodeClient") -> tuple["Organisation", str]:
        return await _find_lender(client, loan, prepared.statement.currency)

    lender, application = remote.run(node_url, look, language=lang)
    _show_consent(lender.name, until_ms, lang)
    if not yes:
        click.confirm("同意？" if lang == "zh" else "Do you agree?", abort=True, err=True)

    async def work(client: "NodeClient") -> dict[str, Any]:
        return await _send(client, seed, prepared, lender, application=application, until_ms=until_ms, lang=lang)

    made = _run(node_url, work, lang)
    if as_json:
        print_json(made)
    else:
        print_facts(made.items())


def _run(node_url: str, work: Any, lang: str) -> dict[str, Any]:
    from node.cli.remote import run
    from node.client.borrower import BorrowError
    from node.vault.crypto import OpenError

    try:
        made: dict[str, Any] = run(node_url, work, language=lang)
    except (BorrowError, OpenError) as error:
        fail(error.code, error.sentence)
    return made


async def _find_lender(client: "NodeClient", loan: "ObjectId", currency: str) -> tuple["Organisation", str]:
    """Who services the loan, and the application it came from; or the end of the command."""
    from node.client.borrower import list_lenders
    from node.client.network import read_network

    found = await client.get(f"/v1/loans/{loan.hex()}")
    view = found["loan"]
    if view["currency"] != currency:
        fail("currency_differs", f"The loan is in {view['currency']}, the statement in {currency}: both must be equal.")
    lenders = list_lenders(await read_network(client))
    lender = next((one for one in lenders if one.account.hex() == view["lender"]), None)
    if lender is None:
        fail("lender_unknown", "The loan's lender reads no statements any more.")
    return lender, str((await client.get(f"/v1/offers/{found['offer']}"))["application"])


def _show_consent(lender: str, until_ms: int, lang: str) -> None:
    from datetime import UTC, datetime

    from node.client.consent import MONITOR

    until = datetime.fromtimestamp(until_ms // 1000, tz=UTC).date().isoformat()
    click.echo(MONITOR[lang], err=True)
    click.echo(f"贷款机构：{lender}\n期限：{until}" if lang == "zh" else f"Lender: {lender}\nUntil: {until}", err=True)


async def _send(
    client: "NodeClient",
    seed: bytes,
    prepared: Any,
    lender: "Organisation",
    *,
    application: str,
    until_ms: int,
    lang: str,
) -> dict[str, Any]:
    from node.cli.remote import read_clock_ms
    from node.client.borrower import Borrower, open_wallet
    from node.client.keyfile import derive_enc_key
    from node.client.network import read_network
    from node.client.refresh import grant_again, make_refresh, read_committed, send_refresh
    from protocol.crypto import KeySigner
    from protocol.ids import BoxKey, Digest, ObjectId, TimeMs

    wallet = await open_wallet(client, await read_network(client), KeySigner(seed), now_ms=read_clock_ms)
    key = derive_enc_key(seed)
    (data, *_) = (await client.get(f"/v1/applications/{application}"))["data"]
    anchor = await client.get(f"/v1/data/{data}")
    first = ObjectId(bytes.fromhex(data))
    document = Digest(bytes.fromhex(anchor["document"]))
    committed = await read_committed(client, wallet, first, document, read_clock_ms())
    again = None
    if committed.envelope is not None:
        until = TimeMs(until_ms)
        again = grant_again(wallet, committed.envelope, lender=lender, until_ms=until, key=key)
    made = make_refresh(
        wallet,
        prepared,
        lender=lender,
        committed=first,
        until_ms=TimeMs(until_ms),
        enc_key=BoxKey(bytes(key.public_key)),
        language=lang,
    )
    height = await send_refresh(client, Borrower(client, wallet, now_ms=read_clock_ms), made, again)
    return {
        "data": made.data.hex(),
        "consent": made.consent.hex(),
        "lender": lender.name,
        "height": height,
        "compared": again is not None,
    }
