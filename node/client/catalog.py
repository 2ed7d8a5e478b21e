"""Every transaction type in plain words: its fields with their kinds, units and limits.

All of it is read from the wire structs and the docstrings beside their fields, so that it can never say something else
than what is decoded. Never a rule of the ledger and never a text of its own about one type here.
"""

import ast
import inspect
import textwrap
import typing
from enum import Enum, IntEnum, IntFlag
from functools import cache
from itertools import pairwise
from types import NoneType, UnionType
from typing import Annotated, Any, Final, NamedTuple

import msgspec

from protocol import ids
from protocol.ledger.rows import Role
from protocol.ledger.rules import Pause
from protocol.money import Amount, Currency, Ppm
from protocol.transactions.envelope import Payload
from protocol.transactions.governance import MemberSet, PauseSet
from protocol.transactions.lending import OfferDecline
from scoring.reasons import REASONS

PAYLOADS: Final[dict[str, type[msgspec.Struct]]] = {one.__name__: one for one in typing.get_args(Payload)}
"""By the name a person types."""


class Kind(Enum):
    """What a value is, to a person."""

    ACCOUNT = "an account: a member's name, or 64 hexadecimal digits"
    KEY = "a public key: 64 hexadecimal digits"
    SIGNATURE = "a signature: 128 hexadecimal digits"
    HASH = "a hash: 64 hexadecimal digits (sha256sum FILE makes one)"
    ID = "an id: 64 hexadecimal digits"
    DAY = "a date like 2027-01-31"
    TIME = "a moment like 2027-01-31T12:00:00Z"
    MONEY = "money in minor units (150000 is 1,500.00 CNY)"
    PPM = "parts per million (72000 is 7.2 %)"
    INTEGER = "a whole number"
    TEXT = "a text"
    CURRENCY = "a currency's ISO 4217 code, like CNY"
    YES_NO = "true or false"
    ENUM = "one of"
    FLAGS = "a list of any of"
    LIST = "a list of"
    RECORD = "an object"
    CHOICE = "an object whose type is one of"


class Shape(NamedTuple):
    """What one field takes."""

    kind: Kind
    optional: bool = False
    least: int | None = None
    most: int | None = None
    """Of a number; of a list or a text its length."""
    names: tuple[str, ...] = ()
    """Of ENUM and FLAGS, in words; of RECORD and CHOICE the structs'."""
    inner: "Shape | None" = None
    """Of LIST."""
    types: tuple[Any, ...] = ()
    """The enum of ENUM and FLAGS; the structs of RECORD and CHOICE."""
    pattern: str | None = None
    """Of a text, a regular expression."""

    def describe(self) -> str:
        """In words, limits included."""
        text = self.kind.value
        if self.kind in {Kind.ENUM, Kind.FLAGS, Kind.CHOICE}:
            text = f"{text} {', '.join(self.names)}"
        elif self.kind is Kind.LIST:
            assert self.inner is not None, "a list has something in it"
            text = f"{text} {self._describe_range()}values, each {self.inner.describe()}"
        elif self.kind is Kind.RECORD:
            text = f"{text} {self.names[0]}"
        elif self.kind in {Kind.INTEGER, Kind.TEXT} and (self.least is not None or self.most is not None):
            text = f"{text} of {self._describe_range()}{'' if self.kind is Kind.INTEGER else 'characters'}".rstrip()
            text = text if self.pattern is None else f"{text} that match {self.pattern}"
        return f"{text}; or null" if self.optional else text

    def _describe_range(self) -> str:
        if self.least is None and self.most is None:
            return ""
        if self.least == self.most:
            return f"{self.least:,} "
        return f"{self.least or 0} to {'any number' if self.most is None else f'{self.most:,}'} "


class FieldText(NamedTuple):
    """One field in words."""

    name: str
    shape: Shape
    required: bool
    default: Any
    """Of one that is not required."""
    doc: str


_NAMED: Final[dict[Any, Kind]] = {
    ids.AccountId: Kind.ACCOUNT,
    ids.PublicKey: Kind.KEY,
    ids.BoxKey: Kind.KEY,
    ids.Signature: Kind.SIGNATURE,
    ids.Digest: Kind.HASH,
    ids.BlockDigest: Kind.HASH,
    ids.ObjectId: Kind.ID,
    ids.ModelId: Kind.ID,
    ids.Day: Kind.DAY,
    ids.TimeMs: Kind.TIME,
    ids.Epoch: Kind.INTEGER,
    ids.Height: Kind.INTEGER,
    ids.View: Kind.INTEGER,
    ids.ValidatorIndex: Kind.INTEGER,
    Amount: Kind.MONEY,
    Ppm: Kind.PPM,
    Currency: Kind.CURRENCY,
    int: Kind.INTEGER,
    str: Kind.TEXT,
    bool: Kind.YES_NO,
}
_PERSONS_ROLES = ~Role.VALIDATOR
"""What members are given by vote; seats are given otherwise."""
_FLAGS: Final[dict[tuple[type, str], IntFlag]] = {
    (MemberSet, "roles"): _PERSONS_ROLES,
    (PauseSet, "families"): Pause(63),
}
"""Bits that people write as a list of names; each with all that may be written."""


@cache
def list_fields(struct: type[msgspec.Struct]) -> tuple[FieldText, ...]:
    """The fields of a struct in their order."""
    hints = typing.get_type_hints(struct, include_extras=True)
    docs = _read_docs(struct)
    found = []
    for field in msgspec.structs.fields(struct):
        flags = _FLAGS.get((struct, field.name))
        shape = find_shape(hints[field.name]) if flags is None else _make_flags(flags)
        if struct is OfferDecline and field.name == "reasons":
            shape = shape._replace(inner=Shape(Kind.ENUM, names=tuple(one.key for one in REASONS.values())))
        default = None if field.required else field.default
        found.append(FieldText(field.name, shape, field.required, default, docs.get(field.name, "")))
    return tuple(found)


def _make_flags(flags: IntFlag) -> Shape:
    return Shape(Kind.FLAGS, names=tuple(str(one.name).lower() for one in flags), types=(type(flags),))


def find_shape(hint: Any) -> Shape:
    """What an annotation of a wire struct takes."""
    least = most = pattern = None
    if typing.get_origin(hint) is Annotated:
        hint, *metas = typing.get_args(hint)
        for one in metas:
            least = next((value for value in (one.ge, one.min_length) if value is not None), least)
            most = next((value for value in (one.le, one.max_length) if value is not None), most)
            pattern = one.pattern or pattern
    if typing.get_origin(hint) in {typing.Union, UnionType}:
        members = [one for one in typing.get_args(hint) if one is not NoneType]
        optional = len(members) < len(typing.get_args(hint))
        if len(members) == 1:
            return find_shape(members[0])._replace(optional=optional)
        return Shape(Kind.CHOICE, optional=optional, names=tuple(one.__name__ for one in members), types=tuple(members))
    if typing.get_origin(hint) is tuple:
        return Shape(Kind.LIST, least=least, most=most, inner=find_shape(typing.get_args(hint)[0]))
    if isinstance(hint, type) and issubclass(hint, IntEnum):
        return Shape(Kind.ENUM, names=tuple(one.name.lower() for one in hint), types=(hint,))
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return Shape(Kind.RECORD, names=(hint.__name__,), types=(hint,))
    kind = _NAMED[hint]
    if kind in {Kind.ACCOUNT, Kind.KEY, Kind.SIGNATURE, Kind.HASH, Kind.ID}:
        return Shape(kind)
    return Shape(kind, least=least, most=most, pattern=pattern)


def read_doc(struct: type[msgspec.Struct]) -> str:
    """What a type is for and who signs it, as one paragraph."""
    return " ".join((inspect.getdoc(struct) or "").split())


def read_first_sentence(struct: type[msgspec.Struct]) -> str:
    """The first sentence of what a type is for."""
    sentence, _, _ = read_doc(struct).partition(". ")
    return sentence if sentence.endswith(".") else f"{sentence}."


@cache
def _read_docs(struct: type[msgspec.Struct]) -> dict[str, str]:
    """The docstring under each field that has one."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(struct)))
    body = tree.body[0]
    assert isinstance(body, ast.ClassDef), "a struct is a class"
    found = {}
    for one, after in pairwise(body.body):
        if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name) and isinstance(after, ast.Expr):
            found[one.target.id] = " ".join(str(ast.literal_eval(after.value)).split())
    return found


def list_parts(struct: type[msgspec.Struct]) -> list[type[msgspec.Struct]]:
    """The structs that stand inside one, each once, in the order in which they are met."""
    found: list[type[msgspec.Struct]] = []

    def visit(shape: Shape) -> None:
        for one in shape.types if shape.kind in {Kind.RECORD, Kind.CHOICE} else ():
            if one not in found:
                found.append(one)
                for field in list_fields(one):
                    visit(field.shape)
        if shape.inner is not None:
            visit(shape.inner)

    for field in list_fields(struct):
        visit(field.shape)
    return found
