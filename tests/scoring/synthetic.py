"""Invented statements from a seed, and the freezing of golden vectors: `python -m tests.scoring.synthetic`.

Nothing here comes from a bank. A linear congruential generator keeps the rows the same on every Python.
"""

import json
import sys
from pathlib import Path
from typing import Any

from scoring.features import FEATURE_SPEC, calculate_features, calculate_net_cashflow30
from scoring.invoice_table import INVOICE_SPEC
from scoring.invoices import Invoice, calculate_invoice_features
from scoring.models import load_default
from scoring.rows import NO_COUNTERPARTY, Category, Channel, Row

ROOT = Path(__file__).resolve().parents[2]
AS_OF = 739_000


class Chance:
    """Numerical Recipes' generator, in integers."""

    def __init__(self, seed: int) -> None:
        self.state = seed & 0xFFFFFFFF

    def below(self, limit: int) -> int:
        self.state = (self.state * 1_664_525 + 1_013_904_223) & 0xFFFFFFFF
        return self.state * limit >> 32


def make_rows(
    seed: int, *, days: int = 365, salary: int = 1_200_000, thrift: int = 80, balances: bool = True, per_day: int = 1
) -> list[Row]:
    """A salary every 30 days, rent, spending of about `thrift` % of the salary a month, sometimes a penalty."""
    chance = Chance(seed)
    moves: list[tuple[int, int, Category, Channel, bytes, int]] = []
    payer, landlord, own = (bytes([tag]) * 16 for tag in (1, 2, 3))
    for day in range(AS_OF - days, AS_OF):
        age = day - (AS_OF - days)
        if age % 30 == 0:
            moves.append((day, salary + chance.below(salary // 10), Category.SALARY, Channel.TRANSFER, payer, 600))
        if age % 30 == 4:
            moves.append((day, -salary // 5, Category.HOUSEHOLD, Channel.DIRECT_DEBIT, landlord, -1))
        if chance.below(40) == 0:
            moves.append((day, salary // 8, Category.OWN_TRANSFER, Channel.TRANSFER, own, 700))
        if chance.below(90) == 0 and thrift > 90:
            moves.append((day, -3_000, Category.SANCTION, Channel.BANK_CHARGE, NO_COUNTERPARTY, -1))
        for _ in range(per_day):
            if chance.below(10) < 6:
                spent = 1 + chance.below(max(1, salary * thrift // 100 // 9 // per_day))
                cash = chance.below(4) == 0
                kind, channel = (Category.CASH, Channel.CASH) if cash else (Category.SHOPPING, Channel.CARD)
                party = NO_COUNTERPARTY if cash else bytes([10 + chance.below(40)]) * 16
                moves.append((day, -spent, kind, channel, party, chance.below(1440)))
    rows, balance = [], 300_000 + chance.below(500_000)
    for seq, (day, amount, category, channel, party, minute) in enumerate(moves):
        balance += amount
        rows.append(
            Row(
                day=day,
                seq=seq,
                amount=amount,
                balance=balance if balances else None,
                counterparty=party,
                category=category,
                channel=channel,
                minute=minute,
            )
        )
    return rows


def make_case(name: str, rows: list[Row], *, last_day: int, instalment: int, principal: int) -> dict[str, Any]:
    """One golden case: rows and terms in, everything that is computed out."""
    model = load_default()
    features = calculate_features(rows, as_of=AS_OF, last_day=last_day, instalment=instalment, principal=principal)
    bins = model.calculate_bins(features)
    assessment = model.assess(bins)
    return {
        "name": name,
        "as_of": AS_OF,
        "last_day": last_day,
        "instalment": instalment,
        "principal": principal,
        "rows": [
            [r.day, r.seq, r.amount, r.balance, r.counterparty.hex(), int(r.category), int(r.channel), r.minute]
            for r in rows
        ],
        "features": features,
        "net_cashflow30": calculate_net_cashflow30(rows, as_of=AS_OF),
        "bins": bins,
        "points": assessment.points,
        "pd_ppm": assessment.pd_ppm,
        "band": assessment.band,
        "reasons": assessment.reasons,
    }


def make_invoices(seed: int, *, days: int = 500, per_month: int = 6) -> list[Invoice]:
    """A firm with a few buyers, some void invoices and credit notes, and stretches without a sale."""
    chance = Chance(seed)
    found = []
    for day in range(AS_OF - days, AS_OF + 3):
        if day // 45 % 5 == seed % 5 or chance.below(30) >= per_month:
            continue
        kind, buyer = chance.below(12), chance.below(5)
        amount = 50_000 + chance.below(3_000_000)
        found.append(
            Invoice(
                day=day,
                seq=len(found),
                amount=-amount // 3 if kind == 0 else amount,
                buyer=NO_COUNTERPARTY if buyer == 0 else bytes([buyer]) * 16,
                is_void=kind == 1,
            )
        )
    return found


def make_invoice_golden(seeds: range) -> str:
    """The file of golden vectors of invoices, one case per line."""
    lines = []
    for seed in seeds:
        invoices = make_invoices(seed, days=60 + 90 * seed, per_month=1 + seed)
        case = {
            "name": f"firm-{seed}",
            "as_of": AS_OF,
            "invoices": [[one.day, one.seq, one.amount, one.buyer.hex(), one.is_void] for one in invoices],
            "features": calculate_invoice_features(invoices, as_of=AS_OF),
        }
        lines.append(json.dumps(case, separators=(",", ":")))
    return json.dumps({"invoice_spec": INVOICE_SPEC})[:-1] + ', "cases": [\n' + ",\n".join(lines) + "\n]}\n"


def make_golden(cases: list[dict[str, Any]]) -> str:
    """The file of golden vectors, one case per line."""
    head = {"feature_spec": FEATURE_SPEC, "model_id": load_default().id.hex()}
    lines = [json.dumps(case, separators=(",", ":")) for case in cases]
    return json.dumps(head)[:-1] + ', "cases": [\n' + ",\n".join(lines) + "\n]}\n"


def make_cases(seeds: range, *, days: int) -> list[dict[str, Any]]:
    """Cases that differ in history, thrift, stale days, and in whether balances are shown."""
    cases = []
    for seed in seeds:
        kind = seed % 4
        rows = make_rows(seed, days=days - 40 * kind, thrift=50 + 17 * kind, balances=kind != 2)
        terms = {"instalment": 90_000 + 70_000 * kind, "principal": 1_000_001 * (1 + kind)}
        cases.append(make_case(f"synthetic-{seed}", rows, last_day=AS_OF - 1 - seed % 3, **terms))
    return cases


def main() -> None:
    """Freezes the vectors of the package and of the tests: to be run only when a specification or the model changes."""
    shipped = ROOT / "scoring" / "models" / "golden.json"
    shipped.write_text(make_golden(make_cases(range(4), days=240)), encoding="ascii")
    frozen = ROOT / "tests" / "vectors" / "scoring" / "features-v1.json"
    frozen.parent.mkdir(parents=True, exist_ok=True)
    frozen.write_text(make_golden(make_cases(range(4, 16), days=400)), encoding="ascii")
    firms, shipped_firms = frozen.with_name("invoices-v1.json"), shipped.with_name("golden-invoices.json")
    firms.write_text(make_invoice_golden(range(8)), encoding="ascii")
    shipped_firms.write_text(make_invoice_golden(range(1, 5)), encoding="ascii")
    paths = (shipped, frozen, firms, shipped_firms)
    sys.stdout.write("".join(f"froze {path.relative_to(ROOT)}\n" for path in paths))


if __name__ == "__main__":
    main()
