"""`liushui offers, accept, withdraw`: what lenders answered to an application, and taking one of their offers.

Nothing is accepted whose whole cost was not shown, and what is shown is what is signed. Never a formula here.
"""

from typing import Any, NoReturn

import click

from node.cli.common import (
    UnverifiedError,
    fail,
    format_money,
    format_ppm,
    json_option,
    lang_option,
    node_option,
    print_facts,
    print_json,
    print_table,
)
from node.cli.desk import Desk, signing, signing_together
from node.cli.typed import read_id

CLOSED_OFFERS = {"accepted": "offer_taken", "cancelled": "offer_taken", "expired": "offer_expired"}


def _refuse(code: str) -> NoReturn:
    """End the command with a refusal that the ledger would give, in the ledger's words."""
    from node.cli.hints import HINTS
    from protocol.rejections import SENTENCES, Rejection

    fail(code, f"{SENTENCES[Rejection[code.upper()]]} {HINTS[code]}")


@click.command()
@click.argument("application_id", metavar="APPLICATION")
@node_option
@lang_option
@json_option
def offers(*, application_id: str, node_url: str, lang: str, as_json: bool) -> None:
    """The decisions and offers on APPLICATION, with reasons and the whole cost."""
    from node.cli.remote import check_hex, get

    path = f"/v1/applications/{check_hex(application_id, 'an application')}"
    found: dict[str, Any] = get(node_url, path, language=lang)
    if as_json:
        print_json(found)
    else:
        print_application(found)


def print_application(found: dict[str, Any]) -> None:
    """Who confirmed the reading, decisions, and offers cheapest first."""
    said = [_show_attester(one) for one in found["attestations"]]
    if said:
        click.echo("confirmed by " + ", ".join(dict.fromkeys(said)))
    for one in found["decisions"]:
        who = one["lender_name"] or one["lender"][:16]
        if one["outcome"] == "offer":
            continue
        why = "; ".join(each["text"] for each in one["reasons"]) or (one["rule"] or {}).get("sentence", "")
        click.echo(f"declined by {who}: {why}")
    if not found["automated"]:
        click.echo(
            "You refused automated decisions: a lender's officer answers, and programs only confirm the reading."
        )
    if not found["decisions"]:
        click.echo("No lender has decided yet: ask again with liushui offers APPLICATION.")
    for one in found["offers"]:
        click.echo("")
        print_offer(one)


def _show_attester(one: dict[str, Any]) -> str:
    """Its name, and what a reader should know of it."""
    name = one["attester_name"] or one["attester"][:16]
    notes = [word for word, holds in (("auditor", one["auditor"]), ("dissents", not one["own"])) if holds]
    notes += ["counts no more"] if one["struck"] else []
    return f"{name} ({', '.join(notes)})" if notes else name


def print_offer(one: dict[str, Any]) -> None:
    """The whole cost of an offer."""

    def money(name: str) -> str:
        return format_money(one[name], one["exponent"], one["currency"])

    print_facts(
        [
            ("offer", one["id"]),
            ("state", one["state"]),
            ("lender", f"{one['lender_name'] or one['lender'][:16]}, {one['product_name']}"),
            ("kind", None if one["kind"] == "term" else one["kind"].replace("_", " ")),
            ("loan of", money("principal")),
            ("you receive", money("net_proceeds")),
            ("you repay", f"{money('total_payable')} in {len(one['schedule'])} instalments"),
            ("whole cost", f"{money('total_cost')} (of it origination fee {money('origination_fee')})"),
            ("APR", f"{format_ppm(one['apr_ppm'])} (nominal {format_ppm(one['rate_ppm'])})"),
            ("if late", f"{format_ppm(one['late_rate_ppm'])} on what is overdue, {money('late_fee')} per instalment"),
            ("early payoff", _describe_prepayment(one["prepayment_fee_ppm"])),
            ("withdrawal", f"within {one['cooling_off_days']} days, origination fee refunded"),
            ("until", one["expires_on"]),
        ]
    )


@click.command()
@click.argument("offer_id", metavar="OFFER")
@click.option("--autopay", is_flag=True, help="Let the ledger take each instalment from your cash on its due day.")
@click.option("--agent", default=None, help="Settlement agent that pays the money out in fiat.")
@lang_option
@signing_together
def accept(*, desk: Desk, offer_id: str, autopay: bool, agent: str | None, lang: str) -> None:
    """Accept OFFER after seeing its whole cost and every instalment; the money arrives in the same block.

    Guarantors of the application, and the owner of a leased thing, sign too: name them with --cosigner and --draft.

    Example: liushui accept OFFER --autopay --key li-na.key
    """
    from node.client.offers import check_offer, tell_special
    from protocol.codec import decode
    from protocol.crypto import calculate_object_id
    from protocol.ledger.contracts import Disclosure, LineTold
    from protocol.transactions.lending import Accept

    offer = read_id(offer_id, "an offer")
    told: dict[str, Any] = desk.read(f"/v1/offers/{offer.hex()}")
    if told["state"] in CLOSED_OFFERS:
        _refuse(CLOSED_OFFERS[told["state"]])
    terms_hash = check_offer(told)
    if isinstance(terms_hash, str):
        raise UnverifiedError(
            "offer_altered", f"What the node shows as {terms_hash} is not what would be signed: do not trust this node."
        )
    disclosure = decode(bytes.fromhex(told["disclosure"]), Disclosure)
    special = tell_special(disclosure, desk.make_names(disclosure.currency))
    if not desk.as_json:
        print_offer(told)
        print_facts(special)
        print_schedule(told["schedule"], told["exponent"])
    payload = Accept(
        offer=offer,
        terms_hash=terms_hash,
        agent=None if agent is None else desk.resolve(agent),
        autopay=autopay,
    )
    desk.question = "接受此贷款？" if lang == "zh" else "Take this loan?"
    if desk.together.draft is not None:
        desk.sign("Accept an offer:", payload, currency=told["currency"])
        return
    intent = desk.send("Accept an offer:", payload, currency=told["currency"])
    name = "line" if isinstance(disclosure.told, LineTold) else "loan"
    made = calculate_object_id(name, desk.sender.key, intent.nonce)
    if desk.as_json:
        print_json({name: made.hex(), "offer": offer.hex(), "net_proceeds": told["net_proceeds"]})
    else:
        click.echo(f"{name}  {made.hex()}")


def print_schedule(schedule: list[dict[str, Any]], exponent: int) -> None:
    """Every instalment of an offer."""
    names = ("total_due", "principal_due", "interest_due")
    rows = [(row["number"], row["due_on"], *(format_money(row[name], exponent) for name in names)) for row in schedule]
    print_table(("No", "Due on", "Due", "Principal", "Interest"), rows, right=(0, 2, 3, 4))


@click.command()
@click.argument("application_id", metavar="APPLICATION")
@signing
def withdraw(*, desk: Desk, application_id: str) -> None:
    """Withdraw an open APPLICATION: nobody can offer on it any more.

    Example: liushui withdraw APPLICATION --key li-na.key
    """
    from protocol.transactions.lending import ApplyWithdraw

    desk.sign("Withdraw an application:", ApplyWithdraw(application=read_id(application_id, "an application")))


def _describe_prepayment(fee_ppm: int) -> str:
    """What paying early costs, in words."""
    return "free" if fee_ppm == 0 else f"{format_ppm(fee_ppm)} of the part paid early, at most the interest saved"
