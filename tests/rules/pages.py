"""Pages of docs that follow from the code: every transaction with its fields, every refusal with its sentence,
every feature.

    python -m tests.rules.pages      writes them anew

The test beside it compares. Only what stands in docstrings and tables; never a sentence that lives here alone.
"""

import ast
import inspect
import typing
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import msgspec

from protocol.ledger.invariants import INVARIANTS
from protocol.rejections import SENTENCES, Rejection
from protocol.transactions import accounts, assets, data, governance, lending, money, pools, products, servicing
from protocol.transactions.envelope import Payload
from scoring.feature_table import render_table
from scoring.invoice_table import render_table as render_invoices
from scoring.reasons import REASONS
from scoring.warning_table import render_warnings

DOCS: Final = Path(__file__).parents[2] / "docs"
FAMILIES: Final[tuple[ModuleType, ...]] = (
    accounts,
    governance,
    money,
    pools,
    products,
    data,
    lending,
    servicing,
    assets,
)
PAYLOADS: Final[tuple[type, ...]] = typing.get_args(Payload)
NOTE: Final = "<!-- Made by `python -m tests.rules.pages` from the code; a test compares. Edit the docstrings. -->"


def render_transactions() -> str:
    """docs/transactions.md."""
    lines = [
        "# Transactions",
        "",
        NOTE,
        "",
        "Every signed intent the ledger executes, by family: what it does, who signs, and its fields. An envelope",
        "around it names version, chain, sender, nonce, `valid_to_ms` and co-signers. Amounts are minor units, rates",
        "and shares parts per million, days ordinals of the proleptic Gregorian calendar.",
    ]
    for family in FAMILIES:
        kinds = [one for one in vars(family).values() if _is_struct(one) and one.__module__ == family.__name__]
        lines += ["", f"## {family.__name__.rpartition('.')[2].capitalize()}", "", _first_sentence(family)]
        for kind in kinds:
            title = f"`{kind.__name__}`" + ("" if kind in PAYLOADS else " (part of others)")
            lines += ["", f"### {title}", "", inspect.cleandoc(kind.__doc__ or ""), ""]
            lines += _render_fields(kind)
    return "\n".join(lines).rstrip() + "\n"


def _is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def _first_sentence(module: ModuleType) -> str:
    return inspect.cleandoc(module.__doc__ or "").partition(". Wire shapes")[0] + "."


def _render_fields(kind: type) -> list[str]:
    """One line for each field, with the words that stand under it in the source."""
    (body,) = (node for node in ast.parse(inspect.getsource(kind)).body if isinstance(node, ast.ClassDef))
    lines = []
    for node, after in zip(body.body, [*body.body[1:], None], strict=True):
        if isinstance(node, ast.AnnAssign):
            told = after.value.value if _is_text(after) else ""  # type: ignore[union-attr]
            words = " ".join(str(told).split())
            lines.append(f"- `{ast.unparse(node.target)}`{': ' + words if words else ''}")
    return lines


def _is_text(node: ast.stmt | None) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def render_rejections() -> str:
    """docs/rejections.md."""
    lines = [
        "# Refusals",
        "",
        NOTE,
        "",
        "Why a transaction is refused. When several reasons hold, the one with the smallest number is given, so every",
        "node gives the same. Numbers and codes are part of receipts and never change.",
        "",
        "| Number | Code | Sentence |",
        "|---|---|---|",
    ]
    lines += [f"| {int(one)} | `{one.code}` | {SENTENCES[one]} |" for one in Rejection]
    return "\n".join(lines) + "\n"


def render_laws() -> str:
    """docs/laws.md."""
    lines = [
        "# Laws of the books",
        "",
        NOTE,
        "",
        "What must hold after every block, checked by arithmetic of its own (`protocol/ledger/laws`). Nodes can run",
        "them, the demonstration does, and tests run them after every transaction of random lives. For each a test",
        "plants a fault and sees it caught. Numbers in parentheses are those of the design's list.",
        "",
        "| Law | What holds |",
        "|---|---|",
    ]
    for name, check in INVARIANTS.items():
        words = " ".join(inspect.cleandoc(check.__doc__ or "").split())
        lines.append(f"| `{name}` | {words} |")
    return "\n".join(lines) + "\n"


def render_features() -> str:
    """docs/features.md."""
    lines = [
        "# Features, reasons and warnings",
        "",
        NOTE,
        "",
        "What is computed from a statement, in integers: amounts are minor units, shares basis points, days",
        "proleptic ordinals. D_n are the end-of-day balances of the last n days; windows are the whole stretches of 30",
        "days before the day of the decision, six at most. Risk `+`: a higher value means more risk.",
        "",
        "## Features",
        "",
        render_table(),
        "## Invoices of small firms",
        "",
        "What is computed from the invoices a firm issued, tax included. Sales are the amounts of invoices that are",
        "not void; credit notes take away from them. The 12 windows of 30 days before the day of the decision are",
        "always twelve, also where no invoice is as old. All are MISSING where there is no invoice at all.",
        "",
        render_invoices(),
        "## Reasons",
        "",
        "| code | reason | |",
        "|---|---|---|",
    ]
    lines += [f"| {one.code} | `{one.key}` | {one.text_en} {one.text_zh} |" for one in REASONS.values()]
    lines += ["", "## Early warning", "", render_warnings()]
    return "\n".join(lines).rstrip() + "\n"


PAGES: Final = {
    "transactions.md": render_transactions,
    "rejections.md": render_rejections,
    "laws.md": render_laws,
    "features.md": render_features,
}


def main() -> None:
    """Write the pages."""
    for name, render in PAGES.items():
        (DOCS / name).write_text(render(), "utf-8")


if __name__ == "__main__":
    main()
