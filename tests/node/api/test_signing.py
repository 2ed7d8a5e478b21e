"""Signed requests: they hold for their method, path and minute, and for nothing else."""

import pytest

from node.api.problems import KINDS, pick_language
from node.api.signing import WINDOW_MS, Caller, check_request, sign_request
from protocol.crypto import KeySigner
from protocol.ids import TimeMs

SIGNER = KeySigner(bytes(range(32)))
NOW = TimeMs(1_800_000_000_000)
PATH = "/v1/exposure/" + "ab" * 32


def test_a_signed_request_names_its_caller() -> None:
    """The right header gives the key back."""
    header = sign_request(SIGNER, "GET", PATH, NOW)
    assert check_request(header, "get", PATH, NOW) == Caller(SIGNER.public_key, NOW)


@pytest.mark.parametrize("offset", [-WINDOW_MS, WINDOW_MS])
def test_the_window_is_a_minute_either_way(offset: int) -> None:
    """At the edge it holds, one millisecond beyond it is stale."""
    header = sign_request(SIGNER, "GET", PATH, NOW)
    assert isinstance(check_request(header, "GET", PATH, TimeMs(NOW + offset)), Caller)
    beyond = TimeMs(NOW + offset + (1 if offset > 0 else -1))
    assert check_request(header, "GET", PATH, beyond) == "signature_stale"


def test_another_method_path_or_time_does_not_hold() -> None:
    """Nothing signed for one request serves another."""
    header = sign_request(SIGNER, "GET", PATH, NOW)
    assert check_request(header, "PUT", PATH, NOW) == "signature_invalid"
    assert check_request(header, "GET", PATH + "?limit=1", NOW) == "signature_invalid"
    key, _, signature = header.split(",")
    assert check_request(f"{key},{NOW + 1},{signature}", "GET", PATH, NOW) == "signature_invalid"


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ("", "signature_missing"),
        ("a,b", "signature_invalid"),
        ("zz,1,zz", "signature_invalid"),
        ("ab,1,ab", "signature_invalid"),
        (f"{'ab' * 32},{'9' * 40},{'ab' * 64}", "signature_invalid"),
        (f"{'ab' * 32},-5,{'ab' * 64}", "signature_invalid"),
        (f"{'00' * 32},5,{'00' * 64}", "signature_invalid"),
        ("é,١,é", "signature_invalid"),
    ],
)
def test_a_broken_header_is_a_code(header: str, code: str) -> None:
    """No header raises; each gives a stable code."""
    assert check_request(header, "GET", PATH, NOW) == code


@pytest.mark.parametrize(
    ("accept", "language"),
    [
        ("", "en"),
        ("zh", "zh"),
        ("zh-CN,zh;q=0.9,en;q=0.8", "zh"),
        ("en;q=0.5, zh;q=0.7", "zh"),
        ("zh;q=0.1,en", "en"),
        ("fr,de", "en"),
        ("zh;q=0", "en"),
        ("zh;q=nonsense", "en"),
        (",;=,;q=1.5", "en"),
    ],
)
def test_the_language_is_the_one_ranked_higher(accept: str, language: str) -> None:
    """zh or en by weight (RFC 9110 section 12.5.4), English when neither is named."""
    assert pick_language(accept) == language


def test_every_problem_speaks_both_languages() -> None:
    """Each code has a status that is an error and a title in English and in Chinese."""
    for code, kind in KINDS.items():
        assert 400 <= kind.status < 600, code
        assert kind.title_en.isascii(), code
        assert any("\u4e00" <= char <= "\u9fff" for char in kind.title_zh), code
