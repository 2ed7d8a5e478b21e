"""`liushui account`: a person's or a firm's account, opened with an issuer's co-signature, frozen by one.

The identity number is hashed here, under the issuer's key, and goes nowhere. Never print or send it.
"""

from pathlib import Path
from typing import Any

import click

from node.cli.common import (
    fail,
    format_money,
    json_option,
    key_options,
    node_option,
    print_facts,
    print_json,
    print_table,
)
from node.cli.desk import Desk, signing
from node.cli.sign import officer_option, who_options, yes_option
from node.cli.typed import evidence_options, read_evidence

KINDS = ("person", "business", "merchant")


@click.group()
def account() -> None:
    """Open and show accounts; revoke, freeze and free them as an issuer."""


@account.command(name="open")
@key_options
@officer_option("--issuer-dir", "Directory of the issuer that checked the identity, e.g. mynet/authorities/identity.")
@click.option("--kind", type=click.Choice(KINDS), required=True, help="Who stands behind the account.")
@click.option("--subject", default=None, metavar="TEXT", help="Identity or registration number; asked for if left out.")
@click.option("--subject-tag", default=None, metavar="HEX", help="The tag itself, where the issuer computed it before.")
@click.option("--level", type=click.IntRange(1, 9), default=2, show_default=True, help="How well identity was checked.")
@click.option("--valid-days", type=click.IntRange(1, 36_500), default=3_650, show_default=True)
@yes_option
@node_option
@json_option
def open_account(
    *,
    key_path: Path,
    passphrase_file: Path | None,
    passphrase_fd: int | None,
    directory: Path,
    kind: str,
    subject: str | None,
    subject_tag: str | None,
    level: int,
    valid_days: int,
    yes: bool,
    node_url: str,
    as_json: bool,
) -> None:
    """Open the account of a key file. The holder signs, and the credential issuer who checked the identity co-signs.

    Run it on the issuer's machine, where the issuer's key is; both keys sign one transaction. The identity number never
    reaches the ledger or the node: what stands there is a tag, the HMAC of the number under a key derived from the
    issuer's own. The same number always gives the same tag, so one person has one account and one debt cap on whatever
    key; and nobody without the issuer's key can try numbers until one fits. A number given by --subject stays in your
    shell's history: leave the option out to be asked.

    Example: liushui account open --kind person --key li-na.key --issuer-dir mynet/authorities/identity
    """
    from node.cli import remote, sign
    from node.client.keyfile import derive_enc_key
    from protocol.crypto import KeySigner, calculate_account_id
    from protocol.ids import BoxKey, Day
    from protocol.transactions.accounts import AccountKind

    genesis = sign.read_network(node_url, directory)
    issuer = sign.open_officer(directory, genesis, "issuer")
    holder = calculate_account_id(sign.read_public_key(key_path)).hex()
    tag = _read_tag(directory, subject, subject_tag)
    expires_on = Day(genesis.calculate_day(remote.read_clock_ms(), 0) + valid_days)
    facts = [
        ("account", holder),
        ("kind", kind),
        ("subject tag", tag.hex()),
        ("credential", f"level {level}, until {view_day(expires_on)}"),
        ("vouched for by", issuer.name),
    ]
    sign.confirm("Open an account:", facts, yes=yes)
    seed = remote.open_key(key_path, passphrase_file, passphrase_fd)
    signer = KeySigner(seed)
    enc_key = BoxKey(bytes(derive_enc_key(seed).public_key))
    named = AccountKind[kind.upper()]

    def build(wallet: Any) -> list[Any]:
        return [
            wallet.open_account(
                issuer=issuer.signer, kind=named, enc_key=enc_key, subject_tag=tag, level=level, expires_on=expires_on
            )
        ]

    (made,) = sign.send(node_url, genesis, signer, build)
    sign.print_made({"account": holder, "transaction": made.id.hex()}, as_json)


def view_day(day: int) -> str:
    """A day's ordinal as an ISO date; the calendar's last day when it lies beyond."""
    from datetime import date

    return date.fromordinal(min(day, date.max.toordinal())).isoformat()


def _read_tag(directory: Path, subject: str | None, tag: str | None) -> Any:
    """The tag as given, or of the number given or asked for."""
    from node.cli.remote import check_hex
    from node.cli.sign import read_officer_seed
    from node.client.subject import SUBJECT_CHARS_MIN, calculate_subject_tag, normalise_subject
    from protocol.ids import Digest

    if subject is not None and tag is not None:
        raise click.UsageError("Give --subject or --subject-tag, not both.")
    if tag is not None:
        return Digest(bytes.fromhex(check_hex(tag, "a subject")))
    if subject is None:
        subject = click.prompt("Identity or registration number", hide_input=True, err=True)
    if len(normalise_subject(subject)) < SUBJECT_CHARS_MIN:
        fail("subject_short", f"An identity number has at least {SUBJECT_CHARS_MIN} letters or digits.")
    return calculate_subject_tag(read_officer_seed(directory), subject)


def read_account(node_url: str, who: str | None, key_path: Path | None, directory: Path | None) -> dict[str, Any]:
    """The account that WHO, --key or --officer-dir names, as the node has it."""
    from node.cli import remote, sign
    from node.client.http import ApiError

    genesis = sign.read_network(node_url, directory)
    if who is not None:
        name = sign.resolve_account(genesis, who).hex()
    elif key_path is None and directory is None:
        raise click.UsageError(
            "Say whose account: a member's name or an account's id, --key FILE, or --officer-dir DIR."
        )
    elif directory is not None:
        name = sign.open_officer(directory, genesis).signer.public_key.hex()
    else:
        assert key_path is not None, "one of the two is named"
        name = sign.read_public_key(key_path).hex()

    async def work(client: Any) -> Any:
        try:
            return await client.get(f"/v1/accounts/{name}")
        except ApiError as error:
            if error.code == "not_found":
                fail(
                    "account_unknown", f"No account {name} is open on this network: open it with liushui account open."
                )
            raise

    found: dict[str, Any] = remote.run(node_url, work)
    return found


@account.command()
@who_options
@node_option
@json_option
def show(*, who: str | None, key_path: Path | None, directory: Path | None, node_url: str, as_json: bool) -> None:
    """Show an account: who vouched for what, until when, its money, its shares in pools, its applications.

    WHO is a member's name (lender1) or an account's id; --key FILE looks at your own.
    """
    one = read_account(node_url, who, key_path, directory)
    if as_json:
        print_json(one)
        return
    print_facts(
        [
            ("account", one["id"]),
            ("name", one["name"]),
            ("kind", one["kind"]),
            ("key", one["key"]),
            ("roles", ", ".join(one["roles"]) or None),
            ("credential", f"level {one['level']}, until {one['expires_on']}"),
            ("frozen", "yes: it may only repay" if one["frozen"] else None),
            *(("application", each) for each in one["applications"]),
        ]
    )
    print_balances(one)


def print_balances(one: dict[str, Any]) -> None:
    """What an account holds, book by book, and its shares."""
    rows = [
        (each["book"], format_money(each["amount"], each["exponent"], each["currency"])) for each in one["balances"]
    ]
    rows += [(f"shares of pool {each['pool']}", f"{each['shares']:,}") for each in one["shares"]]
    if rows:
        click.echo("")
        print_table(("Book", "Amount"), rows, right=(1,))
    else:
        click.echo("It holds nothing.")


def _set_credential(desk: Desk, account: str, operation: str, title: str, reason: Any) -> None:
    from protocol.transactions.accounts import CredentialOperation, CredentialSet

    payload = CredentialSet(account=desk.resolve(account), operation=CredentialOperation[operation], reason_hash=reason)
    desk.sign(title, payload)


@account.command()
@click.argument("who", metavar="ACCOUNT")
@evidence_options
@signing
def revoke(*, desk: Desk, who: str, evidence: Path | None, digest: str | None) -> None:
    """Revoke the credential of ACCOUNT: no new loans, and repaying stays allowed. The issuer signs.

    Example: liushui account revoke ACCOUNT --evidence finding.pdf --officer-dir mynet/authorities/identity
    """
    _set_credential(desk, who, "REVOKE", "Revoke a credential:", read_evidence(evidence, digest))


@account.command()
@click.argument("who", metavar="ACCOUNT")
@evidence_options
@signing
def freeze(*, desk: Desk, who: str, evidence: Path | None, digest: str | None) -> None:
    """Freeze ACCOUNT: it may only repay and withdraw consents. The issuer signs.

    Example: liushui account freeze ACCOUNT --evidence order.pdf --officer-dir mynet/authorities/identity
    """
    _set_credential(desk, who, "FREEZE", "Freeze an account:", read_evidence(evidence, digest))


@account.command()
@click.argument("who", metavar="ACCOUNT")
@evidence_options
@signing
def free(*, desk: Desk, who: str, evidence: Path | None, digest: str | None) -> None:
    """Free an ACCOUNT that an issuer froze. The issuer signs.

    Example: liushui account free ACCOUNT --evidence order.pdf --officer-dir mynet/authorities/identity
    """
    _set_credential(desk, who, "UNFREEZE", "Free an account:", read_evidence(evidence, digest))
