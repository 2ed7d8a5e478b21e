"""Tokens of a node's API on disk: only hashes, for the owner alone, and what a running node makes of them."""

import stat
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from node.redaction import redact_text
from node.tokens import (
    REGISTER,
    SECRET_CHARS_MAX,
    Scope,
    Token,
    TokenFileError,
    TokenRoom,
    add_token,
    make_token,
    read_tokens,
    revoke_token,
)
from protocol.limits import TOKENS_MAX

NOW_MS = 1_700_000_000_000


def keep(directory: Path, name: str = "ops", *scopes: Scope, expires_ms: int | None = None) -> str:
    """A token that is kept; its secret."""
    secret, token = make_token(name, scopes or (Scope.MONITOR,), NOW_MS, expires_ms=expires_ms)
    add_token(directory, token)
    return secret


def test_the_file_holds_a_hash_for_its_owner_alone(tmp_path: Path) -> None:
    """Neither the secret nor any part of it, and nobody else may look."""
    secret = keep(tmp_path, "ops", Scope.OPERATE, Scope.MONITOR)
    path = tmp_path / REGISTER
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert secret.removeprefix("lst_")[:8] not in path.read_text()
    (token,) = read_tokens(tmp_path)
    assert (token.name, token.scopes, token.created_ms) == ("ops", (Scope.MONITOR, Scope.OPERATE), NOW_MS)


def test_secrets_are_256_random_bits(tmp_path: Path) -> None:
    """No two are alike, and a log line that holds one is blacked out."""
    secrets = {keep(tmp_path, f"t{number}") for number in range(8)}
    assert {len(one) for one in secrets} == {47}
    assert len(secrets) == 8
    assert all(one not in redact_text(f"got {one} from somebody") for one in secrets)


def test_a_running_node_follows_the_file_at_once(tmp_path: Path) -> None:
    """Made, then taken; revoked, then refused; expired, then told so. What is no token is unknown."""
    room = TokenRoom(tmp_path)
    assert room.find("lst_" + "a" * 43, NOW_MS) == "unknown"
    first = keep(tmp_path, "first")
    second = keep(tmp_path, "second", expires_ms=NOW_MS + 10)
    found = room.find(first, NOW_MS)
    assert isinstance(found, Token)
    assert found.name == "first"
    assert isinstance(room.find(second, NOW_MS + 9), Token)
    assert room.find(second, NOW_MS + 10) == "expired"
    revoke_token(tmp_path, "first")
    assert room.find(first, NOW_MS) == "unknown"
    for wrong in ("", first[:-1], first + "a", "ü" * 50, "\udcff", "a" * (SECRET_CHARS_MAX + 1)):
        assert room.find(wrong, NOW_MS) == "unknown"


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (lambda path: path.chmod(0o640), "tokens_exposed"),
        (lambda path: path.chmod(0o602), "tokens_exposed"),
        (lambda path: path.write_text("[{]"), "tokens_unreadable"),
        (lambda path: path.write_text('[{"name": "x"}]'), "tokens_unreadable"),
    ],
)
def test_a_file_that_is_not_in_order_lets_nobody_in(tmp_path: Path, spoil: object, code: str) -> None:
    """Others may read or write it, or it is not what was written: no token holds, and the log says why once."""
    secret = keep(tmp_path)
    assert callable(spoil)
    spoil(tmp_path / REGISTER)
    with pytest.raises(TokenFileError) as caught:
        read_tokens(tmp_path)
    assert caught.value.code == code
    room = TokenRoom(tmp_path)
    with capture_logs() as lines:
        assert [room.find(secret, NOW_MS) for _ in range(3)] == ["unknown"] * 3
    assert [one["code"] for one in lines] == [code]


def test_names_are_one_of_a_kind_and_places_few(tmp_path: Path) -> None:
    """A second one of a name, one that is not there, one too many: refused, and the file stays as it was."""
    keep(tmp_path, "t0")
    with pytest.raises(TokenFileError, match="revoke it") as caught:
        keep(tmp_path, "t0")
    assert caught.value.code == "token_exists"
    with pytest.raises(TokenFileError) as caught:
        revoke_token(tmp_path, "nobody")
    assert caught.value.code == "token_unknown"
    for number in range(1, TOKENS_MAX):
        keep(tmp_path, f"t{number}")
    with pytest.raises(TokenFileError) as caught:
        keep(tmp_path, "more")
    assert caught.value.code == "tokens_full"
    assert len(read_tokens(tmp_path)) == TOKENS_MAX
    assert not (tmp_path / "tokens.new").exists()
