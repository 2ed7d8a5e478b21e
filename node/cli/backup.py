"""`liushui backup create|verify|restore`: a copy of a node that verifies by itself, and a node made of it."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from node.cli.common import UnverifiedError, fail, json_option, print_facts, print_json
from node.cli.disk import data_dir_option

if TYPE_CHECKING:
    from node.backup import BackupError, Manifest

PLACE = click.Path(file_okay=False, path_type=Path)
_BAD = frozenset({"backup_damaged", "backup_incomplete", "wrong_genesis"})


@click.group()
def backup() -> None:
    """Make, verify and restore copies of a node.

    A copy holds settings, founding document, keys as they are, vote log and ledger. It does not hold what a borrower
    may have erased: documents, warnings, bins. Keep it as secret as the node itself.
    """


@backup.command()
@data_dir_option
@click.option("--out", type=PLACE, required=True, help="A new directory for the backup.")
@json_option
def create(*, data_dir: Path, out: Path, as_json: bool) -> None:
    """Copy a node to a new directory; it may be running."""
    from node.backup import BackupError, create_backup

    try:
        manifest = create_backup(data_dir, out)
    except BackupError as error:
        _fail(error)
    _show(manifest, {"backup": str(out)}, as_json=as_json)


@backup.command()
@click.argument("backup_dir", metavar="BACKUP", type=PLACE)
@json_option
def verify(*, backup_dir: Path, as_json: bool) -> None:
    """Check every file of a backup by its hash, and its ledger by all that vouches for it. Exit code 4 if not."""
    from node.backup import BackupError, verify_backup

    try:
        manifest = verify_backup(backup_dir)
    except BackupError as error:
        _fail(error)
    _show(manifest, {"backup": str(backup_dir), "whole": True}, as_json=as_json)


@backup.command()
@click.argument("backup_dir", metavar="BACKUP", type=PLACE)
@click.option("--data-dir", type=PLACE, required=True, help="A new or empty directory for the node.")
@click.option(
    "--moved", is_flag=True, help="The old node was stopped before the backup was made, and was never started since."
)
@json_option
def restore(*, backup_dir: Path, data_dir: Path, moved: bool, as_json: bool) -> None:
    """Make a node of a backup, which is verified first. The old node must be dead.

    The backup's vote log may be older than the old node's last votes, so the new one follows without voting until it
    can contradict nothing that was said: some ten minutes, told by liushui status. With --moved, for a backup of a
    stopped node that is never started again, it votes at once.
    """
    from node.backup import BackupError, restore_backup

    try:
        manifest = restore_backup(backup_dir, data_dir, moved=moved)
    except BackupError as error:
        _fail(error)
    votes = "never"
    if manifest.role == "validator":
        votes = "at once" if moved else "once nothing it may have said can be contradicted"
    _show(manifest, {"node": str(data_dir), "votes": votes}, as_json=as_json)


def _show(manifest: "Manifest", more: dict[str, Any], *, as_json: bool) -> None:
    from node.backup import tell_manifest

    told = {**more, **tell_manifest(manifest)}
    if as_json:
        print_json(told)
        return
    files = told.pop("files")
    left_out = told.pop("left_out")
    print_facts((name.replace("_", " "), value) for name, value in told.items())
    print_facts([("files", len(files)), ("bytes", sum(one["bytes"] for one in files))])
    click.echo("\nNot in it:")
    print_facts((f"  {name}", why) for name, why in left_out.items())


def _fail(error: "BackupError") -> None:
    if error.code in _BAD:
        raise UnverifiedError(error.code, error.sentence)
    fail(error.code, error.sentence)
