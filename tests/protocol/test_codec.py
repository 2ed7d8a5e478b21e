"""One value, one encoding: whatever a decoder would also accept is refused."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.codec import CodecError, decode, encode
from protocol.ids import HeightField


class Pair(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True):
    """Two fields."""

    height: HeightField
    name: bytes


def test_a_struct_is_an_array_in_its_shortest_form() -> None:
    """The bytes are those of the MessagePack specification: fixarray, fixint, bin 8."""
    assert encode(Pair(height=5, name=b"ab")).hex() == "9205c4026162"  # type: ignore[arg-type]


@given(st.integers(0, 2**53 - 1), st.binary(max_size=40))
def test_what_was_encoded_decodes_to_itself(height: int, name: bytes) -> None:
    """Round trip, both ways."""
    pair = Pair(height=height, name=name)  # type: ignore[arg-type]
    assert decode(encode(pair), Pair) == pair


@pytest.mark.parametrize(
    "raw",
    [
        "92cc05c4026162",  # 5 as uint 8
        "92cd0005c4026162",  # 5 as uint 16
        "92d005c4026162",  # 5 as int 8
        "92cf0000000000000005c4026162",  # 5 as uint 64
        "9205c500026162",  # name as bin 16
        "9205a26162",  # name as a string
        "dc000205c4026162",  # the array as array 16
        "82a668656967687405a46e616d65c4026162",  # as a map
        "9205c402616200",  # a byte after it
        "9305c402616200",  # a field too many
        "9105",  # a field too few
        "92ffc4026162",  # height -1
        "92cf0020000000000000c4026162",  # height 2^53
        "92cb4014000000000000c4026162",  # height as a float
        "",
        "c1",
    ],
)
def test_any_other_form_is_refused(raw: str) -> None:
    """Non-minimal, longer, shorter, out of range, or nothing: CodecError, never another exception."""
    with pytest.raises(CodecError):
        decode(bytes.fromhex(raw), Pair)


@given(st.binary(max_size=64))
def test_arbitrary_bytes_never_raise_anything_else(raw: bytes) -> None:
    """Either the bytes are canonical, or CodecError."""
    try:
        value = decode(raw, Pair)
    except CodecError:
        return
    assert encode(value) == raw


def test_deep_nesting_is_refused() -> None:
    """A bomb of nested arrays ends as CodecError."""
    with pytest.raises(CodecError):
        decode(b"\x91" * 100_000, list[int])
