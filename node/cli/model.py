"""`liushui model`: the shipped scoring models: list them, read their cards, measure them on labelled loans, fit anew,
and put what was fitted before the validators.

Never a formula here: `scoring` measures and fits; the fit needs the training extra.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from node.cli.common import fail, json_option, print_facts, print_json, print_table
from node.cli.modelvotes import register, retire

if TYPE_CHECKING:
    from scoring.points import PointsModel

FILES = ("transactions.csv.gz", "loans.csv")
MAKERS = ("scorecard", "ebm")


def data_option(function: Any) -> Any:
    """`--data DIR` with labelled loans."""
    return click.option(
        "--data",
        "data_dir",
        type=click.Path(file_okay=False, path_type=Path),
        required=True,
        help="Directory with transactions.csv.gz and loans.csv.",
    )(function)


@click.group()
def model() -> None:
    """List, read, measure and fit scoring models, which needs no node; put them before the validators, which does."""


model.add_command(register)
model.add_command(retire)


@model.command("list")
@json_option
def list_models(*, as_json: bool) -> None:
    """List the shipped models, the id by which decisions name each, and the currency each is for."""
    from scoring.models import DEFAULTS, load_model

    found = [load_model(name) for name in DEFAULTS.values()]
    if as_json:
        rows = [
            {
                "name": one.name,
                "id": one.id.hex(),
                "currency": one.currency,
                "feature_spec": one.feature_spec,
                "features": len(one.table),
                "bands": len(one.bands) + 1,
            }
            for one in found
        ]
        print_json({"models": rows})
        return
    print_table(
        ("Model", "Currency", "Features", "Bands", "Id"),
        [(one.name, one.currency, len(one.table), len(one.bands) + 1, one.id.hex()) for one in found],
    )


@model.command()
@click.argument("name", default="cashflow-v1")
@click.option(
    "--html", "page", type=click.Path(dir_okay=False, path_type=Path), help="Write the page with its plots there."
)
def card(*, name: str, page: Path | None) -> None:
    """Print the card of a shipped model: population, evidence, calibration, limits, expiry."""
    from importlib import resources

    path = resources.files("scoring").joinpath("models", f"{name}.card.{'md' if page is None else 'html'}")
    if "/" in name or not path.is_file():
        fail("model_unknown", f"No card of a model {name!r} is shipped: see liushui model list.")
    text = path.read_text(encoding="utf-8")
    if page is None:
        click.echo(text, nl=False)
        return
    try:
        with page.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        fail("file_exists", f"{page} exists: choose another name.")
    except OSError as error:
        fail("file_unwritable", f"{page} cannot be written: {error.strerror}.")
    click.echo(f"file  {page}")


@model.command()
@data_option
@click.option("--model", "name", default="cashflow-v1", show_default=True, help="A shipped model's name, or a file.")
@json_option
def evaluate(*, data_dir: Path, name: str, as_json: bool) -> None:
    """Measure a model on the labelled loans of a directory: AUC with its interval, KS, PSI, calibration by band.

    loans.csv: loan_id, date, amount_minor, duration (instalments), bad (1 = bad). transactions.csv.gz: loan_id, date,
    seq, amount_minor (signed), balance_minor, operation, k_symbol, bank, account. Only movements before a loan's day
    count. The digest covers every feature, bin, score and reason: it is the same on every machine. PSI compares with
    the loans the model was fitted on, half-year by half-year too; group_NAME columns make tables of how groups fare.
    """
    from scoring.train.evaluate import evaluate as measure

    chosen = read_model(name)
    require_files(data_dir)
    try:
        report = measure(chosen, data_dir)
    except KeyError as error:
        fail(
            "data_invalid", f"{data_dir}: a file lacks the column {error.args[0]!r}: see liushui model evaluate --help."
        )
    except (ValueError, OSError, EOFError, OverflowError) as error:
        fail("data_invalid", f"{data_dir} cannot be measured: {error}.")
    if as_json:
        print_json(report)
        return
    low, high = report["auc_ci95"]
    print_facts(
        [
            ("model", report["model"]),
            ("loans", f"{report['loans']}, {report['bad']} of them bad"),
            ("AUC", f"{report['auc']:.4f}, 95 % interval {low:.4f} to {high:.4f} (DeLong)"),
            ("KS", f"{report['ks']:.4f}"),
            ("PSI", f"score {report['psi']['score']:.4f}, worst feature {report['psi']['feature_max']:.4f}"),
            ("digest", report["digest"]),
        ]
    )
    click.echo("")
    print_table(
        ("Band", "Loans", "Bad", "Mean PD", "Bad rate"),
        [
            (one["band"], one["loans"], one["bad"], _percent(one["pd_mean"]), _percent(one["bad_rate"]))
            for one in report["bands"]
        ],
    )
    _print_drift(report["periods"])
    _print_fairness(report["fairness"])


def _print_drift(periods: list[dict[str, Any]]) -> None:
    click.echo("")
    print_table(
        ("Granted", "Loans", "Bad", "PSI", "PSI by chance"),
        [
            (one["period"], one["loans"], one["bad"], _figure(one["psi"]), _figure(one["psi_by_chance"]))
            for one in periods
        ],
    )


def _print_fairness(attributes: list[dict[str, Any]]) -> None:
    """A table for each group column; without one, that nothing is known."""
    click.echo("")
    if not attributes:
        click.echo("Groups: no attribute given (a column group_NAME of loans.csv is measured here, and nowhere else).")
    for attribute in attributes:
        print_table(
            (attribute["attribute"].capitalize(), "Loans", "Bad", "Bad rate", "AUC", "Approved", "Ratio to highest"),
            [
                (
                    one["group"],
                    one["loans"],
                    one["bad"],
                    _percent(one["bad_rate"]),
                    _figure(one["auc"]),
                    _percent(one["approval_rate"]),
                    _figure(one["approval_ratio"]),
                )
                for one in attribute["groups"]
            ],
        )


@model.command()
@data_option
@click.option(
    "--out", "out", type=click.Path(file_okay=False, path_type=Path), required=True, help="Directory to fill."
)
@click.option("--maker", type=click.Choice(MAKERS), default=MAKERS[0], show_default=True, help="How it is fitted.")
@click.option("--repeats", type=click.IntRange(1, 100), default=20, show_default=True, help="Of the cross-validation.")
@json_option
def train(*, data_dir: Path, out: Path, maker: str, repeats: int, as_json: bool) -> None:
    """Fit the models anew and write them with report, card (Markdown, HTML) and plots; takes minutes.

    Needs the training extra. A column group_NAME of loans.csv is measured in the fairness table and never fitted on.
    """
    require_files(data_dir)
    try:
        from scoring.train.run import write_models
    except ModuleNotFoundError as error:
        fail("extra_missing", f"Fitting needs {error.name}: install liushui with the extra 'train'.")
    try:
        report = write_models(data_dir, out, repeats=repeats, maker=maker)
    except (KeyError, ValueError, OSError, EOFError) as error:
        fail("data_invalid", f"{data_dir} cannot be fitted on, or {out} not written: {error}.")
    if as_json:
        print_json(report)
        return
    found = report["cross_validation"]
    click.echo(f"AUC {found['auc']:.4f} cross-validated; models and card in {out}")


def require_files(data_dir: Path) -> None:
    """End the command when the directory of labelled loans lacks a file."""
    for file in FILES:
        if not (data_dir / file).is_file():
            fail("data_missing", f"{data_dir / file} is missing: --data names a directory with {' and '.join(FILES)}.")


def read_model(name: str) -> "PointsModel":
    """A shipped model by name, or that of a file; else the end of the command."""
    from scoring.models import load_model
    from scoring.points import decode_model

    path = Path(name)
    try:
        return decode_model(path.read_bytes()) if path.is_file() else load_model(name)
    except FileNotFoundError:
        fail("model_unknown", f"{name!r} is neither a shipped model (liushui model list) nor a file.")
    except ValueError as error:
        fail("model_invalid", f"{name}: {error}.")


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"
