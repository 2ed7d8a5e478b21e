"""What a score is measured by: AUC, KS, PSI, intervals of rates. Standard library only; floats for people to read.

Never anything here that a decision depends on.
"""

import math
from collections.abc import Sequence
from typing import Final

NORMAL_95: Final = 1.96


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


def calculate_psi_by_chance(bands: int, loans: int, others: int) -> float:
    """The PSI to expect of two samples of one population: (bands - 1) (1 / loans + 1 / others)."""
    return (bands - 1) * (1 / loans + 1 / others) if loans and others else math.inf


def calculate_interval(value: float, error: float) -> list[float]:
    """[low, high] of 95 %, held within 0 and 1."""
    return [round(max(0.0, value - NORMAL_95 * error), 4), round(min(1.0, value + NORMAL_95 * error), 4)]


def calculate_wilson(hits: int, count: int) -> list[float] | None:
    """[low, high] of a rate, 95 %; None of nothing. Source: Wilson, J. Am. Stat. Assoc. 22 (1927)."""
    if not count:
        return None
    rate, square = hits / count, NORMAL_95 * NORMAL_95
    middle = (rate + square / (2 * count)) / (1 + square / count)
    half = NORMAL_95 * math.sqrt(rate * (1 - rate) / count + square / (4 * count * count)) / (1 + square / count)
    return [round(max(0.0, middle - half), 4), round(min(1.0, middle + half), 4)]
