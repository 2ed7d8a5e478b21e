"""The table of invoice features of small firms: a specification of its own beside that of bank flows.

Part of the verified zone, data only: never a calculation here (that is `scoring.invoices`), never a change to an
existing line without a new INVOICE_SPEC.
"""

from typing import Final

from scoring import reasons
from scoring.feature_table import BPS, COUNT, DAYS, MINOR, NEVER, FeatureDef, render_lines

INVOICE_SPEC: Final = 1
"""Version of the definitions below."""

NO_RECENT_SALES: Final = "sales of 365 days not positive"

INVOICE_FEATURES: Final[tuple[FeatureDef, ...]] = (
    FeatureDef("inv_total", "sales of all days", MINOR, -1, NEVER, reasons.SALES_LOW),
    FeatureDef("inv_12m", "sales of 365 days", MINOR, -1, NEVER, reasons.SALES_LOW),
    FeatureDef("inv_median", "median sales of the 12 windows", MINOR, -1, NEVER, reasons.SALES_LOW),
    FeatureDef(
        "inv_zero_windows", "windows of the 12 whose sales are not positive", COUNT, 1, NEVER, reasons.SALES_IRREGULAR
    ),
    FeatureDef(
        "inv_cv",
        "sd / mean of the sales of the 12 windows",
        BPS,
        1,
        "sales of the 12 windows not positive",
        reasons.SALES_IRREGULAR,
    ),
    FeatureDef(
        "inv_days_since", "days since the last invoice above zero", DAYS, 1, "no such invoice", reasons.SALES_IRREGULAR
    ),
    FeatureDef(
        "inv_buyer_hhi",
        "sum of squared buyer shares of sales in 365 days, of buyers above zero; unknown buyers count as one",
        BPS,
        1,
        NO_RECENT_SALES,
        reasons.BUYERS_CONCENTRATED,
    ),
    FeatureDef(
        "inv_void_rate",
        "share of the invoices of 365 days that are void",
        BPS,
        1,
        "no invoice in 365 days",
        reasons.INVOICES_VOIDED,
    ),
)
"""Order is part of the protocol, as with bank flows."""


def render_table() -> str:
    """The table as Markdown, for the documentation."""
    return "\n".join([f"Invoice specification {INVOICE_SPEC}.", "", *render_lines(INVOICE_FEATURES)]) + "\n"
