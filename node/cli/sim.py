"""`liushui sim`: the door to the simulator, which comes with the source and never with the wheel.

The simulator has keys without secrets and disks that fail on purpose, so no node may import it: this command loads it
by name from the source tree, and says so where there is none. Never simulate anything here.
"""

import importlib
import json
import sys
import time
from pathlib import Path
from typing import Any, Final

import click

from node.cli.common import EXIT_OK, EXIT_REFUSED, fail, json_option, lang_option

CAMPAIGN: Final = "tests.sim.campaign"
INTERRUPTED: Final = 130
SEEDS: Final = "0-99"
SHOW_EVERY_S: Final = 0.25
ROOT: Final = Path(__file__).resolve().parents[2]

TEXTS: Final[dict[str, tuple[str, str]]] = {
    "progress": (
        "{runs} of {planned} runs, {events} events, {failures} failures",
        "已运行 {runs}/{planned}，事件 {events}，失败 {failures}",
    ),
    "done": (
        "{runs} runs, {events} events, {failures} failures, {late} late, trace {trace_hash}, {events_per_second} per s",
        "运行 {runs}，事件 {events}，失败 {failures}，迟到 {late}，轨迹 {trace_hash}，每处理器秒 {events_per_second}",
    ),
    "stopped": (
        "Stopped after {runs} of {planned} runs; what was reached:",
        "已停止：完成 {runs}/{planned} 次运行，结果如下：",
    ),
    "missing": (
        "The simulator comes with the source, not with the wheel: run it in a clone of the repository.",
        "模拟器随源代码提供，安装包不含它：请在代码仓库的克隆中运行。",
    ),
    "actors": ("Byzantine actors", "拜占庭行为者"),
    "ledger_actors": ("Byzantine actors of the whole ledger", "整个账本的拜占庭行为者"),
    "scenarios": ("Scenarios of crash boundaries", "崩溃边界场景"),
}


class _Told:
    """What a person reads, in one language; the progress line only where somebody watches."""

    def __init__(self, language: str, *, watched: bool) -> None:
        self._column = 1 if language == "zh" else 0
        self._watched = watched
        self._shown_s = 0.0

    def say(self, text: str, **values: object) -> str:
        return TEXTS[text][self._column].format(**values)

    def show(self, tally: Any) -> None:
        """Write the line anew, unless that was a moment ago."""
        now_s = time.monotonic()
        if self._watched and now_s - self._shown_s >= SHOW_EVERY_S:
            self._shown_s = now_s
            line = self.say(
                "progress",
                runs=tally.runs,
                planned=tally.planned,
                events=tally.events,
                failures=len(tally.failures),
            )
            sys.stderr.write("\r\x1b[2K" + line)
            sys.stderr.flush()

    def clear(self) -> None:
        """Take the line away."""
        if self._watched and self._shown_s:
            sys.stderr.write("\r\x1b[2K")
            sys.stderr.flush()


def load_campaign(told: _Told) -> Any:
    """The simulator of the source tree this command stands in; ends the command where there is none."""
    if not (ROOT / "tests" / "sim" / "campaign.py").is_file():
        fail("simulator_not_installed", told.say("missing"))
    if str(ROOT) not in sys.path:
        sys.path.insert(0, str(ROOT))
    return importlib.import_module(CAMPAIGN)


@click.command()
@click.option("--seeds", metavar="A-B", default=None, help="Fault seeds, first and last, or one.  [default: 0-99]")
@click.option("--ledger", is_flag=True, help="The seeds are runs of whole nodes with their books, pools and clients.")
@click.option("--twins", metavar="A-B", default=None, help="Cases of twins: keys with two instances each.")
@click.option("--boundaries", metavar="NAME|all", default=None, help="Every crash boundary of a scenario.")
@click.option("--boundary", metavar="PLACE", default=None, help="One crash boundary, as a failure names it.")
@click.option("--validators", type=int, default=None, help="Size of the set, instead of the seed's choice.")
@click.option("--byzantine", metavar="NAME", default=None, help="An actor, instead of the seed's choice.")
@click.option(
    "--changes",
    type=click.Choice(("yes", "no")),
    default=None,
    help="Whether validators come, go and change keys, instead of the seed's choice.",
)
@click.option("--processes", type=click.IntRange(1, 64), default=1, show_default=True, help="Run so many at a time.")
@click.option("--list", "is_list", is_flag=True, help="Name the actors and the scenarios.")
@lang_option
@json_option
def sim(*, is_list: bool, processes: int, as_json: bool, lang: str, **wishes: Any) -> None:
    """Try the consensus code against faults in a simulated network, by seed; needs no node.

    The real engine runs in one thread over a simulated network, clock and disk: weather, crashes, Byzantine actors,
    all drawn from the seed. With --ledger whole nodes run: books, pools, catching up, and people who submit what
    seeded lives bring. A seed gives the same run on every machine; a failure is one line with the command that
    repeats it. The trace hash is folded in the order of the seeds, so any number of processes gives the same.

    Exit code 0 without failures, 1 with some. Ctrl-C ends it and says what was reached.
    """
    told = _Told(lang, watched=not as_json and sys.stderr.isatty())
    campaign = load_campaign(told)
    if is_list:
        _list(campaign.list_names(), told, as_json=as_json)
        return
    if sum(wishes[name] is not None for name in ("seeds", "twins", "boundaries", "boundary")) > 1:
        raise click.UsageError("Name one of --seeds, --twins, --boundaries and --boundary.")
    if all(wishes[name] is None for name in ("seeds", "twins", "boundaries", "boundary")):
        wishes["seeds"] = SEEDS
    try:
        jobs = campaign.list_jobs(**wishes)
    except campaign.CampaignError as error:
        raise click.UsageError(f"{error}.") from error
    tally = campaign.run_campaign(jobs, processes=processes, on_result=told.show)
    told.clear()
    asked = {name: wish for name, wish in wishes.items() if wish not in (None, False)}
    _tell({**asked, **tally.make_summary()}, told, as_json=as_json)
    code = INTERRUPTED if tally.interrupted else EXIT_REFUSED if tally.failures else EXIT_OK
    raise click.exceptions.Exit(code)


def _tell(summary: dict[str, Any], told: _Told, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(summary))
        return
    for failure in summary["failed"]:
        click.echo(failure, err=True)
    if summary["interrupted"]:
        click.echo(told.say("stopped", **summary), err=True)
    click.echo(told.say("done", **summary))


def _list(names: dict[str, dict[str, str]], told: _Told, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(names))
        return
    for kind, known in names.items():
        click.echo(f"{told.say(kind)}:")
        for name, text in known.items():
            click.echo(f"  {name:<14} {text}")
