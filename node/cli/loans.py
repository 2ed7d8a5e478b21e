"""`liushui loan`: where loans stand, instalment by instalment, and what has happened to them.

The steps of one in trouble are commands of this group too; they stand in `node.cli.trouble`.
"""

from typing import Any, Final

import click

from node.cli.common import format_money, format_ppm, json_option, node_option, print_facts, print_json, print_table
from node.cli.trouble import LOAN_STEPS

STATES: Final = (
    "funded",
    "active",
    "repaid",
    "withdrawn",
    "cancelled",
    "defaulted",
    "written_off",
    "recovered",
    "settled",
)


@click.group()
def loan() -> None:
    """Show loans, their schedules and their history; default, write off, correct."""


for _step in LOAN_STEPS:
    loan.add_command(_step)


@loan.command()
@click.argument("loan_id", metavar="LOAN")
@node_option
@json_option
def show(*, loan_id: str, node_url: str, as_json: bool) -> None:
    """Where LOAN stands today: what is owed, overdue and due next, the payoff, and its history."""
    found = _get_loan(node_url, loan_id)
    if as_json:
        print_json(found)
        return
    _show_standing(found)
    _show_trouble(found)
    if len(found["holdings"]) > 1 or found["default"] is not None:
        _show_holders(found)
    if found["history"]:
        click.echo("")
        print_table(("Height", "What happened"), [(each["height"], each["kind"]) for each in found["history"]])
        if found["history_next"] is not None:
            click.echo("There is more: see /v1/loans/LOAN/history.")


def _show_standing(found: dict[str, Any]) -> None:
    one = found["loan"]

    def money(amount: int | None) -> str | None:
        return format_money(amount, one["exponent"], one["currency"]) if amount else None

    def money_of(name: str) -> str:
        return format_money(one[name], one["exponent"], one["currency"])

    print_facts(
        [
            ("loan", one["id"]),
            ("state", one["state"].replace("_", " ")),
            ("kind", one["kind"].replace("_", " ")),
            ("lender", one["lender_name"] or one["lender"]),
            ("principal", money_of("principal")),
            ("still owed", money_of("principal_out")),
            ("rate", format_ppm(one["rate_ppm"])),
            ("APR", format_ppm(one["apr_ppm"])),
            ("today", one["today"]),
            ("days late", one["days_past_due"]),
            ("class", f"{one['asset_class'].replace('_', ' ')}, stage {one['stage']}"),
            ("overdue", money_of("overdue")),
            ("next due on", one["next_due_on"]),
            ("next due", money_of("next_due")),
            ("payoff today", money_of("payoff")),
            ("paid automatically", "on due days" if found["autopay"] else None),
            ("paid out by", found["agent_name"] or found["agent"]),
            ("deposit held", money(found["deposit"])),
            *(("security", asset) for asset in found["collateral"]),
            *(("guarantor", account) for account in found["guarantors"]),
        ]
    )


def _show_trouble(found: dict[str, Any]) -> None:
    """What went otherwise than planned, if anything did."""
    one, default, sales = found["loan"], found["default"] or {}, found["sales"] or {}

    def money(amount: int | None) -> str | None:
        return format_money(amount, one["exponent"], one["currency"]) if amount else None

    facts: list[tuple[str, object]] = [
        (
            "amended",
            f"{one['restructures']} times, last on {found['restructured_on']}" if one["restructures"] else None,
        ),
        ("made principal", money(found["capitalised"])),
        ("forgiven", money(found["forgiven"])),
        ("impaired to", found["impaired"] and found["impaired"].replace("_", " ")),
        ("dispute", found["dispute"]),
        ("held until", found["hold_until"] if one["on_hold"] else None),
        *(("amendment proposed", each) for each in found["amendments"]),
        ("defaulted on", default.get("on")),
        ("cover paid", money(default.get("covered"))),
        ("lost", money(default.get("lost"))),
        ("came back since", money(default.get("recovered"))),
        ("costs of recovery", money(default.get("costs"))),
        ("sales reported to", sales.get("reported_to")),
        ("in breach since", sales.get("breached_on")),
    ]
    if any(value is not None for _, value in facts):
        click.echo("")
        print_facts(facts)


def _show_holders(found: dict[str, Any]) -> None:
    exponent = found["loan"]["exponent"]
    rows = [
        (
            each["lender_name"] or each["lender"][:16],
            format_ppm(each["share_ppm"]),
            *(format_money(each[name], exponent) for name in ("principal", "covered", "lost")),
        )
        for each in found["holdings"]
    ]
    click.echo("")
    print_table(("Held by", "Share", "Principal", "Cover paid", "Lost"), rows, right=(1, 2, 3, 4))


@loan.command()
@click.argument("loan_id", metavar="LOAN")
@node_option
@json_option
def schedule(*, loan_id: str, node_url: str, as_json: bool) -> None:
    """Every instalment of LOAN as it stands now."""
    found = _get_loan(node_url, loan_id)
    if as_json:
        print_json({"height": found["height"], "id": found["loan"]["id"], "schedule": found["schedule"]})
        return
    exponent = found["loan"]["exponent"]
    rows = [
        (
            row["number"],
            row["due_on"],
            *(
                format_money(row[name], exponent)
                for name in ("due", "principal_due", "interest_due", "penalty_due", "paid", "unpaid")
            ),
        )
        for row in found["schedule"]
    ]
    titles = ("No", "Due on", "Due", "Principal", "Interest", "Penalty", "Paid", "Unpaid")
    print_table(titles, rows, right=(0, 2, 3, 4, 5, 6, 7))


@loan.command(name="list")
@click.option("--borrower", default=None, help="Only loans of this account.")
@click.option("--lender", default=None, help="Only loans this account holds a part of.")
@click.option("--state", type=click.Choice(STATES), default=None, help="Only in this state.")
@node_option
@json_option
def list_loans(*, borrower: str | None, lender: str | None, state: str | None, node_url: str, as_json: bool) -> None:
    """Loans on the books, up to 200."""
    from node.cli.remote import check_hex, get

    query = {"limit": "200"}
    if borrower is not None:
        query["borrower"] = check_hex(borrower, "an account")
    if lender is not None:
        query["lender"] = check_hex(lender, "an account")
    if state is not None:
        query["state"] = state
    found: dict[str, Any] = get(node_url, "/v1/loans", **query)
    if as_json:
        print_json(found)
        return
    rows = [
        (
            one["id"],
            one["lender_name"] or one["lender"][:16],
            one["state"],
            format_money(one["principal"], one["exponent"], one["currency"]),
            format_money(one["principal_out"], one["exponent"], one["currency"]),
            one["days_past_due"],
        )
        for one in found["items"]
    ]
    print_table(("Loan", "Lender", "State", "Principal", "Still owed", "Days late"), rows, right=(3, 4, 5))


def _get_loan(node_url: str, loan_id: str) -> dict[str, Any]:
    from node.cli.remote import check_hex, get

    found: dict[str, Any] = get(node_url, f"/v1/loans/{check_hex(loan_id, 'a loan')}")
    return found
