"""The command line without a node: fast start, stable exit codes, statements and scores, keys, networks on disk."""

import importlib
import json
import subprocess
import sys
from datetime import date
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from node.cli.common import (
    EXIT_OK,
    EXIT_REFUSED,
    EXIT_UNREACHABLE,
    EXIT_USAGE,
    format_money,
    pick_language,
)
from node.cli.main import COMMANDS, main
from node.config import load_config
from node.demo.statements import Format, Profile, make_statement
from tests.node.cli.terminal import PASSPHRASE, write_secret

ROOT = Path(__file__).resolve().parents[3]
SAMPLES = ROOT.parent / "shared" / "data" / "statements"


def run(*args: str, text: str | None = None, environment: dict[str, str] | None = None) -> Result:
    return CliRunner().invoke(main, list(args), input=text, env=environment or {"LANG": "C"})


def write_sample(folder: Path, profile: Profile = Profile.SALARIED_STEADY) -> Path:
    path = folder / "statement.ofx"
    path.write_bytes(make_statement(profile, format=Format.OFX, end=date(2026, 10, 31), seed=5, holder="Li Na"))
    return path


@pytest.mark.parametrize("name", sorted(set(COMMANDS) - {"demo", "start"}))
def test_every_command_of_the_table_loads_and_explains_itself(name: str) -> None:
    """Each line of the table names a command that exists, with a help text."""
    command = main.get_command(click.Context(main), name)
    assert command is not None
    assert command.help
    assert run(name, "--help").exit_code == EXIT_OK


def test_the_overview_imports_no_command() -> None:
    """`liushui --help` and `liushui version` load nothing heavy: the start stays fast."""
    code = (
        "import sys\n"
        "from click.testing import CliRunner\n"
        "from node.cli.main import main\n"
        "for args in (['--help'], ['version']):\n"
        "    assert CliRunner().invoke(main, args).exit_code == 0\n"
        "names = ('aiohttp', 'nacl', 'rich', 'msgspec', 'asyncio', 'scoring', 'protocol')\n"
        "heavy = [name for name in names if name in sys.modules]\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_the_overview_tells_the_exit_codes() -> None:
    """Exit codes are documented where people look for them."""
    text = run("--help").output
    for line in ("0  done", "1  refused", "2  wrong use", "3  the node cannot be reached", "4  verification failed"):
        assert line in text
    assert "5  verified in part" in text


def test_overviews_tell_whole_sentences() -> None:
    """What a group says of its commands is not cut at the end of the line."""
    for group in ("light", "data", "tx", "gov", "model"):
        overview = run(group, "--help").output.partition("Commands:")[2]
        assert overview, group
        assert "..." not in overview, overview


def test_an_unknown_command_is_wrong_use() -> None:
    """Exit code 2 and no stack."""
    assert run("lend-me-money").exit_code == EXIT_USAGE


def test_no_score_is_of_a_day_before_the_statement(tmp_path: Path) -> None:
    """Nothing was known on that day: a refusal, and no figure."""
    asked = ("score", str(write_sample(tmp_path)), "--principal-minor", "1000000", "--periods", "12")
    done = run(*asked, "--as-of", "2000-01-01")
    assert (done.exit_code, "as_of_too_early" in done.output) == (1, True), done.output


def test_a_statement_is_checked(tmp_path: Path) -> None:
    """A made statement comes back with its format, currency, balances and provenance, as JSON and as text."""
    path = write_sample(tmp_path)
    facts = json.loads(run("statement", "check", str(path), "--json").output)
    assert (facts["format"], facts["currency"]) == ("ofx", "CNY")
    assert facts["rows"] > 100
    assert isinstance(facts["closing_balance"], int)
    shown = run("statement", "check", str(path)).output
    assert format_money(facts["closing_balance"], 2, "CNY") in shown


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="sample statements (../shared/data/statements) are not here")
@pytest.mark.parametrize("path", sorted(SAMPLES.glob("*.*")) if SAMPLES.is_dir() else [], ids=lambda path: path.name)
def test_every_sample_is_read_or_refused_with_its_reason(path: Path) -> None:
    """A real file gives facts and exit 0, or a refusal with code, file and reason and exit 1; nothing else."""
    done = run("statement", "check", str(path), "--json")
    answer = json.loads(done.output)
    if done.exit_code == EXIT_OK:
        assert answer["rows"] > 0
        assert len(answer["currency"]) == 3
    else:
        assert done.exit_code == EXIT_REFUSED
        assert answer["error"]["file"] == path.name
        assert answer["error"]["code"]
        assert answer["error"]["reason"]


def test_a_broken_statement_names_file_line_and_reason(tmp_path: Path) -> None:
    """A refusal can be acted on."""
    path = tmp_path / "broken.csv"
    path.write_text("Date,Description,Amount,Currency\n2026-01-02,Coffee,-1.00,CNY\n2026-02-30,Tea,-1.00,CNY\n")
    done = run("statement", "check", str(path))
    assert done.exit_code == EXIT_REFUSED
    assert "broken.csv, line 3" in done.output


def test_a_missing_file_is_a_sentence(tmp_path: Path) -> None:
    """No stack for a name typed wrongly."""
    done = run("score", str(tmp_path / "none.csv"), "--principal-minor", "100", "--periods", "1")
    assert done.exit_code == EXIT_REFUSED
    assert "cannot be read" in done.output


def test_a_score_is_the_models_own(tmp_path: Path) -> None:
    """Points are the base plus those of every feature's bin, and reasons come in the language asked for."""
    from scoring.models import load_default

    path = write_sample(tmp_path, Profile.OVERSTRETCHED)
    args = ("score", str(path), "--principal-minor", "5000000", "--periods", "26", "--every", "1w")
    answer = json.loads(run(*args, "--json").output)
    parts = sum(each["points"] for each in answer["features"].values())
    assert answer["points"] == load_default("CNY").base + parts
    assert answer["monthly_instalment"] == -(-30 * 5_000_000 // (26 * 7))
    chinese = json.loads(run(*args, "--json", "--lang", "zh").output)
    by_environment = json.loads(run(*args, "--json", environment={"LANG": "zh_CN.UTF-8"}).output)
    assert chinese["reasons"] == by_environment["reasons"] != answer["reasons"]
    assert [each["code"] for each in chinese["reasons"]] == [each["code"] for each in answer["reasons"]]


@pytest.mark.parametrize("every", ["", "0d", "m", "1y", "-1m", "367d", "١m", "9999999999d"])
def test_a_period_that_is_none_is_wrong_use(tmp_path: Path, every: str) -> None:
    """--every takes a count and a unit, nothing else."""
    path = write_sample(tmp_path)
    done = run("score", str(path), "--principal-minor", "1", "--periods", "1", "--every", every)
    assert done.exit_code == EXIT_USAGE


def test_a_key_file_is_made_and_shown(tmp_path: Path) -> None:
    """`keys new` seals with a passphrase from a file; `keys show` needs none; nothing overwrites a key."""
    secret = write_secret(tmp_path / "passphrase", PASSPHRASE)
    path = tmp_path / "me.key"
    args = ("keys", "new", "--out", str(path), "--passphrase-file", str(secret), "--json")
    made = json.loads(run(*args).output)
    assert json.loads(run("keys", "show", str(path), "--json").output) == made
    assert len(made["account"]) == len(made["public_key"]) == 64
    again = run(*args)
    assert again.exit_code == EXIT_REFUSED
    assert json.loads(again.output)["error"]["code"] == "key_file_exists"


def test_a_prompted_passphrase_is_confirmed(tmp_path: Path) -> None:
    """Two different answers make no key."""
    path = tmp_path / "me.key"
    done = run("keys", "new", "--out", str(path), text="correct horse\nanother horse\n")
    assert done.exit_code != EXIT_OK
    assert not path.exists()


def test_a_network_is_laid_out_and_its_nodes_are_healthy(tmp_path: Path) -> None:
    """`testnet` makes data directories that `doctor` finds nothing wrong with, and a second call refuses."""
    place = tmp_path / "net"
    args = ("testnet", str(place), "--lender", "harbour", "--lender", "jade", "--observer", "regulator", "--json")
    made = json.loads(run(*args).output)
    assert [node["name"] for node in made["nodes"]] == ["harbour", "jade", "regulator"]
    found = json.loads(run("doctor", "--data-dir", str(place / "jade"), "--json").output)
    assert found["healthy"], found
    again = run(*args)
    assert again.exit_code == EXIT_REFUSED
    assert "already holds a network" in again.output


def test_doctor_names_the_fix_of_an_exposed_key(tmp_path: Path) -> None:
    """A finding says what to do, and the exit code is 1."""
    place = tmp_path / "net"
    run("testnet", str(place), "--validators", "1")
    (place / "lender1" / "keys" / "node.key").chmod(0o644)
    done = run("doctor", "--data-dir", str(place / "lender1"))
    assert done.exit_code == EXIT_REFUSED
    assert "chmod 600" in done.output


def test_init_prints_the_entry_for_the_genesis(tmp_path: Path) -> None:
    """A member's keys are made at home and only the public halves are printed; unsealed only when told so."""
    home = tmp_path / "harbour"
    done = run("init", "harbour", "--data-dir", str(home), "--validator", "--lender", "--unsealed")
    entry = json.loads(done.output)
    assert entry["name"] == "harbour"
    assert entry["validator_key"]
    seed = (home / "keys" / "officer.key").read_text().strip()
    assert seed not in done.output
    assert load_config(home, environment={}).allow_unsealed_keys
    assert run("init", "harbour", "--data-dir", str(tmp_path / "harbour")).exit_code == EXIT_REFUSED


def test_a_node_that_does_not_answer_is_exit_code_3() -> None:
    """Nobody listens on port 1 of loopback: the sentence says what to do."""
    done = run("status", "--node", "http://127.0.0.1:1")
    assert done.exit_code == EXIT_UNREACHABLE
    assert "start it, or name another with --node" in done.output


@pytest.mark.parametrize("setting", ["", "api_port = 70000", "colour = 1", "this is no TOML"])
def test_a_node_without_lawful_settings_does_not_start(tmp_path: Path, setting: str) -> None:
    """No config.toml, a value out of range, an unknown key, no TOML: one sentence that names the place."""
    if setting:
        (tmp_path / "config.toml").write_text(f'name = "a"\nrole = "observer"\n{setting}\n')
    done = run("start", "--data-dir", str(tmp_path))
    assert done.exit_code == EXIT_USAGE
    assert "config.toml" in done.output
    assert "[config_invalid]" in done.output


def test_the_end_of_a_file_is_not_the_end_of_a_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only a pipe tells when whoever holds its other end is gone."""
    with (tmp_path / "input").open("w+b") as file:
        monkeypatch.setattr("node.cli.start.STANDARD_INPUT", file.fileno())
        done = run("start", "--data-dir", str(tmp_path), "--until-input-ends")
    assert done.exit_code == EXIT_USAGE
    assert "[input_no_pipe]" in done.output


@pytest.mark.parametrize(
    ("amount", "exponent", "text"),
    [(0, 2, "0.00"), (5, 2, "0.05"), (-123456789, 2, "-1,234,567.89"), (1000, 0, "1,000"), (None, 2, "-")],
)
def test_money_is_written_as_people_write_it(amount: int | None, exponent: int, text: str) -> None:
    """Minor units become grouped decimals, by integers alone."""
    assert format_money(amount, exponent) == text


def test_the_language_follows_the_environment() -> None:
    """LC_ALL before LANG; English for everything that is not Chinese."""
    assert pick_language({"LANG": "zh_CN.UTF-8"}) == "zh"
    assert pick_language({"LANG": "zh_CN.UTF-8", "LC_ALL": "de_DE"}) == "en"
    assert pick_language({}) == "en"


def test_the_schedule_command_is_registered() -> None:
    """The loan arithmetic's own command hangs in this group."""
    assert importlib.import_module("node.cli.schedule").schedule is main.get_command(click.Context(main), "schedule")
