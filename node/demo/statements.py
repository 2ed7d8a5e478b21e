"""Bank statements of invented borrowers, in the formats real borrowers bring, from one seed.

    data = make_statement(Profile.SALARIED_STEADY, format=Format.OFX, end=date(2026, 10, 31), seed=7, holder="周雨桐")

The same arguments give the same bytes on every machine. Never read a clock here, and never tune a profile to a model:
a profile is a way of living (`bank/lives.py`), and what it scores is found out, not set.
"""

from datetime import date, timedelta
from enum import StrEnum
from typing import Final

from node.demo.bank import exports, lives, people
from node.demo.bank.book import SCALE_PERMILLE, Book, Dice, Life, keep_book

MONTHS_MAX: Final = 60


class Profile(StrEnum):
    """A way of living from an account."""

    SALARIED_STEADY = "salaried_steady"
    SHOPKEEPER = "shopkeeper"
    SMALL_FIRM = "small_firm"
    OVERSTRETCHED = "overstretched"
    GIG_WORKER = "gig_worker"


class Format(StrEnum):
    """A file format; the wallets' hold no balances and are in CNY only."""

    OFX = "ofx"
    MT940 = "mt940"
    ALIPAY = "alipay"
    WECHAT = "wechat"
    CSV = "csv"


_WALLETS: Final = (Format.ALIPAY, Format.WECHAT)
_OPENING_MAJOR: Final = {
    Profile.SALARIED_STEADY: (58_000, 72_000),
    Profile.SHOPKEEPER: (42_000, 55_000),
    Profile.SMALL_FIRM: (210_000, 260_000),
    Profile.OVERSTRETCHED: (6_000, 9_000),
    Profile.GIG_WORKER: (7_000, 11_000),
}
_WRITERS: Final = {
    Format.OFX: exports.write_ofx,
    Format.MT940: exports.write_mt940,
    Format.ALIPAY: exports.write_alipay,
    Format.WECHAT: exports.write_wechat,
    Format.CSV: exports.write_bank_csv,
}


def make_book(
    profile: Profile,
    *,
    end: date,
    months: int = 12,
    seed: int,
    currency: str = "CNY",
    holder: str,
    is_wallet: bool = False,
) -> Book:
    """The account of one invented customer over the `months` months that end with the day `end`.

    Raises ValueError for a currency without a known price level, or months outside 1 to 60.
    """
    if currency not in SCALE_PERMILLE:
        raise ValueError(f"no price level is known for {currency}: choose one of {', '.join(SCALE_PERMILLE)}")
    if not 1 <= months <= MONTHS_MAX:
        raise ValueError(f"{months} months: a statement covers 1 to {MONTHS_MAX}")
    dice = Dice(f"{profile}|{currency}|{seed}", currency, taken=holder)
    bank = people.make_party(dice, people.BANKS)
    opening = dice.money(*_OPENING_MAJOR[profile])
    return keep_book(
        _make_life(profile, dice, is_wallet=is_wallet),
        dice,
        holder=holder,
        currency=currency,
        opening=opening,
        first_day=calculate_months_before(end + timedelta(days=1), months),
        last_day=end,
        bank=bank,
    )


def make_statement(
    profile: Profile,
    *,
    format: Format,  # noqa: A002  (the word its callers use; the builtin is not needed here)
    end: date,
    months: int = 12,
    seed: int,
    currency: str = "CNY",
    holder: str,
) -> bytes:
    """The file that the customer exports. Raises ValueError as `make_book`, and for a wallet in another currency."""
    if format in _WALLETS and currency != "CNY":
        raise ValueError(f"{format} is in CNY only")
    book = make_book(
        profile,
        end=end,
        months=months,
        seed=seed,
        currency=currency,
        holder=holder,
        is_wallet=format in _WALLETS,
    )
    return _WRITERS[format](book)


def _make_life(profile: Profile, dice: Dice, *, is_wallet: bool) -> Life:
    match profile:
        case Profile.SALARIED_STEADY:
            return lives.SalariedSteady(dice)
        case Profile.SHOPKEEPER:
            return lives.Shopkeeper(dice, is_wallet=is_wallet)
        case Profile.SMALL_FIRM:
            return lives.SmallFirm(dice)
        case Profile.OVERSTRETCHED:
            return lives.Overstretched(dice)
        case Profile.GIG_WORKER:
            return lives.GigWorker(dice)


def calculate_months_before(day: date, months: int) -> date:
    """The same day of the month `months` earlier, or that month's last day."""
    index = day.year * 12 + day.month - 1 - months
    for day_of_month in range(day.day, 27, -1):
        try:
            return date(index // 12, index % 12 + 1, day_of_month)
        except ValueError:
            continue
    return date(index // 12, index % 12 + 1, min(day.day, 28))
