"""A bank signs at its terminal, and its customer checks and scores the signed file."""

import json
from pathlib import Path

from click.testing import CliRunner

from node.cli.common import EXIT_OK, EXIT_REFUSED
from node.cli.main import main
from node.keystore import write_key
from protocol.crypto import KeySigner

SEED = bytes([8]) * 32


def run(*args: str) -> tuple[int, dict[str, object]]:
    done = CliRunner().invoke(main, [*args, "--json"])
    return done.exit_code, json.loads(done.stdout)


def test_a_signed_file_is_checked_and_scored_like_any_other(tmp_path: Path) -> None:
    """The grade and the provider's key are shown; an edit and a second file are refused; nothing is overwritten."""
    export, signed = tmp_path / "may.ofx", tmp_path / "may.signed"
    assert CliRunner().invoke(main, ["statement", "sample", "--out", str(export)]).exit_code == EXIT_OK
    write_key(tmp_path / "bank", "officer", SEED)
    where = ("--officer-dir", str(tmp_path / "bank"), "--out", str(signed))
    code, made = run("statement", "sign", str(export), *where)
    assert (code, made["provenance"]) == (EXIT_OK, "provider_signed")
    code, facts = run("statement", "check", str(signed))
    key = KeySigner(SEED).public_key.hex()
    assert (code, facts["provenance"], facts["provider_key"]) == (EXIT_OK, "provider_signed", key)
    _, plain = run("statement", "check", str(export))
    assert plain["provider_key"] is None
    assert (facts["rows"], facts["closing_balance"]) == (plain["rows"], plain["closing_balance"])
    scored = run("score", str(signed), "--principal-minor", "1000000", "--periods", "12")
    assert (
        scored[1]["points"] == run("score", str(export), "--principal-minor", "1000000", "--periods", "12")[1]["points"]
    )
    code, refused = run("statement", "sign", str(export), *where)
    assert (code, refused["error"]["code"]) == (EXIT_REFUSED, "file_exists")  # type: ignore[index]
    raw = bytearray(signed.read_bytes())
    raw[-3] ^= 1
    signed.write_bytes(raw)
    code, refused = run("statement", "check", str(signed))
    assert (code, refused["error"]["code"]) == (EXIT_REFUSED, "broken_file")  # type: ignore[index]
