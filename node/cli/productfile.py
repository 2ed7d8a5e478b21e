"""A loan product as people write it: a TOML file with speaking names, and what is wrong in one.

Every complaint names its key. The ledger judges the same things again; never a rule here that it does not have.
"""

import re
import tomllib
from datetime import date
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec

from node.cli.common import format_ppm
from node.cli.producttemplate import KINDS
from node.client.network import Standing
from protocol.ids import Day, ModelId, ObjectId
from protocol.ledger.products import LENGTH_MAX
from protocol.limits import PARTNERS_MAX
from protocol.loans.terms import Amortisation, DayCount, PeriodUnit, RoundingProfile, WaterfallOrder
from protocol.money import AMOUNT_MAX, PPM, Amount, Ppm
from protocol.transactions.products import (
    BandPrice,
    LeaseKind,
    LineKind,
    LoanProduct,
    MerchantKind,
    Partner,
    ProductKind,
    RevenueKind,
    Segment,
    TermKind,
)
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

Share = Annotated[int, msgspec.Meta(ge=0, le=PPM)]
PoolText = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]


class BandText(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One [[bands]] table."""

    rate_ppm: Rate
    amount_max_minor: Minor


class TermText(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The [term] table."""

    residual_ppm: Share = 0


class RevenueText(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The [revenue] table."""

    share_ppm: Share
    volume_days: Annotated[int, msgspec.Meta(ge=360, le=365)]
    floor_ppm: Share
    warning_ppm: Share
    term_days_max: Annotated[int, msgspec.Meta(ge=30, le=1_096)]


class LineText(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The [line] table."""

    days: Annotated[int, msgspec.Meta(ge=1, le=1_096)]
    draw_min_minor: Minor


class LeaseText(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The [lease] table."""

    residual_ppm: Share
    deposit_ppm: Share
    may_return: bool
    may_buy: bool
    extend_instalments: Annotated[int, msgspec.Meta(ge=0, le=480)]


class MerchantText(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The [merchant] table."""

    discount_ppm: Share


class PartnerText(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One [[partners]] table."""

    pool: PoolText
    share_ppm: Share


class ProductText(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The file, key by key; what each means stands in the template."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    segment: Literal["personal", "small_business", "consumer"]
    pool: PoolText | None = None
    model: str | None = None
    amount_min_minor: Minor
    amount_max_minor: Minor
    instalments_min: Count
    instalments_max: Count
    every: Annotated[str, msgspec.Meta(pattern="^[1-9][0-9]{0,2}[dwm]$")]
    amortisation: Literal["level", "equal_principal", "bullet", "balloon"]
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
    prepayment_fee_ppm: Share = 0
    default_days: Annotated[int, msgspec.Meta(ge=30, le=360)] = 90
    grade_max_minor: Annotated[tuple[Minor, ...], msgspec.Meta(max_length=4)] = ()
    term: TermText | None = None
    revenue: RevenueText | None = None
    line: LineText | None = None
    lease: LeaseText | None = None
    merchant: MerchantText | None = None
    partners: Annotated[tuple[PartnerText, ...], msgspec.Meta(max_length=PARTNERS_MAX)] = ()


class ProductFileError(ValueError):
    """A product file that cannot be used; the text has one line for each mistake, each with its key."""


def read_product_file(path: Path) -> ProductText:
    """The file's content. Raises ProductFileError naming the key, or the line where it is not TOML; OSError."""
    with path.open("rb") as file:
        raw = file.read(FILE_BYTES_MAX + 1)
    if len(raw) > FILE_BYTES_MAX:
        raise ProductFileError("the file is too large for a product")
    try:
        values = tomllib.loads(raw.decode("utf-8"))
    except (ValueError, RecursionError) as error:
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
    where = where.rstrip("`")
    if found := re.fullmatch("Object (contains unknown|missing required) field `(.+)`", what):
        fault = "no such key" if found[1].startswith("contains") else "missing"
        return f"{name}{where}.{found[2]}: {fault}; liushui product template shows all of them"
    allowed = {
        "segment": "personal, small_business or consumer",
        "amortisation": "level, equal_principal, bullet or balloon",
        "day_count": "30/360, ACT/365F, ACT/360, ACT/ACT or 7/364",
        "rounding": "A or B",
        "repayment_order": ", ".join(ORDERS),
        "every": "a period like 30d, 2w or 1m",
        "pool": "64 hexadecimal digits in lower case, as liushui pool show prints",
        "expires_on": "a date like 2027-12-31",
    }.get(name)
    return f"{name}{where}: {what if allowed is None else f'give {allowed}'}"


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
        rate_ppm = 0 if text.revenue is not None else band.rate_ppm  # the price of an advance is no yearly rate
        if rate_ppm > policy.apr_cap_ppm:
            faults.append(f"{where}: above the network's cap of {format_ppm(policy.apr_cap_ppm)}")
        elif rate_ppm + text.late_rate_ppm > policy.late_cap_ppm:
            cap = format_ppm(policy.late_cap_ppm)
            faults.append(f"{where}: with late_rate_ppm above the network's cap of {cap} for what is overdue")
        if band.amount_max_minor < text.amount_min_minor:
            faults.append(f"bands[{index}].amount_max_minor: below amount_min_minor, so that nobody could be granted")
    faults += _find_kind_faults(text)
    faults += _find_partner_faults(text)
    if text.prepayment_fee_ppm > policy.prepayment_cap_ppm:
        cap = format_ppm(policy.prepayment_cap_ppm)
        faults.append(f"prepayment_fee_ppm: above the network's cap of {cap}")
    if len(text.grade_max_minor) not in (0, 4) or list(text.grade_max_minor) != sorted(text.grade_max_minor)[::-1]:
        faults.append("grade_max_minor: four limits, for better grades first, none above the one before; or none")
    if text.default_days < policy.default_days_min:
        faults.append(f"default_days: the network's policy asks for {policy.default_days_min} at least")
    validators = sum(1 for one in network.members if one.attester_key is not None)
    if text.attestations_min > validators:
        faults.append(f"attestations_min: only {validators} organisations can attest, so that nothing would be decided")
    floor = min(policy.attestations_floor, validators)
    if text.attestations_min < floor:
        faults.append(f"attestations_min: the network's policy asks for {floor} at least")
    if text.expires_on.toordinal() < today:
        faults.append(f"expires_on: lies in the past; today is {date.fromordinal(today).isoformat()}")
    return faults


def _find_kind_faults(text: ProductText) -> list[str]:
    """What of the kind's own table, or of the common keys beside it, does not go together."""
    kinds = [name for name in KINDS if getattr(text, name) is not None]
    if len(kinds) > 1:
        return [f"{kinds[1]}: the product has a table [{kinds[0]}] already; it can be of one kind only"]
    balloon, faults = text.amortisation == "balloon", []
    if text.lease is not None:
        faults += _find_lease_faults(text, text.lease)
    elif text.revenue is not None:
        faults += _find_revenue_faults(text, text.revenue)
    elif text.line is not None and not 0 < text.line.draw_min_minor <= text.amount_min_minor:
        faults.append("line.draw_min_minor: must be at least 1 and not above amount_min_minor")
    elif text.merchant is not None and text.merchant.discount_ppm + text.origination_fee_ppm >= PPM:
        faults.append("merchant.discount_ppm: with origination_fee_ppm nothing would be left for the merchant")
    if balloon and (text.line is not None or text.merchant is not None):
        faults.append(f"amortisation: a balloon does not go with [{kinds[0]}]")
    if not kinds or text.term is not None:
        residual = 0 if text.term is None else text.term.residual_ppm
        if balloon and not 0 < residual < PPM:
            faults.append("term.residual_ppm: a balloon leaves a share above 0 and below 1_000_000 for the end")
        elif residual and not balloon:
            faults.append("term.residual_ppm: only a balloon leaves a residual; see amortisation")
    return faults


def _find_lease_faults(text: ProductText, lease: LeaseText) -> list[str]:
    faults = []
    if text.amortisation != "balloon":
        faults.append('amortisation: a lease leaves a residual: give "balloon"')
    if not 0 < lease.residual_ppm < PPM:
        faults.append("lease.residual_ppm: must be above 0 and below 1_000_000")
    if lease.deposit_ppm >= PPM:
        faults.append("lease.deposit_ppm: must be below 1_000_000")
    if not (lease.may_return or lease.may_buy or lease.extend_instalments):
        faults.append("lease.may_return: offer a way to end it: may_return, may_buy or extend_instalments")
    if lease.extend_instalments * int(text.every[:-1]) > LENGTH_MAX[UNITS[text.every[-1]]]:
        faults.append("lease.extend_instalments: with every this lasts longer than forty years")
    return faults


def _find_revenue_faults(text: ProductText, revenue: RevenueText) -> list[str]:
    faults = []
    if text.amortisation != "bullet":
        faults.append('amortisation: sales repay the advance: give "bullet"')
    if text.every != "1d":
        faults.append('every: sales are counted by the day: give "1d"')
    if not text.instalments_min == text.instalments_max == 1:
        faults.append("instalments_max: an advance has one row, for what sales leave: give 1, and instalments_min = 1")
    if revenue.share_ppm == 0:
        faults.append("revenue.share_ppm: must be above 0")
    if revenue.floor_ppm > revenue.warning_ppm:
        faults.append("revenue.warning_ppm: must not be below floor_ppm")
    return faults


def _find_partner_faults(text: ProductText) -> list[str]:
    """Each pool once, each with a share, and something left for the lead."""
    faults, pools = [], [one.pool for one in text.partners]
    for index, one in enumerate(text.partners):
        if one.pool in pools[:index] or one.pool == text.pool:
            faults.append(f"partners[{index}].pool: takes a share of each loan already")
        if one.share_ppm == 0:
            faults.append(f"partners[{index}].share_ppm: must be above 0")
    if sum(one.share_ppm for one in text.partners) >= PPM:
        faults.append("partners: their shares leave nothing for your own pool")
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
        kind=_make_kind(text),
        partners=tuple(
            Partner(pool=ObjectId(bytes.fromhex(one.pool)), share_ppm=Ppm(one.share_ppm))
            for one in sorted(text.partners, key=lambda one: one.pool)
        ),
        prepayment_fee_ppm=Ppm(text.prepayment_fee_ppm),
        default_days=text.default_days,
        grade_max=tuple(Amount(one) for one in text.grade_max_minor),
    )


def _make_kind(text: ProductText) -> ProductKind:
    if (revenue := text.revenue) is not None:
        return RevenueKind(
            share_ppm=Ppm(revenue.share_ppm),
            volume_days=revenue.volume_days,
            floor_ppm=Ppm(revenue.floor_ppm),
            warning_ppm=Ppm(revenue.warning_ppm),
            term_days_max=revenue.term_days_max,
        )
    if (line := text.line) is not None:
        return LineKind(days=line.days, draw_min=Amount(line.draw_min_minor))
    if (lease := text.lease) is not None:
        return LeaseKind(
            residual_ppm=Ppm(lease.residual_ppm),
            deposit_ppm=Ppm(lease.deposit_ppm),
            may_return=lease.may_return,
            may_buy=lease.may_buy,
            extend_instalments=lease.extend_instalments,
        )
    if text.merchant is not None:
        return MerchantKind(discount_ppm=Ppm(text.merchant.discount_ppm))
    return TermKind(residual_ppm=Ppm(0 if text.term is None else text.term.residual_ppm))
