"""The commands of lenders and authorities without a network: product files, identity tags, keys that may not sign."""

import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import click
import msgspec
import pytest
from click.testing import CliRunner, Result

from node.cli.common import EXIT_OK, EXIT_REFUSED, EXIT_UNREACHABLE, EXIT_USAGE
from node.cli.hints import HINTS
from node.cli.main import COMMANDS, main
from node.cli.productfile import (
    ProductFileError,
    find_product_faults,
    make_product,
    pick_model,
    read_product_file,
)
from node.cli.producttemplate import format_template
from node.client.borrower import load_models
from node.client.subject import calculate_subject_tag, normalise_subject
from protocol.ids import Day, ObjectId
from protocol.rejections import Rejection
from tests.node.api.harness import make_genesis

EXPIRES = date(2030, 1, 1)
TODAY = Day(date(2029, 1, 1).toordinal())


def run(*args: str) -> Result:
    return CliRunner().invoke(main, list(args), env={"LANG": "C"})


def write(folder: Path, text: str) -> Path:
    path = folder / "product.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_template_can_be_published_as_it_stands(tmp_path: Path) -> None:
    """The example breaks no rule of a network, and each of its figures reaches the signed terms."""
    text = read_product_file(write(tmp_path, format_template(EXPIRES)))
    genesis = make_genesis()
    assert [one for one in find_product_faults(text, genesis, TODAY) if not one.startswith("attestations")] == []
    model = pick_model(text, load_models(genesis), genesis.currencies[0].code)
    terms = make_product(text, pool=ObjectId(bytes(32)), model=model)
    assert (terms.amount_min, terms.amount_max, terms.period_every) == (100_000, 5_000_000, 1)
    assert [band.rate_ppm for band in terms.bands] == [72_000, 90_000, 120_000]
    assert terms.expires_on == EXPIRES.toordinal()


def test_the_template_command_writes_one_and_overwrites_none(tmp_path: Path) -> None:
    """What is printed is what is written; an existing file stays."""
    path = tmp_path / "p.toml"
    printed = run("product", "template")
    assert run("product", "template", "--out", str(path)).exit_code == EXIT_OK
    assert path.read_text(encoding="utf-8") == printed.stdout
    assert run("product", "template", "--out", str(path)).exit_code == EXIT_REFUSED


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("name =", "nam =", "nam"),
        ('segment = "personal"', 'segment = "persons"', "segment"),
        ("amount_min_minor = 100_000", 'amount_min_minor = "100"', "amount_min_minor"),
        ("amount_max_minor = 5_000_000\n", "amount_max_minor = -1\n", "amount_max_minor"),
        ('every = "1m"', 'every = "1y"', "every"),
        ('amortisation = "level"', 'amortisation = "ballon"', "amortisation"),
        ("grace_days = 3 ", "grace_days = 31 ", "grace_days"),
        ("rate_ppm = 120_000", 'rate_ppm = "12 %"', "bands[2].rate_ppm"),
        ("offer_days = 7 ", "", "offer_days"),
    ],
)
def test_every_mistake_names_its_key(tmp_path: Path, old: str, new: str, key: str) -> None:
    """A wrong word, type, range or name is told with the key it stands under."""
    text = format_template(EXPIRES)
    changed = text.replace(old, new, 1)
    with pytest.raises(ProductFileError) as caught:
        read_product_file(write(tmp_path, changed))
    assert changed != text
    assert any(line.startswith(key) for line in str(caught.value).splitlines())


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("amount_min_minor = 100_000", "amount_min_minor = 6_000_000", "amount_min_minor"),
        ("instalments_min = 3 ", "instalments_min = 30 ", "instalments_min"),
        ('every = "1m"', 'every = "40m"', "every"),
        ("rate_ppm = 120_000", "rate_ppm = 9_000_000", "bands[2].rate_ppm"),
        ("prepayment_fee_ppm = 0 ", "prepayment_fee_ppm = 10_001 ", "prepayment_fee_ppm"),
        ("default_days = 90 ", "default_days = 59 ", "default_days"),
        ('amortisation = "level"', 'amortisation = "balloon"', "term.residual_ppm"),
        ("attestations_min = 2", "attestations_min = 16", "attestations_min"),
        ("expires_on = 2030-01-01", "expires_on = 2020-01-01", "expires_on"),
    ],
)
def test_what_the_network_would_refuse_names_its_key(tmp_path: Path, old: str, new: str, key: str) -> None:
    """Contradictions and the network's caps are found before anything is signed."""
    changed = format_template(EXPIRES).replace(old, new, 1)
    faults = find_product_faults(read_product_file(write(tmp_path, changed)), make_genesis(), TODAY)
    assert any(fault.startswith(f"{key}:") for fault in faults), faults


def test_fewer_attestations_than_the_policy_asks_for_are_named(tmp_path: Path) -> None:
    """The floor of the network's policy is heard before the ledger refuses."""
    genesis = make_genesis()
    policy = msgspec.structs.replace(genesis.policy, attestations_floor=2)
    changed = format_template(EXPIRES).replace("attestations_min = 2", "attestations_min = 1", 1)
    product = read_product_file(write(tmp_path, changed))
    assert not find_product_faults(product, genesis, TODAY)
    faults = find_product_faults(product, msgspec.structs.replace(genesis, policy=policy), TODAY)
    assert [fault.split(":")[0] for fault in faults] == ["attestations_min"]


def test_one_person_has_one_tag_however_the_number_is_typed() -> None:
    """Spaces, hyphens, case and full width do not make another person; another number or issuer does."""
    seed, number = bytes(range(32)), "11010119900307123X"
    tag = calculate_subject_tag(seed, number)
    for typed in ("110101 1990 0307 123x", "110101-19900307-123X", "１１０１０１１９９００３０７１２３Ｘ"):
        assert calculate_subject_tag(seed, typed) == tag
    assert calculate_subject_tag(seed, "11010119900307124X") != tag
    assert calculate_subject_tag(bytes(32), number) != tag
    assert len(tag) == 32
    assert normalise_subject(" 1101-01 x ") == "110101X"


def test_wrong_use_is_told_before_any_node_is_asked(tmp_path: Path) -> None:
    """Amount 0, nobody named, two named: exit code 2; a node that is down: exit code 3."""
    key = str(tmp_path / "me.key")
    zero = run("money", "transfer", "--key", key, "--to", "lender1", "--amount-minor", "0")
    nobody = run("money", "transfer", "--to", "lender1", "--amount-minor", "1")
    both = run("money", "transfer", "--key", key, "--officer-dir", ".", "--to", "lender1", "--amount-minor", "1")
    assert [one.exit_code for one in (zero, nobody, both)] == [EXIT_USAGE] * 3
    down = run("money", "balance", "lender1", "--node", "http://127.0.0.1:1", "--json")
    assert (down.exit_code, json.loads(down.stdout)["error"]["code"]) == (EXIT_UNREACHABLE, "node_unreachable")


def test_a_sample_statement_is_one_that_the_reader_reads(tmp_path: Path) -> None:
    """Every format that is offered makes a file that `statement check` accepts; none is overwritten."""
    for name in ("ofx", "mt940", "alipay", "wechat", "csv"):
        path = tmp_path / f"sample-{name}.txt"
        assert run("statement", "sample", "--format", name, "--out", str(path), "--months", "3").exit_code == EXIT_OK
        assert run("statement", "check", str(path)).exit_code == EXIT_OK
        assert run("statement", "sample", "--out", str(path)).exit_code == EXIT_REFUSED


def test_every_refusal_that_a_person_can_meet_says_what_to_do() -> None:
    """Hints are of real codes, and only what a machine alone gets wrong has none."""
    codes = {one.code for one in Rejection}
    assert set(HINTS) <= codes
    alone = {
        "too_large", "malformed", "not_canonical", "wrong_version", "wrong_chain", "signature_invalid",
        "cosignature_invalid", "sidecar_mismatch", "sidecar_missing", "period_invalid", "attester_not_granted",
        "attestation_mismatch", "unknown",
    }  # fmt: skip
    assert codes - set(HINTS) == alone
    assert all(len(hint) > 10 and hint.endswith(".") for hint in HINTS.values())


def list_commands(group: click.Group, context: click.Context, *before: str) -> Iterator[tuple[str, click.Command]]:
    """Every command below a group, by the words that are typed."""
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from list_commands(command, context, *before, name)
        else:
            yield " ".join((*before, name)), command


def test_whoever_signs_is_shown_an_example() -> None:
    """Each command that signs has an example of its own words in its help, and --yes and --json."""
    commands = dict(list_commands(main, click.Context(main)))  # type: ignore[arg-type]
    signing = {name: one for name, one in commands.items() if any(each.name == "yes" for each in one.params)}
    assert len(signing) > 55
    for name, command in signing.items():
        assert (
            f"Example: liushui {name} " in " ".join((command.help or "").split()).replace("| ", "") or name == "tx send"
        )
        assert "as_json" in {each.name for each in command.params}, name


def test_the_overview_loads_nothing_heavy() -> None:
    """Modules of commands import the standard library and click: the rest waits until a command runs.

    `schedule` alone is nothing but the ledger's own arithmetic.
    """
    modules = sorted({entry.target.partition(":")[0] for entry in COMMANDS.values()} - {"node.cli.schedule"})
    heavy = "{'msgspec', 'nacl', 'aiohttp', 'protocol.crypto', 'scoring.points'}"
    text = f"import sys, {', '.join(modules)}; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
