"""`liushui product` and `liushui pool`: what lenders offer, as a node's books have it."""

from typing import Any

import click

from node.cli.common import format_money, json_option, node_option, print_facts, print_json, print_table


def format_ppm(ppm: int) -> str:
    """Parts per million as a percentage with two decimals, cut."""
    return f"{ppm // 10_000}.{ppm % 10_000 // 100:02d} %"


def _range(one: dict[str, Any]) -> str:
    least = format_money(one["amount_min"], one["exponent"])
    return f"{least} to {format_money(one['amount_max'], one['exponent'], one['currency'])}"


@click.group()
def product() -> None:
    """List loan products."""


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


@click.group()
def pool() -> None:
    """Show lenders' pools."""


@pool.command()
@click.argument("pool_id", metavar="[POOL]", required=False)
@node_option
@json_option
def show(*, pool_id: str | None, node_url: str, as_json: bool) -> None:
    """One pool, or all of them: cash, money lent, net asset value."""
    from node.cli.remote import check_hex, get

    if pool_id is not None:
        one: dict[str, Any] = get(node_url, f"/v1/pools/{check_hex(pool_id, 'a pool')}")
        if as_json:
            print_json(one)
            return
        money = ("cash", "principal_out", "net_asset_value", "lent", "borrower_max")
        print_facts(
            (name, format_money(value, one["exponent"], one["currency"]) if name in money else value)
            for name, value in one.items()
            if name not in ("exponent", "currency")
        )
        return
    found: dict[str, Any] = get(node_url, "/v1/pools", limit="200")
    if as_json:
        print_json(found)
        return
    rows = [
        (
            one["id"],
            one["lender_name"] or one["lender"][:16],
            format_money(one["cash"], one["exponent"], one["currency"]),
            format_money(one["principal_out"], one["exponent"], one["currency"]),
            one["loans_open"],
        )
        for one in found["items"]
    ]
    print_table(("Pool", "Lender", "Cash", "Lent out", "Loans"), rows, right=(2, 3, 4))
