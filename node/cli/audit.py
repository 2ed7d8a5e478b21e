"""`liushui audit`: check a node's whole database again from the genesis on. Reads only; never a check here."""

import sys
import time
from pathlib import Path

import click

from node.cli.common import UnverifiedError, fail, json_option, print_facts, print_json


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

    Exit code 4 at the first thing that does not hold. Takes about as long as a new node needs to sync.
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
    fault = facts.pop("fault")
    facts["exec_root"] = report.exec_root.hex()
    facts["seconds"] = round(time.monotonic() - began_s, 1)
    if as_json:
        told = None if fault is None else {"height": fault.height, "code": fault.code, "sentence": fault.sentence}
        print_json({"holds": fault is None, **facts, "fault": told})
        if fault is not None:
            raise click.exceptions.Exit(UnverifiedError.exit_code)
        return
    print_facts((name.replace("_", " "), value) for name, value in facts.items())
    if fault is not None:
        raise UnverifiedError(fault.code, f"Height {fault.height}: {fault.sentence}")
    click.echo("Everything holds.")


def _tell(height: int, last: int) -> None:
    if not height % 100 or height == last:
        click.echo(f"\rblock {height} of {last}", err=True, nl=height == last)
