"""Laws of the points model: canonical bytes, monotone points, MISSING, reasons."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scoring.feature_table import FEATURES
from scoring.models import DEFAULTS, load_default, load_model
from scoring.points import MODEL_BYTES_MAX, PointsModel, decode_model, encode_model
from scoring.reasons import REASONS

MODEL = load_default()
DIRECTION = {item.name: item.direction for item in FEATURES}
UNIT = {item.name: item.unit for item in FEATURES}
BINS = st.tuples(*(st.integers(0, len(item.cuts) + 1) for item in MODEL.table))


def tree() -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(encode_model(MODEL))
    return parsed


def pack(parsed: object) -> bytes:
    return json.dumps(parsed, sort_keys=True, separators=(",", ":")).encode()


@pytest.mark.parametrize("currency", DEFAULTS)
def test_shipped_models_are_canonical_and_name_their_money(currency: str) -> None:
    """Every shipped file decodes, re-encodes to itself, and carries the currency under which it is offered."""
    model = load_default(currency)
    assert decode_model(encode_model(model)) == model
    assert model.currency == currency
    assert len(model.id) == 32
    assert "+infinity" not in encode_model(model).decode("ascii")


def test_other_currencies_differ_in_money_alone() -> None:
    """A derived model keeps every point and every ratio's cut; only cuts of amounts move."""
    other = load_model("cashflow-v1-cny")
    assert other.id != MODEL.id
    for mine, theirs in zip(MODEL.table, other.table, strict=True):
        assert (mine.name, mine.points, mine.missing) == (theirs.name, theirs.points, theirs.missing)
        assert (mine.cuts == theirs.cuts) == (UNIT[mine.name] != "minor units" or not mine.cuts)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda raw: raw + b"\n",
        lambda raw: b" " + raw,
        lambda raw: raw.replace(b":", b": ", 1),
        lambda raw: raw.replace(b'"base":', b'"base":0,"base":', 1),
        lambda raw: raw.replace(b'"CZK"', b'"\\u0043ZK"', 1),
        lambda raw: raw[:-1],
        lambda raw: raw[:-1] + b',"more":1}',
        lambda raw: b"",
        lambda raw: b"[" * 100_000,
        lambda raw: b"[" * 60_000,
        lambda raw: b"\xff" + raw,
        lambda raw: b"{}" + b" " * MODEL_BYTES_MAX,
    ],
)
def test_bytes_that_are_not_canonical_are_refused(spoil: Any) -> None:
    """One model, one sequence of bytes, one id."""
    with pytest.raises(ValueError, match="points model"):
        decode_model(spoil(encode_model(MODEL)))


def change(path: tuple[Any, ...], value: object) -> bytes:
    parsed = tree()
    node = parsed
    for step in path[:-1]:
        node = node[step]
    node[path[-1]] = value
    return pack(parsed)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("base",), 1.5),
        (("base",), 203.0),
        (("base",), True),
        (("base",), 10**30),
        (("currency",), "czk"),
        (("feature_spec",), 99),
        (("format",), 2),
        (("name",), "é"),
        (("price_level",), 0),
        (("table",), []),
        (("table", 0, "name"), "no_such_feature"),
        (("table", 0, "name"), "pti_min"),
        (("table", 0, "missing"), 1),
        (("table", 0, "cuts"), [1]),
        (("table", 0, "reason"), 999),
        (("table", 0, "reference"), [1]),
        (("pd",), []),
        (("pd",), [[0, 10], [1, 20]]),
        (("pd",), [[5, 10], [5, 10]]),
        (("pd",), [[0, 1_000_001]]),
        (("bands",), [1, 2, 3, 4, 5, 6]),
        (("band_reference",), []),
    ],
)
def test_unlawful_models_are_refused(path: tuple[Any, ...], value: object) -> None:
    """What breaks a rule of the format is no model, however well encoded."""
    with pytest.raises(ValueError, match="points model"):
        decode_model(change(path, value))


def test_a_feature_twice_and_points_against_risk_are_refused() -> None:
    """Counting one fact twice, or rewarding risk, makes a model unlawful."""
    parsed = tree()
    parsed["table"].append(parsed["table"][0])
    with pytest.raises(ValueError, match="one twice"):
        decode_model(pack(parsed))
    parsed = tree()
    parsed["table"][0]["points"].reverse()
    with pytest.raises(ValueError, match="against the direction"):
        decode_model(pack(parsed))


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_a_better_figure_never_scores_worse(data: st.DataObject) -> None:
    """Points are monotone in each feature's direction of risk, and MISSING is never better than any value."""
    item = data.draw(st.sampled_from(MODEL.table))
    one, other = data.draw(st.integers(-(10**8), 10**8)), data.draw(st.integers(-(10**8), 10**8))
    low, high = min(one, other), max(one, other)
    at_low, at_high = item.table[item.calculate_bin(low)], item.table[item.calculate_bin(high)]
    assert (at_high - at_low) * DIRECTION[item.name] <= 0
    assert item.table[item.calculate_bin(None)] <= min(at_low, at_high)


def test_a_cut_point_belongs_to_the_bin_above_it() -> None:
    """Bin i holds cuts[i-1] <= value < cuts[i]."""
    for item in MODEL.table:
        for index, cut in enumerate(item.cuts):
            assert item.calculate_bin(cut - 1) == index
            assert item.calculate_bin(cut) == index + 1
        assert item.calculate_bin(None) == len(item.cuts) + 1


@given(BINS)
@settings(max_examples=200, deadline=None)
def test_an_assessment_is_the_sum_and_its_reasons_are_the_largest_shortfalls(bins: tuple[int, ...]) -> None:
    """Points add up; reasons are shortfalls by group, largest first, ties by code, none of zero, at most four."""
    assert MODEL.check_bins(bins) is None
    found = MODEL.assess(bins)
    assert found.points == MODEL.base + sum(item.table[at] for item, at in zip(MODEL.table, bins, strict=True))
    lost = {
        code: sum(
            max(item.points) - item.table[at] for item, at in zip(MODEL.table, bins, strict=True) if item.reason == code
        )
        for code in REASONS
    }
    expected = sorted((code for code in lost if lost[code]), key=lambda code: (-lost[code], code))[:4]
    assert list(found.reasons) == expected
    assert 0 <= found.band <= len(MODEL.bands)
    assert 0 <= found.pd_ppm <= 1_000_000


@given(BINS, BINS)
@settings(max_examples=100, deadline=None)
def test_more_points_never_mean_more_risk(one: tuple[int, ...], other: tuple[int, ...]) -> None:
    """PD and band never rise with points."""
    low, high = sorted((MODEL.assess(one), MODEL.assess(other)), key=lambda found: found.points)
    assert high.pd_ppm <= low.pd_ppm
    assert high.band <= low.band


def test_perfect_bins_leave_no_reason_and_missing_bins_are_the_worst() -> None:
    """No shortfall, no reason; all MISSING is the least score there is."""
    best = MODEL.assess(tuple(item.table.index(max(item.table)) for item in MODEL.table))
    worst = MODEL.assess(MODEL.calculate_bins(dict.fromkeys(MODEL.features)))
    assert best.reasons == ()
    assert best.band == 0
    assert worst.points == MODEL.base + sum(min(item.table) for item in MODEL.table)
    assert worst.band == len(MODEL.bands)
    assert len(worst.reasons) == 4


def test_bins_of_another_shape_are_refused() -> None:
    """The wrong number of bins, or an index beyond MISSING, has its code."""
    good = MODEL.calculate_bins(dict.fromkeys(MODEL.features))
    assert MODEL.check_bins(good) is None
    assert MODEL.check_bins(good[:-1]) == "bins_count"
    assert MODEL.check_bins((*good[:-1], good[-1] + 1)) == "bins_range"
    assert MODEL.check_bins((-1, *good[1:])) == "bins_range"
    with pytest.raises(AssertionError):
        MODEL.assess(good[:-1])


def test_the_model_id_changes_with_any_number() -> None:
    """Two tables that differ anywhere are two models."""
    parsed = tree()
    parsed["base"] += 1
    other: PointsModel = decode_model(pack(parsed))
    assert other.id != MODEL.id
