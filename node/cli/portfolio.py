"""`liushui portfolio` and `liushui trial-balance`: all loans added up as a lender looks at them, and all books.

A node answers with figures of one height; a large one takes its time over them. Never a figure computed here.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from node.cli.common import format_money, json_option, node_option, print_facts, print_json, print_table
from node.cli.sign import reader_option
from node.cli.signals import show_signals

if TYPE_CHECKING:
    from node.client.http import NodeClient

TIMEOUT_S: Final = 120.0
"""A survey of a hundred thousand loans, in slices beside everything else a node does."""
SECTIONS: Final = (
    ("by_state", "State"),
    ("by_bucket", "Days late"),
    ("by_class", "Class"),
    ("by_stage", "Stage"),
    ("by_kind", "Kind"),
    ("by_product", "Product"),
)
BUCKETS: Final = {
    "current": "0",
    "to_7": "1-7",
    "to_30": "8-30",
    "to_60": "31-60",
    "to_90": "61-90",
    "to_180": "91-180",
    "to_270": "181-270",
    "to_360": "271-360",
    "above_360": "over 360",
}


@click.command()
@click.option("--lender", default=None, help="Only the parts of this lender: a member's name, or an account's id.")
@click.option("--pool", default=None, help="Only the parts of this pool.")
@click.option("--signals", "with_signals", is_flag=True, help="Vintages, rolls, drift and concentration instead.")
@reader_option("For --signals: directory with the officer key of the lender whose node is asked, or of an observer.")
@click.option("--csv", "as_csv", is_flag=True, help="Print a table for spreadsheets (RFC 4180), money in minor units.")
@node_option
@json_option
def portfolio(
    *,
    lender: str | None,
    pool: str | None,
    with_signals: bool,
    directory: Path | None,
    as_csv: bool,
    node_url: str,
    as_json: bool,
) -> None:
    """Loans and principal by state, lateness, class, IFRS 9 stage, kind, product, and month of pay-out.

    The portfolio is what runs and what has defaulted, until it is written off. A lender's and a pool's are the parts
    they hold of loans that are shared. --signals shows what stands out in the portfolio of the lender whose node it is.
    """
    import msgspec

    from node.cli.remote import check_hex, run

    if (directory is not None and not with_signals) or (with_signals and (as_csv or lender or pool)):
        raise click.UsageError("Give --signals and --officer-dir together, and nothing else but --node and --json.")
    if with_signals:
        show_signals(directory, node_url, as_json=as_json)
        return
    if lender is not None and pool is not None:
        raise click.UsageError("Give --lender or --pool, not both.")
    if as_csv and as_json:
        raise click.UsageError("Give --csv or --json, not both.")
    query = {"pool": check_hex(pool, "a pool")} if pool is not None else {}
    if as_csv:
        query["format"] = "csv"

    async def ask(client: "NodeClient") -> bytes:
        if lender is not None:
            query["lender"] = await _find_account(client, lender)
        return await client.call("GET", "/v1/portfolio", query=query, timeout_s=TIMEOUT_S)

    raw = run(node_url, ask)
    if as_csv:
        click.echo(raw.decode(), nl=False)
    elif as_json:
        print_json(msgspec.json.decode(raw))
    else:
        _show(msgspec.json.decode(raw))


async def _find_account(client: "NodeClient", text: str) -> str:
    """A member by its name, or an account as typed."""
    from node.cli.remote import check_hex

    for one in (await client.get("/v1/network"))["members"]:
        if one["name"] == text:
            return str(one["account"])
    return check_hex(text, "an account, nor a member's name")


def _show(view: dict[str, Any]) -> None:
    def money(amount: int) -> str:
        return format_money(amount, view["exponent"])

    whose = view["lender_name"] or view["lender"] or view["pool"]
    print_facts(
        [
            ("height", view["height"]),
            ("held by", whose),
            ("loans", view["held"]["loans"]),
            ("principal", f"{money(view['held']['principal'])} {view['currency']}"),
        ]
    )
    for name, title in SECTIONS:
        rows = [
            (BUCKETS.get(label, label) if name == "by_bucket" else label, one["loans"], money(one["principal"]))
            for label, one in view[name].items()
            if one["loans"]
        ]
        _print_section(title, ("Loans", "Principal"), rows)
    _print_section(
        "Paid out in",
        ("Loans", "Paid out", "Still held", "30+ late", "Their principal", "Ever 30+ late"),
        [
            (
                one["month"],
                one["loans"],
                money(one["disbursed"]),
                money(one["principal"]),
                one["late_30"]["loans"],
                money(one["late_30"]["principal"]),
                one["ever_late_30"],
            )
            for one in view["vintages"]
        ],
    )


def _print_section(title: str, columns: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> None:
    found = list(rows)
    if found:
        click.echo("")
        print_table((title, *columns), found, right=range(1, len(columns) + 1))


@click.command(name="trial-balance")
@node_option
@json_option
def trial_balance(*, node_url: str, as_json: bool) -> None:
    """All books added up: in each currency debits equal credits, or the node's books are wrong (exit code 1)."""
    import msgspec

    from node.cli.common import fail
    from node.cli.remote import run

    async def ask(client: "NodeClient") -> tuple[dict[str, Any], dict[str, int]]:
        units = (await client.get_genesis()).currencies
        view = msgspec.json.decode(await client.call("GET", "/v1/trial-balance", timeout_s=TIMEOUT_S))
        return view, {one.code: one.exponent for one in units}

    view, exponents = run(node_url, ask)
    if as_json:
        print_json(view)
    else:
        print_facts([("height", view["height"])])
        for currency in sorted({line["currency"] for line in view["lines"]}):
            lines = [line for line in view["lines"] if line["currency"] == currency]
            _print_books(currency, exponents[currency], lines)
    if not view["balanced"]:
        fail("books_unbalanced", "Debits and credits differ: do not trust this node's books.")


def _print_books(currency: str, exponent: int, lines: list[dict[str, Any]]) -> None:
    def money(amount: int) -> str:
        return format_money(amount, exponent) if amount else ""

    rows: list[tuple[object, ...]] = [
        (line["book"], money(line["debit"]), money(line["credit"])) for line in lines if line["debit"] or line["credit"]
    ]
    sums = [sum(line[side] for line in lines) for side in ("debit", "credit")]
    rows.append(("all", *(format_money(each, exponent) for each in sums)))
    click.echo("")
    print_table((f"Book, {currency}", "Debit", "Credit"), rows, right=(1, 2))
