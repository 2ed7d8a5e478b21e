"""`liushui asset, lease`: registered things and what becomes of them: owners, liens, the end of a lease.

Whoever must sign as well is named by the options of co-signers, here or by a draft. Never a lien's rule here.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from node.cli.common import fail, format_money, json_option, node_option, print_facts, print_json, print_table
from node.cli.desk import Desk, signing_together
from node.cli.typed import AMOUNT, DIRECTORY, FILE, read_id

if TYPE_CHECKING:
    from protocol.ids import ObjectId

CLASS_HELP: Final = "Kind of thing, like vehicle or machine: small letters, digits and hyphens."


@click.group()
def asset() -> None:
    """Register, see, transfer, retire, seize and sell things."""


@asset.command(name="list")
@click.option("--owner", default=None, metavar="ACCOUNT", help="Only what this account holds title to.")
@node_option
@json_option
def list_assets(*, owner: str | None, node_url: str, as_json: bool) -> None:
    """Registered things: owner, value, what they secure.

    Example: liushui asset list
    """
    from node.cli.remote import check_hex, get

    query = {} if owner is None else {"owner": check_hex(owner, "an account")}
    found = get(node_url, "/v1/assets", limit="200", **query)
    if as_json:
        print_json(found)
        return
    rows = [
        (
            one["id"],
            one["asset_class"],
            one["owner_name"] or one["owner"][:16],
            format_money(one["value"], one["exponent"], one["currency"]),
            _name_state(one),
        )
        for one in found["items"]
    ]
    print_table(("Asset", "Class", "Owner", "Value", "State"), rows, right=(3,))


def _name_state(one: dict[str, Any]) -> str:
    if one["retired"]:
        return "retired"
    if one["held"]:
        return "held by pools"
    return "free" if one["lien"] is None else f"bound by loan {one['lien'][:16]}"


def _tell_asset(one: dict[str, Any]) -> list[tuple[str, object]]:
    """What the thing is, beside what is signed about it."""
    return [
        ("class", one["asset_class"]),
        ("owner", one["owner_name"] or one["owner"]),
        ("value stated", format_money(one["value"], one["exponent"], one["currency"])),
        ("state of the thing", _name_state(one)),
    ]


def _find_asset(desk: Desk, plain: "ObjectId") -> dict[str, Any]:
    found: dict[str, Any] = desk.find("/v1/assets", plain.hex(), "asset", "List them with liushui asset list.")
    return found


@asset.command()
@click.argument("asset_id", metavar="ASSET")
@node_option
@json_option
def show(*, asset_id: str, node_url: str, as_json: bool) -> None:
    """One registered thing.

    Example: liushui asset show ASSET
    """
    from node.cli.remote import check_hex, get

    one = get(node_url, f"/v1/assets/{check_hex(asset_id, 'an asset')}")
    if as_json:
        print_json(one)
        return
    held = [(f"held by pool {each['pool']}", each["value"]) for each in one["held"]]
    print_facts([("asset", one["id"]), *_tell_asset(one), ("loan", one["lien"]), *held])


@asset.command()
@click.option("--class", "asset_class", required=True, help=CLASS_HELP)
@click.option("--serial", default=None, metavar="TEXT", help="Serial number, hashed here with the key of --issuer-dir.")
@click.option(
    "--issuer-dir", type=DIRECTORY, default=None, help="The issuer who has seen it: hashes --serial, and signs."
)
@click.option(
    "--serial-hash", default=None, metavar="HEX", help="The hash itself, where the issuer computed it before."
)
@click.option("--papers", type=FILE, default=None, help="File that describes it; only its SHA-256 is sent.")
@click.option("--value-minor", type=AMOUNT, required=True, help="What it is worth, in minor units.")
@click.option("--currency", default=None, help="ISO 4217 code; by default the network's first.")
@signing_together
def register(
    *,
    desk: Desk,
    asset_class: str,
    serial: str | None,
    issuer_dir: Path | None,
    serial_hash: str | None,
    papers: Path | None,
    value_minor: int,
    currency: str | None,
) -> None:
    """Register a thing that you own. An issuer who has seen it signs too.

    Example: liushui asset register --class vehicle --serial LSVAU2180N2183294 --issuer-dir mynet/authorities/identity
    --value-minor 8000000 --officer-dir mynet/lender1
    """
    from node.cli import sign
    from node.cli.desk import open_organisation
    from node.cli.typed import read_evidence
    from protocol.ids import ZERO_DIGEST
    from protocol.ledger.assets import calculate_asset_id
    from protocol.money import Amount, Currency
    from protocol.transactions.assets import AssetRegister

    mark = _hash_serial(serial, issuer_dir, serial_hash)
    name = _check_class(asset_class)
    unit = sign.find_currency(desk.network, currency)
    payload = AssetRegister(
        asset_class=name,
        serial_hash=mark,
        meta_commit=ZERO_DIGEST if papers is None else read_evidence(papers, None),
        currency=Currency(unit.code),
        value=Amount(value_minor),
    )
    made = calculate_asset_id(name, mark)
    also = [] if issuer_dir is None else [open_organisation(desk.network, issuer_dir)]
    desk.sign("Register a thing:", payload, also=also, tell={"asset": made.hex()})


def _check_class(text: str) -> str:
    import re

    if not re.fullmatch("[a-z0-9-]{1,32}", text):
        raise click.BadParameter(f"{text!r} has other signs than a-z, 0-9 and -.", param_hint="--class")
    return text


def _hash_serial(serial: str | None, issuer_dir: Path | None, serial_hash: str | None) -> Any:
    from node.cli.sign import read_officer_seed
    from node.client.subject import SUBJECT_CHARS_MIN, calculate_serial_tag, normalise_subject
    from protocol.ids import Digest

    if (serial is None) == (serial_hash is None):
        raise click.UsageError("Give --serial TEXT with --issuer-dir, or --serial-hash HEX.")
    if serial_hash is not None:
        return Digest(read_id(serial_hash, "a serial number's hash"))
    if issuer_dir is None:
        raise click.UsageError(
            "--serial is hashed with the issuer's key: name its --issuer-dir, or give --serial-hash."
        )
    assert serial is not None, "one of the two is given"
    if len(normalise_subject(serial)) < SUBJECT_CHARS_MIN:
        fail("serial_short", f"A serial number has at least {SUBJECT_CHARS_MIN} letters or digits.")
    return calculate_serial_tag(read_officer_seed(issuer_dir), serial)


@asset.command()
@click.argument("asset_id", metavar="ASSET")
@click.option("--to", required=True, metavar="ACCOUNT", help="The new owner, who signs too.")
@signing_together
def transfer(*, desk: Desk, asset_id: str, to: str) -> None:
    """Give a free ASSET to another owner, who signs too.

    Example: liushui asset transfer ASSET --to lender2 --cosign-dir mynet/lender2 --officer-dir mynet/lender1
    """
    from protocol.transactions.assets import AssetTransfer

    payload = AssetTransfer(asset=read_id(asset_id, "an asset"), to=desk.resolve(to))
    one = _find_asset(desk, payload.asset)
    desk.sign("Give a thing to another owner:", payload, beside=_tell_asset(one))


@asset.command()
@click.argument("asset_id", metavar="ASSET")
@signing_together
def retire(*, desk: Desk, asset_id: str) -> None:
    """Strike a free ASSET from the register: scrapped or lost. An issuer signs too.

    Example: liushui asset retire ASSET --cosign-dir mynet/authorities/identity --officer-dir mynet/lender1
    """
    from protocol.transactions.assets import AssetRetire

    payload = AssetRetire(asset=read_id(asset_id, "an asset"))
    one = _find_asset(desk, payload.asset)
    desk.sign("Strike a thing from the register:", payload, beside=_tell_asset(one))


@asset.command()
@click.argument("asset_id", metavar="ASSET")
@click.option("--loan", "loan_id", required=True, metavar="LOAN", help="The defaulted loan it secures.")
@click.option("--value-minor", type=AMOUNT, required=True, help="Value at which the pools take it.")
@signing_together
def seize(*, desk: Desk, asset_id: str, loan_id: str, value_minor: int) -> None:
    """Realise the security of a defaulted loan. The lender signs, and an issuer or arbiter who vouches for the value.

    Example: liushui asset seize ASSET --loan LOAN --value-minor 5000000 --cosign-dir mynet/authorities/identity
    --officer-dir mynet/lender1
    """
    from protocol.money import Amount
    from protocol.transactions.assets import AssetSeize

    one = desk.read_loan(loan_id)
    payload = AssetSeize(
        asset=read_id(asset_id, "an asset"), loan=read_id(loan_id, "a loan"), value=Amount(value_minor)
    )
    beside = [*_tell_asset(_find_asset(desk, payload.asset)), ("loan's state", one["state"])]
    desk.sign("Seize a thing:", payload, currency=one["currency"], beside=beside)


@asset.command()
@click.argument("asset_id", metavar="ASSET")
@click.option("--price-minor", type=AMOUNT, required=True, help="What the buyer pays.")
@signing_together
def sell(*, desk: Desk, asset_id: str, price_minor: int) -> None:
    """Sell an ASSET that your pools hold. The buyer signs too, and pays in the same step.

    Example: liushui asset sell ASSET --price-minor 4500000 --cosigner BUYER -o sale.draft --officer-dir mynet/lender1
    """
    from protocol.money import Amount
    from protocol.transactions.assets import AssetSell

    payload = AssetSell(asset=read_id(asset_id, "an asset"), price=Amount(price_minor))
    one = _find_asset(desk, payload.asset)
    desk.sign("Sell a thing:", payload, currency=one["currency"], beside=_tell_asset(one))


@click.group()
def lease() -> None:
    """End a lease: return, buy or pay on."""


@lease.command()
@click.argument("loan_id", metavar="LOAN")
@click.argument("option", type=click.Choice(["return", "buy", "extend"]))
@signing_together
def end(*, desk: Desk, loan_id: str, option: str) -> None:
    """Carry an end option of a lease out, once all rows but the residual are paid. The lessee signs.

    On a return the lessor, who has the thing back, signs too. Before an extension its schedule is shown.

    Example: liushui lease end LOAN return --cosigner lender1 -o return.draft --key li-na.key
    """
    from protocol.ids import ZERO_DIGEST
    from protocol.transactions.assets import LeaseEnd, LeaseEndOption

    one, terms_hash = desk.read_loan(loan_id), ZERO_DIGEST
    loan = read_id(loan_id, "a loan")
    if option == "extend":
        from node.cli.quotes import ask_extension

        terms_hash = ask_extension(desk, loan)
    payload = LeaseEnd(loan=loan, option=LeaseEndOption[option.upper()], terms_hash=terms_hash)
    desk.sign("End a lease:", payload, currency=one["currency"])
