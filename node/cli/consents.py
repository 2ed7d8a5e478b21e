"""`liushui consent`: who may read a statement, for what and until when, given, listed and withdrawn by its owner.

A consent is given twice at once: on the ledger, and as a key sealed to each reader in the document itself; neither is
enough alone. The words agreed to are shown first. Never a rule here.
"""

from datetime import UTC, datetime
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
    print_table,
)
from node.cli.desk import Desk, signing
from node.cli.typed import read_id

if TYPE_CHECKING:
    from node.client.http import NodeClient
    from node.client.network import Organisation

PURPOSES = ("underwrite", "monitor", "collect", "research")
SCOPES = ("raw", "features")
DAY_MS = 86_400_000


@click.group()
def consent() -> None:
    """Give, list and withdraw consents to read your statements."""


@consent.command()
@click.argument("consent_id", metavar="CONSENT")
@signing
def revoke(*, desk: Desk, consent_id: str) -> None:
    """Withdraw CONSENT: nobody may read the data by it any more. `liushui data access-log` says who has.

    Example: liushui consent revoke CONSENT --key li-na.key
    """
    from protocol.transactions.data import ConsentRevoke

    desk.sign("Withdraw a consent:", ConsentRevoke(consent=read_id(consent_id, "a consent")))


@consent.command(name="list")
@key_place_options
@node_option
@json_option
def list_(*, key: KeyPlace, node_url: str, as_json: bool) -> None:
    """Every consent of yours: readers, purpose, rows or features alone, until when, and whether it still holds.

    Example: liushui consent list --key li-na.key
    """
    from node.cli import remote
    from node.client.rights import read_all
    from protocol.crypto import KeySigner, calculate_account_id

    owner = calculate_account_id(KeySigner(remote.open_key(*key)).public_key).hex()
    items = remote.run(node_url, lambda client: read_all(client, "/v1/consents", owner=owner))
    if as_json:
        print_json({"items": items})
        return
    rows = [
        (
            one["id"],
            one["purpose"],
            one["scope"],
            ", ".join(name or reader[:16] for name, reader in zip(one["grantee_names"], one["grantees"], strict=True)),
            show_day(one["until_ms"]),
            "yes" if one["live"] else "no",
        )
        for one in items
    ]
    print_table(("Consent", "For", "Opens", "Readers", "Until", "Holds"), rows)


def show_day(time_ms: int) -> str:
    """A date as people read it."""
    return datetime.fromtimestamp(time_ms // 1000, tz=UTC).date().isoformat()


@consent.command()
@click.argument("data_id", metavar="DATA")
@click.option("--reader", "readers", multiple=True, required=True, metavar="MEMBER", help="Who may read. Repeatable.")
@click.option("--purpose", type=click.Choice(PURPOSES), required=True, help="The one thing they may read it for.")
@click.option("--scope", type=click.Choice(SCOPES), default="raw", show_default=True, help="Rows, or features alone.")
@click.option("--days", type=click.IntRange(1, 1_096), default=30, show_default=True, help="How long they may read.")
@click.option("--yes", is_flag=True, help="Give the consent that is shown without being asked.")
@key_place_options
@node_option
@lang_option
@json_option
def grant(
    *,
    data_id: str,
    readers: tuple[str, ...],
    purpose: str,
    scope: str,
    days: int,
    yes: bool,
    key: KeyPlace,
    node_url: str,
    lang: str,
    as_json: bool,
) -> None:
    """Let members read DATA for one purpose: seal its key to them and say so on the ledger.

    With --scope features they read averages, totals and counts computed for your applications on DATA, never a
    movement. What is sealed must still lie on the node asked. A reader that had a grant gets this one in its place.

    Example: liushui consent grant DATA --reader jade --purpose monitor --days 90 --key li-na.key
    """
    from node.cli import remote
    from node.client.consent import pick_text
    from node.client.network import read_network

    seed = remote.open_key(*key)
    data = read_id(data_id, "data")
    members = _choose(remote.run(node_url, read_network, language=lang).members, readers)
    until_ms = remote.read_clock_ms() + days * DAY_MS
    click.echo(pick_text(purpose, scope, lang), err=True)
    names, until = ", ".join(one.name for one in members), show_day(until_ms)
    click.echo(f"阅读机构：{names}\n期限：{until}" if lang == "zh" else f"Readers: {names}\nUntil: {until}", err=True)
    if not yes:
        click.confirm("同意？" if lang == "zh" else "Do you agree?", abort=True, err=True)

    async def work(client: "NodeClient") -> dict[str, Any]:
        asked = {"purpose": purpose, "scope": scope, "lang": lang}
        return await _grant(client, seed, data, members, asked, until_ms=until_ms)

    made = remote.run(node_url, work, language=lang)
    if as_json:
        print_json(made)
    else:
        print_facts(made.items())


def _choose(members: Any, readers: tuple[str, ...]) -> "list[Organisation]":
    """The members of these names, or the end of the command."""
    known = {one.name: one for one in members}
    unknown = sorted(set(readers) - set(known))
    if unknown:
        fail("member_unknown", f"{', '.join(unknown)} is no member of this network: see liushui status.")
    return [known[name] for name in dict.fromkeys(readers)]


async def _grant(
    client: "NodeClient",
    seed: bytes,
    data: Any,
    members: "list[Organisation]",
    asked: dict[str, str],
    *,
    until_ms: int,
) -> dict[str, Any]:
    from node.cli.remote import read_clock_ms
    from node.cli.rights import open_document_of, settle
    from node.client.borrower import Borrower
    from node.client.consent import calculate_text_hash, pick_text
    from node.client.keyfile import derive_enc_key
    from node.client.rights import find_features, grant_more
    from node.vault.crypto import Recipient
    from protocol.ids import BoxKey, TimeMs
    from protocol.transactions.data import ConsentGrant, Purpose, Scope

    wallet, statement = await open_document_of(client, seed, data)
    scope, kind = Scope[asked["scope"].upper()], Purpose[asked["purpose"].upper()]
    held = [] if statement is None else [statement]
    if scope is Scope.FEATURES:
        held = await find_features(client, wallet, data, read_clock_ms())
    recipients = [Recipient(one.account, BoxKey(one.enc_key)) for one in members]
    until, key = TimeMs(until_ms), derive_enc_key(seed)
    more = [grant_more(wallet, one, recipients=recipients, purpose=kind, until_ms=until, key=key) for one in held]
    opened = [one for one in more if one is not None]
    if not opened:
        what = "The features of an application are" if scope is Scope.FEATURES else "The statement is"
        fail("document_missing", f"{what} not on this node, or not yours: ask the one you gave it to.")
    for one in opened:
        await Borrower(client, wallet, now_ms=read_clock_ms).put_document(one)
    intent = wallet.grant_consent(
        ConsentGrant(
            grantees=tuple(sorted(one.account for one in members)),
            data=(data,),
            purpose=kind,
            until_ms=until,
            text_hash=calculate_text_hash(pick_text(asked["purpose"], asked["scope"], asked["lang"])),
            scope=scope,
        )
    )
    height = await settle(client, [intent])
    return {
        "consent": intent.made.hex(),
        "data": data.hex(),
        "opens": asked["scope"],
        "until": show_day(until_ms),
        "height": height,
    }
