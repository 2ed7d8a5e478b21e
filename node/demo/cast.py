"""Who plays in the demonstration: lenders with their products, borrowers with their statements. Data, no action."""

from enum import Enum
from typing import NamedTuple

from node.demo.statements import Format, Profile
from protocol.ids import Day, ModelId, ObjectId
from protocol.loans.terms import Amortisation, DayCount, PeriodUnit, RoundingProfile, WaterfallOrder
from protocol.money import Amount, Ppm
from protocol.transactions.lending import LoanPurpose
from protocol.transactions.products import BandPrice, LoanProduct, Segment

OBSERVER = "regulator"
CURRENCY = "CNY"
POOL_CASH = Amount(200_000_000)
"""Cash each lender brings: 2,000,000.00."""
SHORT_DAY_MS = 600
"""Length of a ledger day when instalments are to fall due within seconds."""


class Lender(NamedTuple):
    """One lender organisation and how it prices: nominal annual rates per score band, best first; others decline."""

    name: str
    title: str
    personal_ppm: tuple[int, ...]
    business_ppm: tuple[int, ...]


LENDERS = (
    Lender("harbour", "Harbour Bank", (72_000, 90_000, 120_000, 156_000), (93_000, 108_000, 132_000)),
    Lender("jade", "Jade Credit", (84_000, 96_000, 114_000, 150_000, 180_000), (87_000, 102_000, 126_000, 162_000)),
    Lender("plum", "Plum Finance", (78_000, 102_000, 126_000, 162_000), (76_000, 99_000, 129_000)),
    Lender("ridge", "Ridge Leasing", (96_000, 108_000, 132_000, 168_000), (81_000, 96_000, 120_000, 150_000)),
)


class Fate(Enum):
    """What becomes of a borrower in the story."""

    REPAYS = "repays"
    LATE = "late"
    DECLINED = "declined"
    CAPPED = "capped"
    CURRENT = "current"


class Borrower(NamedTuple):
    """One borrower, the statement, and what is asked for."""

    name: str
    profile: Profile
    format: Format
    file: str
    segment: Segment
    purpose: LoanPurpose
    amount: Amount
    fate: Fate
    seed: int


BORROWERS = (
    Borrower(
        "Li Na",
        Profile.SALARIED_STEADY,
        Format.OFX,
        "li-na.ofx",
        Segment.PERSONAL,
        LoanPurpose.EDUCATION,
        Amount(2_000_000),
        Fate.REPAYS,
        11,
    ),
    Borrower(
        "Wang's Noodles",
        Profile.SHOPKEEPER,
        Format.CSV,
        "wang-noodles.csv",
        Segment.SMALL_BUSINESS,
        LoanPurpose.WORKING_CAPITAL,
        Amount(1_500_000),
        Fate.LATE,
        12,
    ),
    Borrower(
        "Zhou Qiang",
        Profile.OVERSTRETCHED,
        Format.ALIPAY,
        "zhou-qiang-alipay.csv",
        Segment.PERSONAL,
        LoanPurpose.LIVING,
        Amount(5_000_000),
        Fate.DECLINED,
        13,
    ),
    Borrower(
        "Bright Tools Ltd",
        Profile.SMALL_FIRM,
        Format.MT940,
        "bright-tools.sta",
        Segment.SMALL_BUSINESS,
        LoanPurpose.EQUIPMENT,
        Amount(12_000_000),
        Fate.CAPPED,
        14,
    ),
)


def make_product(lender: Lender, segment: Segment, pool: ObjectId, model: ModelId, expires_on: Day) -> LoanProduct:
    """A lender's weekly term loan for a segment: 26 level instalments, interest first, late on the next day."""
    return LoanProduct(
        name=f"{lender.title} {'Personal' if segment is Segment.PERSONAL else 'Business'} 26",
        segment=segment,
        pool=pool,
        amount_min=Amount(100_000),
        amount_max=Amount(15_000_000),
        instalments_min=4,
        instalments_max=52,
        period_unit=PeriodUnit.WEEK,
        period_every=1,
        amortisation=Amortisation.LEVEL,
        day_count=DayCount.SEVEN_364,
        profile=RoundingProfile.A,
        origination_fee_ppm=Ppm(5_000),
        grace_days=0,
        late_rate_ppm=Ppm(60_000),
        late_fee=Amount(2_000),
        waterfall=WaterfallOrder.IPF,
        model=model,
        bands=tuple(
            BandPrice(rate_ppm=Ppm(rate), amount_max=Amount(15_000_000))
            for rate in (lender.personal_ppm if segment is Segment.PERSONAL else lender.business_ppm)
        ),
        attestations_min=2,
        auto_budget=Amount(100_000_000),
        tz_offset_min=480,
        offer_days=7,
        expires_on=expires_on,
    )
