"""`liushui report`: what a supervisor asks of all lenders at once, read with a member's signature.

A validator's or an observer's officer signs the request. Never a figure computed here.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from node.cli.common import format_money, format_ppm, json_option, node_option, print_facts, print_json, print_table
from node.cli.portfolio import TIMEOUT_S
from node.cli.sign import reader_option

if TYPE_CHECKING:
    from node.client.http import NodeClient


@click.command()
@reader_option("Directory with the officer key of a validator or observer, e.g. mynet/regulator.")
@node_option
@json_option
def report(*, directory: Path | None, node_url: str, as_json: bool) -> None:
    """Principal at risk, bad loans, write-offs, recoveries, concentration, and how near borrowers are to the debt cap.

    For members that validate or observe. PAR30 is the share of principal more than 30 days late or defaulted; bad
    loans are substandard or worse; the concentration index (Herfindahl-Hirschman) is 100 % for a single borrower.
    """
    import msgspec

    from node.cli import remote
    from node.cli.sign import find_reader

    signer = find_reader(directory)

    async def ask(client: "NodeClient") -> dict[str, Any]:
        raw = await client.call(
            "GET", "/v1/regulator/report", signer=signer, now_ms=remote.read_clock_ms, timeout_s=TIMEOUT_S
        )
        found: dict[str, Any] = msgspec.json.decode(raw)
        return found

    view = remote.run(node_url, ask)
    if as_json:
        print_json(view)
        return
    _show_total(view)
    _show_lenders(view)
    _show_exposure(view)


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _show_total(view: dict[str, Any]) -> None:
    total = view["total"]

    def tell(name: str, *, share: bool = True) -> str:
        loans = total[name]["loans"]
        text = f"{format_money(total[name]['principal'], view['exponent'])} in {_count(loans, 'loan')}"
        return f"{format_ppm(total[f'{name}_ppm'])}  {text}" if share else text

    several = view["owe_several"]
    owed = format_money(several["principal"], view["exponent"])
    print_facts(
        [
            ("height", view["height"]),
            ("currency", view["currency"]),
            ("principal", tell("held", share=False)),
            ("PAR30", tell("par30")),
            ("PAR60", tell("par60")),
            ("PAR90", tell("par90")),
            ("bad loans", tell("npl")),
            ("restructured", tell("restructured")),
            ("written off", tell("written_off", share=False)),
            ("recovered", tell("recovered", share=False)),
            ("borrowers", total["borrowers"]),
            ("ten largest", format_ppm(total["top_borrowers_ppm"])),
            ("index over borrowers", format_ppm(total["borrower_hhi_ppm"])),
            ("largest lender", format_ppm(view["largest_lender_ppm"])),
            ("index over lenders", format_ppm(view["lender_hhi_ppm"])),
            ("owe several lenders", f"{_count(several['loans'], 'borrower')}, {owed}"),
        ]
    )


def _show_lenders(view: dict[str, Any]) -> None:
    rows = []
    for one in view["lenders"]:
        figures = one["figures"]
        rows.append(
            (
                one["lender_name"] or one["lender"][:16],
                format_ppm(one["share_ppm"]),
                figures["held"]["loans"],
                format_money(figures["held"]["principal"], view["exponent"]),
                *(format_ppm(figures[name]) for name in ("par30_ppm", "par60_ppm", "par90_ppm", "npl_ppm")),
                format_money(figures["written_off"]["principal"], view["exponent"]),
                figures["borrowers_elsewhere"],
            )
        )
    if rows:
        click.echo("")
        titles = (
            "Lender",
            "Share",
            "Loans",
            "Principal",
            "PAR30",
            "PAR60",
            "PAR90",
            "Bad",
            "Written off",
            "Owe others too",
        )
        print_table(titles, rows, right=range(1, len(titles)))


def _show_exposure(view: dict[str, Any]) -> None:
    rows = [
        (
            f"above {format_ppm(one['from_ppm'])}"
            if one["to_ppm"] is None
            else f"{format_ppm(one['from_ppm'])} to {format_ppm(one['to_ppm'])}",
            one["borrowers"],
            format_money(one["debt"], view["exponent"]),
        )
        for one in view["exposure"]
    ]
    cap = format_money(view["debt_cap"], view["exponent"])
    click.echo("")
    print_table((f"Share of the debt cap of {cap}", "Borrowers", "Debt"), rows, right=(1, 2))
