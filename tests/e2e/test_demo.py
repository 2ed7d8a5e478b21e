"""The demonstration as a user runs it: separate processes, one killed midway, everything judged from outside."""

import json
import re
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.process

ROOT = Path(__file__).resolve().parents[2]


def run(*arguments: str, timeout_s: float) -> subprocess.CompletedProcess[str]:
    """`liushui` with these arguments, in the repository."""
    return subprocess.run(
        [sys.executable, "-m", "node.cli.main", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, object], Path]:
    """One run with a validator killed (SIGKILL) and brought back: its JSON and its directory."""
    directory = tmp_path_factory.mktemp("demo") / "net"
    done = run("demo", "--headless", "--json", "--kill", "1", "--keep", "--data-dir", str(directory), timeout_s=110)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return json.loads(done.stdout), directory


def test_all_nodes_agree_and_every_invariant_holds(played: tuple[dict[str, object], Path]) -> None:
    """Equal roots at every height on five nodes, one of which was killed; no invariant broken; no problem seen."""
    report, _ = played
    assert report["ok"] is True
    assert report["exec_roots_equal"] is True
    assert report["problems"] == []
    assert len(report["validators"]) == 4
    assert set(report["invariants"].values()) == {"held"}
    assert len(report["invariants"]) >= 20
    assert report["killed"] == ["ridge"]


def test_the_story_has_its_four_fates(played: tuple[dict[str, object], Path]) -> None:
    """One loan repaid, one late, one applicant declined with reasons, one second loan refused by the debt cap."""
    report, _ = played
    assert report["loans_by_state"] == {"active": 1, "late": 1, "repaid": 1}
    assert report["declines"]
    assert all(1 <= len(one["reasons"]) <= 4 for one in report["declines"])
    assert len(report["refused_by_cap"]) == 1
    assert report["receipts_failed"] == 0
    assert report["receipts_verified"] >= 8


def test_a_receipt_verifies_with_every_node_stopped_and_no_byte_may_change(
    played: tuple[dict[str, object], Path], tmp_path: Path
) -> None:
    """`liushui verify` needs the genesis alone; a changed byte anywhere fails with a code and exit 4."""
    _, directory = played
    receipt = sorted((directory / "receipts").iterdir())[0]
    genesis = str(directory / "genesis.json")
    done = run("verify", str(receipt), "--genesis", genesis, timeout_s=20)
    assert done.returncode == 0, done.stdout + done.stderr
    raw = receipt.read_bytes()
    for at in (0, len(raw) // 2, len(raw) - 1):
        broken = tmp_path / "broken.receipt"
        broken.write_bytes(raw[:at] + bytes((raw[at] ^ 1,)) + raw[at + 1 :])
        done = run("verify", str(broken), "--genesis", genesis, timeout_s=20)
        assert done.returncode == 4, done.stdout + done.stderr


def test_every_byte_of_a_receipt_is_bound(played: tuple[dict[str, object], Path]) -> None:
    """Every position, flipped: none verifies."""
    from protocol.genesis import decode_genesis
    from protocol.receipt import ReceiptFault, verify_receipt_file

    _, directory = played
    raw = min((directory / "receipts").iterdir(), key=lambda path: path.stat().st_size).read_bytes()
    genesis = decode_genesis((directory / "genesis.json").read_bytes())
    assert not isinstance(verify_receipt_file(raw, genesis), ReceiptFault)
    for at in range(len(raw)):
        changed = raw[:at] + bytes((raw[at] ^ (1 << at % 8),)) + raw[at + 1 :]
        assert isinstance(verify_receipt_file(changed, genesis), ReceiptFault), f"byte {at} is not bound"


def test_no_plain_statement_on_any_nodes_disk(played: tuple[dict[str, object], Path]) -> None:
    """What a borrower's file says in words stands in no node's files: databases, logs, write-ahead logs."""
    _, directory = played
    statement = (directory / "statements" / "li-na.ofx").read_bytes()
    distinct = sorted({word.strip() for word in re.findall(rb"<NAME>([^<]{6,})", statement)})
    assert len(distinct) >= 3
    for path in directory.rglob("*"):
        if path.is_file() and path.parent.name not in {"statements", "receipts", "keys"}:
            raw = path.read_bytes()
            assert not [word for word in distinct if word in raw], path


def audit(data_dir: Path, genesis: Path) -> tuple[int, dict[str, object]]:
    done = run("audit", "--data-dir", str(data_dir), "--genesis", str(genesis), "--json", timeout_s=60)
    return done.returncode, json.loads(done.stdout)


def test_every_database_passes_its_audit(played: tuple[dict[str, object], Path]) -> None:
    """Lender, killed node and regulator: executed again from the genesis, all signatures, scores and roots hold."""
    report, directory = played
    for name in ("jade", "ridge", "regulator"):
        code, found = audit(directory / name, directory / "genesis.json")
        assert (code, found["holds"], found["fault"]) == (0, True, None), (name, found)
        assert found["applications"] == 5
        assert int(str(found["attestations"])) >= 15
        assert int(str(found["height"])) >= int(report["height"][name])  # type: ignore[index]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ("UPDATE blocks SET digest = zeroblob(32) WHERE height = 9", "block_digest"),
        ("UPDATE blocks SET block = zeroblob(9) WHERE height = 9", "block_damaged"),
        ("DELETE FROM blocks WHERE height = 9", "block_missing"),
        ("UPDATE blocks SET exec_root = zeroblob(32) WHERE height = 9", "exec_root_differs"),
        (
            "UPDATE blocks SET finalization = (SELECT MAX(finalization) FROM blocks WHERE height > 9) WHERE height = 9",
            "finalization_invalid",
        ),
        ("DELETE FROM batches WHERE serial = 3", "batch_missing"),
        ("UPDATE batches SET raw = (SELECT raw FROM batches WHERE serial = 2) WHERE serial = 3", "batch_digest"),
        ("DELETE FROM receipts WHERE height = (SELECT MAX(height) FROM receipts)", "receipts_differ"),
        ("DELETE FROM events WHERE height = (SELECT MAX(height) FROM events)", "events_differ"),
        ("DELETE FROM state WHERE (family, key) = (SELECT family, key FROM state LIMIT 1)", "books_differ"),
    ],
)
def test_an_audit_finds_whatever_was_changed(
    played: tuple[dict[str, object], Path], tmp_path: Path, change: str, code: str
) -> None:
    """One statement of SQL anywhere in a copy of the database is found and named; exit 4."""
    _, directory = played
    copy = tmp_path / "ledger.sqlite"
    source = sqlite3.connect(directory / "jade" / "ledger.sqlite")
    target = sqlite3.connect(copy)
    source.backup(target)
    source.close()
    assert target.execute(change).rowcount == 1
    target.commit()
    target.close()
    exit_code, found = audit(tmp_path, directory / "genesis.json")
    fault = found["fault"]
    assert isinstance(fault, dict)
    assert (exit_code, found["holds"], fault["code"]) == (4, False, code)
