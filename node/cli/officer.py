"""`liushui offer`: an officer answers an application: by an offer, which reserves its money, or by a decline.

The ledger computes the whole cost of what is offered, and the borrower sees it before signing. Never a price here.
"""

from typing import Final

import click

from node.cli.common import fail, format_money, format_ppm
from node.cli.desk import Desk, signing
from node.cli.features import features
from node.cli.typed import AMOUNT, PPM, read_id

REASONS_HINT: Final = "liushui tx types OfferDecline lists the reasons"


@click.group()
def offer() -> None:
    """Answer applications as a lender's officer."""


offer.add_command(features)


@offer.command()
@click.argument("application_id", metavar="APPLICATION")
@click.option("--product", "product_id", required=True, metavar="PRODUCT", help="Product on whose terms it is lent.")
@click.option("--principal-minor", type=AMOUNT, required=True, help="At most what was asked for.")
@click.option("--instalments", type=click.IntRange(1, 480), required=True)
@click.option("--rate-ppm", type=PPM, required=True, help="Nominal annual rate: 72000 is 7.2 %.")
@signing
def post(
    *, desk: Desk, application_id: str, product_id: str, principal_minor: int, instalments: int, rate_ppm: int
) -> None:
    """Make an offer on APPLICATION. Its principal is reserved in your pool while it stands.

    Example: liushui offer post APPLICATION --product PRODUCT --principal-minor 500000 --instalments 6 --rate-ppm 90000
    --officer-dir mynet/lender1
    """
    from protocol.money import Amount, Ppm
    from protocol.transactions.lending import OfferPost

    application, product = read_id(application_id, "an application"), read_id(product_id, "a product")
    asked = desk.find("/v1/applications", application.hex(), "application", "See its id where it was opened.")
    shown = format_money(asked["amount"], asked["exponent"], asked["currency"])
    beside = [("asked for", f"{shown} in {asked['instalments']} instalments every {asked['every']}")]
    desk.sign(
        "Offer:",
        OfferPost(
            application=application,
            product=product,
            principal=Amount(principal_minor),
            instalments=instalments,
            rate_ppm=Ppm(rate_ppm),
        ),
        currency=asked["currency"],
        beside=beside,
    )


@offer.command()
@click.argument("offer_id", metavar="OFFER")
@signing
def cancel(*, desk: Desk, offer_id: str) -> None:
    """Take back an officer's OFFER that nobody took; what it reserved is free again.

    Example: liushui offer cancel OFFER --officer-dir mynet/lender1
    """
    from protocol.transactions.lending import OfferCancel

    plain = read_id(offer_id, "an offer")
    told = desk.find("/v1/offers", plain.hex(), "offer", "See the application's with liushui offers APPLICATION.")
    beside = [
        ("loan of", format_money(told["principal"], told["exponent"], told["currency"])),
        ("rate", format_ppm(told["rate_ppm"])),
        ("state", told["state"]),
    ]
    desk.sign("Cancel an offer:", OfferCancel(offer=plain), beside=beside)


@offer.command()
@click.argument("application_id", metavar="APPLICATION")
@click.option("--product", "product_id", required=True, metavar="PRODUCT", help="Product that is declined.")
@click.option("--reason", "reasons", multiple=True, required=True, help="A principal reason; up to four.")
@signing
def decline(*, desk: Desk, application_id: str, product_id: str, reasons: tuple[str, ...]) -> None:
    """Decline APPLICATION with its principal reasons, which the borrower is told.

    Example: liushui offer decline APPLICATION --product PRODUCT --reason balance_low --reason debt
    --officer-dir mynet/lender1
    """
    from protocol.limits import REASONS_MAX
    from protocol.transactions.lending import OfferDecline
    from scoring.reasons import REASONS

    codes = {one.key: one.code for one in REASONS.values()}
    unknown = [one for one in reasons if one not in codes]
    if unknown:
        fail("reason_unknown", f"{unknown[0]} is no reason of this release: {REASONS_HINT}.")
    if len(reasons) > REASONS_MAX or len(set(reasons)) < len(reasons):
        raise click.UsageError(f"Give one to {REASONS_MAX} different reasons.")
    payload = OfferDecline(
        application=read_id(application_id, "an application"),
        product=read_id(product_id, "a product"),
        reasons=tuple(codes[one] for one in reasons),
    )
    beside = [("told", REASONS[codes[one]].text_en) for one in reasons]
    desk.sign("Decline:", payload, beside=list(beside))
