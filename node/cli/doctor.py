"""`liushui doctor`: what on this machine would stop a node, each finding with its code and its fix. Changes nothing."""

from pathlib import Path
from typing import Final

import click

from node.cli.common import EXIT_REFUSED, json_option, print_json

MARKS: Final = {"ok": "ok  ", "warn": "WARN", "fail": "FAIL"}


@click.command()
@click.option(
    "--data-dir", type=click.Path(file_okay=False, path_type=Path), default=None, help="A node's data directory."
)
@json_option
def doctor(*, data_dir: Path | None, as_json: bool) -> None:
    """Check this machine, and with --data-dir a node's settings, keys, genesis, books, ports, disk, peers and clock.

    Exits 0 when nothing would stop a node (warnings are told), 1 when something would. The disk's speed is measured by
    a small file that is removed again; peers are asked for their time, without a key.
    """
    from node.checkup.machine import check_machine

    findings = check_machine()
    if data_dir is not None:
        from node.checkup.directory import check_directory

        findings += check_directory(data_dir)
    healthy = all(each.ok for each in findings)
    if as_json:
        print_json({"healthy": healthy, "findings": [each._asdict() | {"ok": each.ok} for each in findings]})
    else:
        for each in findings:
            advice = f" {each.fix} [{each.code}]" if each.fix else ""
            click.echo(f"{MARKS[each.level]}  {each.name}: {each.sentence}{advice}")
    if not healthy:
        raise click.exceptions.Exit(EXIT_REFUSED)
