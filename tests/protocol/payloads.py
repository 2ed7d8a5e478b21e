"""One lawful-looking sample of every payload type, made from the types themselves: a new type is never forgotten.

    make_sample(Pay) -> Pay(loan=..., amount=..., ...)

Every field gets the smallest value that its wire limits allow. Only shapes; no sample here would pass the books.
"""

import enum
import types
import typing
from typing import Any

import msgspec

from protocol.transactions.envelope import Payload

PAYLOADS: tuple[type, ...] = typing.get_args(Payload)


def make_sample(kind: Any) -> Any:
    """The smallest value of a type that decodes."""
    return msgspec.convert(_build(kind, None), kind) if not _is_struct(kind) else _build_struct(kind)


def _is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def _build_struct(kind: type) -> Any:
    hints = typing.get_type_hints(kind, include_extras=True)
    required = [field.name for field in msgspec.structs.fields(kind) if field.required]
    return kind(**{name: _build(hints[name], None) for name in required})


def _build(kind: Any, meta: msgspec.Meta | None) -> Any:
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        return _build(args[0], next((one for one in args[1:] if isinstance(one, msgspec.Meta)), meta))
    if origin in {typing.Union, types.UnionType}:
        return None if type(None) in args else _build(args[0], meta)
    if origin is tuple:
        count = (meta.min_length or 0) if meta is not None else 0
        return tuple(_build(args[0], None) for _ in range(count))
    if hasattr(kind, "__supertype__"):
        return _build(kind.__supertype__, meta)
    if _is_struct(kind):
        return _build_struct(kind)
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return next(iter(kind))
    if kind is bool:
        return False
    if kind is int:
        return (meta.ge or 0) if meta is not None else 0
    if kind is bytes:
        return bytes((meta.min_length or 0) if meta is not None else 0)
    assert kind is str, kind
    return "CNY" if meta is not None and meta.pattern == "^[A-Z]{3}$" else "sample"
