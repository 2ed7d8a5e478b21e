"""`liushui pool`: lenders' pools: opened, funded, left and secured by a signature, shown as a node has them."""

from pathlib import Path
from typing import Any

import click

from node.cli.common import (
    fail,
    format_money,
    format_ppm,
    json_option,
    node_option,
    print_facts,
    print_json,
    print_table,
)
from node.cli.desk import Desk, signing
from node.cli.sign import officer_option, who_options, yes_option
from node.cli.typed import AMOUNT, PPM, read_id

OFFICER = officer_option("--officer-dir", "Directory with the lender's officer key, e.g. mynet/lender1.")


@click.group()
def pool() -> None:
    """Open, fund, leave, secure and show lenders' pools."""


@pool.command(name="open")
@OFFICER
@click.option("--borrower-max-minor", type=AMOUNT, required=True, help="Largest principal open to one borrower.")
@click.option("--cover-rate-ppm", type=PPM, default=0, help="First-loss cover you keep ready, of the principal lent.")
@click.option("--fee-ppm", type=PPM, default=0, help="Management fee: your share of the interest the pool receives.")
@click.option("--currency", default=None, help="ISO 4217 code; by default the network's first.")
@yes_option
@node_option
@json_option
def open_pool(
    *,
    directory: Path,
    borrower_max_minor: int,
    cover_rate_ppm: int,
    fee_ppm: int,
    currency: str | None,
    yes: bool,
    node_url: str,
    as_json: bool,
) -> None:
    """Open an empty pool that loans are paid from. The lender signs.

    Example: liushui pool open --borrower-max-minor 10000000 --officer-dir mynet/lender1
    """
    from node.cli import sign
    from protocol.money import Amount, Currency, Ppm
    from protocol.transactions.pools import PoolOpen

    genesis = sign.read_network(node_url, directory)
    unit = sign.find_currency(genesis, currency)
    lender = sign.open_officer(directory, genesis, "lender")
    most = format_money(borrower_max_minor, unit.exponent, unit.code)
    facts = [
        ("lender", lender.name),
        ("currency", unit.code),
        ("most to one borrower", most),
        ("first-loss cover", format_ppm(cover_rate_ppm)),
        ("management fee", format_ppm(fee_ppm)),
    ]
    sign.confirm("Open a pool:", facts, yes=yes)
    payload = PoolOpen(
        currency=Currency(unit.code),
        borrower_max=Amount(borrower_max_minor),
        cover_rate_ppm=Ppm(cover_rate_ppm),
        fee_ppm=Ppm(fee_ppm),
    )
    (made,) = sign.send(node_url, genesis, lender.signer, lambda wallet: [wallet.build(payload)])
    found = {"pool": made.made.hex(), "transaction": made.id.hex()}
    sign.print_made(found, as_json)


@pool.command()
@click.option("--pool", "pool_id", default=None, help="The pool's id; needed only where the lender has several.")
@click.option("--amount-minor", type=AMOUNT, required=True, help="Amount in minor units.")
@signing
def deposit(*, desk: Desk, pool_id: str | None, amount_minor: int) -> None:
    """Move cash into a pool for shares at its net asset value; liushui pool withdraw is the way out.

    Example: liushui pool deposit --pool POOL --amount-minor 100000 --key li-na.key
    """
    from protocol.money import Amount
    from protocol.transactions.pools import PoolDeposit

    one = find_pool(desk.node_url, pool_id, owner=desk.account.hex())
    payload = PoolDeposit(pool=read_id(one["id"], "a pool"), amount=Amount(amount_minor))
    made = desk.send("Deposit into a pool:", payload, currency=one["currency"], beside=_tell_pool(one))
    shown = format_money(amount_minor, one["exponent"], one["currency"])
    if desk.as_json:
        print_json({"transaction": made.id.hex(), "pool": one["id"], "amount": amount_minor})
    else:
        print_facts([("transaction", made.id.hex()), ("pool", one["id"]), ("amount", shown)])


def find_pool(node_url: str, pool_id: str | None, *, owner: str) -> dict[str, Any]:
    """The pool named, or the only one of `owner` (a member's name, or an account's id)."""
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
        _print_pool(one)
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


def _print_pool(one: dict[str, Any]) -> None:
    def money(name: str) -> str:
        return format_money(one[name], one["exponent"], one["currency"])

    print_facts(
        [
            ("pool", one["id"]),
            ("lender", one["lender_name"] or one["lender"]),
            ("cash", money("cash")),
            ("  of it reserved", money("reserved")),
            ("lent out", f"{money('principal_out')} in {one['loans_open']} loans"),
            ("goods held", money("assets")),
            ("worth to those who come", money("net_asset_value")),
            ("worth to those who leave", money("net_asset_value_out")),
            ("lost, may come back", money("lost")),
            ("shares", f"{one['shares']:,}"),
            ("  waiting to leave", f"{one['exiting']:,}"),
            ("first-loss cover", f"{money('cover')}, {format_ppm(one['cover_rate_ppm'])} of what is lent"),
            ("  of it bound", money("cover_needed")),
            ("management fee", f"{format_ppm(one['fee_ppm'])} of interest"),
            ("most to one borrower", money("borrower_max")),
            ("lent in all", money("lent")),
        ]
    )


@pool.command()
@click.option("--pool", "pool_id", required=True, metavar="POOL", help="The pool to leave.")
@click.option("--shares", type=AMOUNT, default=None, help="How many shares are given back.")
@click.option("--all", "everything", is_flag=True, help="All shares that you hold.")
@signing
def withdraw(*, desk: Desk, pool_id: str, shares: int | None, everything: bool) -> None:
    """Ask to give shares back for cash. All who ask on one day share the pool's free cash alike.

    Example: liushui pool withdraw --pool POOL --all --key li-na.key
    """
    from protocol.transactions.pools import PoolExit

    if (shares is None) != everything:
        raise click.UsageError("Give --shares N or --all.")
    one = desk.read_pool(pool_id)
    held = sum(each["shares"] for each in _read_shares(desk) if each["pool"] == one["id"])
    if held == 0:
        fail("shares_short", "You hold no free shares of this pool: see them with liushui account show.")
    payload = PoolExit(pool=read_id(pool_id, "a pool"), shares=held if shares is None else shares)
    beside = [("shares you hold", held), *_tell_pool(one)]
    desk.sign("Leave a pool:", payload, currency=one["currency"], beside=beside)


def _read_shares(desk: Desk) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = desk.read(f"/v1/accounts/{desk.account.hex()}")["shares"]
    return found


def _tell_pool(one: dict[str, Any]) -> list[tuple[str, object]]:
    def money(name: str) -> str:
        return format_money(one[name], one["exponent"], one["currency"])

    return [
        ("pool of", one["lender_name"] or one["lender"]),
        ("its shares", one["shares"]),
        ("worth", money("net_asset_value")),
        ("cash", money("cash")),
    ]


@pool.command()
@who_options
@node_option
@json_option
def exits(*, who: str | None, key_path: Path | None, directory: Path | None, node_url: str, as_json: bool) -> None:
    """Shares of an account that wait for a pool's cash, or waited for it.

    Example: liushui pool exits --key li-na.key
    """
    from node.cli.account import read_account
    from node.cli.remote import get

    account = read_account(node_url, who, key_path, directory)["id"]
    found = get(node_url, f"/v1/accounts/{account}/exits", limit="200")
    if as_json:
        print_json(found)
        return
    money = {one["id"]: one for one in get(node_url, "/v1/pools", limit="200")["items"]}
    rows = [
        (
            one["id"],
            money[one["pool"]]["lender_name"] or one["pool"][:16],
            f"{one['shares']:,}",
            format_money(one["paid"], money[one["pool"]]["exponent"], money[one["pool"]]["currency"]),
        )
        for one in found["items"]
    ]
    print_table(("Exit", "Pool of", "Shares that wait", "Paid so far"), rows, right=(2, 3))


@pool.command()
@click.argument("exit_id", metavar="EXIT")
@signing
def cancel(*, desk: Desk, exit_id: str) -> None:
    """Take back what is left of an EXIT that waits for cash.

    Example: liushui pool cancel EXIT --key li-na.key
    """
    from protocol.transactions.pools import PoolExitCancel

    desk.sign("Stay in a pool:", PoolExitCancel(exit=read_id(exit_id, "an exit")))


@pool.command(name="set")
@click.option("--pool", "pool_id", required=True, metavar="POOL", help="Your pool.")
@click.option("--borrower-max-minor", type=AMOUNT, default=None, help="Largest principal open to one borrower.")
@click.option("--cover-rate-ppm", type=PPM, default=None, help="First-loss cover; only rises while loans are open.")
@click.option("--fee-ppm", type=PPM, default=None, help="Management fee; only falls while loans are open.")
@signing
def set_pool(
    *, desk: Desk, pool_id: str, borrower_max_minor: int | None, cover_rate_ppm: int | None, fee_ppm: int | None
) -> None:
    """Change the limits of your pool; what is not named stays.

    Example: liushui pool set --pool POOL --cover-rate-ppm 50000 --officer-dir mynet/lender1
    """
    from protocol.money import Amount, Ppm
    from protocol.transactions.pools import PoolSet

    if borrower_max_minor is None and cover_rate_ppm is None and fee_ppm is None:
        raise click.UsageError("Say what changes: --borrower-max-minor, --cover-rate-ppm or --fee-ppm.")
    one = desk.read_pool(pool_id)
    payload = PoolSet(
        pool=read_id(pool_id, "a pool"),
        borrower_max=Amount(one["borrower_max"] if borrower_max_minor is None else borrower_max_minor),
        cover_rate_ppm=Ppm(one["cover_rate_ppm"] if cover_rate_ppm is None else cover_rate_ppm),
        fee_ppm=Ppm(one["fee_ppm"] if fee_ppm is None else fee_ppm),
    )
    desk.sign("Change a pool's limits:", payload, currency=one["currency"], beside=_tell_pool(one))


@pool.group()
def cover() -> None:
    """Put your own cash before your investors' losses, or take it out."""


@cover.command(name="in")
@click.option("--pool", "pool_id", required=True, metavar="POOL", help="Your pool.")
@click.option("--amount-minor", type=AMOUNT, required=True, help="Amount in minor units.")
@signing
def cover_in(*, desk: Desk, pool_id: str, amount_minor: int) -> None:
    """Put cash into the first-loss cover of your pool.

    Example: liushui pool cover in --pool POOL --amount-minor 5000000 --officer-dir mynet/lender1
    """
    from protocol.money import Amount
    from protocol.transactions.pools import CoverDeposit

    one = desk.read_pool(pool_id)
    payload = CoverDeposit(pool=read_id(pool_id, "a pool"), amount=Amount(amount_minor))
    desk.sign("Put cover into a pool:", payload, currency=one["currency"], beside=_tell_pool(one))


@cover.command(name="out")
@click.option("--pool", "pool_id", required=True, metavar="POOL", help="Your pool.")
@click.option("--amount-minor", type=AMOUNT, required=True, help="Amount in minor units.")
@signing
def cover_out(*, desk: Desk, pool_id: str, amount_minor: int) -> None:
    """Take out cover that nothing needs any more.

    Example: liushui pool cover out --pool POOL --amount-minor 1000000 --officer-dir mynet/lender1
    """
    from protocol.money import Amount
    from protocol.transactions.pools import CoverWithdraw

    one = desk.read_pool(pool_id)
    payload = CoverWithdraw(pool=read_id(pool_id, "a pool"), amount=Amount(amount_minor))
    desk.sign("Take cover out of a pool:", payload, currency=one["currency"], beside=_tell_pool(one))
