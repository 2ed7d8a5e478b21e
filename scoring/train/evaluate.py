"""Measuring a points model on labelled loans. Standard library only: a node's installation can run it.

Never anything here that a decision depends on: these are floats for people to read.
"""

import hashlib
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scoring.points import PointsModel
from scoring.train.dataset import load_loans


def calculate_auc(scores: Sequence[float], bad: Sequence[bool]) -> tuple[float, float]:
    """Area under the ROC curve (higher score = riskier, ties half) and its standard error.

    Source: DeLong, DeLong, Clarke-Pearson, Biometrics 44 (1988). Raises ValueError without both outcomes.
    """
    positive = [score for score, flag in zip(scores, bad, strict=True) if flag]
    negative = [score for score, flag in zip(scores, bad, strict=True) if not flag]
    if not positive or not negative:
        raise ValueError("an AUC needs good and bad cases")

    def wins(high: float, low: float) -> float:
        return 1.0 if high > low else 0.5 if high == low else 0.0

    of_bad = [math.fsum(wins(p, n) for n in negative) / len(negative) for p in positive]
    of_good = [math.fsum(wins(p, n) for p in positive) / len(positive) for n in negative]
    auc = math.fsum(of_bad) / len(of_bad)
    variance = 0.0
    for parts in (of_bad, of_good):
        if len(parts) > 1:
            variance += math.fsum((part - auc) ** 2 for part in parts) / (len(parts) - 1) / len(parts)
    return auc, math.sqrt(variance)


def calculate_ks(scores: Sequence[float], bad: Sequence[bool]) -> float:
    """Kolmogorov-Smirnov distance between the scores of good and bad."""
    total_bad = sum(bad)
    total_good = len(bad) - total_bad
    seen_bad = seen_good = 0
    furthest = 0.0
    ordered = sorted(zip(scores, bad, strict=True))
    for index, (score, flag) in enumerate(ordered):
        seen_bad, seen_good = seen_bad + flag, seen_good + (not flag)
        if index + 1 == len(ordered) or ordered[index + 1][0] != score:
            furthest = max(furthest, abs(seen_bad / total_bad - seen_good / total_good))
    return furthest


def calculate_psi(reference: Sequence[int], counts: Sequence[int]) -> float:
    """Population stability index; empty cells count one half. Under .10 stable, over .25 act."""
    total_reference = sum(max(2 * n, 1) for n in reference)
    total = sum(max(2 * n, 1) for n in counts)
    parts = []
    for before, now in zip(reference, counts, strict=True):
        expected, actual = max(2 * before, 1) / total_reference, max(2 * now, 1) / total
        parts.append((actual - expected) * math.log(actual / expected))
    return math.fsum(parts)


def evaluate(model: PointsModel, data_dir: Path) -> dict[str, Any]:
    """loans, bad, auc, auc_ci95, ks, psi, digest and calibration of `model` on the loans of `data_dir`.

    `psi` has "score" (by band) and "feature_max"; `digest` is the SHA-256 over every loan's features, bins, points, PD,
    band and reasons in order of (day, loan id): one value on every machine.
    """
    points: list[int] = []
    bad: list[bool] = []
    bins_count = [[0] * len(item.table) for item in model.table]
    bands: list[list[int]] = [[0, 0, 0] for _ in range(len(model.bands) + 1)]
    digest = hashlib.sha256()
    for loan in load_loans(data_dir):
        features = loan.features()
        bins = model.calculate_bins(features)
        assessment = model.assess(bins)
        line = [loan.loan_id, list(features.values()), bins, assessment]
        digest.update(json.dumps(line, separators=(",", ":")).encode() + b"\n")
        for counts, index in zip(bins_count, bins, strict=True):
            counts[index] += 1
        band = bands[assessment.band]
        band[0], band[1], band[2] = band[0] + 1, band[1] + loan.bad, band[2] + assessment.pd_ppm
        points.append(assessment.points)
        bad.append(loan.bad)
    risk = [-value for value in points]
    auc, error = calculate_auc(risk, bad)
    psi = {item.name: calculate_psi(item.reference, n) for item, n in zip(model.table, bins_count, strict=True)}
    return {
        "model": model.name,
        "model_id": model.id.hex(),
        "loans": len(bad),
        "bad": sum(bad),
        "auc": round(auc, 4),
        "auc_ci95": [round(max(0.0, auc - 1.96 * error), 4), round(min(1.0, auc + 1.96 * error), 4)],
        "ks": round(calculate_ks(risk, bad), 4),
        "psi": {
            "score": round(calculate_psi(model.band_reference, [band[0] for band in bands]), 4),
            "feature_max": round(max(psi.values()), 4),
        },
        "bands": [
            {
                "band": index,
                "loans": count,
                "bad": bads,
                "pd_mean": round(ppm / count / 1e6, 4) if count else None,
                "bad_rate": round(bads / count, 4) if count else None,
            }
            for index, (count, bads, ppm) in enumerate(bands)
        ],
        "digest": digest.hexdigest(),
    }
