"""A firm's invoices in, features out: the verified calculation of `scoring.invoice_table`, for small firms.

Never a float, a true division, a clock, a calendar, a text comparison or the iteration of a set in this file. A
change of any value is a new INVOICE_SPEC. Amounts are minor units, tax included; an invoice below zero (a credit note,
红字发票) takes sales back; a void one is no sale at all. The twelve windows are always twelve: what lies before the
first invoice has no sales, so that leaving old invoices out gains nothing.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from scoring.invoice_table import INVOICE_FEATURES
from scoring.series import WINDOW_DAYS, YEAR_DAYS, calculate_bps, calculate_mean, calculate_median, calculate_sd

INVOICE_WINDOWS: Final = 12
INVOICE_BYTES_MAX: Final = 64
"""Canonical bytes of an invoice: two 8-byte integers, a 4-byte day, a 16-byte id, a flag and the marks between."""
VALUE_MAX: Final = 2**53 - 1


class Invoice(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True):
    """One invoice that the firm issued."""

    day: int
    """Proleptic ordinal of its date."""
    seq: int
    """Position among the invoices given, from 0."""
    amount: int
    """Signed minor units, tax included; below zero it is a credit note."""
    buyer: bytes
    """16-byte keyed id of the buyer; 16 zero bytes when unknown."""
    is_void: bool


_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(Invoice)


def encode_invoice(invoice: Invoice) -> bytes:
    """Canonical bytes: a msgpack array of the fields in order, integers in their shortest form."""
    return _ENCODER.encode(invoice)


def decode_invoice(raw: bytes) -> Invoice:
    """The invoice of `raw`. Raises ValueError when the bytes are not exactly what `encode_invoice` makes."""
    if len(raw) > INVOICE_BYTES_MAX:
        raise ValueError("not an invoice: too long")
    try:
        invoice = _DECODER.decode(raw)
    except msgspec.MsgspecError as error:
        raise ValueError(f"not an invoice: {error}") from error
    if _ENCODER.encode(invoice) != raw or len(invoice.buyer) != 16:
        raise ValueError("not an invoice in canonical form")
    if not 0 < invoice.day <= VALUE_MAX or not 0 <= invoice.seq <= VALUE_MAX or abs(invoice.amount) > VALUE_MAX:
        raise ValueError("not an invoice: a number is out of range")
    return invoice


def calculate_invoice_features(invoices: Sequence[Invoice], *, as_of: int) -> dict[str, int | None]:
    """Every feature of INVOICE_FEATURES, in that order; None is MISSING, as all are where no invoice is before `as_of`.

    `as_of` is a proleptic ordinal; invoices on or after it are not looked at. Order of `invoices` does not matter.
    """
    total = year = count = void_count = 0
    windows = [0] * INVOICE_WINDOWS
    buyers: dict[bytes, int] = {}
    last_day: int | None = None
    seen = False
    for invoice in invoices:
        age = as_of - invoice.day
        if age <= 0:
            continue
        seen = True
        if age <= YEAR_DAYS:
            count += 1
            void_count += invoice.is_void
        if invoice.is_void:
            continue
        total += invoice.amount
        if invoice.amount > 0 and (last_day is None or invoice.day > last_day):
            last_day = invoice.day
        if age <= YEAR_DAYS:
            year += invoice.amount
            buyers[invoice.buyer] = buyers.get(invoice.buyer, 0) + invoice.amount
        window = (age - 1) // WINDOW_DAYS
        if window < INVOICE_WINDOWS:
            windows[window] += invoice.amount
    if not seen:
        return {item.name: None for item in INVOICE_FEATURES}
    mean, deviation = calculate_mean(windows), calculate_sd(windows)
    assert deviation is not None, "there are always twelve windows"
    bought = [amount for amount in buyers.values() if amount > 0]
    sales = sum(bought)
    values = {
        "inv_total": total,
        "inv_12m": year,
        "inv_median": calculate_median(windows),
        "inv_zero_windows": sum(1 for amount in windows if amount <= 0),
        "inv_cv": calculate_bps(deviation, mean),
        "inv_days_since": None if last_day is None else as_of - last_day,
        "inv_buyer_hhi": calculate_bps(sum(amount * amount for amount in bought), sales * sales) if year > 0 else None,
        "inv_void_rate": calculate_bps(void_count, count),
    }
    assert len(values) == len(INVOICE_FEATURES), "every feature is in the table, and nothing else"
    return {item.name: values[item.name] for item in INVOICE_FEATURES}
