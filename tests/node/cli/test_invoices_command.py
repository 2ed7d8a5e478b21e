"""`liushui invoices check`: a firm's invoice list, its facts and its features, or the refusal."""

import json
from pathlib import Path

from click.testing import CliRunner, Result

from node.cli.common import EXIT_OK, EXIT_REFUSED
from node.cli.main import main
from scoring.invoice_table import INVOICE_FEATURES

LIST = "invoice no,date,buyer,amount,tax,total,status\n" + "".join(
    f"{month},2026-{month:02}-15,Acme,100.00,13.00,113.00,valid\n" for month in range(1, 13)
)


def run(*args: str) -> Result:
    return CliRunner().invoke(main, ["invoices", "check", *args], env={"LANG": "C"})


def test_facts_and_features_are_told(tmp_path: Path) -> None:
    """In JSON with every feature of the table, in words with the same figures."""
    path = tmp_path / "sales.csv"
    path.write_text(LIST)
    done = run(str(path), "--as-of", "2026-12-31", "--json")
    assert done.exit_code == EXIT_OK, done.output
    found = json.loads(done.stdout)
    assert list(found["features"]) == [item.name for item in INVOICE_FEATURES]
    assert (found["invoices"], found["sales"], found["as_of"]) == (12, 135_600, "2026-12-31")
    assert found["features"]["inv_days_since"] == 16
    text = run(str(path)).stdout
    assert "2026-12-16" in text
    assert "inv_buyer_hhi" in text
    assert "1,356.00" in text


def test_a_refusal_names_file_line_and_reason(tmp_path: Path) -> None:
    """In words and in JSON; a file that is not there is refused as well."""
    path = tmp_path / "sales.csv"
    path.write_text(LIST.replace("2026-03-15", "2026-02-30"))
    done = run(str(path))
    assert done.exit_code == EXIT_REFUSED
    assert "sales.csv, line 4" in done.stderr
    told = json.loads(run(str(path), "--json").stdout)["error"]
    assert (told["code"], told["file"], told["line"]) == ("bad_date", "sales.csv", 4)
    assert "file_unreadable" in run(str(tmp_path / "nowhere.csv")).stderr
