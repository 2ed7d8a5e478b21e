"""`liushui pool`: lenders' pools, opened and funded by a signature, shown as a node's books have them."""

from pathlib import Path
from typing import Any

import click

from node.cli.common import format_money, json_option, node_option, print_facts, print_json, print_table
from node.cli.money import AMOUNT
from node.cli.sign import officer_option, sender_options, yes_option

OFFICER = officer_option("--officer-dir", "Directory with the lender's officer key, e.g. mynet/lender1.")


@click.group()
def pool() -> None:
    """Open, fund and show lenders' pools."""


@pool.command(name="open")
@OFFICER
@click.option("--borrower-max-minor", type=AMOUNT, required=True, help="Largest principal open to one borrower.")
@click.option("--currency", default=None, help="ISO 4217 code; by default the network's first.")
@yes_option
@node_option
@json_option
def open_pool(
    *, directory: Path, borrower_max_minor: int, currency: str | None, yes: bool, node_url: str, as_json: bool
) -> None:
    """Open an empty pool that loans are paid from. The lender signs."""
    from node.cli import sign
    from protocol.money import Amount, Currency

    genesis = sign.read_network(node_url, directory)
    unit = sign.find_currency(genesis, currency)
    lender = sign.open_officer(directory, genesis, "lender")
    most = format_money(borrower_max_minor, unit.exponent, unit.code)
    facts = [("lender", lender.name), ("currency", unit.code), ("most to one borrower", most)]
    sign.confirm("Open a pool:", facts, yes=yes)
    (made,) = sign.send(
        node_url,
        genesis,
        lender.signer,
        lambda wallet: [
            wallet.open_pool(currency=Currency(unit.code), borrower_max=Amount(borrower_max_minor)),
        ],
    )
    found = {"pool": made.made.hex(), "transaction": made.id.hex()}
    sign.print_made(found, as_json)


@pool.command()
@sender_options
@click.option("--pool", "pool_id", default=None, help="The pool's id; needed only where the lender has several.")
@click.option("--amount-minor", type=AMOUNT, required=True, help="Amount in minor units.")
@yes_option
@node_option
@json_option
def deposit(
    *,
    key_path: Path | None,
    passphrase_file: Path | None,
    passphrase_fd: int | None,
    directory: Path | None,
    pool_id: str | None,
    amount_minor: int,
    yes: bool,
    node_url: str,
    as_json: bool,
) -> None:
    """Move cash into a pool for shares at its net asset value. There is no way out of a pool yet."""
    from node.cli import sign
    from protocol.ids import ObjectId
    from protocol.money import Amount

    sign.check_sender(key_path, directory)
    genesis = sign.read_network(node_url, directory)
    sender = sign.describe_sender(genesis, key_path, directory)
    one = find_pool(node_url, pool_id, owner=sender)
    shown = format_money(amount_minor, one["exponent"], one["currency"])
    facts = [("amount", shown), ("from", sender), ("pool", f"{one['id']} of {one['lender_name'] or one['lender']}")]
    sign.confirm("Deposit into a pool:", facts, yes=yes)
    signer = sign.open_sender(genesis, key_path, passphrase_file, passphrase_fd, directory).signer
    chosen = ObjectId(bytes.fromhex(one["id"]))
    (made,) = sign.send(
        node_url, genesis, signer, lambda wallet: [wallet.deposit(pool=chosen, amount=Amount(amount_minor))]
    )
    if as_json:
        print_json({"transaction": made.id.hex(), "pool": one["id"], "amount": amount_minor})
    else:
        print_facts([("transaction", made.id.hex()), ("pool", one["id"]), ("amount", shown)])


def find_pool(node_url: str, pool_id: str | None, *, owner: str) -> dict[str, Any]:
    """The pool named, or the only one of `owner` (a member's name, or an account's id)."""
    from node.cli.common import fail
    from node.cli.remote import check_hex, get

    items: list[dict[str, Any]] = get(node_url, "/v1/pools", limit="200")["items"]
    if pool_id is not None:
        plain = check_hex(pool_id, "a pool")
        found = [one for one in items if one["id"] == plain]
        if not found:
            fail("pool_unknown", f"No pool {plain} exists: list the pools with liushui pool show.")
        return found[0]
    mine = [one for one in items if owner in (one["lender_name"], one["lender"])]
    if not mine:
        fail("pool_unknown", f"{owner} has no pool: open one with liushui pool open, or name another's with --pool.")
    if len(mine) > 1:
        fail("pool_ambiguous", f"{owner} has {len(mine)} pools: name one with --pool; liushui pool show lists them.")
    return mine[0]


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
