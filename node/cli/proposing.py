"""What every proposal shares on the command line: the day it is for, and how it is signed. Never an action here."""

from typing import TYPE_CHECKING, Any, Final

import click

from node.cli.desk import Desk, signing
from node.cli.typed import day_option

if TYPE_CHECKING:
    from protocol.transactions.governance import Action

DAYS_AHEAD: Final = 7


def effective(function: Any) -> Any:
    """A command that signs a proposal, with `--on` as the parameter `effective_on`."""
    function = day_option(
        "--on",
        "effective_on",
        f"Network day on which it takes effect; by default in {DAYS_AHEAD} days.",
        required=False,
    )(function)
    return signing(function)


def propose_action(
    desk: Desk, action: "Action", effective_on: int | None, beside: list[tuple[str, object]] | None = None
) -> None:
    """Show the action, sign it and send it."""
    from protocol.ids import Day
    from protocol.transactions.governance import Propose

    today = desk.calculate_today()
    day = today + DAYS_AHEAD if effective_on is None else effective_on
    if day <= today:
        raise click.UsageError("A proposal takes effect on a later day: give --on a date after today.")
    currency = desk.network.currencies[0].code
    desk.sign("Propose:", Propose(action=action, effective_on=Day(day)), currency=currency, beside=beside or [])
