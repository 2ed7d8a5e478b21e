"""From an opened statement to what an application rests on: features, bins for a model, and the month's capacity.

The borrower's device and every attester call these same functions, so they agree to the last bit or one of them
lies. Only `scoring`'s verified zone is used; never a clock, a file or an own rule here.
"""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from protocol.batch import Sidecar
from protocol.ids import Digest, ModelId
from protocol.ledger.rows import Application
from protocol.loans.calendar import Period, calculate_monthly_instalment
from protocol.money import AMOUNT_MAX, Amount
from protocol.transactions.lending import Apply
from protocol.vault import (
    FEATURE_VALUE_MAX,
    FEATURE_VALUE_MIN,
    FeaturesPlain,
    FeatureValue,
    VaultPlain,
    calculate_features_root,
    calculate_features_salt_key,
)
from scoring.features import FEATURE_SPEC, calculate_features, calculate_net_cashflow30
from scoring.features import appraise as appraise_rows
from scoring.points import PointsModel

_STEP: Final = 10 ** (len(str(AMOUNT_MAX)) - 2)
CAPACITY_MAX: Final = Amount(AMOUNT_MAX // _STEP * _STEP)
"""The largest amount of two significant digits: what a month's rows sum to may be no amount at all."""


class Appraisal(NamedTuple):
    """What a statement says for one request."""

    vector: FeaturesPlain
    """As `calculate_vector`."""
    capacity30: Amount
    """As `calculate_capacity30`."""


def appraise(plain: VaultPlain, request: Apply) -> Appraisal:
    """Vector and capacity from one look at the rows."""
    found = appraise_rows(
        plain.rows,
        as_of=request.as_of,
        last_day=plain.last_day,
        instalment=_calculate_instalment(request),
        principal=request.amount,
    )
    values = tuple(
        FeatureValue(name=name, value=None if value is None else max(FEATURE_VALUE_MIN, min(FEATURE_VALUE_MAX, value)))
        for name, value in found.features.items()
    )
    salt_key = calculate_features_salt_key(Digest(plain.salt_key), request)
    vector = FeaturesPlain(spec=FEATURE_SPEC, salt_key=salt_key, values=values)
    return Appraisal(vector, Amount(min(CAPACITY_MAX, found.net_cashflow30)))


def calculate_vector(plain: VaultPlain, request: Apply) -> FeaturesPlain:
    """Every feature for what `request` asks, as it stands in a features document, with the salt key of its root."""
    return appraise(plain, request).vector


def calculate_vector_root(vector: FeaturesPlain) -> Digest:
    """The root that the ledger keeps of a vector."""
    return calculate_features_root(vector.values, Digest(vector.salt_key), spec=vector.spec)


def calculate_vector_bins(vector: FeaturesPlain, model: PointsModel) -> tuple[int, ...]:
    """Bin index per feature of the model. Raises KeyError when the vector lacks one."""
    return model.calculate_bins({one.name: one.value for one in vector.values})


def check_vector(
    vector: FeaturesPlain, row: Application, sidecars: Sequence[Sidecar], models: Mapping[ModelId, PointsModel]
) -> str | None:
    """Why an application does not rest on an opened vector, or None.

    Codes in this order: features_root_differs (the ledger commits to another), sidecar_missing (one was not given),
    model_unknown, commitment_differs (the bins are not these features'), score_differs (points, PD, band or reasons).
    """
    request = row.request
    if request.features is None or calculate_vector_root(vector) != request.features.root:
        return "features_root_differs"
    given = {one.model: one for one in sidecars}
    for wanted, said in zip(request.sidecars, row.assessed, strict=True):
        sidecar, model = given.get(wanted.model), models.get(wanted.model)
        if sidecar is None:
            return "sidecar_missing"
        if model is None:
            return "model_unknown"
        bins = calculate_vector_bins(vector, model)
        if Sidecar(model=wanted.model, salt=sidecar.salt, bins=bins).calculate_commitment() != wanted.commitment:
            return "commitment_differs"
        found = model.assess(bins)
        if (found.points, found.pd_ppm, found.band, found.reasons) != (
            said.points,
            said.pd_ppm,
            said.band,
            said.reasons,
        ):
            return "score_differs"
    return None


def calculate_bins(plain: VaultPlain, request: Apply, model: PointsModel) -> tuple[int, ...]:
    """Bin index per feature of the model for what `request` asks: amount, instalments and period as they stand."""
    return model.calculate_bins(calculate_request_features(plain, request))


def calculate_request_features(plain: VaultPlain, request: Apply) -> dict[str, int | None]:
    """Every feature by its name, in the order of the table."""
    return calculate_features(
        plain.rows,
        as_of=request.as_of,
        last_day=plain.last_day,
        instalment=_calculate_instalment(request),
        principal=request.amount,
    )


def _calculate_instalment(request: Apply) -> int:
    """A month's instalment of what is asked for."""
    period = Period(unit=request.period_unit, every=request.period_every)
    return calculate_monthly_instalment(request.amount, request.instalments, period)


def calculate_capacity30(plain: VaultPlain, request: Apply) -> Amount:
    """Net cash flow of 30 days before `as_of`, floored to two significant digits, at most CAPACITY_MAX."""
    return Amount(min(CAPACITY_MAX, calculate_net_cashflow30(plain.rows, as_of=request.as_of)))
