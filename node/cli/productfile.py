"""A loan product as people write it: a TOML file with speaking names, its annotated example, and what is wrong in one.

Every complaint names its key. The ledger judges the same things again; never a rule here that it does not have.
"""

import tomllib
from datetime import date
from pathlib import Path
from string import Template
from typing import Annotated, Final, Literal

import msgspec

from node.cli.common import format_ppm
from node.client.network import Standing
from protocol.ids import Day, ModelId, ObjectId
from protocol.ledger.products import LENGTH_MAX
from protocol.loans.terms import Amortisation, DayCount, PeriodUnit, RoundingProfile, WaterfallOrder
from protocol.money import AMOUNT_MAX, Amount, Ppm
from protocol.transactions.products import BandPrice, LoanProduct, Segment
from scoring.points import PointsModel

DAY_COUNTS: Final = {
    "30/360": DayCount.THIRTY_360,
    "ACT/365F": DayCount.ACT_365F,
    "ACT/360": DayCount.ACT_360,
    "ACT/ACT": DayCount.ACT_ACT,
    "7/364": DayCount.SEVEN_364,
}
ORDERS: Final = {
    "interest_principal_fees": WaterfallOrder.IPF,
    "fees_interest_principal": WaterfallOrder.FIP,
    "principal_interest_fees": WaterfallOrder.PIF,
}
UNITS: Final = {"d": PeriodUnit.DAY, "w": PeriodUnit.WEEK, "m": PeriodUnit.MONTH}
FILE_BYTES_MAX: Final = 65_536

Minor = Annotated[int, msgspec.Meta(ge=0, le=AMOUNT_MAX)]
Rate = Annotated[int, msgspec.Meta(ge=0, le=10_000_000)]
Count = Annotated[int, msgspec.Meta(ge=1, le=480)]

TEMPLATE: Final = Template("""\
# A loan product of Liushui. Publish it with: liushui product publish FILE --officer-dir DIR
# Money is in minor units (150_000 is 1,500.00 CNY), rates are in parts per million a year (72_000 is 7.2 %).
# A published product is never changed: what was lent under it keeps its terms. Publish a new one instead.

name = "Personal 12"
segment = "personal"                # personal, small_business or consumer: it must be what the borrower asks for
# pool = "64 hexadecimal digits"    # the pool loans are paid from; may be left out if you have just one
# model = "name or id"              # the scoring model; may be left out if the network has just one for the currency

amount_min_minor = 100_000          # smallest and largest loan
amount_max_minor = 5_000_000
instalments_min = 3                 # fewest and most instalments
instalments_max = 24
every = "1m"                        # time between instalments: Nd, Nw or Nm (days, weeks, months)
amortisation = "level"              # level (equal payments), equal_principal, or bullet (all principal at the end)
day_count = "30/360"                # 30/360, ACT/365F, ACT/360, ACT/ACT or 7/364 (for weeks)
rounding = "A"                      # A: the last instalment takes the rest; B: the last one is never the highest

origination_fee_ppm = 5_000         # of the principal, taken out of the pay-out
grace_days = 3                      # so many days after the due day nothing is late
late_rate_ppm = 60_000              # a year, on what is overdue, beside the ordinary interest
late_fee_minor = 2_000              # once for each late instalment
repayment_order = "interest_principal_fees" # or fees_interest_principal, principal_interest_fees

attestations_min = 2                # organisations, you among them, whose equal readings of the statement decide
auto_budget_minor = 100_000_000     # principal that may be granted in all; with 0 nothing is granted
utc_offset_minutes = 480            # whose midnight ends a contract day: 480 is China
offer_days = 7                      # how long an offer stands
expires_on = $expires_on             # no application after this day

# One price for each score band, best first. A borrower in a later band than the last one here is declined.
[[bands]]
rate_ppm = 72_000
amount_max_minor = 5_000_000

[[bands]]
rate_ppm = 90_000
amount_max_minor = 3_000_000

[[bands]]
rate_ppm = 120_000
amount_max_minor = 1_000_000
""")


class BandText(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One [[bands]] table."""

    rate_ppm: Rate
    amount_max_minor: Minor


class ProductText(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The file, key by key; what each means stands in the template."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    segment: Literal["personal", "small_business", "consumer"]
    pool: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")] | None = None
    model: str | None = None
    amount_min_minor: Minor
    amount_max_minor: Minor
    instalments_min: Count
    instalments_max: Count
    every: Annotated[str, msgspec.Meta(pattern="^[1-9][0-9]{0,2}[dwm]$")]
    amortisation: Literal["level", "equal_principal", "bullet"]
    day_count: Literal["30/360", "ACT/365F", "ACT/360", "ACT/ACT", "7/364"]
    rounding: Literal["A", "B"] = "A"
    origination_fee_ppm: Annotated[int, msgspec.Meta(ge=0, lt=1_000_000)]
    grace_days: Annotated[int, msgspec.Meta(ge=0, le=30)]
    late_rate_ppm: Rate
    late_fee_minor: Minor
    repayment_order: Literal["interest_principal_fees", "fees_interest_principal", "principal_interest_fees"] = (
        "interest_principal_fees"
    )
    attestations_min: Annotated[int, msgspec.Meta(ge=1, le=16)]
    auto_budget_minor: Minor
    utc_offset_minutes: Annotated[int, msgspec.Meta(ge=-720, le=840)]
    offer_days: Annotated[int, msgspec.Meta(ge=1, le=30)]
    expires_on: date
    bands: Annotated[tuple[BandText, ...], msgspec.Meta(min_length=1, max_length=16)]


class ProductFileError(ValueError):
    """A product file that cannot be used; the text has one line for each mistake, each with its key."""


def format_template(expires_on: date) -> str:
    """The annotated example, on sale until `expires_on`."""
    return TEMPLATE.substitute(expires_on=expires_on.isoformat())


def read_product_file(path: Path) -> ProductText:
    """The file's content. Raises ProductFileError naming the key, or the line where it is not TOML; OSError."""
    with path.open("rb") as file:
        raw = file.read(FILE_BYTES_MAX + 1)
    if len(raw) > FILE_BYTES_MAX:
        raise ProductFileError("the file is too large for a product")
    try:
        values = tomllib.loads(raw.decode("utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ProductFileError(f"the file is not valid TOML: {error}") from error
    known = {field.name for field in msgspec.structs.fields(ProductText)}
    needed = {field.name for field in msgspec.structs.fields(ProductText) if field.required}
    faults = [
        f"{name}: no such key; liushui product template shows all of them" for name in values if name not in known
    ]
    faults += [f"{name}: missing; liushui product template shows an example" for name in sorted(needed - set(values))]
    for field in msgspec.structs.fields(ProductText):
        if field.name in values:
            try:
                msgspec.convert(values[field.name], field.type)
            except msgspec.ValidationError as error:
                faults.append(_locate(field.name, str(error)))
    if faults:
        raise ProductFileError("\n".join(faults))
    return msgspec.convert(values, ProductText)


def _locate(name: str, sentence: str) -> str:
    """msgspec's sentence with the key in front: `bands[0].rate_ppm: Expected ...`."""
    what, _, where = sentence.partition(" - at `$")
    allowed = {
        "segment": "personal, small_business or consumer",
        "amortisation": "level, equal_principal or bullet",
        "day_count": "30/360, ACT/365F, ACT/360, ACT/ACT or 7/364",
        "rounding": "A or B",
        "repayment_order": ", ".join(ORDERS),
        "every": "a period like 30d, 2w or 1m",
        "pool": "64 hexadecimal digits in lower case, as liushui pool show prints",
        "expires_on": "a date like 2027-12-31",
    }.get(name)
    return f"{name}{where.rstrip('`')}: {what if allowed is None else f'give {allowed}'}"


def find_product_faults(text: ProductText, network: Standing, today: Day) -> list[str]:
    """What the network would refuse, one line each, with the key. `today` is the contract's day in the offset named."""
    policy, faults = network.policy, []
    count, unit = int(text.every[:-1]), UNITS[text.every[-1]]
    if not 0 < text.amount_min_minor <= text.amount_max_minor:
        faults.append("amount_min_minor: must be at least 1 and not above amount_max_minor")
    if text.instalments_min > text.instalments_max:
        faults.append("instalments_min: must not be above instalments_max")
    if count > 366 or text.instalments_max * count > LENGTH_MAX[unit]:
        faults.append("every: with instalments_max this lasts longer than forty years")
    for index, band in enumerate(text.bands):
        where = f"bands[{index}].rate_ppm"
        if band.rate_ppm > policy.apr_cap_ppm:
            faults.append(f"{where}: above the network's cap of {format_ppm(policy.apr_cap_ppm)}")
        elif band.rate_ppm + text.late_rate_ppm > policy.late_cap_ppm:
            cap = format_ppm(policy.late_cap_ppm)
            faults.append(f"{where}: with late_rate_ppm above the network's cap of {cap} for what is overdue")
        if band.amount_max_minor < text.amount_min_minor:
            faults.append(f"bands[{index}].amount_max_minor: below amount_min_minor, so that nobody could be granted")
    if text.auto_budget_minor == 0:
        faults.append("auto_budget_minor: with 0 nothing is ever granted")
    validators = sum(1 for one in network.members if one.attester_key is not None)
    if text.attestations_min > validators:
        faults.append(f"attestations_min: only {validators} organisations can attest, so that nothing would be decided")
    floor = min(policy.attestations_floor, validators)
    if text.attestations_min < floor:
        faults.append(f"attestations_min: the network's policy asks for {floor} at least")
    if text.expires_on.toordinal() < today:
        faults.append(f"expires_on: lies in the past; today is {date.fromordinal(today).isoformat()}")
    return faults


def pick_model(text: ProductText, models: dict[ModelId, PointsModel], currency: str) -> ModelId:
    """The model named, or the only one of the currency. Raises ProductFileError naming the key."""
    fitting = {key: model for key, model in models.items() if model.currency == currency}
    chosen = [key for key, model in fitting.items() if text.model in (None, model.name, key.hex())]
    if len(chosen) != 1:
        names = ", ".join(model.name for model in fitting.values()) or "none"
        raise ProductFileError(f"model: name one of the network's models for {currency}: {names}")
    return chosen[0]


def make_product(text: ProductText, *, pool: ObjectId, model: ModelId) -> LoanProduct:
    """The payload to sign."""
    return LoanProduct(
        name=text.name,
        segment=Segment[text.segment.upper()],
        pool=pool,
        amount_min=Amount(text.amount_min_minor),
        amount_max=Amount(text.amount_max_minor),
        instalments_min=text.instalments_min,
        instalments_max=text.instalments_max,
        period_unit=UNITS[text.every[-1]],
        period_every=int(text.every[:-1]),
        amortisation=Amortisation[text.amortisation.upper()],
        day_count=DAY_COUNTS[text.day_count],
        profile=RoundingProfile[text.rounding],
        origination_fee_ppm=Ppm(text.origination_fee_ppm),
        grace_days=text.grace_days,
        late_rate_ppm=Ppm(text.late_rate_ppm),
        late_fee=Amount(text.late_fee_minor),
        waterfall=ORDERS[text.repayment_order],
        model=model,
        bands=tuple(
            BandPrice(rate_ppm=Ppm(band.rate_ppm), amount_max=Amount(band.amount_max_minor)) for band in text.bands
        ),
        attestations_min=text.attestations_min,
        auto_budget=Amount(text.auto_budget_minor),
        tz_offset_min=text.utc_offset_minutes,
        offer_days=text.offer_days,
        expires_on=Day(text.expires_on.toordinal()),
    )
