"""The invoice list of an invented small firm, as a tax platform exports it, from one seed.

    data = make_invoice_list(end=date(2026, 10, 31), months=12, seed=7)

The same arguments give the same bytes on every machine. Never read a clock here.
"""

import csv
import io
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Final

from node.demo.bank import people
from node.demo.bank.book import Dice
from node.demo.statements import MONTHS_MAX, calculate_months_before

HEADING: Final = (
    "发票号码", "开票日期", "购买方名称", "购买方识别号", "金额", "税额", "价税合计", "发票状态",
)  # fmt: skip
TAX_PERCENT: Final = 13
WORKDAYS: Final = 5
_QUIET_PERCENT: Final = 12
"""Of the months: then the firm sells little."""


def make_invoice_list(*, end: date, months: int = 12, seed: int) -> bytes:
    """CSV in UTF-8 with the headings of HEADING: a few buyers, some void invoices and credit notes, weak months.

    The list covers the `months` months that end with the day `end`, newest first, and is never empty. Raises ValueError
    for months outside 1 to 60.
    """
    if not 1 <= months <= MONTHS_MAX:
        raise ValueError(f"{months} months: a list covers 1 to {MONTHS_MAX}")
    dice = Dice(f"invoices|{seed}", "CNY")
    first = calculate_months_before(end + timedelta(days=1), months)
    rows = list(_make_rows(dice, first, end))
    buffer = io.StringIO(newline="")
    csv.writer(buffer, lineterminator="\r\n").writerows([HEADING, *reversed(rows)])
    return b"\xef\xbb\xbf" + buffer.getvalue().encode("utf-8")


def _make_rows(dice: Dice, first: date, end: date) -> Iterator[list[str]]:
    buyers = [(party.zh, f"91{dice.digits(16)}") for party in people.make_parties(dice, people.CLIENTS)]
    number, busy = int("26" + dice.digits(6)), True
    for offset in range((end - first).days + 1):
        day = first + timedelta(days=offset)
        if day.day == 1:
            busy = not dice.happens(_QUIET_PERCENT)
        if day != end and (day.weekday() >= WORKDAYS or not dice.happens(38 if busy else 4)):
            continue
        number += 1
        # A firm has a main buyer: every other invoice is theirs.
        name, tax_id = buyers[0] if dice.happens(50) else dice.pick(buyers)
        net = dice.money(3_000, 23_000)
        status = "正常"
        if day != end and dice.happens(4):
            status = "作废"
        elif day != end and dice.happens(4):
            status, net = "红字", -(net // 5)
        tax = net * TAX_PERCENT // 100
        yield [f"{number:020d}", f"{day:%Y-%m-%d}", name, tax_id, *map(_major, (net, tax, net + tax)), status]


def _major(minor: int) -> str:
    whole, cents = divmod(abs(minor), 100)
    return f"{'-' if minor < 0 else ''}{whole}.{cents:02d}"
