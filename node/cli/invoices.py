"""`liushui invoices`: read a firm's invoices and tell their features on this machine, without any node.

The file's content never leaves the process. Never a parser or a feature here: `scoring` does both.
"""

import os
from datetime import date
from pathlib import Path
from typing import Any

import click

from node.cli.common import format_money, json_option, print_facts, print_json, print_table


@click.group()
def invoices() -> None:
    """Check a firm's invoice list and compute its features; needs no node."""


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
    from node.cli.statement import fail_statement, read_statement_bytes
    from scoring.ingest.invoices import read_invoices, view_invoices
    from scoring.ingest.statement import StatementError
    from scoring.invoice_table import INVOICE_FEATURES, INVOICE_SPEC
    from scoring.invoices import calculate_invoice_features

    data = read_statement_bytes(path)
    try:
        found = read_invoices(data, name=path.name, buyer_key=os.urandom(32))
    except StatementError as error:
        fail_statement(error, as_json=as_json)
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
    print_table(
        ("Feature", "Value", "Unit", "Definition"),
        [
            (item.name, "MISSING" if features[item.name] is None else features[item.name], item.unit, item.definition)
            for item in INVOICE_FEATURES
        ],
        right=(1,),
    )
