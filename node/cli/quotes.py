"""What a draw, an extension or an amendment would be, computed for today by the node and checked here before signing.

The node sends the disclosure's own bytes; what is shown is read from them, and their hash is what is signed. So a node
can refuse to tell, but it cannot show one price and have another signed. Never a schedule computed here.
"""

from typing import TYPE_CHECKING, Any, NamedTuple

import click

from node.cli.common import UnverifiedError, format_ppm, print_facts
from node.cli.desk import Desk

if TYPE_CHECKING:
    from protocol.ids import Digest, ObjectId
    from protocol.ledger.contracts import Disclosure


class Quote(NamedTuple):
    """Terms for today, and what signing them means."""

    disclosure: "Disclosure"
    terms_hash: "Digest"


def ask_draw(desk: Desk, line: "ObjectId", amount_minor: int, instalments: int) -> Quote:
    """The terms of a draw, shown."""
    query = {"amount": str(amount_minor), "instalments": str(instalments)}
    quote = _read(desk, f"/v1/lines/{line.hex()}/quote", query)
    schedule = quote.disclosure.schedule
    _check(
        "the draw",
        schedule.principal == amount_minor
        and len(quote.disclosure.instalments) == instalments
        and quote.disclosure.borrower == desk.account,
    )
    _show(desk, quote.disclosure)
    return quote


def ask_extension(desk: Desk, loan: "ObjectId") -> "Digest":
    """The hash of an extended lease's terms, shown."""
    quote = _read(desk, f"/v1/loans/{loan.hex()}/extension", {})
    _check("the extension", quote.disclosure.borrower == desk.account)
    _show(desk, quote.disclosure)
    return quote.terms_hash


def ask_amendment(desk: Desk, amendment: "ObjectId") -> Quote:
    """The terms of an amended loan, shown."""
    quote = _read(desk, f"/v1/amendments/{amendment.hex()}/quote", {})
    _show(desk, quote.disclosure)
    return quote


def _read(desk: Desk, path: str, query: dict[str, str]) -> Quote:
    from protocol.codec import CodecError, decode
    from protocol.ledger.contracts import Disclosure
    from protocol.ledger.offers import calculate_terms_hash

    found: dict[str, Any] = desk.read(path, **query)
    try:
        disclosure = decode(bytes.fromhex(str(found["disclosure"])), Disclosure)
    except (CodecError, ValueError, KeyError) as error:
        raise UnverifiedError("quote_malformed", "The node's terms cannot be read: do not trust this node.") from error
    return Quote(disclosure, calculate_terms_hash(disclosure))


def _check(what: str, holds: bool) -> None:
    if not holds:
        raise UnverifiedError(
            "quote_altered", f"The node answers with other terms than of {what} you asked for: do not trust this node."
        )


def _show(desk: Desk, told: "Disclosure") -> None:
    """The whole cost and every instalment, on stderr, so that --json stays clean."""
    from datetime import date

    from node.client.offers import tell_special

    names = desk.make_names(told.currency)

    def money(amount: int) -> str:
        return names.tell_money(amount, told.currency)

    click.echo("For today:", err=True)
    facts: list[tuple[str, object]] = [
        ("  principal", money(told.schedule.principal)),
        ("  rate", format_ppm(told.schedule.rate_ppm)),
        ("  APR", format_ppm(told.apr_ppm)),
        ("  you receive", money(told.net_proceeds)),
        ("  you repay", f"{money(told.total_payable)} in {len(told.instalments)} instalments"),
        ("  whole cost", money(told.total_cost)),
        *((f"  {name}", text) for name, text in tell_special(told, names)),
    ]
    print_facts(facts, err=True)
    for one in told.instalments:
        day = date.fromordinal(one.due_on).isoformat()
        click.echo(f"  {one.index:>4}  {day}  {money(one.total_due)}", err=True)
