"""`liushui monitor`: the early-warning rules, explained and measured on past loans; statements refreshed for them.

Never a rule here: `scoring.warning` has them.
"""

import sys
from pathlib import Path

import click

from node.cli.common import fail, json_option, lang_option, print_json, print_table
from node.cli.model import data_option, read_model, require_files
from node.cli.refresh import refresh


@click.group()
def monitor() -> None:
    """Explain the early-warning rules, measure them on past loans, refresh a statement for them."""


monitor.add_command(refresh)


@monitor.command()
@lang_option
@json_option
def rules(*, lang: str, as_json: bool) -> None:
    """List the rules: what raises each, what clears it, how urgent it is."""
    from scoring.warning_table import WARNINGS

    rows = [
        {
            "rule": one.key,
            "number": int(one.rule),
            "severity": one.severity.name.lower(),
            "window_days": one.window_days,
            "raised": one.raised,
            "cleared": one.cleared,
            "text": getattr(one, f"text_{lang}"),
        }
        for one in WARNINGS.values()
    ]
    if as_json:
        print_json({"rules": rows})
        return
    print_table(("Rule", "Severity", ""), [(row["rule"], row["severity"], row["text"]) for row in rows])


@monitor.command()
@data_option
@click.option("--model", "name", default="cashflow-v1", show_default=True, help="Whose bands score_down compares.")
@json_option
def backtest(*, data_dir: Path, name: str, as_json: bool) -> None:
    """Let the rules judge past loans' statements every 30 days, and count how often each spoke, and of whom.

    The data are laid out as for liushui model evaluate. They say nothing of repayments, so the rules about these stay
    silent. Lift is the share of bad loans among those a rule spoke of, over the share of all.
    """
    from scoring.train.backtest import backtest as measure

    model = read_model(name)
    require_files(data_dir)
    shown = not as_json and sys.stderr.isatty()

    def tell(done: int, of: int) -> None:
        if shown and (done == of or not done % 20):
            click.echo(f"\r{done} of {of} loans", err=True, nl=done == of)

    try:
        report = measure(model, data_dir, tell)
    except KeyError as error:
        fail("data_invalid", f"{data_dir}: a file lacks the column {error.args[0]!r}.")
    except (ValueError, OSError, EOFError, OverflowError) as error:
        fail("data_invalid", f"{data_dir} cannot be measured: {error}.")
    if as_json:
        print_json(report)
        return
    click.echo(f"{report['loans']} loans, {report['bad']} of them bad\n")
    everything = {"rule": "any rule", "alerts": sum(one["alerts"] for one in report["rules"]), **report["any"]}
    print_table(
        ("Rule", "Alerts", "Loans", "Bad", "Bad share", "Lift", "Days before"),
        [
            (
                one["rule"],
                one["alerts"],
                one["loans_alerted"],
                one["bad_alerted"],
                "-" if one["bad_share"] is None else f"{100 * one['bad_share']:.1f} %",
                "-" if one["lift"] is None else f"{one['lift']:.2f}",
                "-" if one.get("days_before_median") is None else one["days_before_median"],
            )
            for one in (*report["rules"], everything)
        ],
    )
