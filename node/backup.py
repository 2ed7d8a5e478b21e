"""A copy of a node that verifies by itself, and a node made of it that does not speak before that is safe.

    create_backup(directory, out)       of a running node, too: the database by SQLite's own copying
    verify_backup(out)                  every file by its hash, and the database by everything that vouches for it
    restore_backup(out, directory)      into an empty place; the first start finds RESTORED_MARK and keeps silent

Keys go along as they are: sealed ones stay sealed, and whoever holds a copy with unsealed keys holds the node. What may
have to be erased on a borrower's word stays behind: vault, alerts and snapshots, and bins are taken out of the copy of
the database, so that an erasure need not be carried to every shelf with copies. Never copy a file not named here.
"""

import hashlib
import os
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec

from node.bans import BAN_FILE
from node.check import Check
from node.config import CONFIG_FILE, ConfigError, load_config
from node.examine import find_genesis, is_in_use, open_read_only
from node.keystore import KEYS_DIRECTORY, KeyFileError, check_observer
from node.monitor.store import ALERTS_FILE
from node.opening import DATABASE, PAYLOADS, VAULT, StartError, read_genesis
from node.returning import RESTORED_MARK
from node.snapshot.shelf import DIRECTORY as SNAPSHOTS
from node.store.appendlog import sync_directory
from node.store.schema import SCHEMA_VERSION
from node.store.sidecars import erase_up_to
from node.store.stopfile import STOP_FILE
from node.store.votelog import MARK_SUFFIX, VOTES
from protocol.block import Block
from protocol.codec import JSON_FAULTS, decode
from protocol.genesis import encode_genesis
from protocol.ids import Height

MANIFEST: Final = "backup.json"
GENESIS: Final = "genesis.json"
PAGES_AT_ONCE: Final = 256
"""A megabyte; then the node's own work has its turn."""
REST_S: Final = 0.005
READ_BYTES: Final = 1 << 20

LEFT_OUT: Final[dict[str, str]] = {
    VAULT: "documents that borrowers may have erased: owners and other custodians keep them, and they are fetched anew",
    ALERTS_FILE: "warnings about borrowers: they are computed anew",
    SNAPSHOTS: "the node makes new ones",
    PAYLOADS: "blocks that were not final yet: the network has them",
    f"{DATABASE}: bins": "what applications were scored from; the scores stay",
}


class BackupError(Exception):
    """What cannot be backed up or restored; `code` is stable and the sentence names the fix."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code
        self.sentence = sentence


class FileEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One file of a backup."""

    name: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)?$")]
    bytes: Annotated[int, msgspec.Meta(ge=0)]
    sha256: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a backup says of itself (JSON)."""

    liushui_backup: Literal[1]
    created_ms: int
    network: str
    chain_id: str
    name: str
    role: str
    schema: int
    height: int
    exec_root: str
    node_stopped: bool
    """No process used the directory: its vote log is whole, as long as that node is never started again."""
    files: tuple[FileEntry, ...]
    left_out: dict[str, str]
    """What is not here, and why."""


# ---------------------------------------------------------------------- making one


def create_backup(directory: Path, out: Path) -> Manifest:
    """Copy a node to a new directory, which appears whole or not at all. Raises BackupError."""
    if out.exists():
        raise BackupError("backup_exists", f"{out} exists: name a new directory; a backup is never overwritten.")
    try:
        config = load_config(directory, environment={})
    except ConfigError as error:
        raise BackupError(error.code, error.sentence) from error
    making = out.with_name(f"{out.name}.making")
    try:
        shutil.rmtree(making, ignore_errors=True)
        making.mkdir(mode=0o700, parents=True)
        if config.role == "observer":
            check_observer(directory)
        genesis = find_genesis(directory)
        stopped = not is_in_use(directory)
        height, exec_root = _copy_database(directory / DATABASE, making / DATABASE)
        for source, name in _list_files(directory):
            _copy(source, making / name)
        _write(making / GENESIS, encode_genesis(genesis))
        manifest = Manifest(
            liushui_backup=1,
            created_ms=time.time_ns() // 1_000_000,
            network=genesis.name,
            chain_id=genesis.calculate_chain_id().hex(),
            name=config.name,
            role=config.role,
            schema=SCHEMA_VERSION,
            height=height,
            exec_root=exec_root,
            node_stopped=stopped and not is_in_use(directory),
            files=tuple(_describe(making, path) for path in _walk(making)),
            left_out=LEFT_OUT,
        )
        _write(making / MANIFEST, msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n")
        for path in _walk(making):
            _sync(path)
        sync_directory(making)
        making.rename(out)
        sync_directory(out.parent)
    except (StartError, KeyFileError) as error:
        raise BackupError(error.code, error.sentence) from error
    except sqlite3.Error as error:
        raise BackupError("database_damaged", f"The database cannot be copied ({error}): run liushui check.") from error
    except OSError as error:
        raise BackupError("backup_failed", f"The disk refused: {error.strerror} ({error.filename}).") from error
    finally:
        shutil.rmtree(making, ignore_errors=True)
    return manifest


def _copy_database(source: Path, target: Path) -> tuple[int, str]:
    """One consistent picture, without the bins; its height and exec_root."""
    if not source.is_file():
        raise BackupError("database_missing", f"{source} is missing: the node has not been started here yet.")
    _write(target, b"")  # for its owner alone from the beginning
    with closing(open_read_only(source)) as reading, closing(sqlite3.connect(target, isolation_level=None)) as writing:
        reading.backup(writing, pages=PAGES_AT_ONCE, sleep=REST_S)
        writing.execute("PRAGMA journal_mode=DELETE")
        writing.execute("PRAGMA secure_delete=ON")
        row = writing.execute("SELECT height, exec_root FROM blocks ORDER BY height DESC LIMIT 1").fetchone()
        height, exec_root = (0, b"") if row is None else row
        erase_up_to(writing, Height(0), Height(height))
        writing.execute("VACUUM")
    return height, exec_root.hex()


def _list_files(directory: Path) -> Iterator[tuple[Path, str]]:
    """What is copied byte for byte, and under which name."""
    for name in (CONFIG_FILE, VOTES, VOTES + MARK_SUFFIX, STOP_FILE, BAN_FILE, RESTORED_MARK):
        if (directory / name).is_file():
            yield directory / name, name
    keys = directory / KEYS_DIRECTORY
    for path in sorted(keys.iterdir()) if keys.is_dir() else []:
        if path.is_file():
            yield path, f"{KEYS_DIRECTORY}/{path.name}"


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(mode=0o700, exist_ok=True)
    _write(target, source.read_bytes())


def _write(path: Path, raw: bytes) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(raw)


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _walk(directory: Path) -> list[Path]:
    return sorted(path for path in directory.rglob("*") if path.is_file())


def _describe(directory: Path, path: Path) -> FileEntry:
    name = path.relative_to(directory).as_posix()
    return FileEntry(name=name, bytes=path.stat().st_size, sha256=_hash(path))


def _hash(path: Path) -> str:
    found = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(READ_BYTES):
            found.update(part)
    return found.hexdigest()


# ---------------------------------------------------------------------- believing one


def verify_backup(out: Path) -> Manifest:
    """The manifest of a backup in which everything holds. Raises BackupError for the first thing that does not."""
    manifest = read_manifest(out)
    try:
        here = {path.relative_to(out).as_posix() for path in _walk(out)} - {MANIFEST}
        for entry in manifest.files:
            path = out / entry.name
            if entry.name not in here:
                raise BackupError("backup_incomplete", f"{path} is missing.")
            if path.stat().st_size != entry.bytes or _hash(path) != entry.sha256:
                raise BackupError("backup_damaged", f"{path} is not the file that was saved.")
        if more := sorted(here - {entry.name for entry in manifest.files}):
            raise BackupError("backup_damaged", f"{out / more[0]} does not belong to this backup.")
        genesis = read_genesis(out / GENESIS)
        if genesis.calculate_chain_id().hex() != manifest.chain_id:
            raise BackupError("wrong_genesis", f"{out / GENESIS} is of another network than the backup says.")
        report = Check(genesis, out / DATABASE).run()
    except StartError as error:
        raise BackupError("backup_damaged", error.sentence) from error
    except OSError as error:
        raise BackupError("backup_unreadable", f"{out} cannot be read: {error.strerror}.") from error
    except sqlite3.Error as error:
        raise BackupError("backup_damaged", f"The database in {out} cannot be read: {error}.") from error
    if report.faults:
        raise BackupError("backup_damaged", f"The database in {out} is not whole: {report.faults[0].sentence}")
    if _read_root(out / DATABASE) != (manifest.height, manifest.exec_root):
        raise BackupError("backup_damaged", f"The database in {out} is not of the height that the backup says.")
    return manifest


def read_manifest(out: Path) -> Manifest:
    """The manifest alone. Raises BackupError."""
    try:
        return msgspec.json.decode((out / MANIFEST).read_bytes(), type=Manifest)
    except OSError as error:
        raise BackupError("backup_unreadable", f"{out} holds no backup: {error.strerror}.") from error
    except JSON_FAULTS as error:
        raise BackupError("backup_damaged", f"{out / MANIFEST} is not what this program writes: {error}.") from error


def _read_root(path: Path) -> tuple[int, str]:
    with closing(open_read_only(path)) as connection:
        row = connection.execute("SELECT height, block, exec_root FROM blocks ORDER BY height DESC LIMIT 1").fetchone()
    if row is None:
        return 0, ""
    assert decode(row[1], Block).header.height == row[0], "checked"
    return row[0], row[2].hex()


# ---------------------------------------------------------------------- a node of it


def restore_backup(out: Path, directory: Path, *, moved: bool = False) -> Manifest:
    """Make a node of a backup in an empty place, or leave the place empty. Raises BackupError.

    `moved`: whoever restores knows that the old node was stopped before the backup was made and never started since.
    Only then does the vote log know all that was said. Otherwise the node says nothing until that is safe.
    """
    manifest = verify_backup(out)
    if manifest.role == "observer":
        try:
            check_observer(out)
        except KeyFileError as error:
            raise BackupError(error.code, error.sentence) from error
    if moved and not manifest.node_stopped:
        raise BackupError(
            "backup_of_running_node",
            "This backup was made while the node ran, so its vote log may lack the last votes: restore it without"
            " --moved, and the node follows until it may vote again.",
        )
    if directory.exists() and any(directory.iterdir()):
        raise BackupError("directory_not_empty", f"{directory} is not empty: restore into a new directory.")
    making = directory.with_name(f"{directory.name}.restoring")
    try:
        shutil.rmtree(making, ignore_errors=True)
        making.mkdir(mode=0o700, parents=True)
        for entry in manifest.files:
            target = making / entry.name
            target.parent.mkdir(mode=0o700, exist_ok=True)
            shutil.copyfile(out / entry.name, target)
            target.chmod(0o600)
            _sync(target)
        if not moved:
            (making / RESTORED_MARK).touch(mode=0o600)
        sync_directory(making)
        if directory.exists():
            directory.rmdir()
        making.rename(directory)
        sync_directory(directory.parent)
    except OSError as error:
        raise BackupError("restore_failed", f"The disk refused: {error.strerror} ({error.filename}).") from error
    finally:
        shutil.rmtree(making, ignore_errors=True)
    return manifest


def tell_manifest(manifest: Manifest) -> dict[str, Any]:
    """JSON values."""
    told: dict[str, Any] = msgspec.to_builtins(manifest)
    return told
