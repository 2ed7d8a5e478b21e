"""`liushui repay, payoff, autopay`: money that goes back to the lenders of a loan, from whoever pays.

Never more than what closes the loan is taken. Never a figure here that the node's books do not have.
"""

from typing import Any, Final

import click

from node.cli.common import fail, format_money, print_facts, print_json
from node.cli.desk import Desk, signing
from node.cli.typed import AMOUNT, read_id

EXCESS: Final = ("next", "last", "reamortise")
SOURCES: Final = ("borrower", "guarantor", "collateral", "insurer", "merchant_refund")


@click.command()
@click.argument("loan_id", metavar="LOAN")
@click.option("--amount-minor", type=AMOUNT, default=None, help="Amount, minor units.")
@click.option("--payoff", "all_of_it", is_flag=True, help="Pay what closes the loan today.")
@click.option(
    "--excess",
    type=click.Choice(EXCESS),
    default="next",
    show_default=True,
    help="Where money beyond what is due goes.",
)
@click.option("--source", type=click.Choice(SOURCES), default="borrower", show_default=True, help="Whose money it is.")
@signing
def repay(*, desk: Desk, loan_id: str, amount_minor: int | None, all_of_it: bool, excess: str, source: str) -> None:
    """Pay on LOAN: --amount-minor N, or --payoff. Never more than the payoff is taken.

    Example: liushui repay LOAN --amount-minor 50000 --key li-na.key
    """
    if (amount_minor is None) == (not all_of_it):
        raise click.UsageError("Give --amount-minor N or --payoff.")
    _pay(desk, loan_id, amount_minor, excess=excess, source=source)


@click.command()
@click.argument("loan_id", metavar="LOAN")
@click.option("--source", type=click.Choice(SOURCES), default="borrower", show_default=True, help="Whose money it is.")
@signing
def payoff(*, desk: Desk, loan_id: str, source: str) -> None:
    """Pay what closes LOAN today, after seeing how much that is.

    Example: liushui payoff LOAN --key li-na.key
    """
    _pay(desk, loan_id, None, excess="next", source=source)


def _pay(desk: Desk, loan_id: str, amount_minor: int | None, *, excess: str, source: str) -> None:
    from protocol.loans.terms import ExcessRule
    from protocol.money import Amount
    from protocol.transactions.servicing import Pay, PaymentSource

    loan = read_id(loan_id, "a loan")
    before = desk.read_loan(loan_id)
    if amount_minor is None:
        amount_minor = int(before["payoff"])
        if amount_minor == 0:
            fail("loan_closed", "The loan is closed: nothing is owed.")
    payload = Pay(
        loan=loan,
        amount=Amount(amount_minor),
        excess=ExcessRule[excess.upper()],
        source=PaymentSource[source.upper()],
    )
    intent = desk.send("Pay on a loan:", payload, currency=before["currency"], beside=_tell_debt(before))
    one = desk.read_loan(loan_id)
    if desk.as_json:
        print_json({"transaction": intent.id.hex(), "loan": one})
        return
    owed = format_money(one["principal_out"], one["exponent"], one["currency"])
    print_facts([("transaction", intent.id.hex()), ("state", one["state"]), ("still owed", owed)])


def _tell_debt(one: dict[str, Any]) -> list[tuple[str, object]]:
    def money(name: str) -> str:
        return format_money(one[name], one["exponent"], one["currency"])

    return [
        ("lender", one["lender_name"] or one["lender"]),
        ("overdue", money("overdue")),
        ("closes it today", money("payoff")),
    ]


@click.command()
@click.argument("loan_id", metavar="LOAN")
@click.argument("state", type=click.Choice(["on", "off"]))
@signing
def autopay(*, desk: Desk, loan_id: str, state: str) -> None:
    """Let the ledger take each instalment of LOAN from your cash on its due day, or stop that.

    Example: liushui autopay LOAN on --key li-na.key
    """
    from protocol.transactions.servicing import AutopaySet

    desk.sign("Automatic payment:", AutopaySet(loan=read_id(loan_id, "a loan"), on=state == "on"))
