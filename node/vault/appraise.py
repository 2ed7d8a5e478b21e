"""From an opened statement to what an application rests on: bins for a model, and the month's capacity.

The borrower's device and every attester call these same functions, so they agree to the last bit or one of them
lies. Only `scoring`'s verified zone is used; never a clock, a file or an own rule here.
"""

from typing import Final

from protocol.loans.calendar import Period, calculate_monthly_instalment
from protocol.money import AMOUNT_MAX, Amount
from protocol.transactions.lending import Apply
from protocol.vault import VaultPlain
from scoring.features import calculate_features, calculate_net_cashflow30
from scoring.points import PointsModel

_STEP: Final = 10 ** (len(str(AMOUNT_MAX)) - 2)
CAPACITY_MAX: Final = Amount(AMOUNT_MAX // _STEP * _STEP)
"""The largest amount of two significant digits: what a month's rows sum to may be no amount at all."""


def calculate_bins(plain: VaultPlain, request: Apply, model: PointsModel) -> tuple[int, ...]:
    """Bin index per feature of the model for what `request` asks: amount, instalments and period as they stand."""
    period = Period(unit=request.period_unit, every=request.period_every)
    features = calculate_features(
        plain.rows,
        as_of=request.as_of,
        last_day=plain.last_day,
        instalment=calculate_monthly_instalment(request.amount, request.instalments, period),
        principal=request.amount,
    )
    return model.calculate_bins(features)


def calculate_capacity30(plain: VaultPlain, request: Apply) -> Amount:
    """Net cash flow of 30 days before `as_of`, floored to two significant digits, at most CAPACITY_MAX."""
    return Amount(min(CAPACITY_MAX, calculate_net_cashflow30(plain.rows, as_of=request.as_of)))
