"""Putting scoring models before the validators: `liushui model register|retire` and `liushui gov propose model`.

The two names are one command each, so that there is one way to a vote. Never a vote here, nor what a model must hold.
"""

from pathlib import Path
from typing import Any

import click

from node.cli.common import fail
from node.cli.desk import Desk
from node.cli.proposing import effective, propose_action
from node.cli.typed import FILE, read_evidence, read_id


@click.command()
@click.argument("path", metavar="FILE", type=FILE)
@click.option("--card", "card", type=FILE, default=None, help="Its card; by default FILE's .card.md beside it.")
@click.option("--report", "report", type=FILE, default=None, help="Its report; by default FILE's .report.json.")
@effective
def register(*, desk: Desk, path: Path, card: Path | None, report: Path | None, effective_on: int | None) -> None:
    """Propose the scoring model of FILE (JSON) for new products and applications, with card and validation report.

    The ledger keeps the SHA-256 of both, so that everyone can tell on which evidence it was voted. The files that
    liushui model train wrote are found beside FILE; a model that names neither says so. The report must be of this
    very model.

    Example: liushui model register out/cashflow-v1.json --officer-dir mynet/lender1

    Example: liushui gov propose model out/cashflow-v1.json --officer-dir mynet/lender1
    """
    from protocol.limits import MODEL_BYTES_MAX
    from protocol.transactions.governance import ModelSet

    text, found = _read_model(path)
    if len(text) > MODEL_BYTES_MAX:
        fail("model_invalid", f"{path} is larger than a transaction can carry ({MODEL_BYTES_MAX} bytes).")
    card, report = (_find_beside(path, told, end) for told, end in ((card, ".card.md"), (report, ".report.json")))
    if report is not None:
        _check_report(report, found.id.hex())
    action = ModelSet(
        text=text,
        card=None if card is None else read_evidence(card, None, flag="--card"),
        report=None if report is None else read_evidence(report, None, flag="--report"),
    )
    beside: list[tuple[str, object]] = [
        ("model", f"{found.name} for {found.currency}"),
        ("model id", found.id.hex()),
        ("card file", "none: voters have nothing to read" if card is None else card),
        ("report file", "none: voters have nothing to check" if report is None else report),
    ]
    propose_action(desk, action, effective_on, beside)


def _read_model(path: Path) -> tuple[str, Any]:
    """(canonical text, model) of a file that may have been laid out for people, or the end of the command."""
    import json

    from scoring.points import decode_model

    try:
        value = json.loads(path.read_bytes())
        text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
        return text, decode_model(text.encode("ascii"))
    except OSError as error:
        fail("file_unreadable", f"{path} cannot be read: {error.strerror}.")
    except ValueError as error:
        fail("model_invalid", f"{path} is no scoring model: {error}.")


def _find_beside(path: Path, told: Path | None, ending: str) -> Path | None:
    beside = path.with_name(path.name.removesuffix(".json") + ending)
    return told if told is not None else beside if beside.is_file() else None


def _check_report(path: Path, model_id: str) -> None:
    """End the command when a validation report is of another model."""
    import json

    try:
        told = json.loads(path.read_bytes())
    except OSError as error:
        fail("file_unreadable", f"{path} cannot be read: {error.strerror}.")
    except ValueError as error:
        fail("report_invalid", f"{path} is no validation report: {error}.")
    named = told.get("model_id") if isinstance(told, dict) else None
    if named != model_id:
        fail("report_mismatch", f"{path} is the report of the model {named}, not of {model_id}.")


@click.command()
@click.argument("model_id", metavar="MODEL")
@effective
def retire(*, desk: Desk, model_id: str, effective_on: int | None) -> None:
    """Propose that no new application be scored by MODEL (its id); what was scored stays.

    Example: liushui model retire MODEL --officer-dir mynet/lender1

    Example: liushui gov propose retire-model MODEL --officer-dir mynet/lender1
    """
    from protocol.transactions.governance import ModelRetire

    propose_action(desk, ModelRetire(model=read_id(model_id, "a model")), effective_on, [])
