"""Additive integer points: the one model format that decides. Bins in; points, PD, band and reasons out.

Part of the verified zone: never a float, a true division, a clock or a file here. A model is its canonical bytes; its
id is their SHA-256. A change of the format is a new FORMAT number, because old decisions are recomputed for ever.

    value --cuts--> bin --points--> sum + base --pd--> ppm
                                              --bands--> 0 (best) ... n
                     shortfall from the best bin, by reason group --> at most 4 reasons
"""

import hashlib
import json
from bisect import bisect_right
from collections.abc import Mapping
from functools import cached_property
from typing import Final, NamedTuple

import msgspec

from scoring.feature_table import FEATURE_SPEC, FEATURES
from scoring.reasons import REASONS

FORMAT: Final = 1
MODEL_BYTES_MAX: Final = 65_536
"""A model travels in one transaction; the shipped one is under 8 KiB."""
FEATURES_MAX: Final = 64
CUTS_MAX: Final = 63
TABLE_MAX: Final = 256
POINTS_MAX: Final = 100_000
VALUE_MAX: Final = 2**53 - 1
PPM: Final = 1_000_000
REASONS_MAX: Final = 4

DIRECTIONS: Final = {item.name: item.direction for item in FEATURES}


class FeaturePoints(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One feature of a model: bin i holds cuts[i-1] <= value < cuts[i]; the last index is MISSING."""

    cuts: tuple[int, ...]
    """Ascending cut points in the feature's unit; n of them make n + 1 bins."""
    missing: int
    """Points of MISSING; never above the worst bin's."""
    name: str
    """A name of `scoring.feature_table.FEATURES`."""
    points: tuple[int, ...]
    """Points per bin, monotone in the direction of the feature."""
    reason: int
    """Code of `scoring.reasons.REASONS`."""
    reference: tuple[int, ...]
    """How many training cases fell into each bin, MISSING last: the reference of the stability index."""

    @property
    def table(self) -> tuple[int, ...]:
        """Points by bin index, MISSING last."""
        return (*self.points, self.missing)

    def calculate_bin(self, value: int | None) -> int:
        """Bin index of a value; len(cuts) + 1 of MISSING."""
        return len(self.cuts) + 1 if value is None else bisect_right(self.cuts, value)

    def check(self) -> str | None:
        """Why this is not a lawful feature, or None."""
        direction = DIRECTIONS.get(self.name)
        if direction is None:
            return f"unknown feature {self.name!r}"
        if len(self.cuts) > CUTS_MAX or len(self.points) != len(self.cuts) + 1:
            return f"{self.name}: bins and points differ in number, or are too many"
        if any(low >= high for low, high in zip(self.cuts, self.cuts[1:], strict=False)):
            return f"{self.name}: cut points do not ascend"
        if any(abs(cut) > VALUE_MAX for cut in self.cuts) or any(abs(value) > POINTS_MAX for value in self.table):
            return f"{self.name}: a number is out of range"
        if any((high - low) * direction > 0 for low, high in zip(self.points, self.points[1:], strict=False)):
            return f"{self.name}: points go against the direction of risk"
        if self.missing > min(self.points):
            return f"{self.name}: MISSING scores better than the worst bin"
        if self.reason not in REASONS:
            return f"{self.name}: unknown reason {self.reason}"
        if len(self.reference) != len(self.table) or any(not 0 <= count <= VALUE_MAX for count in self.reference):
            return f"{self.name}: reference counts do not fit the bins"
        return None


class Assessment(NamedTuple):
    """What a model says of one feature vector."""

    points: int
    pd_ppm: int
    """Probability of default over the loan's life, parts per million."""
    band: int
    """0 is the best."""
    reasons: tuple[int, ...]
    """At most 4 reason codes, largest shortfall first."""


class PointsModel(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, dict=True):
    """An additive points model. Made by `decode_model` alone outside training, so that it is always lawful."""

    bands: tuple[int, ...]
    """Descending least points of bands 0, 1, ...; below the last is the worst band."""
    band_reference: tuple[int, ...]
    """Training cases per band."""
    base: int
    currency: str
    """ISO 4217 code of the money in which it was fitted."""
    feature_spec: int
    format: int
    name: str
    pd: tuple[tuple[int, int], ...]
    """(least points, ppm), ascending in points, descending in ppm; below the first entry its ppm holds."""
    price_level: int
    """Median monthly income of the training cases in minor units: the scale of any feature that is money."""
    table: tuple[FeaturePoints, ...]

    @property
    def features(self) -> tuple[str, ...]:
        """Names of the features used, in the order of the bins."""
        return tuple(item.name for item in self.table)

    @cached_property
    def id(self) -> bytes:
        """SHA-256 of the canonical bytes."""
        return hashlib.sha256(encode_model(self)).digest()

    @cached_property
    def _points(self) -> tuple[tuple[int, ...], ...]:
        return tuple(item.table for item in self.table)

    @cached_property
    def _best(self) -> tuple[tuple[int, int], ...]:
        """(most points, reason) per feature."""
        return tuple((max(item.table), item.reason) for item in self.table)

    @cached_property
    def _pd_points(self) -> tuple[int, ...]:
        return tuple(points for points, _ in self.pd)

    def calculate_bins(self, features: Mapping[str, int | None]) -> tuple[int, ...]:
        """Bin index per feature of the model. Raises KeyError when a feature is absent (MISSING is None)."""
        return tuple(item.calculate_bin(features[item.name]) for item in self.table)

    def check_bins(self, bins: tuple[int, ...]) -> str | None:
        """Why `bins` cannot be assessed by this model (bins_count, bins_range), or None."""
        if len(bins) != len(self.table):
            return "bins_count"
        if any(not 0 <= index < len(table) for index, table in zip(bins, self._points, strict=True)):
            return "bins_range"
        return None

    def assess(self, bins: tuple[int, ...]) -> Assessment:
        """Points, PD, band and reasons of a bin vector that `check_bins` accepts."""
        assert self.check_bins(bins) is None, "bins are checked before they are assessed"
        points = self.base
        shortfall: dict[int, int] = {}
        for index, table, (best, reason) in zip(bins, self._points, self._best, strict=True):
            points += table[index]
            if table[index] < best:
                shortfall[reason] = shortfall.get(reason, 0) + best - table[index]
        ranked = sorted(shortfall.items(), key=lambda item: (-item[1], item[0]))
        return Assessment(
            points=points,
            pd_ppm=self.pd[max(0, bisect_right(self._pd_points, points) - 1)][1],
            band=sum(1 for least in self.bands if points < least),
            reasons=tuple(reason for reason, _ in ranked[:REASONS_MAX]),
        )


def check_model(model: PointsModel) -> str | None:
    """Why a model is not lawful, or None."""
    if model.format != FORMAT or model.feature_spec != FEATURE_SPEC:
        return f"format {model.format}, feature specification {model.feature_spec}: not of this engine"
    if not (model.name.isascii() and model.name.isprintable() and 0 < len(model.name) <= 64):
        return "the name is not 1 to 64 printable ASCII characters"
    if not (len(model.currency) == 3 and model.currency.isascii() and model.currency.isupper()):
        return "the currency is not an ISO 4217 code"
    if not 0 < model.price_level <= VALUE_MAX or abs(model.base) > POINTS_MAX:
        return "base or price level is out of range"
    names = model.features
    if not 0 < len(names) <= FEATURES_MAX or any(name in names[:index] for index, name in enumerate(names)):
        return "no features, too many, or one twice"
    for item in model.table:
        reason = item.check()
        if reason is not None:
            return reason
    if not 0 < len(model.pd) <= TABLE_MAX or any(not 0 <= ppm <= PPM for _, ppm in model.pd):
        return "the PD table is empty, too long or out of range"
    for (points, ppm), (points_next, ppm_next) in zip(model.pd, model.pd[1:], strict=False):
        if points >= points_next or ppm < ppm_next:
            return "the PD table does not fall as points rise"
    if len(model.bands) > TABLE_MAX or any(a <= b for a, b in zip(model.bands, model.bands[1:], strict=False)):
        return "the bands do not descend"
    if any(abs(points) > VALUE_MAX for points in (*model.bands, *(points for points, _ in model.pd))):
        return "a threshold is out of range"
    if len(model.band_reference) != len(model.bands) + 1 or any(not 0 <= n <= VALUE_MAX for n in model.band_reference):
        return "the reference counts do not fit the bands"
    return None


def encode_model(model: PointsModel) -> bytes:
    """Canonical bytes: JSON with sorted keys, no spaces, ASCII, integers and strings only."""
    tree = msgspec.to_builtins(model)
    return json.dumps(tree, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode("ascii")


_DECODER: Final = msgspec.json.Decoder(PointsModel)


def decode_model(raw: bytes) -> PointsModel:
    """The model of `raw`. Raises ValueError when it is not lawful or not in canonical form."""
    if len(raw) > MODEL_BYTES_MAX:
        raise ValueError(f"a points model of {len(raw)} bytes: at most {MODEL_BYTES_MAX} are allowed")
    try:
        model = _DECODER.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"not a points model: {error}") from error
    reason = check_model(model)
    if reason is not None:
        raise ValueError(f"not a lawful points model: {reason}")
    if encode_model(model) != raw:
        raise ValueError("not a points model in canonical form")
    return model
