"""`liushui model`: shipped models, their cards, and measuring them on labelled loans in files."""

import hashlib
import json
from importlib import resources
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from node.cli.common import EXIT_OK, EXIT_REFUSED
from node.cli.main import main
from scoring.models import load_default
from scoring.warning_table import WARNINGS
from tests.scoring.labelled import LOANS, write_loans


def run(*args: str) -> Result:
    return CliRunner().invoke(main, ["model", *args], env={"LANG": "C"})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Eight invented borrowers, thrifty ones first; the four that spend everything are the bad ones."""
    return write_loans(tmp_path, [50] * 4 + [125] * 4, [False] * 4 + [True] * 4)


def test_the_list_names_every_shipped_model_by_the_id_that_decisions_pin() -> None:
    """Name, currency and id stand in the table and in JSON."""
    found = json.loads(run("list", "--json").stdout)["models"]
    assert {"name": "cashflow-v1", "id": load_default("CZK").id.hex(), "currency": "CZK"}.items() <= found[0].items()
    assert found[0]["id"] in run("list").stdout


def test_a_model_is_measured_on_loans_in_files(folder: Path) -> None:
    """Thrifty borrowers score better than spenders, the figures stand in JSON, and the digest repeats."""
    done = run("evaluate", "--data", str(folder), "--json")
    assert done.exit_code == EXIT_OK, done.output
    found = json.loads(done.stdout)
    assert (found["loans"], found["bad"], found["auc"], found["ks"]) == (8, 4, 1.0, 1.0)
    assert {"auc_ci95", "psi", "digest"} <= set(found)
    text = run("evaluate", "--data", str(folder)).stdout
    assert found["digest"] in text
    assert "8, 4 of them bad" in text


def test_another_amount_is_another_digest(folder: Path) -> None:
    """The digest covers the features, so one unit more on one loan's principal shows."""
    before = json.loads(run("evaluate", "--data", str(folder), "--json").stdout)["digest"]
    text = (folder / "loans.csv").read_text()
    (folder / "loans.csv").write_text(text.replace("2400000", "1200000", 1))
    assert json.loads(run("evaluate", "--data", str(folder), "--json").stdout)["digest"] != before


def test_data_that_cannot_be_measured_is_refused_with_its_reason(folder: Path) -> None:
    """Absent files, files of another form, one outcome only: a code and a sentence, no traceback."""
    cases = {
        "data_missing": folder / "nowhere",
        "data_invalid": folder,
    }
    (folder / "loans.csv").write_text("loan_id,date\n1,2020-01-01\n")
    for code, path in cases.items():
        done = run("evaluate", "--data", str(path), "--json")
        assert done.exit_code == EXIT_REFUSED
        assert json.loads(done.stdout)["error"]["code"] == code
    (folder / "loans.csv").write_text(",".join(LOANS) + "\n0,0,2024-05-01,100,12,9,0\n")
    one_outcome = run("evaluate", "--data", str(folder))
    assert (one_outcome.exit_code, "data_invalid" in one_outcome.stderr) == (EXIT_REFUSED, True)
    (folder / "transactions.csv.gz").write_bytes(b"no gzip")
    assert "data_invalid" in run("evaluate", "--data", str(folder)).stderr


def test_drift_and_groups_are_told_in_words_too(folder: Path) -> None:
    """A table per half-year and per group column; without such a column, that nothing is known."""
    text = run("evaluate", "--data", str(folder)).stdout
    assert "no attribute given" in text
    assert "PSI by chance" in text
    write_loans(folder, [50] * 4 + [125] * 4, [False] * 4 + [True] * 4, sex=["f", "m"] * 4)
    lines = run("evaluate", "--data", str(folder)).stdout.splitlines()
    assert any(line.startswith("Sex") for line in lines)
    assert any(line.split()[:3] == ["f", "4", "2"] for line in lines)
    write_loans(folder, [50] * 22, [True] + [False] * 21, name=[str(one) for one in range(22)])
    assert "group_name has 22 values" in run("evaluate", "--data", str(folder)).stderr


def test_an_unknown_model_is_refused(folder: Path) -> None:
    """Neither a shipped name nor a model's file."""
    assert "model_unknown" in run("evaluate", "--data", str(folder), "--model", "oracle").stderr
    assert "model_unknown" in run("card", "oracle").stderr
    (folder / "oracle.json").write_text("{}")
    assert "model_invalid" in run("evaluate", "--data", str(folder), "--model", str(folder / "oracle.json")).stderr


def test_the_card_is_the_shipped_one() -> None:
    """`liushui model card` shows limits and expiry without any file at hand."""
    done = run("card")
    assert done.exit_code == EXIT_OK
    assert "## Limits" in done.stdout
    assert load_default().id.hex() in done.stdout


def test_the_card_with_its_plots_is_one_page(tmp_path: Path) -> None:
    """The page of the shipped model names it, holds its four plots, and is never written over another file."""
    path = tmp_path / "card.html"
    assert run("card", "--html", str(path)).exit_code == EXIT_OK
    text = path.read_text()
    assert load_default().id.hex() in text
    assert text.count("data:image/png;base64,") == 4
    assert "file_exists" in run("card", "--html", str(path)).stderr
    assert "file_unwritable" in run("card", "--html", str(tmp_path / "no" / "card.html")).stderr
    assert "model_unknown" in run("card", "oracle", "--html", str(tmp_path / "x.html")).stderr


def test_the_shipped_report_is_the_one_that_the_card_names() -> None:
    """Card, report and model refer to each other by hash."""
    files = resources.files("scoring").joinpath("models")
    raw = files.joinpath("cashflow-v1.report.json").read_bytes()
    assert hashlib.sha256(raw).hexdigest() in run("card").stdout
    assert json.loads(raw)["model_id"] == load_default().id.hex()


def test_the_warning_rules_are_measured_on_loans_in_files(folder: Path) -> None:
    """Every rule has a line, counts stay within the loans there are, and the digest repeats."""
    done = CliRunner().invoke(main, ["monitor", "backtest", "--data", str(folder), "--json"])
    assert done.exit_code == EXIT_OK, done.output
    found = json.loads(done.stdout)
    assert (found["loans"], found["bad"], len(found["rules"])) == (8, 4, len(WARNINGS))
    assert found["any"]["loans_alerted"] >= max(one["loans_alerted"] for one in found["rules"])
    assert all(one["bad_alerted"] <= one["loans_alerted"] <= one["alerts"] for one in found["rules"])
    again = CliRunner().invoke(main, ["monitor", "backtest", "--data", str(folder)])
    assert "emptying" in again.stdout
    assert CliRunner().invoke(main, ["monitor", "backtest", "--data", str(folder / "x")]).exit_code == EXIT_REFUSED
    assert "博彩" in CliRunner().invoke(main, ["monitor", "rules", "--lang", "zh"]).stdout
