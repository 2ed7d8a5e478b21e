"""`liushui audit`: check a node's whole database again from the genesis on. Reads only; never a check here."""

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from node.cli.common import UnverifiedError, fail, json_option, print_facts, print_json

if TYPE_CHECKING:
    from node.auditpart import Gap

EXIT_IN_PART: Final = 5
SHOWN_MAX: Final = 8


@click.command()
@click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="A node's data directory; the node may be running.",
)
@click.option(
    "--genesis",
    "genesis_path",
    type=click.Path(dir_okay=False, path_type=Path),
    default=None,
    help="The network's genesis.json from a place you trust; by default the data directory's own.",
)
@json_option
def audit(*, data_dir: Path, genesis_path: Path | None, as_json: bool) -> None:
    """Verify every signature, execute every block and score every application again, and compare with what is saved.

    What could not be computed again is told with its reason: applications whose bins were erased, blocks that were
    pruned or came before a snapshot.

    Exit code 0: all was, but for bins erased by an order or for their age. 4: something does not hold. 5: nothing was
    found amiss, but part of the history could not be executed again. Takes about as long as a new node needs to sync.
    """
    import sqlite3

    from node.audit import Audit
    from node.opening import DATABASE, StartError, read_genesis

    try:
        genesis = read_genesis(genesis_path or data_dir / "genesis.json")
    except StartError as error:
        fail(error.code, error.sentence)
    path = data_dir / DATABASE
    if not path.is_file():
        fail("database_missing", f"{path} is missing: --data-dir names a node's data directory.")
    began_s = time.monotonic()
    try:
        report = Audit(genesis, path).run(None if as_json or not sys.stderr.isatty() else _tell)
    except sqlite3.Error as error:
        fail("database_damaged", f"{path} cannot be read ({error}): restore a backup, or sync anew.")
    facts = report._asdict()
    fault, gaps = facts.pop("fault"), facts.pop("gaps")
    facts["exec_root"] = report.exec_root.hex()
    facts["seconds"] = round(time.monotonic() - began_s, 1)
    if as_json:
        told = None if fault is None else {"height": fault.height, "code": fault.code, "sentence": fault.sentence}
        missing = [one._asdict() for one in gaps]
        print_json(
            {"holds": fault is None, "whole": report.is_whole, **facts, "not_recomputed": missing, "fault": told}
        )
        if fault is not None:
            raise click.exceptions.Exit(UnverifiedError.exit_code)
    else:
        print_facts((name.replace("_", " "), value) for name, value in facts.items())
        _show_gaps(gaps)
        if fault is not None:
            raise UnverifiedError(fault.code, f"Height {fault.height}: {fault.sentence}")
        click.echo("Everything holds." if report.is_whole else "What is here holds; part of it was not executed again.")
    if not report.is_whole:
        raise click.exceptions.Exit(EXIT_IN_PART)


def _show_gaps(gaps: "tuple[Gap, ...]") -> None:
    """Each stretch of blocks, and of scores how many and where, by reason."""
    from node.auditpart import WHY

    if not gaps:
        return
    click.echo("\nNot computed again:")
    for one in gaps:
        if one.what == "blocks":
            click.echo(f"  blocks {one.height_from} to {one.height_to}: {WHY[one.why]}")
    for why in dict.fromkeys(one.why for one in gaps if one.what == "score"):
        found = [one for one in gaps if (one.what, one.why) == ("score", why)]
        click.echo(f"  scores of {len(found)} applications: {WHY[why]}")
        click.echo("    " + ", ".join(f"{one.transaction[:16]} at {one.height_from}" for one in found[:SHOWN_MAX]))
        if len(found) > SHOWN_MAX:
            click.echo(f"    and {len(found) - SHOWN_MAX} more: --json lists them all")


def _tell(height: int, last: int) -> None:
    if not height % 100 or height == last:
        click.echo(f"\rblock {height} of {last}", err=True, nl=height == last)
