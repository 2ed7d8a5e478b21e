"""`liushui apply`: a borrower asks with a statement, which is read, scored and sealed here.

The key never leaves this process, and nobody reads the statement who was not agreed to. Never a formula here.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from node.cli.common import (
    KeyPlace,
    every_option,
    fail,
    json_option,
    key_place_options,
    lang_option,
    node_option,
    print_facts,
    print_json,
)
from node.cli.statement import fail_statement, read_statement_bytes
from node.cli.typed import read_id

if TYPE_CHECKING:
    from node.cli.asking import Plan
    from node.client.borrower import Application, Borrower, Prepared, Wish
    from node.client.http import NodeClient

SEGMENTS = ("personal", "small_business", "consumer")
PURPOSES = ("other", "living", "education", "medical", "home", "working_capital", "equipment", "purchase")


def _special_options(function: Callable[..., None]) -> Callable[..., None]:
    """Options that only some loans need."""
    for option in (
        click.option("--no-automation", is_flag=True, help="Refuse automated decisions: a lender's officer decides."),
        click.option(
            "--guarantor", "guarantors", multiple=True, metavar="ACCOUNT", help="Stands in for you, and signs too."
        ),
        click.option(
            "--collateral", multiple=True, metavar="ASSET", help="Registered thing it is secured on. May be repeated."
        ),
        click.option(
            "--wish",
            default=None,
            metavar="KIND:VALUE",
            help="merchant:ACCOUNT buys there, asset:ID leases it, sales:MINOR repays an advance from such sales.",
        ),
        click.option(
            "--product", default=None, metavar="ID", help="Ask for this product alone; a line is only asked for so."
        ),
    ):
        function = option(function)
    return function


def _reader_options(function: Callable[..., None]) -> Callable[..., None]:
    """Options that say who reads what."""
    for option in (
        click.option(
            "--features-to",
            "features_to",
            multiple=True,
            metavar="MEMBER",
            help="Let this member read the features alone, no rows; repeat for more.",
        ),
        click.option(
            "--auditor", "auditors", multiple=True, help="Let this auditor read and attest as well; repeat for more."
        ),
        click.option(
            "--lender", "lenders", multiple=True, help="Let only this lender read; repeat for more. Default: all."
        ),
    ):
        function = option(function)
    return function


@click.command()
@click.argument("paths", metavar="FILE...", nargs=-1, required=True, type=click.Path(dir_okay=False, path_type=Path))
@click.option("--amount-minor", type=click.IntRange(1, 2**53 - 1), required=True, help="Loan amount, minor units.")
@click.option("--periods", type=click.IntRange(1, 480), required=True, help="Number of instalments.")
@every_option
@click.option("--segment", type=click.Choice(SEGMENTS), default="personal", show_default=True)
@click.option("--purpose", type=click.Choice(PURPOSES), default="other", show_default=True)
@_special_options
@_reader_options
@click.option(
    "--genesis",
    "genesis_path",
    type=click.Path(dir_okay=False, path_type=Path),
    default=None,
    help="genesis.json from a place you trust: the statement is sealed to the lenders' keys in it and to no other.",
)
@click.option("--yes", is_flag=True, help="Give the consent that is shown without being asked.")
@key_place_options
@node_option
@lang_option
@json_option
def apply(
    *,
    paths: tuple[Path, ...],
    lenders: tuple[str, ...],
    auditors: tuple[str, ...],
    features_to: tuple[str, ...],
    genesis_path: Path | None,
    yes: bool,
    key: KeyPlace,
    node_url: str,
    lang: str,
    as_json: bool,
    **terms: Any,
) -> None:
    """Apply for a loan with the bank statement FILE, or several of one account.

    FILE is read and encrypted on this machine; several are joined into one statement. Only the lenders named can open
    it, each opening is logged, and what leaves is ciphertext, commitments and binned features. Members named with
    --features-to read averages, totals and counts, never a movement, and a person there may make an offer.

    Example: liushui apply statement.ofx --amount-minor 1000000 --periods 12 --key li-na.key
    """
    from node.cli import asking, remote
    from node.client.keyfile import derive_enc_key
    from protocol.ids import BoxKey

    seed = remote.open_key(*key)
    prepared = _prepare(paths, seed)
    places = {"lenders": lenders, "auditors": auditors, "features_to": features_to, "genesis_path": genesis_path}
    plan = _plan(node_url, seed, prepared.statement.currency, terms=terms, places=places, lang=lang)
    asking.show_consent(plan, lang, automated=not terms["no_automation"])
    if not yes:
        click.confirm("同意？" if lang == "zh" else "Do you agree?", abort=True, err=True)
    enc_key = BoxKey(bytes(derive_enc_key(seed).public_key))

    async def work(client: "NodeClient") -> tuple["Application", Any]:
        device, application = await _make(
            client, seed=seed, prepared=prepared, enc_key=enc_key, terms=terms, plan=plan, lang=lang
        )
        await device.apply(application)
        return application, await device.wait_decisions(application.application, count=plan.decisions)

    application, found = _run(node_url, work, lang)
    _tell_applied(application, found, as_json=as_json)


def _plan(
    node_url: str,
    seed: bytes,
    currency: str,
    *,
    terms: dict[str, Any],
    places: dict[str, Any],
    lang: str,
) -> "Plan":
    from node.cli.asking import make_plan
    from protocol.crypto import KeySigner

    key = KeySigner(seed).public_key

    async def ask(client: "NodeClient") -> "Plan":
        return await make_plan(client, key, currency=currency, terms=terms, **places)

    plan: Plan = _run(node_url, ask, lang)
    return plan


def _tell_applied(application: "Application", found: Any, *, as_json: bool) -> None:
    from node.cli.taking import print_application

    ids = {
        "application": application.application.hex(),
        "consent": application.consent.hex(),
        "data": application.data.hex(),
    }
    if as_json:
        print_json({**ids, "transaction": application.id.hex(), "result": found})
        return
    print_facts(ids.items())
    print_application(found)


def _prepare(paths: tuple[Path, ...], seed: bytes) -> "Prepared":
    from node.client.borrower import prepare_statements
    from scoring.ingest.statement import StatementError

    files = [(path.name, read_statement_bytes(path)) for path in paths]
    try:
        return prepare_statements(files, secret=seed)
    except StatementError as error:
        fail_statement(error)


async def _make(
    client: "NodeClient",
    *,
    seed: bytes,
    prepared: "Prepared",
    enc_key: Any,
    terms: dict[str, Any],
    plan: "Plan",
    lang: str,
) -> tuple["Borrower", "Application"]:
    from node.cli.remote import read_clock_ms
    from node.client.borrower import Borrower, load_models, make_application, open_wallet
    from protocol.crypto import KeySigner

    genesis = plan.genesis
    wallet = await open_wallet(client, genesis, KeySigner(seed), now_ms=read_clock_ms)
    wish = _make_wish(plan, prepared.statement.currency, terms)
    application = make_application(
        wallet,
        prepared,
        wish,
        enc_key=enc_key,
        lenders=plan.readers,
        features_to=plan.apart,
        models=list(load_models(genesis).values()),
        now_ms=read_clock_ms(),
        language=lang,
    )
    return Borrower(client, wallet, now_ms=read_clock_ms), application


def _make_wish(plan: "Plan", currency: str, terms: dict[str, Any]) -> "Wish":
    from node.cli.remote import read_clock_ms
    from node.cli.sign import resolve_account
    from node.client.borrower import Wish
    from protocol.ids import Day
    from protocol.loans.terms import PeriodUnit
    from protocol.money import Amount, Currency
    from protocol.transactions.lending import LoanPurpose
    from protocol.transactions.products import Segment

    return Wish(
        segment=Segment[terms["segment"].upper()],
        currency=Currency(currency),
        amount=Amount(terms["amount_minor"]),
        instalments=terms["periods"],
        period_unit=PeriodUnit[terms["every"][0]],
        period_every=terms["every"][1],
        purpose=LoanPurpose[terms["purpose"].upper()],
        as_of=Day(plan.genesis.calculate_day(read_clock_ms(), 0)),
        product=None if terms["product"] is None else read_id(terms["product"], "a product"),
        special=_read_wish(plan, terms["wish"]),
        collateral=tuple(read_id(one, "an asset") for one in terms["collateral"]),
        guarantors=tuple(resolve_account(plan.genesis, one) for one in terms["guarantors"]),
        automated=not terms["no_automation"],
    )


def _read_wish(plan: "Plan", text: str | None) -> Any:
    """What a special kind of product needs to know, as typed: KIND:VALUE."""
    from node.cli.sign import resolve_account
    from protocol.money import AMOUNT_MAX, Amount
    from protocol.transactions.lending import LeaseWish, Purchase, SalesExpected

    kind, _, value = (text or "").partition(":")
    match kind:
        case "":
            return None
        case "merchant":
            return Purchase(merchant=resolve_account(plan.genesis, value))
        case "asset":
            return LeaseWish(asset=read_id(value, "an asset"))
        case "sales" if value.isascii() and value.isdecimal() and 0 < int(value) <= AMOUNT_MAX:
            return SalesExpected(volume=Amount(int(value)))
    raise click.BadParameter(f"{text!r} is not merchant:ACCOUNT, asset:ID or sales:MINOR.", param_hint="--wish")


def _run(node_url: str, work: Any, lang: str) -> Any:
    """Run a borrower's work; a refusal of the ledger ends the command with its code."""
    from node.cli.hints import HINTS
    from node.cli.remote import run
    from node.client.borrower import BorrowError
    from node.vault.crypto import OpenError

    try:
        return run(node_url, work, language=lang)
    except (BorrowError, OpenError) as error:
        fail(error.code, " ".join(filter(None, (error.sentence, HINTS.get(error.code)))))
