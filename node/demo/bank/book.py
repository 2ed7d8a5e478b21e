"""The bank's side: an account kept day by day from what its holder means to do, until its balance chain closes.

The book is exact integers; the files of `exports.py` only print it. Never put a customer's habits here (they are in
`lives.py`), nor a file format.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Final, Protocol, TypeVar

from node.demo.bank.kinds import CHARGE, INTEREST, Kind

SCALE_PERMILLE: Final = {"CNY": 1000, "HKD": 1100, "USD": 140, "EUR": 130, "GBP": 110, "CZK": 3200}
"""Size of amounts in a currency, per thousand of those in CNY. Rough market rates: only the order of magnitude counts.

All of them have two decimal places."""

INTEREST_PPM: Final = 500
"""Yearly rate on current accounts: 0.05 %, what the large Chinese banks pay on demand deposits since 2025."""
CHARGE_MAJOR: Final = 20
"""What the bank takes for a direct debit it could not carry out."""
_T = TypeVar("_T")
_QUARTERS: Final = (3, 6, 9, 12)
_INTEREST_DAY: Final = 21  # interest up to the 20th is paid on the 21st (结息日)


@dataclass(frozen=True, slots=True, kw_only=True)
class Party:
    """Somebody on the other side, under the name in Chinese and in Latin letters."""

    zh: str
    en: str
    account: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """What the holder, or somebody with a claim on the account, means to do on one day."""

    second: int
    """Second of the day, 0-86399."""
    amount: int
    """Signed minor units; positive is money in."""
    kind: Kind
    party: Party
    note: str = ""
    """ASCII reference printed behind the purpose, such as an invoice number."""
    is_claim: bool = False
    """Whether failing for want of money costs the holder a charge (a direct debit) instead of nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of the book. `balance` holds after it."""

    at: datetime
    amount: int
    balance: int
    kind: Kind
    party: Party
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Book:
    """One account over one period, in the order in which its balance chain closes."""

    holder: str
    account: str
    currency: str
    first_day: date
    last_day: date
    opening: int
    entries: tuple[Entry, ...]

    @property
    def closing(self) -> int:
        """Balance at the end of the period, minor units."""
        return self.entries[-1].balance if self.entries else self.opening

    @property
    def total_in(self) -> int:
        """Sum of the movements in, minor units."""
        return sum(entry.amount for entry in self.entries if entry.amount > 0)

    @property
    def total_out(self) -> int:
        """Sum of the movements out as a positive number, minor units."""
        return -sum(entry.amount for entry in self.entries if entry.amount < 0)


class Life(Protocol):
    """A customer: what he means to do each day, given the balance in the morning."""

    def plan(self, day: date, balance: int) -> list[Intent]:
        """The intents of `day` in any order."""
        ...


class Dice:
    """Chance from one seed, in the units of the bank. The same seed gives the same life on every machine."""

    def __init__(self, seed: str, currency: str, *, taken: str = "") -> None:
        self.taken = taken
        """A name that no invented person may bear: the holder's, since a namesake would look like the holder."""
        self._random = random.Random(seed)  # noqa: S311  (an invented life, nothing secret)
        self._permille = SCALE_PERMILLE[currency]

    def between(self, low: int, high: int) -> int:
        """A whole number from low to high, both included."""
        return self._random.randrange(low, high + 1)

    def happens(self, percent: int) -> bool:
        """True in `percent` of a hundred cases."""
        return self._random.randrange(100) < percent

    def pick(self, choices: Sequence[_T]) -> _T:
        """One of `choices`."""
        return choices[self._random.randrange(len(choices))]

    def money(self, low: int, high: int | None = None, *, cents: bool = True) -> int:
        """Minor units between `low` and `high` major units at CNY prices; without `cents` a whole major amount."""
        value = self.between(low * 100, (low if high is None else high) * 100) * self._permille // 1000
        return value if cents else value // 100 * 100

    def second(self, first_hour: int, last_hour: int) -> int:
        """A second of the day from first_hour:00:00 to last_hour:59:59."""
        return self.between(first_hour * 3600, last_hour * 3600 + 3599)

    def digits(self, count: int) -> str:
        """`count` digits, the first of them not zero."""
        return str(self.between(1, 9)) + "".join(str(self.between(0, 9)) for _ in range(count - 1))


def keep_book(
    life: Life, dice: Dice, *, holder: str, currency: str, opening: int, first_day: date, last_day: date, bank: Party
) -> Book:
    """The account of `life` from first_day to last_day, with interest and charges of `bank`.

    A movement out that the balance does not cover does not happen; a claim that fails costs a charge, which may
    overdraw the account.
    """
    entries: list[Entry] = []
    balance, earned = opening, _accrued_before(first_day, opening)
    charge = dice.money(CHARGE_MAJOR, cents=False)
    account = "6217" + dice.digits(15)

    def post(day: date, intent: Intent) -> None:
        nonlocal balance
        balance += intent.amount
        at = datetime.combine(day, time()) + timedelta(seconds=intent.second)
        entries.append(
            Entry(at=at, amount=intent.amount, balance=balance, kind=intent.kind, party=intent.party, note=intent.note)
        )

    for ordinal in range(first_day.toordinal(), last_day.toordinal() + 1):
        day = date.fromordinal(ordinal)
        intents = life.plan(day, balance)
        if day.month in _QUARTERS and day.day == _INTEREST_DAY:
            interest = earned * INTEREST_PPM // (360 * 1_000_000)
            earned = 0
            if interest > 0:
                intents.append(Intent(second=dice.second(1, 3), amount=interest, kind=INTEREST, party=bank))
        for intent in sorted(intents, key=lambda each: each.second):
            if intent.amount > 0 or balance + intent.amount >= 0:
                post(day, intent)
            elif intent.is_claim:
                post(day, Intent(second=intent.second, amount=-charge, kind=CHARGE, party=bank))
        earned += max(balance, 0)
    return Book(
        holder=holder,
        account=account,
        currency=currency,
        first_day=first_day,
        last_day=last_day,
        opening=opening,
        entries=tuple(entries),
    )


def _accrued_before(first_day: date, opening: int) -> int:
    """Balance-days since the last interest day before the period, as if the balance had stood at the opening."""
    day = first_day
    while not (day.month in _QUARTERS and day.day == _INTEREST_DAY):
        day -= timedelta(days=1)
    return opening * (first_day - day).days
