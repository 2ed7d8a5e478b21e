"""Measuring a points model on labelled loans. Standard library only: a node's installation can run it.

Never anything here that a decision depends on: these are floats for people to read.
"""

import hashlib
import json
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

from scoring.points import PPM, PointsModel
from scoring.train.dataset import load_loans
from scoring.train.fairness import measure_groups
from scoring.train.measures import (
    calculate_auc,
    calculate_interval,
    calculate_ks,
    calculate_psi,
    calculate_psi_by_chance,
    calculate_wilson,
)


def evaluate(model: PointsModel, data_dir: Path) -> dict[str, Any]:
    """loans, bad, auc, auc_ci95, ks, psi, digest and calibration of `model` on the loans of `data_dir`.

    `psi` has "score" (by band) and "feature_max"; `fairness` is empty where the data name no group; `digest` is the
    SHA-256 over every loan's features, bins, points, PD, band and reasons in order of (day, loan id): one value on
    every machine.
    """
    loans = load_loans(data_dir)
    points: list[int] = []
    bad: list[bool] = []
    chances: list[float] = []
    bands_found: list[int] = []
    bins_count = [[0] * len(item.table) for item in model.table]
    bands: list[list[int]] = [[0, 0, 0] for _ in range(len(model.bands) + 1)]
    digest = hashlib.sha256()
    for loan in loans:
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
        chances.append(assessment.pd_ppm / PPM)
        bands_found.append(assessment.band)
    risk = [-value for value in points]
    auc, error = calculate_auc(risk, bad)
    psi = {item.name: calculate_psi(item.reference, n) for item, n in zip(model.table, bins_count, strict=True)}
    return {
        "model": model.name,
        "model_id": model.id.hex(),
        "loans": len(bad),
        "bad": sum(bad),
        "auc": round(auc, 4),
        "auc_ci95": calculate_interval(auc, error),
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
                "bad_rate_ci95": calculate_wilson(bads, count),
            }
            for index, (count, bads, ppm) in enumerate(bands)
        ],
        "periods": measure_periods([loan.as_of for loan in loans], bands_found, bad, model.band_reference),
        "fairness": measure_groups(loans, chances),
        "digest": digest.hexdigest(),
    }


def measure_periods(
    days: Sequence[int], bands: Sequence[int], bad: Sequence[bool], reference: Sequence[int] | None
) -> list[dict[str, Any]]:
    """Per half-year of granting: loans, bad, the PSI of its bands, and the PSI that chance alone would give.

    Compared with `reference` (loans per band); without one, with the loans of all other half-years.
    """
    names = [name_period(day) for day in days]
    bands_count = len(reference) if reference is not None else max(bands, default=0) + 1
    counts: dict[str, list[int]] = {name: [0] * bands_count for name in sorted(set(names))}
    for name, band in zip(names, bands, strict=True):
        counts[name][band] += 1
    found = []
    for name, held in counts.items():
        rest = [sum(one[band] for other, one in counts.items() if other != name) for band in range(bands_count)]
        beside = rest if reference is None else list(reference)
        chance = calculate_psi_by_chance(bands_count, sum(held), sum(beside))
        found.append(
            {
                "period": name,
                "loans": sum(held),
                "bad": sum(flag for other, flag in zip(names, bad, strict=True) if other == name),
                "psi": round(calculate_psi(beside, held), 4) if sum(beside) else None,
                "psi_by_chance": round(chance, 4) if sum(beside) else None,
            }
        )
    return found


def name_period(day: int) -> str:
    """The half-year of a day, e.g. "1995 H2"."""
    when = date.fromordinal(day)
    return f"{when.year} H{1 if when.month <= 6 else 2}"
