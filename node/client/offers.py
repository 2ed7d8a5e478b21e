"""What is seen is what is signed: an offer's figures are compared with the disclosure whose hash will be signed.

A node could show one price and ask for a signature under another. So the borrower's device decodes the disclosure,
hashes it itself, and compares every figure it is about to show. Never a figure here that is not in the disclosure.
"""

from datetime import date
from typing import Any

from node.client.forms import Names
from protocol.codec import CodecError, decode
from protocol.ids import Digest
from protocol.ledger.contracts import Disclosure, DrawTold, LeaseTold, LineTold, PurchaseTold, RevenueTold
from protocol.ledger.offers import calculate_terms_hash
from protocol.ledger.reports import name_kind


def check_offer(view: dict[str, Any]) -> Digest | str:
    """The terms hash to sign, or the name of the first figure that differs from the disclosure under that hash."""
    try:
        told = decode(bytes.fromhex(str(view["disclosure"])), Disclosure)
        shown_hash = bytes.fromhex(str(view["terms_hash"]))
    except (CodecError, ValueError, KeyError):
        return "disclosure"
    terms_hash = calculate_terms_hash(told)
    if terms_hash != shown_hash:
        return "terms_hash"
    figures = {
        "principal": told.schedule.principal,
        "rate_ppm": told.schedule.rate_ppm,
        "net_proceeds": told.net_proceeds,
        "origination_fee": told.origination_fee,
        "apr_ppm": told.apr_ppm,
        "total_payable": told.total_payable,
        "total_cost": told.total_cost,
        "late_rate_ppm": told.late_rate_ppm,
        "late_fee": told.late_fee,
        "grace_days": told.grace_days,
        "prepayment_fee_ppm": told.prepayment_fee_ppm,
        "cooling_off_days": told.cooling_off_days,
        "cost_cap_ppm": told.cost_cap_ppm,
        "materiality": told.materiality,
        "default_days": told.default_days,
        "apr_us_ppm": told.apr_us_ppm,
        "kind": name_kind(told),
        "collateral": [one.hex() for one in told.collateral],
        "guarantors": [one.hex() for one in told.guarantors],
        "currency": told.currency,
        "lender": told.lender.hex(),
        "borrower": told.borrower.hex(),
    }
    for name, value in figures.items():
        if view.get(name) != value:
            return name
    rows = [
        (one.index, date.fromordinal(one.due_on).isoformat(), one.total_due, one.principal_due, one.interest_due)
        for one in told.instalments
    ]
    names = ("number", "due_on", "total_due", "principal_due", "interest_due")
    shown = view.get("schedule")
    if not isinstance(shown, list) or [tuple(row.get(name) for name in names) for row in shown] != rows:
        return "schedule"
    return terms_hash


def tell_special(told: Disclosure, names: Names) -> list[tuple[str, str]]:
    """What a disclosure says beside the figures that every loan has: its kind, security, guarantors, partners."""
    facts = [("security", one.hex()) for one in told.collateral]
    facts += [("guarantor", names.accounts.get(one, one.hex())) for one in told.guarantors]
    facts += [("shared with pool", f"{one.pool.hex()}, {_tell_ppm(one.share_ppm)}") for one in told.partners]
    if told.apr_us_ppm is not None:
        facts.append(("APR (US method)", _tell_ppm(told.apr_us_ppm)))
    return facts + _tell_kind(told, names)


def _tell_ppm(ppm: int) -> str:
    return f"{ppm // 10_000}.{ppm % 10_000 // 100:02d} %"


def _tell_kind(disclosure: Disclosure, names: Names) -> list[tuple[str, str]]:
    told, currency = disclosure.told, disclosure.currency

    def money(amount: int) -> str:
        return names.tell_money(amount, currency)

    match told:
        case RevenueTold():
            return [
                ("repaid by", f"{_tell_ppm(told.kind.share_ppm)} of sales, about {money(told.payment)} a day"),
                ("sales stated", f"{money(told.volume)} in {told.kind.volume_days} days"),
                ("price", money(told.discount)),
                ("breach", f"less than {_tell_ppm(told.kind.floor_ppm)} of what is expected in 30 days"),
                ("the rest is due", f"{told.kind.term_days_max} days after pay-out"),
            ]
        case LineTold():
            smallest = money(told.kind.draw_min)
            return [("a line", f"draws of at least {smallest}, for {told.kind.days} days; its limit is the loan above")]
        case DrawTold():
            return [("drawn on line", told.line.hex())]
        case LeaseTold():
            ends = [
                *(["return it"] if told.kind.may_return else []),
                *(["buy it"] if told.kind.may_buy else []),
                *([f"pay on in {told.kind.extend_instalments} instalments"] if told.kind.extend_instalments else []),
            ]
            return [
                ("leased thing", told.asset.hex()),
                ("bought from", names.accounts.get(told.supplier, told.supplier.hex())),
                ("deposit", money(told.deposit)),
                ("left at the end", money(disclosure.schedule.residual)),
                ("then", ", ".join(ends)),
            ]
        case PurchaseTold():
            return [
                ("paid to", names.accounts.get(told.merchant, told.merchant.hex())),
                ("merchant's discount", money(told.discount)),
            ]
        case None:
            return []
