"""The annotated example of a product file: every key, explained where it stands. Never a rule or a default here."""

from datetime import date
from string import Template
from typing import Final

KINDS: Final = ("term", "revenue", "line", "lease", "merchant")

TEMPLATE: Final = Template("""\
# A loan product of Liushui. Publish it with: liushui product publish FILE --officer-dir DIR
# Money is in minor units (150_000 is 1,500.00 CNY), rates are in parts per million a year (72_000 is 7.2 %).
# A published product is never changed: what was lent under it keeps its terms. Publish a new one instead.

name = "$name"
segment = "$segment"                # personal, small_business or consumer: it must be what the borrower asks for
# pool = "64 hexadecimal digits"    # the pool loans are paid from; may be left out if you have just one
# model = "name or id"              # the scoring model; may be left out if the network has just one for the currency

amount_min_minor = 100_000          # smallest and largest loan
amount_max_minor = 5_000_000
instalments_min = $instalments_min                 # fewest and most instalments
instalments_max = $instalments_max
every = "$every"                        # time between instalments: Nd, Nw or Nm (days, weeks, months)
# level (equal payments), equal_principal, bullet (all principal at the end) or balloon (level, with a residual left)
amortisation = "$amortisation"
day_count = "30/360"                # 30/360, ACT/365F, ACT/360, ACT/ACT or 7/364 (for weeks)
rounding = "A"                      # A: the last instalment takes the rest; B: the last one is never the highest

origination_fee_ppm = 5_000         # of the principal, taken out of the pay-out
grace_days = 3                      # so many days after the due day nothing is late
late_rate_ppm = 60_000              # a year, on what is overdue, beside the ordinary interest
late_fee_minor = 2_000              # once for each late instalment
repayment_order = "interest_principal_fees" # or fees_interest_principal, principal_interest_fees
prepayment_fee_ppm = 0              # of principal paid before it is due; never more than the interest saved
default_days = 90                   # days past due from which anyone may call the default
grade_max_minor = []                # most by grade: bank-signed, balance chain, plain file, scan; 0: officer alone

attestations_min = 2                # organisations, you among them, whose equal readings of the statement decide
auto_budget_minor = 100_000_000     # principal that may be granted by itself in all; with 0 officers decide each loan
utc_offset_minutes = 480            # whose midnight ends a contract day: 480 is China
offer_days = 7                      # how long an offer stands
expires_on = $expires_on             # no application after this day

# One price for each score band, best first. A borrower in a later band than the last one here is declined.
# Of a revenue product the rate is the price of the advance, as a share of it, and not by the year.
[[bands]]
rate_ppm = 72_000
amount_max_minor = 5_000_000

[[bands]]
rate_ppm = 90_000
amount_max_minor = 3_000_000

[[bands]]
rate_ppm = 120_000
amount_max_minor = 1_000_000

# What only one kind of product has: at most one of the five tables below; with none it is a plain term loan.

${term}[term]                             # a loan of instalments by date
${term}residual_ppm = 300_000             # of a balloon, share of the principal left for the last instalment; else 0

${revenue}[revenue]                          # an advance repaid by a share of sales: bullet, one instalment, every 1d
${revenue}share_ppm = 100_000                # share of sales that repays
${revenue}volume_days = 360                  # days over which the borrower states the sales expected: 360 to 365
${revenue}floor_ppm = 500_000                # less than this share of what is expected in 30 days is a breach
${revenue}warning_ppm = 800_000              # below this share a near breach is told
${revenue}term_days_max = 365                # whatever is left falls due so many days after pay-out: 30 to 1096

${line}[line]                             # a credit line; the amounts above are its limit, each draw is a loan
${line}days = 365                         # how long draws may be made: 1 to 1096
${line}draw_min_minor = 50_000            # smallest draw

${lease}[lease]                            # finance of one thing, whose title stays with you: amortisation balloon
${lease}residual_ppm = 300_000             # share of the principal left for the end
${lease}deposit_ppm = 100_000              # share of the principal paid in advance, given back at the end
${lease}may_return = true                  # what the lessee may do at the end
${lease}may_buy = true
${lease}extend_instalments = 12            # instalments in which the residual may be paid on; 0: not offered

${merchant}[merchant]                         # instalments at a merchant's till: the merchant is paid
${merchant}discount_ppm = 30_000              # what the merchant pays of the price, taken out of its pay-out

# Other lenders' pools that take a share of each loan; their owners sign too (--cosigner and --draft, or --cosign-dir).
# [[partners]]
# pool = "64 hexadecimal digits"
# share_ppm = 300_000
""")
_COMMON: Final = {
    "name": "Personal 12",
    "segment": "personal",
    "instalments_min": "3",
    "instalments_max": "24",
    "every": "1m",
    "amortisation": "level",
}
EXAMPLES: Final[dict[str, dict[str, str]]] = {
    "term": _COMMON,
    "revenue": {
        **_COMMON,
        "name": "Sales advance",
        "segment": "small_business",
        "instalments_min": "1",
        "instalments_max": "1",
        "every": "1d",
        "amortisation": "bullet",
    },
    "line": {**_COMMON, "name": "Credit line"},
    "lease": {**_COMMON, "name": "Lease 24", "segment": "small_business", "amortisation": "balloon"},
    "merchant": {**_COMMON, "name": "Pay in instalments", "segment": "consumer"},
}
"""What differs in the example of each kind."""


def format_template(expires_on: date, kind: str = "term") -> str:
    """The annotated example of a kind of product, on sale until `expires_on`; the other kinds' tables are comments."""
    marks = {one: "" if one == kind and kind != "term" else "# " for one in KINDS}
    return TEMPLATE.substitute(expires_on=expires_on.isoformat(), **marks, **EXAMPLES[kind])
