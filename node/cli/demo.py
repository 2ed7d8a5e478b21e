"""`liushui demo`: the door to the demonstration; the story itself is `node.demo.story`."""

from pathlib import Path

import click


@click.command()
@click.option("--headless", is_flag=True, help="Open no page, end when the story ends, fail when an invariant fails.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")
@click.option(
    "--kill", type=click.IntRange(0, 1), default=0, help="Kill so many validators midway, and bring them back."
)
@click.option("--time-warp/--no-time-warp", default=True, show_default=True, help="A short ledger day.")
@click.option("--keep", is_flag=True, help="Keep the data directory afterwards.")
@click.option("--data-dir", type=click.Path(file_okay=False, path_type=Path), default=None, help="Where the data goes.")
def demo(*, headless: bool, as_json: bool, kill: int, time_warp: bool, keep: bool, data_dir: Path | None) -> None:
    """Run a whole lending network on this machine: apply, score, lend, repay, fall late, decline, hit the debt cap.

    Exits 0 when all nodes agree and every invariant holds, else 1.
    """
    from node.demo.story import run_demo

    raise click.exceptions.Exit(
        run_demo(headless=headless, as_json=as_json, kill=kill, time_warp=time_warp, keep=keep, data_dir=data_dir)
    )
