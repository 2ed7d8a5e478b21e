"""The model card: who was measured, how well, and what the model must not be used for. Text only, no measuring here."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from scoring.feature_table import FEATURES
from scoring.points import PointsModel
from scoring.reasons import REASONS
from scoring.train.fairness import APPROVED_PPM_MAX, FOUR_FIFTHS, GROUP_LOANS_MIN

_DEFINITIONS = {item.name: item for item in FEATURES}


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines)


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _range(limits: Sequence[float] | None) -> str:
    return "-" if limits is None else f"{100 * limits[0]:.1f} to {100 * limits[1]:.1f} %"


def _evidence(report: Mapping[str, Any]) -> str:
    ratio = report["ratio_features_only"]
    rows = []
    for title, part in (("this model", report), ("without the money features", ratio)):
        found = part["cross_validation"]
        low, high = found["auc_pooled_ci95"]
        rows.append(
            (
                f"{title}, cross-validated",
                f"{found['auc']:.3f}",
                f"pooled {found['auc_pooled']:.3f}, CI {low:.3f}-{high:.3f}",
            )
        )
        for split in part["split_in_time"]:
            low, high = split["auc_ci95"]
            detail = f"{split['test']} later loans, {split['test_bad']} bad, CI {low:.3f}-{high:.3f}"
            rows.append((f"{title}, trained on the first {split['train']}", f"{split['auc']:.3f}", detail))
        left = part["periods_left_out"]
        if left["auc"] is not None:
            low, high = left["auc_ci95"]
            detail = f"pairs within {left['periods']} half-years, CI {low:.3f}-{high:.3f}"
            rows.append((f"{title}, each half-year by a fit on the others", f"{left['auc']:.3f}", detail))
    return _table(("measurement", "AUC", "detail"), rows)


MAKERS: Final = {
    "scorecard": "a penalised logistic regression on ladders of steps (scorecard)",
    "ebm": "an explainable boosting machine without interactions (EBM)",
}


def _describe_population(model: PointsModel, report: Mapping[str, Any], report_sha256: str) -> str:
    return f"""# Model card: {model.name}

Additive integer points on features of bank statements, made by {MAKERS[report["maker"]]}. Model id \
`{model.id.hex()}`, feature specification {model.feature_spec}, currency {model.currency}, price level (median \
monthly income) {model.price_level} minor units. Validation report: `{model.name}.report.json`, SHA-256 \
`{report_sha256}`.

## Population, window, label
{report["loans"]} loans granted by one Czech bank from 1993 to 1996, {report["bad"]} of them bad (PKDD'99 Discovery \
Challenge, Petr Berka and Marta Sochorova). Features use every movement of the borrower's account strictly \
before the \
day of granting (105 to 696 days). Bad: the contract ended unpaid, or was running in debt when the data were closed. \
Running contracts without debt count as good, so their label is not final. Only granted loans are known: the \
bank's own \
selection is in the data, and rejected applicants are not.
"""


def _describe_evidence(report: Mapping[str, Any]) -> str:
    found = report["cross_validation"]
    return f"""## Discrimination
{_evidence(report)}

Cross-validation: {found["repeats"]} x {found["folds"]} folds, stratified, every step of the fit inside the folds, \
integer points. The mean over folds lies between {found["repeat_range"][0]:.3f} and {found["repeat_range"][1]:.3f} \
from one repeat to the next. Intervals are DeLong's. In-sample AUC is {report["in_sample_auc"]:.3f} and means \
nothing; KS out of fold is {found["ks_pooled"]:.3f}. \
Integers instead of floats cost {report["integer_cost"]:.5f} AUC.

**Optimism.** The feature list and the number of quantiles were settled by looking at these same figures on these \
same loans (about two hundred variants), so all of them flatter; `docs/scoring.md` tells what \
was tried and how far the differences can be trusted. Loans granted later were never looked at.
"""


def _describe_calibration(report: Mapping[str, Any]) -> str:
    bands = _table(
        ("band", "loans", "bad", "mean PD", "bad rate", "95 % interval"),
        [
            (
                item["band"],
                item["loans"],
                item["bad"],
                _percent(item["pd_mean"]),
                _percent(item["bad_rate"]),
                _range(item["bad_rate_ci95"]),
            )
            for item in report["calibration_by_band"]
        ],
    )
    years = _table(
        ("granted", "loans", "bad", "AUC out of fold"),
        [(item["year"], item["loans"], item["bad"], _figure(item["auc"])) for item in report["by_year"]],
    )
    periods = _table(
        ("granted", "loans", "bad", "score PSI", "PSI by chance alone"),
        [
            (item["period"], item["loans"], item["bad"], _figure(item["psi"]), _figure(item["psi_by_chance"]))
            for item in report["by_period"]
        ],
    )
    return f"""## Calibration (out of fold)
{bands}

PD is the chance of the bad outcome over the loan's life at this bank's terms. Recalibrated on the same \
out-of-fold scores: intercept \
{report["calibration"]["intercept"]:.2f}, slope {report["calibration"]["slope"]:.2f} (1 is perfect). With \
{report["bad"]} bad cases a band's rate is known to a few points at best.

## Stability
{years}

Score PSI between the earlier and the later half: {report["psi_halves"]:.3f} (under .10 stable, .10 to .25 \
watch, over .25 act). Each half-year against all others, beside what as few loans of one and the same population \
would show:

{periods}
"""


def _describe_fairness(report: Mapping[str, Any]) -> str:
    if not report["fairness"]:
        return """## Fairness
No attribute given: the data name neither sex nor age nor any other group, so nothing is known of differences between \
groups. Measure them where the law allows before use: a column of loans.csv whose name begins with `group_` is read \
for this table, and for nothing else.
"""
    parts = []
    for attribute in report["fairness"]:
        rows = [
            (
                item["group"],
                item["loans"],
                item["bad"],
                _percent(item["bad_rate"]),
                _percent(item["pd_mean"]),
                _figure(item["auc"]),
                _percent(item["approval_rate"]),
                _figure(item["approval_ratio"]),
            )
            for item in attribute["groups"]
        ]
        head = ("group", "loans", "bad", "bad rate", "mean PD", "AUC", "approved", "ratio to the highest")
        parts.append(f"By {attribute['attribute']}, which no feature and no fit has seen:\n\n{_table(head, rows)}")
    tables = "\n\n".join(parts)
    return f"""## Fairness
{tables}

Out of fold. Approved: a PD under {_percent(APPROVED_PPM_MAX / 1e6)}. A ratio under {FOUR_FIFTHS:.2f} asks for an \
explanation; groups under {GROUP_LOANS_MIN} loans are shown without one.
"""


def _describe_features(model: PointsModel, report: Mapping[str, Any]) -> str:
    found = report["cross_validation"]
    features = _table(
        ("feature", "definition", "bins", "points, worst to best", "reason"),
        [
            (
                f"`{item.name}`",
                _DEFINITIONS[item.name].definition,
                len(item.points),
                f"{min(item.points)} to {max(item.points)}",
                REASONS[item.reason].key,
            )
            for item in model.table
        ],
    )
    return f"""## Features
{features}

MISSING scores as the worst bin. Points never go against the direction of risk. A feature with one bin had no \
weight in \
these loans and is kept for its place in the list. Money features are {report["money_features"]}; leaving \
them out costs \
{found["auc"] - report["ratio_features_only"]["cross_validation"]["auc"]:.3f} AUC in cross-validation, which \
is why they \
are in.
"""


def _describe_relatives(derived: Sequence[PointsModel]) -> str:
    relatives = "\n".join(
        f"- `{item.name}` ({item.currency}), id `{item.id.hex()}`, price level {item.price_level} minor units"
        for item in derived
    )
    return f"""## Other currencies
{relatives}

Made by moving the cut points of money features by the ratio of average monthly wages: 8,172 CZK in 1995 (Czech \
Statistical Office) to 9,502 CNY in 2022 (114,029 a year, urban non-private units, National Bureau of Statistics of \
China). The points are the Czech ones. **Not measured on any Chinese loan**: for demonstrations and as a \
challenger, not \
for decisions about people before it has been validated on local loans.
"""


LIMITS: Final = """## Limits
- One bank, one country, the 1990s, retail customers with a current account; few bad cases.
- `cash_out` carries much weight: where cash is rare (wallets) nearly everyone gets its best bin.
- A statement without balances gets the worst bin of every balance feature.
- Instalments are monthly; other rhythms must be turned into their monthly equivalent.

## Expiry
Valid until 12 months after first use on a network, or until a PSI over .25, a band's bad rate outside the 95 \
% interval \
of its PD, or a new feature specification, whichever is first.
"""


def render_card(
    model: PointsModel, derived: Sequence[PointsModel], report: Mapping[str, Any], *, report_sha256: str
) -> str:
    """The card as Markdown. `report` is what `scoring.train.run.train` returned with `model`."""
    parts = (
        _describe_population(model, report, report_sha256),
        _describe_evidence(report),
        _describe_calibration(report),
        _describe_fairness(report),
        _describe_features(model, report),
        _describe_relatives(derived),
        LIMITS,
    )
    return "\n\n".join(part.strip() for part in parts) + "\n"
