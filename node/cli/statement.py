"""`liushui statement` and `liushui score`: read a statement and score it on this machine, without any node.

The file's content never leaves the process. Never a parser or a feature here: `scoring` does both.
"""

import os
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from node.cli.common import (
    every_option,
    fail,
    format_money,
    json_option,
    lang_option,
    print_facts,
    print_json,
    print_table,
)
from node.cli.sign import officer_option

if TYPE_CHECKING:
    from scoring.ingest.statement import Statement, StatementError
    from scoring.points import PointsModel

PROFILES = ("salaried_steady", "shopkeeper", "small_firm", "overstretched", "gig_worker")
FORMATS = ("ofx", "mt940", "alipay", "wechat", "csv")


@click.group()
def statement() -> None:
    """Check a bank statement file, sign one as a bank, or make a sample; needs no node."""


@statement.command()
@click.argument("paths", metavar="FILE...", nargs=-1, required=True, type=click.Path(dir_okay=False, path_type=Path))
@json_option
def check(*, paths: tuple[Path, ...], as_json: bool) -> None:
    """Read FILE and say what it holds, or exactly why it is refused (file, line, reason).

    Several files of one account are joined: where they overlap they must agree, and nothing may be missing in between.
    """
    from scoring.ingest.statement import view

    facts = view(read_files(paths, as_json=as_json))
    facts["provider_key"] = _find_provider(paths)
    if as_json:
        print_json(facts)
        return
    exponent, currency = int(str(facts["exponent"])), str(facts["currency"])
    money = ("opening_balance", "closing_balance", "total_in", "total_out")
    print_facts(
        (name, format_money(value, exponent, currency) if name in money else value)  # type: ignore[arg-type]
        for name, value in facts.items()
        if name not in ("warnings", "exponent")
    )
    warnings: Any = facts["warnings"]
    for warning in warnings:
        click.echo(f"note: {warning['sentence']} [{warning['code']}]")


@statement.command()
@click.option("--profile", type=click.Choice(PROFILES), default=PROFILES[0], show_default=True, help="Whose account.")
@click.option("--format", "format_", type=click.Choice(FORMATS), default=FORMATS[0], show_default=True)
@click.option("--out", "path", type=click.Path(dir_okay=False, path_type=Path), required=True, help="File to create.")
@click.option("--months", type=click.IntRange(1, 60), default=12, show_default=True, help="How far it reaches back.")
@click.option("--seed", type=int, default=1, show_default=True, help="Another seed is another person.")
@click.option("--holder", default="Li Na", show_default=True, help="Name of the account's holder.")
@click.option("--currency", type=click.Choice(["CNY", "CZK"]), default="CNY", show_default=True)
def sample(*, profile: str, format_: str, path: Path, months: int, seed: int, holder: str, currency: str) -> None:
    """Make the statement of an invented person, up to yesterday, to try the other commands with."""
    from datetime import UTC, datetime, timedelta

    from node.demo.statements import Format, Profile, make_statement

    end = (datetime.now(tz=UTC) - timedelta(days=1)).date()
    try:
        data = make_statement(
            Profile(profile),
            format=Format(format_),
            end=end,
            months=months,
            seed=seed,
            currency=currency,
            holder=holder,
        )
    except ValueError as error:
        raise click.UsageError(f"{error}.") from error
    write_new(path, data)
    click.echo(f"file  {path}")


def write_new(path: Path, data: bytes) -> None:
    """A new file, or the end of the command."""
    try:
        with path.open("xb") as file:
            file.write(data)
    except FileExistsError:
        fail("file_exists", f"{path} exists: choose another name.")
    except OSError as error:
        fail("file_unwritable", f"{path} cannot be written: {error.strerror}.")


def read_statement_bytes(path: Path) -> bytes:
    """The bytes of a statement file, or the end of the command for one that is too large or unreadable."""
    from protocol.limits import STATEMENT_BYTES_MAX

    try:
        with path.open("rb") as file:
            data = file.read(STATEMENT_BYTES_MAX + 1)
    except OSError as error:
        fail("file_unreadable", f"{path} cannot be read: {error.strerror}.")
    if len(data) > STATEMENT_BYTES_MAX:
        fail("too_large", f"{path.name} is larger than {STATEMENT_BYTES_MAX // 2**20} MiB: export a shorter period.")
    return data


@statement.command()
@click.argument("path", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path))
@officer_option("--officer-dir", "Directory with the officer key of the bank or aggregator.")
@click.option("--account", default=None, metavar="NUMBER", help="The account's number, by default as FILE names it.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), required=True, help="File to create.")
@json_option
def sign(*, path: Path, directory: Path, account: str | None, out: Path, as_json: bool) -> None:
    """As a bank or aggregator, sign the statement FILE that you made for your customer.

    The customer applies with the signed file. It has the best grade where the validators have admitted you as a
    provider. The account and its counterparties are named in it by keyed hashes alone, which stay the same from month
    to month while the officer key does.

    Example: liushui statement sign li-na.ofx --officer-dir bank --out li-na.signed
    """
    from node.cli import remote
    from node.cli.sign import read_officer_seed
    from node.client.signed import make_signed_file
    from protocol.crypto import KeySigner, calculate_hash
    from scoring.ingest.statement import StatementError, view

    seed = read_officer_seed(directory)
    signer = KeySigner(seed)
    try:
        signed = make_signed_file(
            read_statement_bytes(path),
            name=path.name,
            provider=signer,
            secret=calculate_hash("provider-secret", seed),
            account=account,
            time_ms=remote.read_clock_ms(),
        )
    except StatementError as error:
        fail_statement(error, as_json=as_json)
    write_new(out, signed)
    facts = {"file": str(out), "provider_key": signer.public_key.hex(), **view(read_files((out,), as_json=as_json))}
    if as_json:
        print_json(facts)
        return
    print_facts((name, facts[name]) for name in ("file", "provider_key", "rows", "first_date", "last_date"))


def fail_statement(error: "StatementError", *, as_json: bool = False) -> NoReturn:
    """The end of the command with a refusal: file, line and reason."""
    from scoring.ingest.statement import view_error

    if as_json:
        print_json({"error": view_error(error)})
        raise click.exceptions.Exit(1) from error
    fail(str(error.code), f"{error.file}{'' if error.line is None else f', line {error.line}'}: {error.reason}")


def read_files(paths: tuple[Path, ...], *, as_json: bool) -> "Statement":
    """The statement that files of one account make together, or the end of the command with the refusal."""
    from node.client.signed import is_signed_file
    from scoring.ingest.merge import merge
    from scoring.ingest.read import read_statement
    from scoring.ingest.statement import StatementError

    key = os.urandom(32)
    files = [(path.name, read_statement_bytes(path)) for path in paths]
    if any(is_signed_file(data) for _, data in files):
        return _read_signed(files, as_json=as_json)
    try:
        return merge([(name, read_statement(data, name=name, counterparty_key=key)) for name, data in files])
    except StatementError as error:
        fail_statement(error, as_json=as_json)


def _find_provider(paths: tuple[Path, ...]) -> str | None:
    """Whose signature stands under a signed statement; it was checked when the file was read."""
    from node.client.signed import is_signed_file, read_signed_file

    data = read_statement_bytes(paths[0])
    mark = read_signed_file(data, name=paths[0].name).provider if is_signed_file(data) else None
    return None if mark is None else mark.key.hex()


def _read_signed(files: list[tuple[str, bytes]], *, as_json: bool) -> "Statement":
    from node.client.borrower import prepare_statements
    from scoring.ingest.statement import StatementError

    try:
        return prepare_statements(files, secret=b"").statement
    except StatementError as error:
        fail_statement(error, as_json=as_json)


@click.command()
@click.argument("paths", metavar="FILE...", nargs=-1, required=True, type=click.Path(dir_okay=False, path_type=Path))
@click.option("--principal-minor", type=click.IntRange(1, 2**53 - 1), required=True, help="Loan amount, minor units.")
@click.option("--periods", type=click.IntRange(1, 480), required=True, help="Number of instalments.")
@every_option
@click.option(
    "--as-of",
    type=click.DateTime(["%Y-%m-%d"]),
    default=None,
    help="Day of the decision; by default the day after the statement ends.",
)
@click.option(
    "--invoices",
    "invoice_path",
    type=click.Path(dir_okay=False, path_type=Path),
    default=None,
    help="A firm's invoice list (CSV): its features are told beside the score, and count for nothing in it.",
)
@lang_option
@json_option
def score(
    *,
    paths: tuple[Path, ...],
    principal_minor: int,
    periods: int,
    every: tuple[str, int],
    as_of: Any,
    invoice_path: Path | None,
    lang: str,
    as_json: bool,
) -> None:
    """Score FILE, or several of one account, with the shipped model of its currency, and give the reasons."""
    from protocol.loans.calendar import Period, calculate_monthly_instalment
    from protocol.loans.terms import PeriodUnit
    from scoring.features import calculate_features, calculate_net_cashflow30
    from scoring.models import load_default
    from scoring.reasons import REASONS

    found = read_files(paths, as_json=as_json)
    try:
        model = load_default(found.currency)
    except KeyError:
        fail("model_missing", f"No model is shipped for {found.currency}: score a statement in CZK or CNY.")
    day = _choose_day(found, as_of)
    period = Period(unit=PeriodUnit[every[0]], every=every[1])
    instalment = calculate_monthly_instalment(principal_minor, periods, period)
    features = calculate_features(
        found.rows, as_of=day, last_day=found.last_day, instalment=instalment, principal=principal_minor
    )
    bins = model.calculate_bins(features)
    result = model.assess(bins)
    reasons = [REASONS[code] for code in result.reasons]
    report: dict[str, Any] = {
        "model": {"id": model.id.hex(), "name": model.name, "currency": model.currency},
        "as_of": date.fromordinal(day).isoformat(),
        "monthly_instalment": instalment,
        "points": result.points,
        "pd_ppm": result.pd_ppm,
        "band": result.band,
        "bands": len(model.bands) + 1,
        "capacity30": calculate_net_cashflow30(found.rows, as_of=day),
        "reasons": [{"code": one.code, "key": one.key, "text": getattr(one, f"text_{lang}")} for one in reasons],
        "features": _view_features(model, features, bins),
    }
    if invoice_path is not None:
        report["invoices"] = _view_invoices(invoice_path, found, day, as_json=as_json)
    if as_json:
        print_json(report)
    else:
        _print_score(report, found.exponent)


def _choose_day(found: "Statement", as_of: Any) -> int:
    """The day to score for: the one asked for, when anything was known then; else the day after the statement."""
    day: int = found.last_day + 1 if as_of is None else as_of.date().toordinal()
    if day <= found.first_day:
        begin = date.fromordinal(found.first_day).isoformat()
        fail("as_of_too_early", f"The statement begins on {begin}: name a later day with --as-of.")
    return day


def _view_invoices(path: Path, found: "Statement", day: int, *, as_json: bool) -> dict[str, Any]:
    """What a firm's invoices say beside its statement, or the end of the command."""
    from node.cli.invoices import read_invoice_list
    from scoring.invoice_table import INVOICE_SPEC
    from scoring.invoices import calculate_invoice_features

    invoices = read_invoice_list(path, as_json=as_json)
    if invoices.currency != found.currency:
        why = f"The invoices are in {invoices.currency}, the statement in {found.currency}: use those of one currency."
        fail("currency_differs", why)
    features = calculate_invoice_features(invoices.invoices, as_of=day)
    return {"invoice_spec": INVOICE_SPEC, "scored": False, "features": features}


def _print_score(report: dict[str, Any], exponent: int) -> None:
    currency, ppm = report["model"]["currency"], report["pd_ppm"]
    print_facts(
        [
            ("model", report["model"]["name"]),
            ("as of", report["as_of"]),
            ("points", report["points"]),
            ("band", f"{report['band']} of 0 (best) to {report['bands'] - 1}"),
            ("default risk", f"{ppm // 10_000}.{ppm % 10_000 // 100:02d} %"),
            ("asked for per month", format_money(report["monthly_instalment"], exponent, currency)),
            ("left in a month", format_money(report["capacity30"], exponent, currency)),
        ]
    )
    if report["reasons"]:
        click.echo("")
        print_table(("Reason", ""), [(one["key"], one["text"]) for one in report["reasons"]])
    if "invoices" in report:
        from node.cli.invoices import print_invoice_features

        click.echo("\nInvoices, which this model does not know and does not count:")
        print_invoice_features(report["invoices"]["features"])


def _view_features(model: "PointsModel", features: dict[str, int | None], bins: tuple[int, ...]) -> dict[str, Any]:
    return {
        item.name: {"value": features[item.name], "bin": index, "points": item.table[index]}
        for item, index in zip(model.table, bins, strict=True)
    }
