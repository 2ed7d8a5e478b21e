"""Payloads as people write and read them: JSON with hex ids, ISO dates, names of enums and of members; and words.

    payload = read_payload(Assign, {"loan": "ab…", …}, resolve)     write_payload(payload)     describe(payload, names)

Every complaint has the path of the value. Only form here: whether the ledger takes it, the ledger says.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import msgspec

from node.client.catalog import Kind, Shape, list_fields
from protocol.ids import AccountId
from protocol.money import AMOUNT_MAX
from scoring.reasons import REASONS

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_REASON_CODES: Final = {one.key: one.code for one in REASONS.values()}

EXAMPLES: Final[dict[Kind, Any]] = {
    Kind.DAY: "2027-01-31",
    Kind.TIME: "2027-01-31T12:00:00Z",
    Kind.MONEY: 150_000,
    Kind.PPM: 72_000,
    Kind.CURRENCY: "CNY",
}

Resolve = Callable[[str], AccountId]
"""The account a person means; raises FormError or fails in its own way."""


def tell_minor(amount: int, currency: str | None) -> str:
    """An amount in the minor units that are signed."""
    return f"{amount:,} minor units{'' if currency is None else f' of {currency}'}"


class FormError(ValueError):
    """A value that cannot stand where it does; `path` is of the value, like `action.policy.debt_cap`."""

    def __init__(self, path: str, sentence: str) -> None:
        super().__init__(f"{path}: {sentence}" if path else sentence)
        self.path = path


class Names(NamedTuple):
    """What a reader knows of a network beside the bare bytes."""

    accounts: Mapping[bytes, str] = MappingProxyType({})
    """Members' names by account and by key."""
    tell_money: Callable[[int, str | None], str] = tell_minor
    """An amount of a currency in words; None for the currency where nothing says which."""
    currency: str | None = None
    """Of amounts in a payload that does not name it itself."""


def read_payload(struct: type[msgspec.Struct], value: Any, resolve: Resolve) -> Any:
    """The payload of a JSON object. Raises FormError."""
    return _read_record(struct, value, "", resolve)


def _read_record(struct: type[msgspec.Struct], value: Any, path: str, resolve: Resolve) -> Any:
    if not isinstance(value, dict):
        raise FormError(path, f"give an object with the fields of {struct.__name__}")
    fields = {one.name: one for one in list_fields(struct)}
    unknown = [name for name in value if name not in fields]
    if unknown:
        raise FormError(_join(path, unknown[0]), f"no such field; {struct.__name__} has {', '.join(fields) or 'none'}")
    found = {}
    for name, field in fields.items():
        if name in value:
            found[name] = read_value(field.shape, value[name], _join(path, name), resolve)
        elif field.required:
            raise FormError(_join(path, name), f"is missing: {field.shape.describe()}")
    return struct(**found)


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def read_value(shape: Shape, value: Any, path: str, resolve: Resolve) -> Any:
    """One value as the wire has it. Raises FormError."""
    if value is None:
        if shape.optional:
            return None
        raise FormError(path, f"must not be null: {shape.describe()}")
    match shape.kind:
        case Kind.RECORD:
            return _read_record(shape.types[0], value, path, resolve)
        case Kind.CHOICE:
            return _read_choice(shape, value, path, resolve)
        case Kind.LIST:
            return _read_list(shape, value, path, resolve)
        case Kind.FLAGS:
            return _read_flags(shape, value, path)
        case Kind.ENUM:
            return _read_enum(shape, value, path)
        case Kind.ACCOUNT:
            return resolve(_read_text(shape, value, path))
        case Kind.KEY | Kind.SIGNATURE | Kind.HASH | Kind.ID:
            return _read_hex(shape, value, path)
        case Kind.DAY:
            return _read_day(shape, value, path)
        case Kind.TIME:
            return _read_time(shape, value, path)
        case Kind.YES_NO:
            if not isinstance(value, bool):
                raise _wrong(shape, path)
            return value
        case Kind.TEXT | Kind.CURRENCY:
            return _read_text(shape, value, path)
        case Kind.MONEY | Kind.PPM | Kind.INTEGER:
            return _read_number(shape, value, path)


def _wrong(shape: Shape, path: str) -> FormError:
    return FormError(path, f"give {shape.describe()}")


def _read_choice(shape: Shape, value: Any, path: str, resolve: Resolve) -> Any:
    name = value.get("type") if isinstance(value, dict) else None
    struct = next((one for one in shape.types if one.__name__ == name), None)
    if struct is None:
        raise FormError(_join(path, "type"), f"give one of {', '.join(shape.names)}")
    return _read_record(struct, {key: one for key, one in value.items() if key != "type"}, path, resolve)


def _read_list(shape: Shape, value: Any, path: str, resolve: Resolve) -> tuple[Any, ...]:
    assert shape.inner is not None, "a list has something in it"
    if not isinstance(value, list) or not (shape.least or 0) <= len(value) <= (shape.most or len(value)):
        raise _wrong(shape, path)
    return tuple(read_value(shape.inner, one, f"{path}[{index}]", resolve) for index, one in enumerate(value))


def _read_flags(shape: Shape, value: Any, path: str) -> int:
    if not isinstance(value, list) or any(one not in shape.names for one in value):
        raise _wrong(shape, path)
    return sum({int(shape.types[0][one.upper()]) for one in value})


def _read_enum(shape: Shape, value: Any, path: str) -> Any:
    if value not in shape.names:
        raise _wrong(shape, path)
    return shape.types[0][value.upper()] if shape.types else _REASON_CODES[value]


def _read_hex(shape: Shape, value: Any, path: str) -> bytes:
    digits = 128 if shape.kind is Kind.SIGNATURE else 64
    if not isinstance(value, str) or not re.fullmatch(f"[0-9a-f]{{{digits}}}", value.strip().lower()):
        raise _wrong(shape, path)
    return bytes.fromhex(value.strip())


def _read_day(shape: Shape, value: Any, path: str) -> int:
    try:
        return date.fromisoformat(value).toordinal()
    except (TypeError, ValueError) as error:
        raise _wrong(shape, path) from error


def _read_time(shape: Shape, value: Any, path: str) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    try:
        moment = datetime.fromisoformat(value)
        if moment.tzinfo is None:
            raise FormError(path, "say the offset from UTC too, like 2027-01-31T12:00:00Z")
        return (moment - EPOCH) // timedelta(milliseconds=1)
    except (TypeError, ValueError) as error:
        if isinstance(error, FormError):
            raise
        raise _wrong(shape, path) from error


def _read_text(shape: Shape, value: Any, path: str) -> str:
    if not isinstance(value, str) or not (shape.least or 0) <= len(value) <= (shape.most or len(value)):
        raise _wrong(shape, path)
    if shape.pattern is not None and not re.search(shape.pattern, value):
        raise _wrong(shape, path)
    return value


def _read_number(shape: Shape, value: Any, path: str) -> int:
    most = AMOUNT_MAX if shape.most is None else shape.most
    least = shape.least if shape.least is not None else 0
    if not isinstance(value, int) or isinstance(value, bool):
        raise _wrong(shape, path)
    if not least <= value <= most:
        raise FormError(path, f"must be from {least:,} to {most:,}")
    return value


# ---------------------------------------------------------------------- the other way


def write_payload(payload: msgspec.Struct) -> dict[str, Any]:
    """The JSON object that `read_payload` reads as this payload."""
    return {one.name: write_value(one.shape, getattr(payload, one.name)) for one in list_fields(type(payload))}


def write_value(shape: Shape, value: Any) -> Any:
    """One value as JSON has it."""
    if value is None:
        return None
    match shape.kind:
        case Kind.RECORD:
            return write_payload(value)
        case Kind.CHOICE:
            return {"type": type(value).__name__, **write_payload(value)}
        case Kind.LIST:
            assert shape.inner is not None, "a list has something in it"
            return [write_value(shape.inner, one) for one in value]
        case Kind.FLAGS:
            return [name for name in shape.names if value & shape.types[0][name.upper()]]
        case Kind.ENUM:
            return value.name.lower() if shape.types else _name_reason(value)
        case Kind.ACCOUNT | Kind.KEY | Kind.SIGNATURE | Kind.HASH | Kind.ID:
            return value.hex()
        case Kind.DAY:
            return date.fromordinal(value).isoformat() if 0 < value <= date.max.toordinal() else f"day {value}"
        case Kind.TIME:
            return write_time(value)
        case _:
            return value


def make_example(struct: type[msgspec.Struct]) -> dict[str, Any]:
    """An object of the form of a payload, every field there; no rule is asked whether it makes sense."""
    return {
        one.name: _make_value(one.shape) if one.required else write_value(one.shape, one.default)
        for one in list_fields(struct)
    }


def _make_value(shape: Shape) -> Any:
    if shape.optional:
        return None
    match shape.kind:
        case Kind.RECORD:
            return make_example(shape.types[0])
        case Kind.CHOICE:
            return {"type": shape.names[0], **make_example(shape.types[0])}
        case Kind.LIST:
            assert shape.inner is not None, "a list has something in it"
            return [_make_value(shape.inner) for _ in range(max(1, shape.least or 0))]
        case Kind.FLAGS:
            return [shape.names[0]]
        case Kind.ENUM:
            return shape.names[0]
        case Kind.ACCOUNT | Kind.KEY | Kind.HASH | Kind.ID:
            return "ab" * 32
        case Kind.SIGNATURE:
            return "ab" * 64
        case Kind.YES_NO:
            return True
        case Kind.TEXT:
            return "text"
        case _:
            return EXAMPLES.get(shape.kind, max(1, shape.least or 0))


def _name_reason(code: int) -> str:
    reason = REASONS.get(code)
    return f"reason {code}" if reason is None else reason.key


def write_time(time_ms: int) -> str:
    """Milliseconds since 1970 as an ISO moment in UTC; what no calendar holds stays a number."""
    try:
        return (EPOCH + timedelta(milliseconds=time_ms)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    except OverflowError:
        return f"{time_ms} ms"


# ---------------------------------------------------------------------- words


def describe(payload: msgspec.Struct, names: Names | None = None) -> list[tuple[str, str]]:
    """Every field in words, nothing left out: what one would sign."""
    names = names or Names()
    currency = getattr(payload, "currency", None)
    return list(_describe_record(payload, "", names if currency is None else names._replace(currency=currency)))


def _describe_record(record: msgspec.Struct, before: str, names: Names) -> Iterator[tuple[str, str]]:
    for one in list_fields(type(record)):
        label = f"{before}{one.name.replace('_ppm', '').replace('_', ' ')}"
        yield from _describe_value(one.shape, getattr(record, one.name), label, names)


def _describe_value(shape: Shape, value: Any, label: str, names: Names) -> Iterator[tuple[str, str]]:
    if value is None:
        yield label, "none"
    elif shape.kind in {Kind.RECORD, Kind.CHOICE}:
        if shape.kind is Kind.CHOICE:
            yield label, type(value).__name__
        yield from _describe_record(value, f"{label} ", names)
    elif shape.kind is Kind.LIST:
        yield from _describe_list(shape, value, label, names)
    else:
        yield label, _tell(shape, value, names)


def _describe_list(shape: Shape, value: Sequence[Any], label: str, names: Names) -> Iterator[tuple[str, str]]:
    assert shape.inner is not None, "a list has something in it"
    if not value:
        yield label, "none"
    for index, one in enumerate(value, start=1):
        yield from _describe_value(shape.inner, one, f"{label} {index}", names)


def _tell(shape: Shape, value: Any, names: Names) -> str:
    match shape.kind:
        case Kind.ACCOUNT | Kind.KEY:
            name = names.accounts.get(value)
            return value.hex() if name is None else f"{value.hex()} ({name})"
        case Kind.HASH:
            return "none" if value == bytes(32) else str(value.hex())
        case Kind.MONEY:
            return names.tell_money(value, names.currency)
        case Kind.PPM:
            return f"{value // 10_000}.{value % 10_000:04d} %"
        case Kind.YES_NO:
            return "yes" if value else "no"
        case Kind.FLAGS:
            return ", ".join(write_value(shape, value)) or "none"
        case Kind.ENUM:
            return str(write_value(shape, value)).replace("_", " ")
        case _:
            return str(write_value(shape, value))
