"""How late a loan is, and what follows from it: days past due, bucket, class, stage, haircut, first loss.

Everything is derived from the rows and a day, nothing is stored; a lender may worsen a class but never better it. The
bounds are the defaults of Chinese rule 2023 No. 1 on asset classes and of IFRS 9; a policy may pass its own. Here must
never be a transition of a loan's state.
"""

from collections.abc import Sequence
from enum import IntEnum

from protocol.loans.waterfall import Row
from protocol.money import share_ceil

_BUCKET_BOUNDS = (0, 7, 30, 60, 90, 180, 270, 360)


class DelinquencyBucket(IntEnum):
    """Days past due, in steps; each name gives the largest number of days in it."""

    CURRENT = 0
    TO_7 = 1
    TO_30 = 2
    TO_60 = 3
    TO_90 = 4
    TO_180 = 5
    TO_270 = 6
    TO_360 = 7
    ABOVE_360 = 8


class AssetClass(IntEnum):
    """The five classes, worse upwards."""

    NORMAL = 1
    SPECIAL_MENTION = 2
    SUBSTANDARD = 3
    DOUBTFUL = 4
    LOSS = 5


_CLASS_BOUNDS = (
    (360, AssetClass.LOSS),
    (270, AssetClass.DOUBTFUL),
    (90, AssetClass.SUBSTANDARD),
    (7, AssetClass.SPECIAL_MENTION),
)
"""Above so many days past due a loan is at least of this class; the first seven days may be technical."""


def calculate_days_past_due(rows: Sequence[Row], today: int, *, materiality: int = 0) -> int:
    """Return the days since the oldest row with more than `materiality` minor units unpaid; 0 on its due date."""
    oldest = min((row.due_on for row in rows if row.unpaid > materiality), default=today)
    return max(0, today - oldest)


def calculate_bucket(days_past_due: int) -> DelinquencyBucket:
    """Return the bucket of a number of days past due."""
    return DelinquencyBucket(sum(days_past_due > bound for bound in _BUCKET_BOUNDS))


def calculate_class(
    days_past_due: int,
    *,
    restructured: bool = False,
    other_loan_impaired: bool = False,
    lender_class: AssetClass = AssetClass.NORMAL,
) -> AssetClass:
    """Return the class: the worst of what the days, the circumstances and the lender say.

    `restructured` while a changed loan is observed; `other_loan_impaired` when another loan of the same borrower is
    substandard or worse.
    """
    by_days = next((worse for bound, worse in _CLASS_BOUNDS if days_past_due > bound), AssetClass.NORMAL)
    watched = AssetClass.SPECIAL_MENTION if restructured or other_loan_impaired else AssetClass.NORMAL
    return max(by_days, watched, lender_class)


def calculate_stage(days_past_due: int) -> int:
    """Return the IFRS 9 stage by its presumptions: 1 up to 30 days past due, 2 up to 90, 3 beyond (5.5.11, B5.5.37)."""
    return 1 + (days_past_due > 30) + (days_past_due > 90)


def calculate_haircut(principal: int, asset_class: AssetClass, haircuts_ppm: Sequence[int]) -> int:
    """Return the part of the principal that redemptions leave out, rounded up; one rate for each class in order."""
    assert len(haircuts_ppm) == len(AssetClass), "a policy gives one haircut for each class"
    return min(principal, share_ceil(principal, haircuts_ppm[asset_class - 1]))


def calculate_first_loss(principal: int, *, cover_rate_ppm: int, cover_available: int) -> tuple[int, int]:
    """Return (covered, loss) of a defaulted principal: one rate, rounded up, as far as the cover goes."""
    covered = min(principal, share_ceil(principal, cover_rate_ppm), cover_available)
    return covered, principal - covered
