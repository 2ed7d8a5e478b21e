"""Hostile transactions: every payload type, ids of the wrong kind, integers at their bounds, anybody's signature.

    Fuzz(seed).step()      one payload that decodes, meant to hurt; or years that pass at once

It goes on where a random life stands, so that there are rows to aim at. What must come of it is a receipt, or nothing
for a nonce that was skipped: an exception would stop every node of the network. Never a law of its own here.
"""

import contextlib
import enum
import os
import traceback
import types
import typing
from random import Random
from typing import Any

import msgspec

from protocol.batch import Sidecar
from protocol.codec import CodecError, decode, encode
from protocol.ids import ObjectId
from protocol.ledger.execute import Ledger
from protocol.ledger.lines import quote_draw
from protocol.ledger.loans import load_loan
from protocol.ledger.offers import calculate_terms_hash
from protocol.ledger.records import Receipt
from protocol.ledger.restructure import calculate_amended
from protocol.ledger.state import (
    ACCOUNTS,
    AMENDMENTS,
    APPLICATIONS,
    ASSETS,
    CONSENTS,
    CONTRACTS,
    DATA,
    DISPUTES,
    EXITS,
    LINES,
    LOANS,
    MODELS,
    OFFERS,
    POOLS,
    PRODUCTS,
    PROPOSALS,
    REDEMPTIONS,
    Table,
)
from protocol.rejections import Rejection
from protocol.transactions.lending import Accept, Apply, Draw
from protocol.transactions.servicing import AmendAnswer
from tests.protocol.ledger.lives.core import FIRM, PEOPLE, SHOP, Lives
from tests.protocol.ledger.lives.everything import make_lives
from tests.protocol.ledger.world import BEST_BINS, DAY_MS, LENDERS, MODEL_ID, World, make_signer
from tests.protocol.payloads import PAYLOADS

NAMES: dict[str, tuple[Table[Any], ...]] = {
    "loan": (LOANS,),
    "line": (LINES,),
    "offer": (OFFERS,),
    "application": (APPLICATIONS,),
    "product": (PRODUCTS,),
    "pool": (POOLS,),
    "seller": (POOLS,),
    "buyer": (POOLS,),
    "asset": (ASSETS,),
    "collateral": (ASSETS,),
    "amendment": (AMENDMENTS,),
    "dispute": (DISPUTES,),
    "proposal": (PROPOSALS,),
    "redemption": (REDEMPTIONS,),
    "exit": (EXITS,),
    "consent": (CONSENTS,),
    "data": (DATA,),
    "model": (MODELS,),
}
"""Of which tables a field's ids are, where it is right; any other name may be an account's."""
EVERYBODY = (
    *PEOPLE,
    FIRM,
    SHOP,
    *LENDERS,
    *(f"{one}/attester" for one in LENDERS),
    "agent",
    "issuer",
    "eye",
    "court",
    "nobody",
)
DAYS = (1, 1, 7, 31, 31, 95, 400, 3_700)
"""How far time jumps; now and then so far that everything that could ever fall due does."""


class Fuzz:
    """A world that somebody attacks; every step is decided by the seed alone."""

    def __init__(self, seed: int, *, lived: int = 150, **policy: Any) -> None:
        self.random = Random(seed)
        self.lives: Lives = make_lives(seed, **policy)
        for _ in range(lived):
            self.lives.step()
        self.world: World = self.lives.world
        self.world.must = self.world.do  # type: ignore[method-assign]
        self.receipts: list[tuple[str, Rejection | None]] = []
        self._do = self.lives.do
        self.lives.do = self._twist  # type: ignore[method-assign]

    # ------------------------------------------------------------------ steps

    def step(self) -> None:
        """Some lawful life, a jump of time, or an attack."""
        dice = self.random.random()
        if dice < 0.6:
            self._live()
        elif dice < 0.62:
            days = self.random.choice(DAYS)
            self.world.block(ms=days * DAY_MS + self.random.choice((0, 1, -1)))
        else:
            self.attack(self.random.choice(PAYLOADS))

    def _live(self) -> None:
        """A step of the life, whose people may stumble over what became of their plans; the ledger may not."""
        try:
            self.lives.step()
        except (AssertionError, KeyError, IndexError, StopIteration, AttributeError) as error:
            frames = traceback.extract_tb(error.__traceback__)
            if any(f"{os.sep}protocol{os.sep}ledger{os.sep}execute" in one.filename for one in frames):
                raise

    def _twist(self, who: str, payload: Any, **options: Any) -> Receipt:
        """Do what the life wanted, often with a field or two that it did not want."""
        kind = type(payload)
        if self.random.random() < 0.4:
            hints = typing.get_type_hints(kind, include_extras=True)
            fields = [field.name for field in msgspec.structs.fields(kind)]
            changed = self.random.sample(fields, min(len(fields), self.random.choice((1, 1, 2))))
            twisted = msgspec.structs.replace(payload, **{one: self._make(hints[one], one) for one in changed})
            twisted = self._sign_terms(twisted)
            with contextlib.suppress(CodecError, OverflowError):
                payload = decode(encode(twisted), kind)
        receipt = self._do(who, payload, **options)
        self.receipts.append((kind.__name__, receipt.rejection))
        return receipt

    def attack(self, kind: type) -> None:
        """Send one payload of a type, by whoever and with whoever's co-signature."""
        payload = self._make(kind, "")
        payload = self._sign_terms(payload)
        try:
            payload = decode(encode(payload), kind)
        except CodecError:
            return
        who, cosigners = self._choose_signers(payload)
        sidecars: tuple[Sidecar, ...] = ()
        if isinstance(payload, Apply):
            sidecars = tuple(
                Sidecar(model=one.model, salt=self._bytes("salt"), bins=self._make_bins()) for one in payload.sidecars
            )
        transaction = self.world.transaction(who, payload, cosigners=cosigners)
        (receipt,) = self.world.block((transaction, sidecars), ms=self.random.choice((1, 1_000, DAY_MS // 3)))
        if receipt is not None:
            self.receipts.append((kind.__name__, receipt.rejection))

    def restart(self) -> None:
        """Go on from saved rows, as a node does after a crash; they must give the same books."""
        ledger = self.world.ledger
        rows = list(ledger.rows())
        again = Ledger.from_rows(ledger.genesis, rows, height=ledger.height, exec_root=ledger.exec_root)
        assert again.state_root == ledger.state_root
        assert again.next_due_ms() == ledger.next_due_ms()
        self.world.ledger = again

    # ------------------------------------------------------------------ who

    def _choose_signers(self, payload: Any) -> tuple[str, tuple[str, ...]]:
        """Mostly somebody whom the payload concerns, so that more than a signature is looked at."""
        random, spoken = self.random, self.lives.signers
        concerned = self._find_concerned(payload) if random.random() < 0.8 else []
        who = random.choice(concerned or list(EVERYBODY))
        many = random.choice((0, 0, 1, len(EVERYBODY), len(EVERYBODY)))
        others = [one for one in random.sample(EVERYBODY, many) if one != who]
        return spoken.get(who, who), tuple(spoken.get(one, one) for one in others)

    def _find_concerned(self, payload: Any) -> list[str]:
        """Names of those who own, owe or lend what a payload names."""
        state, accounts = self.world.ledger.books.state, {self.world.account(one): one for one in EVERYBODY}
        found: dict[str, None] = {}
        rows: list[Any] = [payload]
        for name in msgspec.structs.fields(type(payload)):
            value = getattr(payload, name.name)
            if isinstance(value, bytes):
                rows += [state.get(table, value) for table in NAMES.get(name.name, ())]
        for row in rows:
            disclosure = getattr(row, "disclosure", row)
            holdings = getattr(row, "holdings", ())
            owners = [getattr(disclosure, one, None) for one in ("owner", "borrower", "lender", "account", "proposer")]
            owners += [state.need(POOLS, one.pool).owner for one in holdings]
            if isinstance(getattr(payload, "loan", None), bytes) and (kept := state.get(CONTRACTS, payload.loan)):
                owners.append(kept.disclosure.borrower)
            found.update((accounts[one], None) for one in owners if one in accounts)
        return [*found, *(("agent", "issuer", *LENDERS) if not found else ())]

    # ------------------------------------------------------------------ what

    def _sign_terms(self, payload: Any) -> Any:
        """Now and then the very hash that the books expect: an attack that knows what it signs goes further."""
        books, random = self.world.ledger.books, self.random
        if random.random() < 0.3:
            return payload
        found = None
        if isinstance(payload, Accept) and (offer := books.state.get(OFFERS, payload.offer)) is not None:
            found = offer.terms_hash
        elif isinstance(payload, AmendAnswer) and (row := books.state.get(AMENDMENTS, payload.amendment)) is not None:
            contract, loan = load_loan(books, ObjectId(row.terms.loan))
            today = books.calculate_day(contract.disclosure.tz_offset_min)
            if row.terms.settle is not None:
                found = bytes(32)
            elif row.terms.rate_ppm < 10**6 and (told := calculate_amended(contract, loan, row.terms, today)):
                found = calculate_terms_hash(told.disclosure)
        elif isinstance(payload, Draw) and books.state.get(LINES, payload.line) is not None:
            told = quote_draw(books, ObjectId(payload.line), payload.amount, payload.instalments)
            found = None if isinstance(told, Rejection) else calculate_terms_hash(told)
        return payload if found is None else msgspec.structs.replace(payload, terms_hash=found)

    def _make_bins(self) -> tuple[int, ...]:
        return self.random.choice((BEST_BINS, BEST_BINS, tuple(0 for _ in BEST_BINS), BEST_BINS[1:], (255,)))

    def _make(self, kind: Any, name: str, meta: msgspec.Meta | None = None) -> Any:
        origin, args = typing.get_origin(kind), typing.get_args(kind)
        random = self.random
        if origin is typing.Annotated:
            return self._make(args[0], name, next((one for one in args[1:] if isinstance(one, msgspec.Meta)), meta))
        if origin in {typing.Union, types.UnionType}:
            return self._make(random.choice(args), name, meta)
        if origin is tuple:
            least, most = (meta.min_length or 0, meta.max_length or 4) if meta is not None else (0, 4)
            return tuple(self._make(args[0], name) for _ in range(random.choice((least, least, 1, min(most, 3), most))))
        if kind is type(None):
            return None
        if hasattr(kind, "__supertype__"):
            return self._make(kind.__supertype__, name, meta)
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            return self._make_struct(kind)
        if isinstance(kind, type) and issubclass(kind, enum.Enum):
            return random.choice(list(kind))
        if kind is bool:
            return random.random() < 0.5
        if kind is int:
            return self._int(name, meta)
        return self._bytes(name) if kind is bytes else self._text(name, meta)

    def _make_struct(self, kind: type) -> Any:
        """A struct, or half the time one of the books with a field or two changed: that passes more checks."""
        hints = typing.get_type_hints(kind, include_extras=True)
        fields = [field.name for field in msgspec.structs.fields(kind)]
        real = self._find_real(kind)
        if real is not None and self.random.random() < 0.6:
            changed = self.random.sample(fields, min(len(fields), self.random.choice((0, 1, 1, 2))))
            return msgspec.structs.replace(real, **{one: self._make(hints[one], one) for one in changed})
        return kind(**{one: self._make(hints[one], one) for one in fields})

    def _find_real(self, kind: type) -> Any:
        """A payload of the type that stands in the books."""
        state = self.world.ledger.books.state
        for table, name in ((PRODUCTS, "terms"), (APPLICATIONS, "request"), (DATA, "anchor"), (CONSENTS, "grant")):
            found = [getattr(row, name) for _, row in state.items(table) if type(getattr(row, name)) is kind]
            if found:
                return self.random.choice(found)
        return self.world.ledger.books.policy if kind is type(self.world.ledger.books.policy) else None

    def _text(self, name: str, meta: msgspec.Meta | None) -> str:
        models = [row.text for _, row in self.world.ledger.books.state.items(MODELS)]
        texts = (
            ["CNY", "EUR", "XXX"]
            if meta is not None and meta.pattern == "^[A-Z]{3}$"
            else ["truck", "a", "é{", "[" * 4_000]
        )
        return self.random.choice((*texts, *models))

    def _int(self, name: str, meta: msgspec.Meta | None) -> int:
        random, world = self.random, self.world
        least = 0 if meta is None or meta.ge is None else int(meta.ge)
        most = 2**53 - 1 if meta is None or meta.le is None else int(meta.le)
        if most == 3_652_059:
            near = [world.today + one for one in (-400, -1, 0, 1, 2, 30, 366)]
        elif name.endswith("_ms"):
            near = [world.now_ms + one for one in (-1, 0, 1, DAY_MS)]
        else:
            near = [1, 2, 3, 100, 5_000, 10_000, 99_999, 800_000, 5_000_000]
        chosen = random.choice((least, least + 1, most, most - 1, (least + most) // 2, *near, *near))
        return min(max(chosen, least), most)

    def _bytes(self, name: str) -> Any:
        """An id: mostly of the kind that the field asks for, else of any."""
        random, state = self.random, self.world.ledger.books.state
        dice = random.random()
        if dice < 0.03:
            return bytes(32)
        if dice < 0.06:
            return random.randbytes(32)
        if dice < 0.12:
            tables: tuple[Table[Any], ...] = tuple(table for tables in NAMES.values() for table in tables)
        elif name in {"new_key", "new_officer_key", "officer_key", "attester_key", "key"}:
            return make_signer(random.choice((*EVERYBODY, "fresh"))).public_key
        else:
            tables = NAMES.get(name, (ACCOUNTS,))
        keys = [key for key, _ in state.items(random.choice(tables))]
        if name == "model":
            return random.choice((*keys, MODEL_ID))
        return random.choice(keys) if keys else random.randbytes(32)
