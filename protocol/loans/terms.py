"""The words a loan's terms are written in: enums whose numbers stand in signed bytes. Append only, no arithmetic."""

from enum import IntEnum


class PeriodUnit(IntEnum):
    """Unit of the time between instalments."""

    DAY = 1
    WEEK = 2
    MONTH = 3


class DayCount(IntEnum):
    """How a stretch of days becomes a fraction of a year (ISDA 2006 section 4.16 names)."""

    THIRTY_360 = 1
    ACT_365F = 2
    ACT_360 = 3
    ACT_ACT = 4
    SEVEN_364 = 5


class RoundingProfile(IntEnum):
    """A: half-even, last instalment takes the rest. B: consumer, the last instalment is never higher."""

    A = 1
    B = 2


class Amortisation(IntEnum):
    """How principal is spread over the instalments."""

    LEVEL = 1
    EQUAL_PRINCIPAL = 2
    BULLET = 3
    BALLOON = 4


class WaterfallOrder(IntEnum):
    """Order inside one instalment: I interest, P principal, F fees and penalties."""

    IPF = 1
    FIP = 2
    PIF = 3


class ExcessRule(IntEnum):
    """Where money beyond what is due goes."""

    NEXT = 1
    LAST = 2
    REAMORTISE = 3
