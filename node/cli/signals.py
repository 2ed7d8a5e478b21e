"""`liushui portfolio --signals`: what stands out in a lender's portfolio, as its own node measures it.

Never a figure computed here.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from node.cli.common import format_money, format_ppm, print_facts, print_json, print_table

if TYPE_CHECKING:
    from node.client.http import NodeClient


def show_signals(directory: Path | None, node_url: str, *, as_json: bool) -> None:
    """Ask the node with an officer's signature or a token, and show."""
    import msgspec

    from node.cli import remote
    from node.cli.sign import find_reader

    signer = find_reader(directory)

    async def ask(client: "NodeClient") -> dict[str, Any]:
        raw = await client.call(
            "GET", "/v1/portfolio/signals", signer=signer, now_ms=remote.read_clock_ms, timeout_s=120.0
        )
        found: dict[str, Any] = msgspec.json.decode(raw)
        return found

    view = remote.run(node_url, ask)
    if as_json:
        print_json(view)
    else:
        _show(view)


def _show(view: dict[str, Any]) -> None:
    def money(amount: int) -> str:
        return format_money(amount, view["exponent"])

    spread = view["concentration"]
    late = view["late_rolled_ppm"]
    print_facts(
        [
            ("lender", view["lender_name"] or view["lender"]),
            ("day", view["day"]),
            ("loans", view["loans"]),
            ("principal", f"{money(view['principal'])} {view['currency']}"),
            ("rolled since", view["rolled_from"]),
            ("rolled late", None if late is None else format_ppm(late)),
            ("borrowers", spread["borrowers"]),
            ("largest", format_ppm(spread["largest_ppm"])),
            ("ten largest", format_ppm(spread["top_ten_ppm"])),
            ("index", format_ppm(spread["hhi_ppm"])),
        ]
    )
    _print(
        ("Paid out in", "Loans", "Paid out", "30+ late", "Share", ""),
        [
            (
                one["month"],
                one["loans"],
                money(one["disbursed"]),
                one["late_30_loans"],
                format_ppm(one["late_30_ppm"]),
                one["state"],
            )
            for one in view["vintages"]
        ],
    )
    shares = ("better_ppm", "same_ppm", "worse_ppm", "gone_ppm")
    _print(
        ("Stood in", "Loans", "Principal", "Better", "Same", "Worse", "Gone"),
        [
            (one["bucket"], one["loans"], money(one["principal"]), *(format_ppm(one[name]) for name in shares))
            for one in view["rolls"]
        ],
    )
    _print(
        ("Model", "Decisions", "Stability index", ""),
        [
            (one["name"], one["decisions"], f"{one['psi_ppm'] // 10_000 / 100:.2f}", one["state"])
            for one in view["drifts"]
        ],
    )


def _print(titles: tuple[str, ...], rows: list[tuple[object, ...]]) -> None:
    if rows:
        click.echo("")
        print_table(titles, rows, right=range(1, len(titles) - (titles[-1] == "")))
