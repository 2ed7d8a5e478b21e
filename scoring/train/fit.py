"""Fitting of a points model. Floats live here and end here: what leaves is integers.

Two makers give the same thing, an additive model of steps: the scorecard here, and boosted stumps (`boosted`).
Method of the scorecard: every feature becomes a ladder of steps in its direction of risk (value >= cut), and a
logistic regression with non-negative step weights and a ridge and a lasso penalty is fitted on all ladders at once.
Steps that cannot be negative make each feature monotone, so that no borrower scores worse for a better figure; the
problem is convex, so that the result does not depend on chance. Rungs stand at quantiles of the training cases.

MISSING climbs the whole ladder: it scores as the worst bin. The feature lists are fixed here, before the fit.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from scoring.feature_table import FEATURE_SPEC, FEATURES, MINOR
from scoring.points import FORMAT, TABLE_MAX, FeaturePoints, PointsModel, check_model

Features = Mapping[str, int | None]
Floats = NDArray[np.float64]

Maker = Callable[[Sequence[str], Sequence[Features], Sequence[bool]], "AdditiveFit"]
"""(feature names, features, bad?) of the training cases to a fit."""

RATIO_FEATURES: Final = (
    "min_eod_180_inst",
    "min_eod_180_in",
    "low_days_90",
    "low3_days_180",
    "adb_90_in",
    "bal_cv",
    "range_adb",
    "inflow_cv",
    "max_in_ratio",
    "net_ratio",
    "pti",
    "cash_out",
    "neg_days_365",
    "nsf_n",
)
"""Free of currency and price level."""
MONEY_FEATURES: Final = ("adb_365", "inflow_min", "net_med")
"""Amounts: tied to a currency and a price level."""

RESOLUTION: Final = 32
"""Quantiles that make the rungs of a ladder. From 24 to 63 results are flat (docs/scoring.md)."""
RARE_CASES_MIN: Final = 8
RIDGE: Final = 2.0
LASSO: Final = 0.3
WEIGHT_MIN: Final = 1e-9
"""Less is a rung that the lasso has taken away."""
POINTS_PER_LOGIT: Final = 40 / math.log(2)
"""Forty points double the odds."""
ANCHOR_POINTS: Final = 600
ANCHOR_ODDS: Final = 20
"""Good to bad at the anchor."""
PD_STEP: Final = 10
BAND_PPM: Final = (10_000, 20_000, 40_000, 80_000, 150_000, 300_000)
"""Upper PD of bands 0, 1, ...; above the last is the worst band."""

_DIRECTION: Final = {item.name: item.direction for item in FEATURES}
_REASON: Final = {item.name: item.reason for item in FEATURES}
_UNIT: Final = {item.name: item.unit for item in FEATURES}


def calculate_risk_column(name: str, features: Sequence[Features]) -> Floats:
    """The feature turned so that higher is riskier; MISSING is +infinity."""
    values = [math.inf if item[name] is None else float(item[name] or 0) * _DIRECTION[name] for item in features]
    return np.array(values)


def calculate_steps(column: Floats, resolution: int) -> Floats:
    """Ascending distinct quantiles above the least value: the rungs of the ladder.

    A figure that is nearly always at its least (penalties, days overdrawn) gets one rung just above it, if enough
    cases stand there.
    """
    finite = column[np.isfinite(column)]
    if not len(finite):
        return finite
    grid = np.linspace(0, 1, resolution + 1)[1:-1]
    steps: Floats = np.unique(np.quantile(column, grid, method="higher"))
    above = column[column > finite.min()]
    if RARE_CASES_MIN <= len(above) < len(column) // 4:
        steps = np.unique(np.append(steps, above.min()))
    kept: Floats = steps[np.isfinite(steps) & (steps > finite.min())]
    return kept


def _fit_weights(ladder: Floats, labels: Floats) -> tuple[float, Floats]:
    """Intercept and non-negative step weights of the penalised logistic regression."""
    count = ladder.shape[1]
    rate = labels.mean()

    def objective(weights: Floats) -> tuple[float, Floats]:
        steps = weights[1:]
        logit = weights[0] + ladder @ steps
        loss = np.logaddexp(0, logit).sum() - labels @ logit + RIDGE / 2 * (steps @ steps) + LASSO * steps.sum()
        error = 1 / (1 + np.exp(-logit)) - labels
        return float(loss), np.concatenate([[error.sum()], ladder.T @ error + RIDGE * steps + LASSO])

    start = np.concatenate([[math.log(rate / (1 - rate)) - 1], np.full(count, 0.01)])
    bounds = [(None, None)] + [(0, None)] * count
    options = {"maxiter": 5_000, "ftol": 1e-12, "gtol": 1e-8}
    found = minimize(objective, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
    return float(found.x[0]), found.x[1:]


@dataclass(frozen=True, slots=True, kw_only=True)
class AdditiveFit:
    """A fitted additive model in floats: whoever made it, it is steps, and every step goes up with risk."""

    names: tuple[str, ...]
    intercept: float
    steps: Mapping[str, Mapping[float, float]]
    """Per feature {cut of the risk column: weight >= 0}; a value at or above a cut climbs it."""

    def calculate_logits(self, features: Sequence[Features]) -> Floats:
        """Log odds of default, uncalibrated, in floats: what the integers are measured against."""
        logits = np.full(len(features), self.intercept)
        for name in self.names:
            column = calculate_risk_column(name, features)
            for cut, weight in sorted(self.steps[name].items()):
                logits += weight * (column >= cut)
        return logits

    def calculate_table(self, features: Sequence[Features]) -> tuple[int, tuple[FeaturePoints, ...]]:
        """Base points and the points of every feature, rounded per bin; reference counts from `features`."""
        risk_most = sum(sum(steps.values()) for steps in self.steps.values())
        anchor = self.intercept + risk_most + math.log(ANCHOR_ODDS)
        base = round(ANCHOR_POINTS - POINTS_PER_LOGIT * anchor)
        table = tuple(self._calculate_feature(name, features) for name in self.names)
        return base, table

    def _calculate_feature(self, name: str, features: Sequence[Features]) -> FeaturePoints:
        direction = _DIRECTION[name]
        steps = sorted(self.steps[name].items())
        # A rung is value >= cut of the risk column; with direction -1 that is value < 1 - cut of the feature.
        cuts = [round(cut) if direction > 0 else 1 - round(cut) for cut, _ in steps]
        relief = [0.0]
        for _, weight in reversed(steps):
            relief.append(relief[-1] + weight)
        points = [round(POINTS_PER_LOGIT * value) for value in relief]  # from the worst bin to the best
        if direction > 0:
            points.reverse()
        else:
            cuts.reverse()
        kept = [index for index in range(len(cuts)) if points[index] != points[index + 1]]
        item = FeaturePoints(
            cuts=tuple(cuts[index] for index in kept),
            missing=0,
            name=name,
            points=tuple([points[index] for index in kept] + [points[-1]]),
            reason=_REASON[name],
            reference=(),
        )
        counts = [0] * (len(item.points) + 1)
        for values in features:
            counts[item.calculate_bin(values[name])] += 1
        return FeaturePoints(
            cuts=item.cuts,
            missing=0,
            name=name,
            points=item.points,
            reason=item.reason,
            reference=tuple(counts),
        )


def fit_scorecard(names: Sequence[str], features: Sequence[Features], labels: Sequence[bool]) -> AdditiveFit:
    """The ladders of all features in one penalised logistic regression."""
    steps: dict[str, dict[float, float]] = {name: {} for name in names}
    columns = {name: calculate_risk_column(name, features) for name in names}
    rungs = [(name, float(cut)) for name in names for cut in calculate_steps(columns[name], RESOLUTION)]
    ladder = np.stack([columns[name] >= cut for name, cut in rungs], axis=1).astype(np.float64)
    intercept, weights = _fit_weights(ladder, np.array(labels, dtype=np.float64))
    for (name, cut), weight in zip(rungs, weights, strict=True):
        if weight > WEIGHT_MIN:
            steps[name][cut] = float(weight)
    return AdditiveFit(names=tuple(names), intercept=intercept, steps=steps)


def calculate_calibration(logits: Floats, labels: Sequence[bool]) -> tuple[float, float]:
    """Intercept and slope of the outcome on out-of-fold log odds (Platt), by Newton steps."""
    target = np.array(labels, dtype=np.float64)
    matrix = np.stack([np.ones(len(logits)), logits], axis=1)
    weights = np.array([0.0, 1.0])
    for _ in range(50):
        chance = 1 / (1 + np.exp(-(matrix @ weights)))
        hessian = matrix.T @ (matrix * (chance * (1 - chance))[:, None])
        step = np.linalg.solve(hessian, matrix.T @ (chance - target))
        weights = weights - step
        if float(np.abs(step).max()) < 1e-10:
            break
    return float(weights[0]), float(weights[1])


def make_model(
    fit: AdditiveFit,
    features: Sequence[Features],
    *,
    name: str,
    currency: str,
    calibration: tuple[float, float],
) -> PointsModel:
    """The integer model of a fit. `calibration` turns its log odds into honest ones."""
    base, table = fit.calculate_table(features)
    intercept, slope = calibration

    def calculate_ppm(points: int) -> int:
        logit = math.log(1 / ANCHOR_ODDS) - (points - ANCHOR_POINTS) / POINTS_PER_LOGIT
        return round(1_000_000 / (1 + math.exp(-(intercept + slope * logit))))

    least = base // PD_STEP * PD_STEP
    most = base + sum(max(item.points) for item in table)
    # A fit that parts good from bad without an error spans thousands of points, which coarser steps fit into.
    step = PD_STEP * -(-(most + PD_STEP - least) // (PD_STEP * (TABLE_MAX - 1)))
    # The middle of a step stands for the step.
    pd = tuple((points, calculate_ppm(points + step // 2)) for points in range(least, most + step, step))
    bands: list[int] = []
    for ppm_max in BAND_PPM:
        reached = [points for points, ppm in pd if ppm < ppm_max]
        least_points = reached[0] if reached else pd[-1][0] + step * (len(BAND_PPM) - len(bands))
        bands.append(min(least_points, *(above - 1 for above in bands[-1:])) if bands else least_points)
    inflows = sorted(item["inflow_med"] or 0 for item in features)
    model = PointsModel(
        bands=tuple(bands),
        band_reference=(0,) * (len(bands) + 1),
        base=base,
        currency=currency,
        feature_spec=FEATURE_SPEC,
        format=FORMAT,
        name=name,
        pd=pd,
        price_level=inflows[len(inflows) // 2],
        table=table,
    )
    counts = [0] * (len(bands) + 1)
    for values in features:
        counts[model.assess(model.calculate_bins(values)).band] += 1
    model = _replace(model, band_reference=tuple(counts))
    reason = check_model(model)
    assert reason is None, reason
    return model


def _replace(model: PointsModel, **changes: object) -> PointsModel:
    """A copy with other fields: cached ids and tables of the old one are left behind."""
    fields = {name: getattr(model, name) for name in model.__struct_fields__}
    return PointsModel(**{**fields, **changes})


def rescale_model(model: PointsModel, *, name: str, currency: str, price_level: int) -> PointsModel:
    """The model for another money: cut points of amounts times price_level / model.price_level, floored.

    It keeps the order of borrowers only as far as the price levels are comparable; ratios are left alone.
    """
    table = []
    for item in model.table:
        cuts = item.cuts
        if _UNIT[item.name] == MINOR:
            cuts = tuple(cut * price_level // model.price_level for cut in cuts)
        table.append(
            FeaturePoints(
                cuts=cuts,
                missing=item.missing,
                name=item.name,
                points=item.points,
                reason=item.reason,
                reference=item.reference,
            )
        )
    scaled = _replace(model, name=name, currency=currency, price_level=price_level, table=tuple(table))
    reason = check_model(scaled)
    assert reason is None, reason
    return scaled
