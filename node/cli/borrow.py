"""`liushui apply, offers, accept, repay, data`: a borrower's commands. The statement is read, scored and sealed here.

The key never leaves this process, and nothing is accepted whose whole cost was not shown. Never a formula here.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from node.cli.common import (
    KeyPlace,
    UnverifiedError,
    every_option,
    fail,
    format_money,
    format_ppm,
    json_option,
    key_place_options,
    lang_option,
    node_option,
    print_facts,
    print_json,
    print_table,
)

if TYPE_CHECKING:
    from node.cli.asking import Plan
    from node.client.borrower import Application, Borrower, Prepared
    from node.client.http import NodeClient

SEGMENTS = ("personal", "small_business", "consumer")
PURPOSES = ("other", "living", "education", "medical", "home", "working_capital", "equipment", "purchase")
CLOSED_OFFERS = {"accepted": "offer_taken", "cancelled": "offer_taken", "expired": "offer_expired"}


@click.command()
@click.argument("path", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--amount-minor", type=click.IntRange(1, 2**53 - 1), required=True, help="Loan amount, minor units.")
@click.option("--periods", type=click.IntRange(1, 480), required=True, help="Number of instalments.")
@every_option
@click.option("--segment", type=click.Choice(SEGMENTS), default="personal", show_default=True)
@click.option("--purpose", type=click.Choice(PURPOSES), default="other", show_default=True)
@click.option("--lender", "lenders", multiple=True, help="Let only this lender read; repeat for more. Default: all.")
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
    path: Path,
    lenders: tuple[str, ...],
    genesis_path: Path | None,
    yes: bool,
    key: KeyPlace,
    node_url: str,
    lang: str,
    as_json: bool,
    **terms: Any,
) -> None:
    """Apply for a loan with the bank statement FILE.

    FILE is read and encrypted on this machine. Only the lenders named can open it, each opening is logged, and what
    leaves is ciphertext, commitments and binned features.
    """
    from node.cli import asking, remote
    from node.client.keyfile import derive_enc_key
    from protocol.ids import BoxKey

    seed = remote.open_key(*key)
    prepared = _prepare(path, seed)
    plan = _plan(
        node_url, seed, prepared.statement.currency, terms=terms, lenders=lenders, genesis_path=genesis_path, lang=lang
    )
    asking.show_consent(plan, lang)
    if not yes:
        click.confirm("同意？" if lang == "zh" else "Do you agree?", abort=True, err=True)
    enc_key = BoxKey(bytes(derive_enc_key(seed).public_key))

    async def work(client: "NodeClient") -> tuple["Application", Any]:
        device, application = await _make(
            client,
            seed=seed,
            prepared=prepared,
            enc_key=enc_key,
            terms=terms,
            plan=plan,
            lang=lang,
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
    lenders: tuple[str, ...],
    genesis_path: Path | None,
    lang: str,
) -> "Plan":
    from node.cli.asking import make_plan
    from protocol.crypto import KeySigner

    key = KeySigner(seed).public_key

    async def ask(client: "NodeClient") -> "Plan":
        return await make_plan(client, key, currency=currency, terms=terms, lenders=lenders, genesis_path=genesis_path)

    plan: Plan = _run(node_url, ask, lang)
    return plan


def _tell_applied(application: "Application", found: Any, *, as_json: bool) -> None:
    ids = {"application": application.application.hex(), "data": application.data.hex()}
    if as_json:
        print_json({**ids, "transaction": application.id.hex(), "result": found})
        return
    print_facts(ids.items())
    _print_application(found)


def _prepare(path: Path, seed: bytes) -> "Prepared":
    from node.client.borrower import prepare_statement
    from protocol.limits import STATEMENT_BYTES_MAX
    from scoring.ingest.statement import StatementError

    try:
        with path.open("rb") as file:
            data = file.read(STATEMENT_BYTES_MAX + 1)
        return prepare_statement(data, name=path.name, secret=seed)
    except OSError as error:
        fail("file_unreadable", f"{path} cannot be read: {error.strerror}.")
    except StatementError as error:
        fail(str(error.code), f"{error.file}{'' if error.line is None else f', line {error.line}'}: {error.reason}")


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
    from node.client.borrower import Borrower, Wish, load_models, make_application, open_wallet
    from protocol.crypto import KeySigner
    from protocol.ids import Day
    from protocol.loans.terms import PeriodUnit
    from protocol.money import Amount, Currency
    from protocol.transactions.lending import LoanPurpose
    from protocol.transactions.products import Segment

    genesis = plan.genesis
    wallet = await open_wallet(client, genesis, KeySigner(seed), now_ms=read_clock_ms)
    wish = Wish(
        segment=Segment[terms["segment"].upper()],
        currency=Currency(prepared.statement.currency),
        amount=Amount(terms["amount_minor"]),
        instalments=terms["periods"],
        period_unit=PeriodUnit[terms["every"][0]],
        period_every=terms["every"][1],
        purpose=LoanPurpose[terms["purpose"].upper()],
        as_of=Day(genesis.calculate_day(read_clock_ms(), 0)),
    )
    application = make_application(
        wallet,
        prepared,
        wish,
        enc_key=enc_key,
        lenders=plan.lenders,
        models=list(load_models(genesis).values()),
        now_ms=read_clock_ms(),
        language=lang,
    )
    return Borrower(client, wallet, now_ms=read_clock_ms), application


def _run(node_url: str, work: Any, lang: str) -> Any:
    """Run a borrower's work; a refusal of the ledger ends the command with its code."""
    from node.cli.remote import run
    from node.cli.sign import HINTS
    from node.client.borrower import BorrowError
    from node.vault.crypto import OpenError

    try:
        return run(node_url, work, language=lang)
    except (BorrowError, OpenError) as error:
        fail(error.code, " ".join(filter(None, (error.sentence, HINTS.get(error.code)))))


def _refuse(code: str) -> NoReturn:
    """End the command with a refusal that the ledger would give, in the ledger's words."""
    from node.cli.sign import HINTS
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
        _print_application(found)


def _print_application(found: dict[str, Any]) -> None:
    for one in found["decisions"]:
        who = one["lender_name"] or one["lender"][:16]
        if one["outcome"] == "offer":
            continue
        why = "; ".join(each["text"] for each in one["reasons"]) or (one["rule"] or {}).get("sentence", "")
        click.echo(f"declined by {who}: {why}")
    if not found["decisions"]:
        click.echo("No lender has decided yet: ask again with liushui offers APPLICATION.")
    for one in found["offers"]:
        click.echo("")
        _print_offer(one)


def _print_offer(one: dict[str, Any]) -> None:
    def money(name: str) -> str:
        return format_money(one[name], one["exponent"], one["currency"])

    print_facts(
        [
            ("offer", one["id"]),
            ("state", one["state"]),
            ("lender", f"{one['lender_name'] or one['lender'][:16]}, {one['product_name']}"),
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
@click.option("--yes", is_flag=True, help="Accept what is shown without being asked.")
@key_place_options
@node_option
@lang_option
@json_option
def accept(
    *,
    offer_id: str,
    yes: bool,
    key: KeyPlace,
    node_url: str,
    lang: str,
    as_json: bool,
) -> None:
    """Accept OFFER after seeing its whole cost and every instalment; the money arrives in the same block."""
    from node.cli import remote
    from node.client.offers import check_offer
    from protocol.ids import ObjectId

    plain_id = remote.check_hex(offer_id, "an offer")
    told: dict[str, Any] = remote.get(node_url, f"/v1/offers/{plain_id}", language=lang)
    if told["state"] in CLOSED_OFFERS:
        _refuse(CLOSED_OFFERS[told["state"]])
    terms_hash = check_offer(told)
    if isinstance(terms_hash, str):
        raise UnverifiedError(
            "offer_altered", f"What the node shows as {terms_hash} is not what would be signed: do not trust this node."
        )
    if not as_json:
        _print_offer(told)
        titles = ("No", "Due on", "Due", "Principal", "Interest")
        names = ("total_due", "principal_due", "interest_due")
        exponent = told["exponent"]
        rows = [
            (row["number"], row["due_on"], *(format_money(row[name], exponent) for name in names))
            for row in told["schedule"]
        ]
        print_table(titles, rows, right=(0, 2, 3, 4))
    if not yes:
        click.confirm("接受此贷款？" if lang == "zh" else "Take this loan?", abort=True, err=True)
    seed = remote.open_key(*key)

    async def work(client: "NodeClient") -> Any:
        device = await _open_device(client, seed)
        return await device.accept(ObjectId(bytes.fromhex(plain_id)), terms_hash)

    loan = _run(node_url, work, lang)
    if as_json:
        print_json({"loan": loan.hex(), "offer": plain_id, "net_proceeds": told["net_proceeds"]})
    else:
        click.echo(f"loan  {loan.hex()}")


@click.command()
@click.argument("loan_id", metavar="LOAN")
@click.option("--amount-minor", type=click.IntRange(1, 2**53 - 1), default=None, help="Amount, minor units.")
@click.option("--payoff", is_flag=True, help="Pay what closes the loan today.")
@key_place_options
@node_option
@lang_option
@json_option
def repay(
    *,
    loan_id: str,
    amount_minor: int | None,
    payoff: bool,
    key: KeyPlace,
    node_url: str,
    lang: str,
    as_json: bool,
) -> None:
    """Pay on LOAN: --amount-minor N, or --payoff. Never more than the payoff is taken."""
    from node.cli import remote
    from protocol.ids import ObjectId
    from protocol.money import Amount

    if (amount_minor is None) == (not payoff):
        raise click.UsageError("Give --amount-minor N or --payoff.")
    plain_id = remote.check_hex(loan_id, "a loan")
    if amount_minor is None:
        amount_minor = int(remote.get(node_url, f"/v1/loans/{plain_id}", language=lang)["loan"]["payoff"])
        if amount_minor == 0:
            fail("loan_closed", "The loan is closed: nothing is owed.")
    amount = Amount(amount_minor)
    seed = remote.open_key(*key)

    async def work(client: "NodeClient") -> Any:
        device = await _open_device(client, seed)
        paid = await device.pay(ObjectId(bytes.fromhex(plain_id)), amount)
        return paid, await client.get(f"/v1/loans/{plain_id}")

    transaction, after = _run(node_url, work, lang)
    if as_json:
        print_json({"transaction": transaction.hex(), "loan": after["loan"]})
        return
    one = after["loan"]
    owed = format_money(one["principal_out"], one["exponent"], one["currency"])
    print_facts([("transaction", transaction.hex()), ("state", one["state"]), ("still owed", owed)])


async def _open_device(client: "NodeClient", seed: bytes) -> "Borrower":
    from node.cli.remote import read_clock_ms
    from node.client.borrower import Borrower, open_wallet
    from protocol.crypto import KeySigner

    genesis = await client.get_genesis()
    wallet = await open_wallet(client, genesis, KeySigner(seed), now_ms=read_clock_ms)
    return Borrower(client, wallet, now_ms=read_clock_ms)


@click.group()
def data() -> None:
    """See who read your statement."""


@data.command(name="access-log")
@click.argument("data_id", metavar="DATA")
@key_place_options
@node_option
@json_option
def access_log(
    *,
    data_id: str,
    key: KeyPlace,
    node_url: str,
    as_json: bool,
) -> None:
    """Every opening of DATA by the node asked, chained and signed by it. Ask each lender's node."""
    from datetime import UTC, datetime

    from node.cli import remote
    from node.client.access import check_access_view
    from protocol.ids import ObjectId

    plain_id = ObjectId(bytes.fromhex(remote.check_hex(data_id, "data")))
    seed = remote.open_key(*key)

    async def work(client: "NodeClient") -> Any:
        view = await (await _open_device(client, seed)).read_access_log(plain_id)
        return view, check_access_view(view, await client.get_genesis(), plain_id)

    found, fault = _run(node_url, work, "en")
    if fault is not None:
        raise UnverifiedError(fault, "The node's access log does not hold: records are missing, edited or not its own.")
    if as_json:
        print_json(found)
        return
    rows = [
        (
            one["serial"],
            datetime.fromtimestamp(one["time_ms"] // 1000, tz=UTC).isoformat(),
            one["reader_name"] or one["reader"][:16],
            one["purpose"],
        )
        for one in found["entries"]
    ]
    print_table(("No", "When", "Who", "For"), rows, right=(0,))


def _describe_prepayment(fee_ppm: int) -> str:
    """What paying early costs, in words."""
    return "free" if fee_ppm == 0 else f"{format_ppm(fee_ppm)} of the part paid early, at most the interest saved"
