"""The founding document: one identity whatever its white space, or a sentence on why it can found nothing."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.genesis import GenesisError, decode_genesis, encode_genesis
from protocol.ids import TimeMs
from tests.protocol.ledger.world import make_genesis

GENESIS = make_genesis()
RAW = encode_genesis(GENESIS)


def test_the_chain_id_is_of_the_content() -> None:
    """Other white space and other order of keys give the same network; another policy gives another."""
    assert decode_genesis(RAW) == GENESIS
    squeezed = json.dumps(json.loads(RAW), sort_keys=True, separators=(",", ":")).encode()
    assert decode_genesis(squeezed).calculate_chain_id() == GENESIS.calculate_chain_id()
    assert make_genesis(lenders_max=3).calculate_chain_id() != GENESIS.calculate_chain_id()


def altered(**fields: Any) -> bytes:
    """The document with some fields replaced."""
    return json.dumps({**json.loads(RAW), **fields}).encode()


MEMBERS: list[dict[str, Any]] = json.loads(RAW)["members"]


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"", "not valid"),
        (b"\xff", "not valid"),
        (b"[]", "not valid"),
        (altered(surprise=1), "surprise"),
        (altered(version=1), "version 1"),
        (altered(version=3), "version 3"),
        (altered(day_ms=0), "day_ms"),
        (altered(members=[]), "members"),
        (altered(members=[*MEMBERS, MEMBERS[0]]), "one key twice"),
        (altered(members=[MEMBERS[0], {**MEMBERS[1], "name": MEMBERS[0]["name"]}]), "two members alike"),
        (altered(members=[MEMBERS[3]]), "validators"),
        (altered(currencies=[{"code": "CNY", "exponent": 2}] * 2), "currency twice"),
        (altered(currencies=[{"code": "cny", "exponent": 2}]), "code"),
    ],
)
def test_what_cannot_found_a_network_is_refused_with_a_sentence(raw: bytes, words: str) -> None:
    """The message names what is wrong."""
    with pytest.raises(GenesisError, match=words):
        decode_genesis(raw)


@given(
    st.integers(-400, 4_000), st.sampled_from((-720, -300, 0, 345, 480, 840)), st.sampled_from((100, 600, 86_400_000))
)
def test_days_begin_where_they_begin(day: int, tz_offset_min: int, day_ms: int) -> None:
    """The first instant of a day is in it, the one before is not; the day's length may be short."""
    genesis = msgspec.structs.replace(GENESIS, day_ms=day_ms)
    begins = genesis.calculate_day_start_ms(genesis.day_start + day, tz_offset_min)
    assert genesis.calculate_day(begins, tz_offset_min) == genesis.day_start + day
    assert genesis.calculate_day(TimeMs(begins - 1), tz_offset_min) == genesis.day_start + day - 1
