"""`liushui draw, line, sales, assign`: what only some loans have: draws, sales that repay, a change of lender.

Before a draw its whole cost is shown, computed for today. Never a schedule computed here.
"""

from pathlib import Path
from typing import Any

import click

from node.cli.common import format_money, format_ppm, json_option, node_option, print_facts, print_json, print_table
from node.cli.desk import Desk, signing, signing_together
from node.cli.typed import AMOUNT, AMOUNT_OR_NOTHING, FILE, day_option, read_evidence, read_id


@click.command()
@click.argument("line_id", metavar="LINE")
@click.option("--amount-minor", type=AMOUNT, required=True, help="Amount in minor units.")
@click.option("--instalments", type=click.IntRange(1, 480), required=True, help="In how many it is repaid.")
@signing
def draw(*, desk: Desk, line_id: str, amount_minor: int, instalments: int) -> None:
    """Draw on a credit LINE, after seeing the whole cost of the draw.

    Example: liushui draw LINE --amount-minor 200000 --instalments 6 --key li-na.key
    """
    from node.cli.quotes import ask_draw
    from protocol.money import Amount
    from protocol.transactions.lending import Draw

    plain = read_id(line_id, "a line")
    desk.find("/v1/lines", plain.hex(), "line", "List them with liushui line list.")
    quote = ask_draw(desk, plain, amount_minor, instalments)
    payload = Draw(line=plain, amount=Amount(amount_minor), instalments=instalments, terms_hash=quote.terms_hash)
    desk.sign("Draw on a line:", payload, currency=quote.disclosure.currency)


@click.group()
def line() -> None:
    """See credit lines, and give up what is undrawn of one."""


@line.command(name="list")
@click.option("--borrower", default=None, metavar="ACCOUNT", help="Only lines of this account.")
@node_option
@json_option
def list_lines(*, borrower: str | None, node_url: str, as_json: bool) -> None:
    """Credit lines: limit, what may still be drawn, until when.

    Example: liushui line list
    """
    from node.cli.remote import check_hex, get

    query = {} if borrower is None else {"borrower": check_hex(borrower, "an account")}
    found = get(node_url, "/v1/lines", limit="200", **query)
    if as_json:
        print_json(found)
        return
    rows = [
        (
            one["id"],
            one["lender_name"] or one["lender"][:16],
            format_money(one["limit"], one["exponent"], one["currency"]),
            format_money(one["undrawn"], one["exponent"], one["currency"]),
            "closed" if one["closed"] else one["closes_on"],
        )
        for one in found["items"]
    ]
    print_table(("Line", "Lender", "Limit", "Undrawn", "Until"), rows, right=(2, 3))


@line.command()
@click.argument("line_id", metavar="LINE")
@node_option
@json_option
def show(*, line_id: str, node_url: str, as_json: bool) -> None:
    """One credit line and the loans drawn on it.

    Example: liushui line show LINE
    """
    from node.cli.remote import check_hex, get

    one = get(node_url, f"/v1/lines/{check_hex(line_id, 'a line')}")
    if as_json:
        print_json(one)
        return
    print_facts([("line", one["id"]), *_tell_line(one), *(("loan", each) for each in one["draws"])])


def _tell_line(one: dict[str, Any]) -> list[tuple[str, object]]:
    def money(name: str) -> str:
        return format_money(one[name], one["exponent"], one["currency"])

    return [
        ("lender", one["lender_name"] or one["lender"]),
        ("limit", money("limit")),
        ("undrawn", money("undrawn")),
        ("smallest draw", money("draw_min")),
        ("rate", format_ppm(one["rate_ppm"])),
        ("draws until", "closed" if one["closed"] else f"{one['closes_on']}, that day excluded"),
    ]


@line.command()
@click.argument("line_id", metavar="LINE")
@signing
def close(*, desk: Desk, line_id: str) -> None:
    """Give up what is undrawn of LINE; draws made go on.

    Example: liushui line close LINE --key li-na.key
    """
    from protocol.transactions.lending import LineClose

    plain = read_id(line_id, "a line")
    one = desk.find("/v1/lines", plain.hex(), "line", "List them with liushui line list.")
    desk.sign("Close a line:", LineClose(line=plain), beside=_tell_line(one))


@click.group()
def sales() -> None:
    """Report sales of an advance that a share of them repays."""


@sales.command()
@click.argument("loan_id", metavar="LOAN")
@day_option("--from", "first_day", "First day, the one after the last reported.")
@day_option("--to", "last_day", "Last day, which has passed.")
@click.option("--gross-minor", type=AMOUNT_OR_NOTHING, required=True, help="Gross sales of these days.")
@click.option("--report", "path", type=FILE, default=None, help="The acquirer's own report; only its SHA-256 is sent.")
@click.option("--report-hash", "digest", default=None, metavar="HEX", help="The SHA-256 of it.")
@signing_together
def report(
    *, desk: Desk, loan_id: str, first_day: int, last_day: int, gross_minor: int, path: Path | None, digest: str | None
) -> None:
    """Report the gross sales of whole days. The lender or its agent signs; or the borrower, and the lender with her.

    Example: liushui sales report LOAN --from 2027-01-01 --to 2027-01-31 --gross-minor 9000000 --report january.csv
    --officer-dir mynet/lender1
    """
    from protocol.ids import Day
    from protocol.money import Amount
    from protocol.transactions.servicing import SalesReport

    if last_day < first_day:
        raise click.UsageError("--to lies before --from.")
    mark = read_evidence(path, digest, flag="--report")
    one = desk.read_loan(loan_id)
    payload = SalesReport(
        loan=read_id(loan_id, "a loan"),
        first_day=Day(first_day),
        last_day=Day(last_day),
        gross=Amount(gross_minor),
        commit=mark,
    )
    desk.sign("Report sales:", payload, currency=one["currency"], beside=[("lender", one["lender_name"])])


@click.command()
@click.argument("loan_id", metavar="LOAN")
@click.option("--seller-pool", required=True, metavar="POOL", help="The pool that holds the share.")
@click.option("--buyer-pool", required=True, metavar="POOL", help="The pool that takes it; its owner signs too.")
@click.option("--price-minor", type=AMOUNT_OR_NOTHING, required=True, help="What the buying pool pays.")
@signing_together
def assign(*, desk: Desk, loan_id: str, seller_pool: str, buyer_pool: str, price_minor: int) -> None:
    """Sell a pool's whole share of LOAN to another pool, against cash in the same step. The borrower is told.

    Example: liushui assign LOAN --seller-pool POOL --buyer-pool POOL --price-minor 900000 --cosigner lender2
    -o sale.draft --officer-dir mynet/lender1
    """
    from protocol.money import Amount
    from protocol.transactions.servicing import Assign

    one = desk.read_loan(loan_id)
    pools = [desk.read_pool(each) for each in (seller_pool, buyer_pool)]
    payload = Assign(
        loan=read_id(loan_id, "a loan"),
        seller=read_id(seller_pool, "a pool"),
        buyer=read_id(buyer_pool, "a pool"),
        price=Amount(price_minor),
    )
    beside: list[tuple[str, object]] = [
        ("seller", pools[0]["lender_name"] or pools[0]["lender"]),
        ("buyer", pools[1]["lender_name"] or pools[1]["lender"]),
        ("still owed on it", format_money(one["principal_out"], one["exponent"], one["currency"])),
    ]
    desk.sign("Sell a share of a loan:", payload, currency=one["currency"], beside=beside)
