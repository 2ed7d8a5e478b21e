"""`liushui invoices check`: a firm's invoice list, its facts and its features, or the refusal."""

import json
from datetime import date
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from node.cli.common import EXIT_OK, EXIT_REFUSED
from node.cli.main import main
from node.demo.bank.people import CLIENTS
from node.demo.invoices import make_invoice_list
from node.demo.statements import Format, Profile, make_statement
from scoring.ingest.invoices import read_invoices, view_invoices
from scoring.invoice_table import INVOICE_FEATURES, INVOICE_SPEC

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


def score(*args: str) -> Result:
    return CliRunner().invoke(main, ["score", *args, "--principal-minor", "1000000", "--periods", "12"])


def make_files(folder: Path) -> tuple[str, str]:
    """An invented firm's statement and its invoices."""
    statement, sales = folder / "firm.ofx", folder / "sales.csv"
    end = date(2026, 10, 31)
    statement.write_bytes(
        make_statement(Profile.SMALL_FIRM, format=Format.OFX, end=end, seed=3, holder="Li Na", currency="CNY")
    )
    sales.write_bytes(make_invoice_list(end=end, months=14, seed=3))
    return str(statement), str(sales)


def test_a_score_tells_invoices_beside_it_and_does_not_count_them(tmp_path: Path) -> None:
    """Points, band and reasons are those without them; their features are told for the same day."""
    statement, sales = make_files(tmp_path)
    without, beside = (json.loads(score(statement, *more, "--json").stdout) for more in ((), ("--invoices", sales)))
    told = beside.pop("invoices")
    assert beside == without
    checked = json.loads(run(sales, "--as-of", without["as_of"], "--json").stdout)
    assert told == {"invoice_spec": INVOICE_SPEC, "scored": False, "features": checked["features"]}
    text = score(statement, "--invoices", sales).stdout
    assert "does not count" in text
    assert "inv_void_rate" in text


def test_invoices_beside_a_score_are_refused_as_any_list(tmp_path: Path) -> None:
    """By file, line and reason; and invoices of other money are not told beside a statement."""
    statement, _ = make_files(tmp_path)
    bad, euro = tmp_path / "bad.csv", tmp_path / "euro.csv"
    bad.write_text(LIST.replace("2026-03-15", "2026-02-30"))
    euro.write_text(LIST.replace("status\n", "status,currency\n").replace("valid\n", "valid,EUR\n"))
    done = score(statement, "--invoices", str(bad))
    assert done.exit_code == EXIT_REFUSED
    assert "bad.csv, line 4" in done.stderr
    done = score(statement, "--invoices", str(euro))
    assert done.exit_code == EXIT_REFUSED
    assert "currency_differs" in done.stderr


def test_a_sample_is_a_list_that_is_read(tmp_path: Path) -> None:
    """Any seed gives a list without a refusal, the same one every time; an existing file is kept."""
    end = date(2026, 2, 28)
    for seed in range(12):
        data = make_invoice_list(end=end, months=1 + seed * 2, seed=seed)
        assert data == make_invoice_list(end=end, months=1 + seed * 2, seed=seed)
        found = read_invoices(data, name="sales.csv", buyer_key=bytes(32))
        assert found.last_day == end.toordinal()
    facts = view_invoices(found)
    assert 0 not in (facts["void"], facts["credit_notes"])
    assert facts["buyers"] == len(CLIENTS)
    path = tmp_path / "sales.csv"
    made = CliRunner().invoke(main, ["invoices", "sample", "--out", str(path), "--seed", "4"])
    assert made.exit_code == EXIT_OK, made.output
    before = path.read_bytes()
    assert run(str(path)).exit_code == EXIT_OK
    again = CliRunner().invoke(main, ["invoices", "sample", "--out", str(path)])
    assert again.exit_code == EXIT_REFUSED
    assert path.read_bytes() == before
    with pytest.raises(ValueError, match="months"):
        make_invoice_list(end=end, months=0, seed=1)
