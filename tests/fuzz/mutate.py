"""Hostile variations of valid bytes, from a seed: flipped, cut, doubled, spliced, and altered in their structure.

Bytes alone rarely pass a decoder's first check, so msgpack is unpacked, one of its values replaced, and packed again,
and text has its words replaced. The same seed and number give the same bytes. Never a decoder of ours here.
"""

import random
import re
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgpack

Mutate = Callable[[random.Random, Sequence[bytes]], bytes]

GROWTH_MAX: Final = 1 << 16
_NUMBERS: Final = (0, 1, -1, 127, 128, 255, 256, 2**31 - 1, 2**31, 2**32, 2**53 - 1, 2**53, 2**63, 2**64 - 1, -(2**63))
_BOMBS: Final = (
    b"\xdd\xff\xff\xff\xff",  # msgpack: an array of four thousand million
    b"\xdf\xff\xff\xff\xff",  # a map of as many
    b"\xc6\xff\xff\xff\xff",  # bytes of as many
    b"\xdb\xff\xff\xff\xff",
    b"\x91" * 40_000,  # arrays within arrays
    b"\x81\x00" * 20_000,
    b"[" * 40_000,  # JSON within JSON
    b'{"a":' * 10_000,
    b"\xc1",  # the one byte that msgpack never uses
    b"\xd4\x00\x00",
    b"9" * 5_000,
    b"\xff\xfe",
)
_WORDS: Final = (
    "null",
    "true",
    "-1",
    "0.5",
    "1e400",
    "NaN",
    "9007199254740993",
    "184467440737095516160",
    '""',
    '"\\ud800"',
    '"\\u0000"',
    "[]",
    "{}",
    "\u202e",
    "\U0001f4a7",
    "'''",
    "1979-05-27T07:32:00Z",
    "inf",
    '"' + "a" * 5_000 + '"',
)
_TOKEN: Final = re.compile(r"\"[^\"]*\"|-?\d+|[A-Za-z_]+|[{}\[\],:=]")


def vary_bytes(rng: random.Random, seeds: Sequence[bytes]) -> bytes:
    """One of the seeds with a few places altered, whatever it means."""
    data = bytearray(rng.choice(seeds))
    for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
        at = rng.randrange(len(data) + 1)
        match rng.randrange(8):
            case 0 if data:
                data[at % len(data)] ^= 1 << rng.randrange(8)
            case 1:
                data[at : at + 1] = rng.choice((b"\x00", b"\xff", b"\x7f", b"\x80", b"\xc0", b"\x90", b"\xc1"))
            case 2:
                del data[at : at + rng.choice((1, 1, 4, 32, 1_000))]
            case 3:
                data[at:at] = rng.randbytes(rng.choice((1, 2, 8, 100)))
            case 4:
                data[at:at] = data[at : at + rng.choice((1, 40, 4_000))]
            case 5:
                del data[at:]
            case 6:
                other = rng.choice(seeds)
                data[at:] = other[rng.randrange(len(other) + 1) :]
            case _:
                data[at : at + 1] = rng.choice(_BOMBS)
    return bytes(data[: len(data) if len(data) < GROWTH_MAX * 16 else GROWTH_MAX * 16])


def vary_msgpack(rng: random.Random, seeds: Sequence[bytes]) -> bytes:
    """One of the seeds with some of its values replaced; other bytes when it is no msgpack."""
    if rng.random() < 0.35:
        return vary_bytes(rng, seeds)
    raw = rng.choice(seeds)
    try:
        tree = msgpack.unpackb(raw, raw=True, strict_map_key=False)
        for _ in range(rng.choice((1, 1, 2, 4))):
            tree = _replace(rng, tree, seeds)
        packed = msgpack.packb(tree, use_bin_type=True)
    except (ValueError, TypeError, OverflowError, msgpack.UnpackException):
        return vary_bytes(rng, seeds)
    return bytes(packed) if rng.random() < 0.9 else vary_bytes(rng, [bytes(packed)])


def vary_text(rng: random.Random, seeds: Sequence[bytes]) -> bytes:
    """One of the seeds with some of its words replaced, dropped or doubled."""
    if rng.random() < 0.3:
        return vary_bytes(rng, seeds)
    text = rng.choice(seeds).decode("utf-8", errors="replace")
    for _ in range(rng.choice((1, 1, 2, 4))):
        tokens = list(_TOKEN.finditer(text))
        if not tokens:
            break
        one = rng.choice(tokens)
        word = rng.choice((*_WORDS, rng.choice(tokens).group(), "", one.group() * 2))
        text = text[: one.start()] + word + text[one.end() :]
    return text.encode("utf-8", errors="surrogatepass")


def _replace(rng: random.Random, value: Any, seeds: Sequence[bytes]) -> Any:
    """The value with one of its parts replaced, however deep."""
    if isinstance(value, list) and value and rng.random() < 0.85:
        at = rng.randrange(len(value))
        match rng.randrange(10):
            case 0:
                return value[:at] + value[at + 1 :]
            case 1:
                return value[:at] + [value[at]] * rng.choice((2, 3, 300)) + value[at + 1 :]
            case 2:
                return rng.sample(value, len(value))
            case _:
                return [*value[:at], _replace(rng, value[at], seeds), *value[at + 1 :]]
    if isinstance(value, bytes) and value and rng.random() < 0.5:
        inner = vary_msgpack(rng, [value]) if rng.random() < 0.5 else vary_bytes(rng, [value])
        return inner[:GROWTH_MAX]
    return _make_value(rng, seeds)


def _make_value(rng: random.Random, seeds: Sequence[bytes]) -> Any:
    match rng.randrange(9):
        case 0 | 1:
            return rng.choice(_NUMBERS)
        case 2:
            return rng.choice((None, True, False))
        case 3:
            return rng.choice((0.0, float("nan"), float("inf"), -0.0))
        case 4:
            return rng.randbytes(rng.choice((0, 1, 31, 32, 33, 64, 80, 5_000)))
        case 5:
            return rng.choice(("", "a", "CNY", "\u6d41\u6c34", "\x00", "a" * 5_000))
        case 6:
            return rng.choice(([], [[]], {}, {b"a": 1}, [0] * 2_000))
        case 7:
            return msgpack.ExtType(rng.randrange(128), rng.randbytes(4))
        case _:
            return msgpack.unpackb(rng.choice(seeds), raw=True, strict_map_key=False)
