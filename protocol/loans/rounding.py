"""The divisions of loan mathematics, each with its rounding in its name.

Numerators may be negative, denominators are positive. Nothing here knows what is being divided; and there must never
be a division elsewhere in this package whose rounding one has to guess.
"""


def divide_floor(numerator: int, denominator: int) -> int:
    """Return the largest integer not above numerator over denominator."""
    assert denominator > 0, "a denominator is positive"
    return numerator // denominator


def divide_ceil(numerator: int, denominator: int) -> int:
    """Return the smallest integer not below numerator over denominator."""
    assert denominator > 0, "a denominator is positive"
    return -(-numerator // denominator)


def divide_half_even(numerator: int, denominator: int) -> int:
    """Return the nearest integer, ties to the even one (IEEE 754 roundTiesToEven, on exact integers)."""
    assert denominator > 0, "a denominator is positive"
    quotient, remainder = divmod(numerator, denominator)
    doubled = 2 * remainder
    if doubled > denominator or (doubled == denominator and quotient % 2 == 1):
        return quotient + 1
    return quotient


def split_conserving(amount: int, parts: int) -> tuple[int, ...]:
    """Split amount over parts so that the sum is exact: part i is floor(i*A over k) minus floor((i-1)*A over k)."""
    assert parts > 0, "a split has at least one part"
    bounds = [i * amount // parts for i in range(parts + 1)]
    return tuple(after - before for before, after in zip(bounds, bounds[1:], strict=False))
