"""Money and rates: integer minor units and parts per million. Every division names its rounding; never a float.

Amounts stay within 2^53 - 1 so that browsers, which count in doubles, read the same figure.
"""

from typing import Annotated, NewType

import msgspec

Amount = NewType("Amount", int)
"""Minor units of one currency, never negative on the wire."""
Ppm = NewType("Ppm", int)
"""Parts per million: a share of a whole, or a rate per year."""
Currency = NewType("Currency", str)
"""ISO 4217 alphabetic code."""

AMOUNT_MAX = 2**53 - 1
PPM = 1_000_000

AmountField = Annotated[Amount, msgspec.Meta(ge=0, le=AMOUNT_MAX)]
PpmField = Annotated[Ppm, msgspec.Meta(ge=0, le=100 * PPM)]
CurrencyField = Annotated[Currency, msgspec.Meta(pattern="^[A-Z]{3}$")]


def divide_floor(numerator: int, denominator: int) -> int:
    """Quotient rounded towards minus infinity; the denominator is positive."""
    assert denominator > 0
    return numerator // denominator


def divide_ceil(numerator: int, denominator: int) -> int:
    """Quotient rounded towards plus infinity; the denominator is positive."""
    assert denominator > 0
    return -(-numerator // denominator)


def divide_half_even(numerator: int, denominator: int) -> int:
    """Quotient rounded to nearest, ties to even (IEEE 754 roundTiesToEven); the denominator is positive."""
    assert denominator > 0
    quotient, rest = divmod(numerator, denominator)
    twice = 2 * rest
    if twice > denominator or (twice == denominator and quotient % 2 == 1):
        return quotient + 1
    return quotient


def share_floor(amount: int, ppm: int) -> int:
    """`amount` times `ppm` parts per million, rounded down: used where the payer is charged."""
    return divide_floor(amount * ppm, PPM)


def share_ceil(amount: int, ppm: int) -> int:
    """`amount` times `ppm` parts per million, rounded up: used where the borrower is protected."""
    return divide_ceil(amount * ppm, PPM)


def split_conserving(amount: int, parts: int) -> list[int]:
    """`amount` over `parts` shares that differ by at most one unit and sum to it exactly (ledger rule 2.4)."""
    assert parts > 0
    return [(i * amount) // parts - ((i - 1) * amount) // parts for i in range(1, parts + 1)]
