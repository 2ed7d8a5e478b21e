"""What is seen is what is signed: an offer's figures are compared with the disclosure whose hash will be signed.

A node could show one price and ask for a signature under another. So the borrower's device decodes the disclosure,
hashes it itself, and compares every figure it is about to show. Never a figure here that is not in the disclosure.
"""

from datetime import date
from typing import Any

from protocol.codec import CodecError, decode
from protocol.ids import Digest
from protocol.ledger.contracts import Disclosure
from protocol.ledger.offers import calculate_terms_hash


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
