"""`liushui bench`: the door to the bench of a throw-away network; what it does is `node.bench`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from node.cli.common import fail, json_option, lang_option

_WISHES = (
    click.option("--validators", type=int, default=4, show_default=True, help="Nodes that vote, a process each."),
    click.option("--seconds", type=int, default=None, help="How long each load is submitted.  [default: 15]"),
    click.option(
        "--rate", type=int, default=500, show_default=True, help="Transactions per second, all nodes together."
    ),
    click.option(
        "--dead", type=int, default=None, help="Validators to kill first.  [default: none, and then as many as may be]"
    ),
    click.option(
        "--kind",
        type=click.Choice(["transfer", "pay"]),
        default="transfer",
        show_default=True,
        help="Transfers between 400 accounts, or payments on 64 loans that are applied for and accepted first.",
    ),
    click.option(
        "--groups-of", "group", type=int, default=None, help="Transactions per request.  [default: those of 50 ms]"
    ),
    click.option("--observer", is_flag=True, help="One more node that follows and does not vote."),
    click.option("--sync", is_flag=True, help="Afterwards let a new, empty observer catch up, and measure that."),
    click.option(
        "--transactions",
        type=int,
        default=None,
        help="Size of the load instead of --seconds; --dead is then 0 by default.",
    ),
    click.option("--load-only", is_flag=True, help="Leave out the idle network and the lone transaction."),
)


def _with_wishes(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that make a plan, in the order they are listed in."""
    for option in reversed(_WISHES):
        command = option(command)
    return command


@click.command()
@_with_wishes
@click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    default=None,
    help="An empty or new directory on the disk to be measured; by default a temporary one.",
)
@click.option("--keep", is_flag=True, help="Leave the nodes' data where it is.")
@lang_option
@json_option
def bench(*, data_dir: Path | None, keep: bool, as_json: bool, lang: str, kind: str, **wishes: Any) -> None:
    """Measure a throw-away network of real nodes on this machine: speed, latency, processor, memory, disk, wire.

    Founds a network on loopback, each node a process of its own. Signatures, execution and fsync are on; nothing is
    replaced or switched off. Nodes and load generator share this machine's cores.

    Transactions are signed beforehand, by processes of their own, and submitted over the public API open loop: each
    group when it is due, whatever became of earlier ones, over one connection per validator, as a lender's gateway
    would, which sends in one request all that became due while it waited for an answer. A node that answers "busy,
    retry after" is asked again then. Latency runs from the moment a group was due until a node's event stream says
    that its block is executed and saved.

    \b
    Measured, in this order:
      idle network      share of a core per node, over 10 s
      lone transaction  20, one after another, until the answer says final
      load              final transactions per second; latency p50, p95, p99;
                        accepted, refused, lost, executed twice; blocks and
                        views per second; per node and per transaction:
                        processor, memory (now, peak), bytes written to disk,
                        bytes of gossip sent and received; and the processor
                        of the load generator, which is in no node's figure
      load, f dead      the same with as many validators killed as may be
      a new observer    with --sync: transactions per second, and per second
                        of its processor, all verified from the first block on
      disk              what one validator keeps after a clean stop

    Exit code 0 when nothing was lost or done twice and all nodes agree, else 1. Ctrl-C ends every process and removes
    the directory. `--transactions 1000000 --rate 1500` takes 11 minutes and about 1.2 GB of disk per node.
    """
    from node.bench.plan import Kind, PlanError, make_plan
    from node.bench.run import BenchError, run_bench

    try:
        plan = make_plan(kind=Kind(kind), **wishes)
    except PlanError as error:
        raise click.UsageError(error.sentence) from error
    try:
        code = run_bench(plan, data_dir=data_dir, keep=keep, as_json=as_json, language=lang)
    except BenchError as error:
        fail(error.code, error.sentence)
    raise click.exceptions.Exit(code)
