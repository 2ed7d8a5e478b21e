"""The features of a firm's invoices: each against a plain oracle, with its laws and frozen vectors."""

import json
import statistics
from math import isqrt
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoring.feature_table import FEATURES
from scoring.invoice_table import INVOICE_FEATURES, INVOICE_SPEC
from scoring.invoices import Invoice, calculate_invoice_features, decode_invoice, encode_invoice
from scoring.reasons import REASONS
from tests.scoring.synthetic import make_invoices

VECTORS = Path(__file__).parents[1] / "vectors" / "scoring" / "invoices-v1.json"
AS_OF = 739_000
BUYERS = [bytes(16), b"a" * 16, b"b" * 16]

invoices_of_a_firm = st.lists(
    st.builds(
        Invoice,
        day=st.integers(AS_OF - 800, AS_OF + 5),
        seq=st.integers(0, 9),
        amount=st.integers(-5_000, 20_000),
        buyer=st.sampled_from(BUYERS),
        is_void=st.booleans(),
    ),
    max_size=30,
)


def make(day: int, amount: int, *, buyer: bytes = BUYERS[1], is_void: bool = False) -> Invoice:
    """An invoice some days before the decision."""
    return Invoice(day=AS_OF - day, seq=0, amount=amount, buyer=buyer, is_void=is_void)


def calculate(*invoices: Invoice) -> dict[str, int | None]:
    return calculate_invoice_features(invoices, as_of=AS_OF)


def calculate_plainly(invoices: list[Invoice]) -> dict[str, int | None]:
    """The definitions read aloud, one feature at a time."""
    before = [one for one in invoices if one.day < AS_OF]
    if not before:
        return dict.fromkeys([item.name for item in INVOICE_FEATURES])
    year = [one for one in before if one.day >= AS_OF - 365]
    standing = [one for one in before if not one.is_void]
    recent = [one for one in standing if one in year]
    windows = [
        sum(one.amount for one in standing if AS_OF - 30 * (k + 1) <= one.day < AS_OF - 30 * k) for k in range(12)
    ]
    mean = sum(windows) // 12
    spread = isqrt(sum((value - mean) ** 2 for value in windows) // 12)
    sales = [one.day for one in standing if one.amount > 0]
    shares = [sum(one.amount for one in recent if one.buyer == buyer) for buyer in BUYERS]
    whole = sum(value for value in shares if value > 0)
    squares = sum(value**2 for value in shares if value > 0)
    return {
        "inv_total": sum(one.amount for one in standing),
        "inv_12m": sum(one.amount for one in recent),
        "inv_median": int(statistics.median_low(windows) + statistics.median_high(windows)) // 2,
        "inv_zero_windows": len([value for value in windows if value <= 0]),
        "inv_cv": min(spread * 10_000 // mean, 10**7) if mean > 0 else None,
        "inv_days_since": AS_OF - max(sales) if sales else None,
        "inv_buyer_hhi": squares * 10_000 // whole**2 if sum(one.amount for one in recent) > 0 else None,
        "inv_void_rate": sum(one.is_void for one in year) * 10_000 // len(year) if year else None,
    }


@given(invoices_of_a_firm)
def test_every_feature_is_its_definition(invoices: list[Invoice]) -> None:
    """The one pass gives what the definitions give, in the order of the table, whatever the order of the invoices."""
    found = calculate_invoice_features(invoices, as_of=AS_OF)
    assert found == calculate_plainly(invoices)
    assert list(found) == [item.name for item in INVOICE_FEATURES]
    assert calculate_invoice_features(invoices[::-1], as_of=AS_OF) == found


def test_a_firm_that_sells_evenly_to_one_buyer() -> None:
    """Twelve equal months: no spread, no empty month, one buyer has all; a void invoice counts as none but is told."""
    months = [make(30 * k + 1, 1_000) for k in range(12)]
    found = calculate(*months, make(3, 9_999, is_void=True))
    assert found == {
        "inv_total": 12_000,
        "inv_12m": 12_000,
        "inv_median": 1_000,
        "inv_zero_windows": 0,
        "inv_cv": 0,
        "inv_days_since": 1,
        "inv_buyer_hhi": 10_000,
        "inv_void_rate": 769,
    }


def test_leaving_old_invoices_out_gains_nothing() -> None:
    """The windows are always twelve: whoever shows half a year only has six months without sales."""
    months = [make(30 * k + 1, 1_000) for k in range(12)]
    assert calculate(*months[:6])["inv_zero_windows"] == 6
    assert calculate(*months[:6])["inv_median"] == 500


def test_credit_notes_take_sales_back_and_are_no_sale() -> None:
    """What is sold and taken back is nothing; the day of a credit note is no day of a sale."""
    found = calculate(make(40, 1_000), make(5, -1_000))
    assert (found["inv_total"], found["inv_days_since"], found["inv_buyer_hhi"]) == (0, 40, None)


def test_missing_is_missing_and_not_nothing() -> None:
    """No invoice before the day: all MISSING. Only void ones: no sales, all of them void."""
    assert set(calculate().values()) == set(calculate(make(0, 5)).values()) == {None}
    found = calculate(make(2, 5, is_void=True))
    assert (found["inv_total"], found["inv_days_since"], found["inv_cv"]) == (0, None, None)
    assert found["inv_void_rate"] == 10_000
    assert calculate(make(366, 5))["inv_void_rate"] is None


def test_the_table_is_of_its_own_and_every_reason_has_a_sentence() -> None:
    """No name of the bank flows' specification is used again; directions are +1 or -1; versions start at 1."""
    names = [item.name for item in INVOICE_FEATURES]
    assert not {item.name for item in FEATURES} & set(names)
    assert len(set(names)) == len(names)
    assert all(item.reason in REASONS and item.direction in (1, -1) for item in INVOICE_FEATURES)
    assert {item.since for item in INVOICE_FEATURES} == {INVOICE_SPEC} == {1}


def test_an_invoice_has_one_canonical_form() -> None:
    """It survives its bytes; longer integers, other lengths and numbers out of range are refused."""
    for invoice in make_invoices(3):
        assert decode_invoice(encode_invoice(invoice)) == invoice
    raw = encode_invoice(Invoice(day=1, seq=0, amount=5, buyer=bytes(16), is_void=False))
    bad = [
        raw[:-1],
        raw + b"\x00",
        raw.replace(b"\x05", b"\xcc\x05"),
        b"",
        b"\xc0",
        b"\xff" * 100,
        encode_invoice(Invoice(day=0, seq=0, amount=5, buyer=bytes(16), is_void=False)),
        encode_invoice(Invoice(day=1, seq=0, amount=2**53, buyer=bytes(16), is_void=False)),
        encode_invoice(Invoice(day=1, seq=0, amount=5, buyer=bytes(15), is_void=False)),
    ]
    for each in bad:
        with pytest.raises(ValueError, match="not an invoice"):
            decode_invoice(each)


def load_cases() -> list[dict[str, Any]]:
    golden = json.loads(VECTORS.read_text())
    assert golden["invoice_spec"] == INVOICE_SPEC
    cases: list[dict[str, Any]] = golden["cases"]
    return cases


@pytest.mark.parametrize("case", load_cases(), ids=lambda case: case["name"])
def test_frozen_vectors_come_out_to_the_last_bit(case: dict[str, Any]) -> None:
    """Features of frozen invoices never change within a version, nor does their order."""
    invoices = [
        Invoice(day=day, seq=seq, amount=amount, buyer=bytes.fromhex(buyer), is_void=is_void)
        for day, seq, amount, buyer, is_void in case["invoices"]
    ]
    found = calculate_invoice_features(invoices, as_of=case["as_of"])
    assert list(found.items()) == list(case["features"].items())
