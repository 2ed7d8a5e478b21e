"""`liushui invoices`: read a firm's invoices and tell their features on this machine, without any node.

The file's content never leaves the process. Never a parser or a feature here: `scoring` does both.
"""

import os
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from node.cli.common import format_money, json_option, print_facts, print_json, print_table

if TYPE_CHECKING:
    from scoring.ingest.invoices import InvoiceFile


@click.group()
def invoices() -> None:
    """Check a firm's invoice list and compute its features, or make a sample; needs no node."""


@invoices.command()
@click.argument("path", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--as-of",
    type=click.DateTime(["%Y-%m-%d"]),
    default=None,
    help="Day of the decision; by default the day after the newest invoice.",
)
@json_option
def check(*, path: Path, as_of: Any, as_json: bool) -> None:
    """Read the invoices of FILE (CSV) and tell their features, or exactly why it is refused (file, line, reason).

    Headings are Chinese or English: number, date, buyer, status, and the total with tax (or amount and tax); also
    code, buyer's tax number, currency. Features are explained in docs/features.md. No shipped model scores them.

    Example: liushui invoices check sales.csv --as-of 2027-01-31
    """
    from scoring.ingest.invoices import view_invoices
    from scoring.invoice_table import INVOICE_SPEC
    from scoring.invoices import calculate_invoice_features

    found = read_invoice_list(path, as_json=as_json)
    day = found.last_day + 1 if as_of is None else as_of.date().toordinal()
    features = calculate_invoice_features(found.invoices, as_of=day)
    facts = view_invoices(found)
    if as_json:
        told = {"invoice_spec": INVOICE_SPEC, "as_of": date.fromordinal(day).isoformat(), "features": features}
        print_json({**facts, **told})
        return
    sales = sum(one.amount for one in found.invoices if not one.is_void)
    shown = {**facts, "sales": format_money(sales, found.exponent, found.currency), "as of": date.fromordinal(day)}
    print_facts([(name, str(value)) for name, value in shown.items() if name != "exponent"])
    click.echo("")
    print_invoice_features(features)


@invoices.command()
@click.option("--out", "path", type=click.Path(dir_okay=False, path_type=Path), required=True, help="File to create.")
@click.option("--months", type=click.IntRange(1, 60), default=12, show_default=True, help="How far it reaches back.")
@click.option("--seed", type=int, default=1, show_default=True, help="Another seed is another firm.")
def sample(*, path: Path, months: int, seed: int) -> None:
    """Make the invoice list of an invented firm, up to yesterday, to try the other commands with.

    Example: liushui invoices sample --out sales.csv
    """
    from datetime import UTC, datetime, timedelta

    from node.cli.statement import write_new
    from node.demo.invoices import make_invoice_list

    end = (datetime.now(tz=UTC) - timedelta(days=1)).date()
    write_new(path, make_invoice_list(end=end, months=months, seed=seed))
    click.echo(f"file  {path}")


def read_invoice_list(path: Path, *, as_json: bool) -> "InvoiceFile":
    """The invoices of a file, or the end of the command with the refusal."""
    from node.cli.statement import fail_statement, read_statement_bytes
    from scoring.ingest.invoices import read_invoices
    from scoring.ingest.statement import StatementError

    data = read_statement_bytes(path)
    try:
        return read_invoices(data, name=path.name, buyer_key=os.urandom(32))
    except StatementError as error:
        fail_statement(error, as_json=as_json)


def print_invoice_features(features: dict[str, int | None]) -> None:
    """Each with its value and its definition."""
    from scoring.invoice_table import INVOICE_FEATURES

    print_table(
        ("Feature", "Value", "Unit", "Definition"),
        [
            (item.name, "MISSING" if features[item.name] is None else features[item.name], item.unit, item.definition)
            for item in INVOICE_FEATURES
        ],
        right=(1,),
    )
