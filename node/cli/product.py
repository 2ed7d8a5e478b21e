"""`liushui product`: what lenders offer, as a node's books have it, and the way to publish an offer of one's own."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from node.cli.common import (
    fail,
    format_money,
    format_ppm,
    json_option,
    node_option,
    print_json,
    print_table,
)
from node.cli.desk import Desk, signing_together
from node.cli.pool import find_pool
from node.cli.producttemplate import KINDS

if TYPE_CHECKING:
    from node.cli.productfile import ProductText
    from node.client.forms import Names
    from protocol.transactions.products import LoanProduct


def _range(one: dict[str, Any]) -> str:
    least = format_money(one["amount_min"], one["exponent"])
    return f"{least} to {format_money(one['amount_max'], one['exponent'], one['currency'])}"


@click.group()
def product() -> None:
    """List, describe and publish loan products."""


@product.command(name="list")
@node_option
@json_option
def list_products(*, node_url: str, as_json: bool) -> None:
    """Every product on sale: lender, range, rates by score band."""
    from node.cli.remote import get

    found: dict[str, Any] = get(node_url, "/v1/products", limit="200")
    if as_json:
        print_json(found)
        return
    rows = [
        (
            one["id"][:16],
            one["lender_name"] or one["lender"][:16],
            one["name"],
            one["segment"],
            _range(one),
            f"{one['instalments_min']} to {one['instalments_max']} x {one['every']}",
            f"{format_ppm(one['bands'][0]['rate_ppm'])} to {format_ppm(one['bands'][-1]['rate_ppm'])}",
        )
        for one in found["items"]
    ]
    print_table(("Product", "Lender", "Name", "Segment", "Amount", "Instalments", "Rate"), rows)


@product.command()
@click.option(
    "--out", "path", type=click.Path(dir_okay=False, path_type=Path), default=None, help="Write it here instead."
)
@click.option("--kind", type=click.Choice(KINDS), default="term", show_default=True, help="Kind of product.")
def template(*, path: Path | None, kind: str) -> None:
    """Print an annotated product file that can be published as it stands. It needs no node.

    Example: liushui product template --kind lease --out lease.toml
    """
    from datetime import UTC, datetime, timedelta

    from node.cli.producttemplate import format_template

    text = format_template((datetime.now(tz=UTC) + timedelta(days=365)).date(), kind)
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
    click.echo(f"file  {path}")


@product.command()
@click.argument("path", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path))
@signing_together
def publish(*, desk: Desk, path: Path) -> None:
    """Publish the loan product of FILE (TOML; see liushui product template). The lender signs; it cannot be changed.

    Owners of partner pools sign too: --cosign-dir where their keys are here, else --cosigner and --draft.

    Example: liushui product publish product.toml --officer-dir mynet/lender1
    """
    from node.cli import remote, sign
    from node.cli.productfile import ProductFileError, find_product_faults, make_product, pick_model
    from node.client.borrower import load_models
    from protocol.ids import Day, ObjectId

    text = _read(path)
    if desk.directory is None:
        raise click.UsageError("A lender publishes products: name its directory with --officer-dir.")
    network = desk.network
    lender = sign.open_officer(desk.directory, network, "lender")
    today = Day(network.calculate_day(remote.read_clock_ms(), text.utc_offset_minutes))
    faults = find_product_faults(text, network, today)
    pool = find_pool(desk.node_url, text.pool, owner=lender.name)
    if pool["lender_name"] != lender.name:
        faults.append(f"pool: belongs to {pool['lender_name']}, not to {lender.name}")
    try:
        model = pick_model(text, load_models(network), pool["currency"])
    except ProductFileError as error:
        faults.append(str(error))
    if faults:
        _refuse(path, faults)
    terms = make_product(text, pool=ObjectId(bytes.fromhex(pool["id"])), model=model)
    facts = [("lender", lender.name), *_describe(text, terms, pool, desk.make_names(pool["currency"]))]
    desk.sign("Publish a product:", terms, currency=pool["currency"], facts=facts)


def _read(path: Path) -> "ProductText":
    from node.cli.productfile import ProductFileError, read_product_file

    try:
        return read_product_file(path)
    except OSError as error:
        fail("file_unreadable", f"{path} cannot be read: {error.strerror}. liushui product template makes one.")
    except ProductFileError as error:
        _refuse(path, str(error).splitlines())


def _refuse(path: Path, faults: list[str]) -> NoReturn:
    lines = "".join(f"\n  {fault}" for fault in faults)
    fail("product_file_invalid", f"{path} cannot be published:{lines}")


def _describe(
    text: "ProductText", terms: "LoanProduct", pool: dict[str, Any], names: "Names"
) -> list[tuple[str, object]]:
    """Everything that will be signed, in words."""
    from node.client.forms import describe

    def money(amount: int) -> str:
        return format_money(amount, pool["exponent"], pool["currency"])

    late = f"{format_ppm(text.late_rate_ppm)} and {money(text.late_fee_minor)} after {text.grace_days} days"
    return [
        ("name", f"{text.name} ({text.segment})"),
        ("pool", pool["id"]),
        ("amount", f"{money(text.amount_min_minor)} to {money(text.amount_max_minor)}"),
        ("instalments", f"{text.instalments_min} to {text.instalments_max}, every {text.every}, {text.amortisation}"),
        ("interest", f"{text.day_count}, rounding {text.rounding}"),
        *(
            (f"band {index}", f"{format_ppm(band.rate_ppm)}, up to {money(band.amount_max_minor)}")
            for index, band in enumerate(text.bands)
        ),
        ("origination fee", format_ppm(text.origination_fee_ppm)),
        ("if late", late),
        ("if paid early", f"{format_ppm(text.prepayment_fee_ppm)} of the principal paid early"),
        ("default", f"from {text.default_days} days past due"),
        ("repayments go to", text.repayment_order.replace("_", ", then ")),
        ("decided by", f"{text.attestations_min} equal attestations"),
        ("granted in all", money(text.auto_budget_minor) if text.auto_budget_minor else "by officers, each loan"),
        ("most by grade", ", ".join(money(one) for one in text.grade_max_minor) or None),
        ("offers stand", f"{text.offer_days} days, at UTC offset {text.utc_offset_minutes} minutes"),
        ("on sale until", text.expires_on.isoformat()),
        ("kind", type(terms.kind).__name__.removesuffix("Kind").lower()),
        *((f"  {name}", value) for name, value in describe(terms.kind, names)),
        *((f"shared with {one.pool.hex()}", format_ppm(one.share_ppm)) for one in terms.partners),
    ]
