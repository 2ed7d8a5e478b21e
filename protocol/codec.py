"""Canonical bytes: one value, one encoding.

msgpack lets a value be written in several ways, and every decoder accepts them all. Here a decoded object must
encode to the very bytes it came from, or it is refused; so a digest of bytes is a digest of meaning.
Never decode anything from a peer or a user except through `decode`.
"""

from collections.abc import Hashable
from functools import cache
from typing import Any, TypeVar, cast

import msgspec

T = TypeVar("T")

_ENCODER = msgspec.msgpack.Encoder()


class CodecError(ValueError):
    """Bytes that are not the canonical encoding of the expected type."""


JSON_FAULTS = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What msgspec raises for JSON that is none: bytes that are no text, and arrays within arrays without end, too."""


@cache
def _decoder(kind: Hashable) -> msgspec.msgpack.Decoder[Any]:
    return msgspec.msgpack.Decoder(kind)


def encode(value: object) -> bytes:
    """Canonical msgpack of a Struct (or of a list, tuple, bytes, str, int of such)."""
    return _ENCODER.encode(value)


def decode(raw: bytes, kind: type[T]) -> T:
    """The `kind` whose canonical encoding is `raw`. Raises CodecError otherwise, whatever the bytes."""
    try:
        value = _decoder(cast("Hashable", kind)).decode(raw)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise CodecError(str(error)) from error
    if _ENCODER.encode(value) != raw:
        raise CodecError("bytes are not in canonical form")
    return cast("T", value)
