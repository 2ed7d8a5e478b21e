"""`liushui dispute, amend` and the steps of `liushui loan` for one in trouble: impair, default, write off, correct.

What is contested, agreed or given up is signed here; whether the days and amounts allow it, the ledger says.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from node.cli.common import format_money, format_ppm, json_option, node_option, print_json, print_table
from node.cli.desk import Desk, signing, signing_together
from node.cli.typed import AMOUNT, AMOUNT_OR_NOTHING, PPM, day_option, evidence_options, read_evidence, read_id

F = TypeVar("F", bound=Callable[..., Any])

CODES: Final = ("amount", "service", "unauthorised", "data", "hardship", "other")
CLASSES: Final = ("special_mention", "substandard", "doubtful", "loss")
TREATMENTS: Final = ("capitalise", "carry", "waive")


def _tell_loan(one: dict[str, Any]) -> list[tuple[str, object]]:
    """Where the loan stands, beside what is signed about it."""

    def money(name: str) -> str:
        return format_money(one[name], one["exponent"], one["currency"])

    return [
        ("loan's state", one["state"]),
        ("lender", one["lender_name"] or one["lender"]),
        ("borrower", one["borrower"]),
        ("still owed", money("principal_out")),
        ("overdue", f"{money('overdue')}, {one['days_past_due']} days"),
    ]


# ---------------------------------------------------------------------- disputes


@click.group()
def dispute() -> None:
    """Contest an amount of a loan, answer, decide."""


@dispute.command(name="open")
@click.argument("loan_id", metavar="LOAN")
@click.option("--code", type=click.Choice(CODES), required=True, help="What it is about.")
@click.option("--amount-minor", type=AMOUNT, required=True, help="The amount that is contested.")
@evidence_options
@signing
def open_dispute(
    *, desk: Desk, loan_id: str, code: str, amount_minor: int, evidence: Path | None, digest: str | None
) -> None:
    """Contest an amount of LOAN: late charges and default on it wait for the days of the policy.

    Example: liushui dispute open LOAN --code amount --amount-minor 5000 --evidence letter.pdf --key li-na.key
    """
    from protocol.money import Amount
    from protocol.transactions.servicing import DisputeCode, DisputeOpen

    mark = read_evidence(evidence, digest)
    one = desk.read_loan(loan_id)
    payload = DisputeOpen(
        loan=read_id(loan_id, "a loan"), code=DisputeCode[code.upper()], amount=Amount(amount_minor), evidence=mark
    )
    desk.sign("Open a dispute:", payload, currency=one["currency"], beside=_tell_loan(one))


@dispute.command()
@click.argument("dispute_id", metavar="DISPUTE")
@evidence_options
@signing
def answer(*, desk: Desk, dispute_id: str, evidence: Path | None, digest: str | None) -> None:
    """Answer a DISPUTE that the other side opened, once.

    Example: liushui dispute answer DISPUTE --evidence statement.pdf --officer-dir mynet/lender1
    """
    from protocol.transactions.servicing import DisputeAnswer

    payload = DisputeAnswer(dispute=read_id(dispute_id, "a dispute"), evidence=read_evidence(evidence, digest))
    currency, beside = _tell_dispute(desk, payload.dispute.hex())
    desk.sign("Answer a dispute:", payload, currency=currency, beside=beside)


def _tell_dispute(desk: Desk, plain: str) -> tuple[str, list[tuple[str, object]]]:
    """The currency of the loan it is about, and what is contested."""
    told = desk.find("/v1/disputes", plain, "dispute", "List a loan's with liushui dispute list LOAN.")
    loan = desk.read_loan(told["loan"])
    amount = format_money(told["amount"], loan["exponent"], loan["currency"])
    facts: list[tuple[str, object]] = [
        ("about loan", told["loan"]),
        ("opened by", f"the {told['side']}, on {told['opened_on']}, about {told['code']}"),
        ("contested", amount),
        ("holds until", told["hold_until"]),
    ]
    return loan["currency"], [*facts, *_tell_loan(loan)]


@dispute.command()
@click.argument("dispute_id", metavar="DISPUTE")
@click.option("--waive-minor", type=AMOUNT_OR_NOTHING, default=0, show_default=True, help="Unpaid charges given up.")
@click.option("--refund-minor", type=AMOUNT_OR_NOTHING, default=0, show_default=True, help="Paid charges given back.")
@signing
def resolve(*, desk: Desk, dispute_id: str, waive_minor: int, refund_minor: int) -> None:
    """Decide a DISPUTE as an arbiter, or give up one of your own (with no remedy).

    Example: liushui dispute resolve DISPUTE --waive-minor 2000 --officer-dir mynet/arbiter
    """
    from protocol.money import Amount
    from protocol.transactions.servicing import DisputeResolve

    payload = DisputeResolve(
        dispute=read_id(dispute_id, "a dispute"), waive=Amount(waive_minor), refund=Amount(refund_minor)
    )
    currency, beside = _tell_dispute(desk, payload.dispute.hex())
    desk.sign("Decide a dispute:", payload, currency=currency, beside=beside)


@dispute.command(name="list")
@click.argument("loan_id", metavar="LOAN")
@node_option
@json_option
def list_disputes(*, loan_id: str, node_url: str, as_json: bool) -> None:
    """All disputes that were ever opened about LOAN.

    Example: liushui dispute list LOAN
    """
    from node.cli.remote import check_hex, get

    plain = check_hex(loan_id, "a loan")
    found = get(node_url, f"/v1/loans/{plain}/disputes", limit="200")
    if as_json:
        print_json(found)
        return
    one = get(node_url, f"/v1/loans/{plain}")["loan"]
    rows = [
        (
            each["id"],
            each["side"],
            each["code"],
            format_money(each["amount"], one["exponent"], one["currency"]),
            "resolved" if each["resolved"] else "answered" if each["answer"] else "open",
            each["hold_until"],
        )
        for each in found["items"]
    ]
    print_table(("Dispute", "Opened by", "About", "Amount", "State", "Holds until"), rows, right=(3,))


# ---------------------------------------------------------------------- amendments


@click.group()
def amend() -> None:
    """Agree on other terms for what is left of a loan."""


def _treatment(flag: str, what: str) -> Callable[[F], F]:
    return click.option(
        flag, type=click.Choice(TREATMENTS), default="carry", show_default=True, help=f"What becomes of unpaid {what}."
    )


@amend.command()
@click.argument("loan_id", metavar="LOAN")
@click.option("--settle-minor", type=AMOUNT, default=None, help="Settle for this amount; the rest is forgiven.")
@click.option("--instalments", type=click.IntRange(1, 480), default=None, help="New number of instalments.")
@day_option("--first-due", "first_due", "First new due day; by default a period after the answer.", required=False)
@click.option("--rate-ppm", type=PPM, default=None, help="New annual rate; by default the loan's own.")
@click.option("--forgive-minor", type=AMOUNT_OR_NOTHING, default=0, show_default=True, help="Principal given up.")
@_treatment("--interest", "interest")
@_treatment("--fees", "fees")
@_treatment("--penalties", "penalties")
@click.option(
    "--valid-days", type=click.IntRange(1, 30), default=7, show_default=True, help="How long it can be answered."
)
@signing
def propose(
    *,
    desk: Desk,
    loan_id: str,
    settle_minor: int | None,
    instalments: int | None,
    first_due: int | None,
    rate_ppm: int | None,
    forgive_minor: int,
    interest: str,
    fees: str,
    penalties: str,
    valid_days: int,
) -> None:
    """Propose other terms for what is left of LOAN, or settle it for less. The other side answers.

    Example: liushui amend propose LOAN --instalments 18 --interest capitalise --officer-dir mynet/lender1
    """
    from protocol.ids import Day
    from protocol.money import Amount, Ppm
    from protocol.transactions.servicing import AmendPropose, Treatment

    if (settle_minor is None) == (instalments is None):
        raise click.UsageError("Give --instalments N for other terms, or --settle-minor N to settle the loan.")
    one = desk.read_loan(loan_id)
    payload = AmendPropose(
        loan=read_id(loan_id, "a loan"),
        settle=None if settle_minor is None else Amount(settle_minor),
        instalments=instalments or 1,
        first_due=None if first_due is None else Day(first_due),
        rate_ppm=Ppm(one["rate_ppm"] if rate_ppm is None else rate_ppm),
        forgiven=Amount(forgive_minor),
        interest=Treatment[interest.upper()],
        fees=Treatment[fees.upper()],
        penalties=Treatment[penalties.upper()],
        valid_days=valid_days,
    )
    desk.sign("Propose an amendment:", payload, currency=one["currency"], beside=_tell_loan(one))


@amend.command(name="answer")
@click.argument("amendment_id", metavar="AMENDMENT")
@click.argument("choice", type=click.Choice(["accept", "reject"]))
@signing
def answer_amendment(*, desk: Desk, amendment_id: str, choice: str) -> None:
    """Accept or reject an AMENDMENT. Before an acceptance its schedule for today is shown; that is what is signed.

    Example: liushui amend answer AMENDMENT accept --key li-na.key
    """
    from node.cli.quotes import ask_amendment
    from protocol.ids import ZERO_DIGEST
    from protocol.transactions.servicing import AmendAnswer

    plain = read_id(amendment_id, "an amendment")
    told = desk.find("/v1/amendments", plain.hex(), "amendment", "List a loan's with liushui amend list LOAN.")
    loan = desk.read_loan(told["loan"])
    schedule = choice == "accept" and told["settle"] is None
    terms_hash = ask_amendment(desk, plain).terms_hash if schedule else ZERO_DIGEST
    payload = AmendAnswer(amendment=plain, accept=choice == "accept", terms_hash=terms_hash)
    beside = [*_tell_amendment(told, loan), *_tell_loan(loan)]
    desk.sign("Answer an amendment:", payload, currency=loan["currency"], beside=beside)


def _tell_amendment(told: dict[str, Any], loan: dict[str, Any]) -> list[tuple[str, object]]:
    """What is proposed, in words."""

    def money(amount: int) -> str:
        return format_money(amount, loan["exponent"], loan["currency"])

    head: list[tuple[str, object]] = [
        ("loan", told["loan"]),
        ("proposed by", told["proposer_name"] or told["proposer"]),
        ("state", told["state"]),
        ("open until", told["expires_on"]),
    ]
    if told["settle"] is not None:
        return [*head, ("settles the loan for", money(told["settle"]))]
    return [
        *head,
        ("new instalments", told["instalments"]),
        ("first due on", told["first_due"] or "a period after the answer"),
        ("new rate", format_ppm(told["rate_ppm"])),
        ("principal given up", money(told["forgiven"])),
        ("unpaid charges", f"interest: {told['interest']}, fees: {told['fees']}, penalties: {told['penalties']}"),
    ]


@amend.command(name="list")
@click.argument("loan_id", metavar="LOAN")
@node_option
@json_option
def list_amendments(*, loan_id: str, node_url: str, as_json: bool) -> None:
    """All that was ever proposed for LOAN.

    Example: liushui amend list LOAN
    """
    from node.cli.remote import check_hex, get

    found = get(node_url, f"/v1/loans/{check_hex(loan_id, 'a loan')}/amendments", limit="200")
    if as_json:
        print_json(found)
        return
    rows = [
        (one["id"], "borrower" if one["by_borrower"] else "lender", one["state"], one["expires_on"])
        for one in found["items"]
    ]
    print_table(("Amendment", "Proposed by", "State", "Until"), rows)


# ---------------------------------------------------------------------- steps of `liushui loan`


def _distress(
    desk: Desk, loan_id: str, kind: str, *, title: str, asset_class: str | None = None, evidence: Any = None
) -> None:
    from protocol.loans.delinquency import AssetClass
    from protocol.transactions.servicing import DistressKind, LoanDistress

    one = desk.read_loan(loan_id)
    payload = LoanDistress(
        loan=read_id(loan_id, "a loan"),
        kind=DistressKind[kind],
        asset_class=None if asset_class is None else AssetClass[asset_class.upper()],
        evidence=evidence,
    )
    desk.sign(title, payload, currency=one["currency"], beside=_tell_loan(one))


@click.command()
@click.argument("loan_id", metavar="LOAN")
@click.option(
    "--class", "asset_class", type=click.Choice(CLASSES), required=True, help="Worse than the days alone give."
)
@signing
def impair(*, desk: Desk, loan_id: str, asset_class: str) -> None:
    """Worsen the class of LOAN. The lender signs.

    Example: liushui loan impair LOAN --class substandard --officer-dir mynet/lender1
    """
    _distress(desk, loan_id, "IMPAIR", title="Impair a loan:", asset_class=asset_class)


@click.command()
@click.argument("loan_id", metavar="LOAN")
@signing
def unimpair(*, desk: Desk, loan_id: str) -> None:
    """Let the days alone decide the class of LOAN again.

    Example: liushui loan unimpair LOAN --officer-dir mynet/lender1
    """
    _distress(desk, loan_id, "UNIMPAIR", title="Take an impairment back:")


@click.command()
@click.argument("loan_id", metavar="LOAN")
@click.option("--early", is_flag=True, help="Before the days are reached, with an arbiter's co-signature.")
@click.option("--evidence", "path", type=click.Path(dir_okay=False, path_type=Path), default=None, help="Of --early.")
@signing_together
def default(*, desk: Desk, loan_id: str, early: bool, path: Path | None) -> None:
    """Call the default of LOAN. Any organisation may, once the days are reached.

    Example: liushui loan default LOAN --officer-dir mynet/lender1
    """
    if early != (path is not None):
        raise click.UsageError("--early needs --evidence FILE, and an ordinary default needs none.")
    mark = None if path is None else read_evidence(path, None)
    kind = "DEFAULT_EARLY" if early else "DEFAULT"
    _distress(desk, loan_id, kind, title="Call a default:", evidence=mark)


@click.command()
@click.argument("loan_id", metavar="LOAN")
@signing
def writeoff(*, desk: Desk, loan_id: str) -> None:
    """Write a defaulted LOAN off. The claim stays, and so does the borrower's debt.

    Example: liushui loan writeoff LOAN --officer-dir mynet/lender1
    """
    _distress(desk, loan_id, "WRITE_OFF", title="Write a loan off:")


def _adjust(
    desk: Desk, loan_id: str, kind: str, *, title: str, amount_minor: int, reference: Any, payment: int = 0
) -> None:
    from protocol.money import Amount
    from protocol.transactions.servicing import AdjustKind, LoanAdjust

    one = desk.read_loan(loan_id)
    payload = LoanAdjust(
        loan=read_id(loan_id, "a loan"),
        kind=AdjustKind[kind],
        amount=Amount(amount_minor),
        reference=reference,
        payment=payment,
    )
    desk.sign(title, payload, currency=one["currency"], beside=_tell_loan(one))


_amount = click.option("--amount-minor", type=AMOUNT, required=True, help="Amount in minor units.")


@click.command()
@click.argument("loan_id", metavar="LOAN")
@_amount
@evidence_options
@signing
def waive(*, desk: Desk, loan_id: str, amount_minor: int, evidence: Path | None, digest: str | None) -> None:
    """Give up unpaid interest, fees or penalties of LOAN, oldest first. The lender signs.

    Example: liushui loan waive LOAN --amount-minor 2000 --evidence decision.pdf --officer-dir mynet/lender1
    """
    mark = read_evidence(evidence, digest)
    _adjust(desk, loan_id, "WAIVE", title="Waive charges:", amount_minor=amount_minor, reference=mark)


@click.command()
@click.argument("loan_id", metavar="LOAN")
@_amount
@evidence_options
@signing
def refund(*, desk: Desk, loan_id: str, amount_minor: int, evidence: Path | None, digest: str | None) -> None:
    """Give back interest, fees or penalties that were paid on LOAN. The lender signs.

    Example: liushui loan refund LOAN --amount-minor 2000 --evidence decision.pdf --officer-dir mynet/lender1
    """
    mark = read_evidence(evidence, digest)
    _adjust(desk, loan_id, "REFUND", title="Refund charges:", amount_minor=amount_minor, reference=mark)


@click.command()
@click.argument("loan_id", metavar="LOAN")
@_amount
@evidence_options
@signing
def cost(*, desk: Desk, loan_id: str, amount_minor: int, evidence: Path | None, digest: str | None) -> None:
    """State what recovering a defaulted LOAN has cost, within the policy. The lender signs.

    Example: liushui loan cost LOAN --amount-minor 30000 --evidence invoice.pdf --officer-dir mynet/lender1
    """
    mark = read_evidence(evidence, digest)
    _adjust(desk, loan_id, "COST", title="State costs of recovery:", amount_minor=amount_minor, reference=mark)


@click.command()
@click.argument("loan_id", metavar="LOAN")
@_amount
@click.option("--payment", type=click.IntRange(min=0), required=True, help="Which of the loan's payments, from 0.")
@click.option("--ref", required=True, help="The bank's own reference of the reversal; it counts once.")
@signing
def reverse(*, desk: Desk, loan_id: str, amount_minor: int, payment: int, ref: str) -> None:
    """Take back a receipt of fiat that the bank has reversed. The settlement agent signs.

    Example: liushui loan reverse LOAN --amount-minor 90000 --payment 2 --ref BANK-0042
    --officer-dir mynet/authorities/clearing
    """
    from node.cli.money import hash_reference

    mark = hash_reference(ref)
    _adjust(
        desk,
        loan_id,
        "REVERSAL",
        title="Reverse a payment:",
        amount_minor=amount_minor,
        reference=mark,
        payment=payment,
    )


@click.command()
@click.argument("loan_id", metavar="LOAN")
@click.argument("outcome", type=click.Choice(["disbursed", "failed"]))
@click.option("--ref", required=True, help="The bank's own reference of the pay-out; it counts once.")
@signing
def settle(*, desk: Desk, loan_id: str, outcome: str, ref: str) -> None:
    """Say that LOAN was paid out in fiat, or could not be. The agent named in the acceptance signs.

    Example: liushui loan settle LOAN disbursed --ref BANK-0043 --officer-dir mynet/authorities/clearing
    """
    from node.cli.money import hash_reference
    from protocol.transactions.servicing import LoanSettle, SettleOutcome

    one = desk.read_loan(loan_id)
    payload = LoanSettle(
        loan=read_id(loan_id, "a loan"), outcome=SettleOutcome[outcome.upper()], ext_ref=hash_reference(ref)
    )
    desk.sign("Settle a pay-out:", payload, currency=one["currency"], beside=_tell_loan(one))


LOAN_STEPS: Final = (impair, unimpair, default, writeoff, waive, refund, cost, reverse, settle)
"""Commands of the group `liushui loan`."""
