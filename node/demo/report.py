"""What the demonstration found: one JSON object for machines, one page for people. No action here."""

from collections.abc import Sequence
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table


class Decline(msgspec.Struct, kw_only=True):
    """One refusal, with the reasons in words."""

    borrower: str
    lender: str
    reasons: tuple[str, ...]


class LoanLine(msgspec.Struct, kw_only=True):
    """One loan as the page shows it."""

    id: str
    borrower: str
    lender: str
    principal_minor: int
    rate_ppm: int
    apr_ppm: int
    total_cost_minor: int
    state: str
    paid_minor: int
    days_past_due: int


class Spread(msgspec.Struct, kw_only=True):
    """Median and 99th percentile of a series in milliseconds, with its length."""

    p50: float | None
    p99: float | None
    count: int


class Report(msgspec.Struct, kw_only=True):
    """The whole result. `ok` is what the exit code says."""

    ok: bool
    network: str
    chain_id: str
    validators: tuple[str, ...]
    observers: tuple[str, ...]
    height: dict[str, int]
    exec_roots_equal: bool
    loans: tuple[LoanLine, ...]
    loans_by_state: dict[str, int]
    declines: tuple[Decline, ...]
    refused_by_cap: tuple[str, ...]
    finality_ms: Spread
    application_to_money_ms: Spread
    receipts_verified: int
    receipts_failed: int
    invariants: dict[str, str]
    """Name of each invariant to "held" or to what broke it."""
    killed: tuple[str, ...]
    problems: tuple[str, ...]
    """What the story expected and did not see; empty when all is well."""
    seconds: float


def calculate_spread(values: Sequence[float]) -> Spread:
    """Nearest-rank percentiles; None for an empty series."""
    ordered = sorted(values)
    if not ordered:
        return Spread(p50=None, p99=None, count=0)

    def pick(percent: int) -> float:
        return round(ordered[max(0, -(-len(ordered) * percent // 100) - 1)], 1)

    return Spread(p50=pick(50), p99=pick(99), count=len(ordered))


def to_json(report: Report) -> dict[str, Any]:
    """The object that `--json` prints."""
    built: dict[str, Any] = msgspec.to_builtins(report)
    return built


def _money(minor: int) -> str:
    return f"{minor // 100:,}.{minor % 100:02d}"


def _percent(ppm: int) -> str:
    return f"{ppm / 10_000:.2f} %"


def print_report(report: Report, console: Console) -> None:
    """The page people read at the end."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("borrower", "lender", "state"):
        table.add_column(name, no_wrap=True)
    for name in ("principal", "APR", "cost", "paid", "late"):
        table.add_column(name, justify="right", no_wrap=True)
    for loan in report.loans:
        table.add_row(
            loan.borrower,
            loan.lender,
            loan.state,
            _money(loan.principal_minor),
            _percent(loan.apr_ppm),
            _money(loan.total_cost_minor),
            _money(loan.paid_minor),
            f"{loan.days_past_due} d" if loan.days_past_due else "",
        )
    console.print(table)
    for (borrower, reasons), lenders in _group_declines(report.declines).items():
        console.print(f"\n{borrower} was declined by {', '.join(lenders)}, each for these reasons:")
        for reason in reasons:
            console.print(f"  - {reason}")
    for line in report.refused_by_cap:
        console.print(f"\nRefused: {line}")
    console.print()
    heights = ", ".join(f"{name} {height}" for name, height in report.height.items())
    held = sum(1 for said in report.invariants.values() if said == "held")
    console.print(f"Heights       {heights}; state roots {'equal' if report.exec_roots_equal else 'DIFFER'}")
    console.print(f"Finality      {_spread(report.finality_ms)} from submit to final")
    console.print(f"To money      {_spread(report.application_to_money_ms)} from application to money")
    console.print(f"Receipts      {report.receipts_verified} verified offline, {report.receipts_failed} failed")
    console.print(f"Invariants    {held} of {len(report.invariants)} held")
    if report.killed:
        console.print(f"Killed        {', '.join(report.killed)} (SIGKILL), brought back and caught up")
    for problem in report.problems:
        console.print(f"[red]Problem       {problem}[/red]")
    console.print(f"{'All is well' if report.ok else '[red]Not all is well[/red]'} after {report.seconds:.1f} s.")


def _group_declines(declines: Sequence[Decline]) -> dict[tuple[str, tuple[str, ...]], list[str]]:
    """Lenders by borrower and reasons: equal scores give equal reasons everywhere."""
    groups: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for one in declines:
        groups.setdefault((one.borrower, one.reasons), []).append(one.lender)
    return groups


def _spread(spread: Spread) -> str:
    if spread.p50 is None:
        return "not measured"
    return f"p50 {spread.p50:.0f} ms, p99 {spread.p99:.0f} ms ({spread.count} measured)"
