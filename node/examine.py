"""What lies in a data directory, told without changing a byte of it: for a person before a stopped (or running) node.

Each part is read by itself, so that one damaged file is told as such and the others are told all the same. Never
repair here, and never open a log for writing: opening one may cut its torn end off.
"""

import fcntl
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec

from consensus.records import ProposalRecord, VoteRecord
from node.config import ConfigError, load_config
from node.opening import DATABASE, PAYLOADS, VAULT, StartError, read_genesis
from node.snapshot.incoming import Incoming
from node.snapshot.shelf import DIRECTORY, read_manifest
from node.store.appendlog import LogError, parse_groups
from node.store.payloadlog import PayloadRecord
from node.store.schema import SCHEMA_VERSION
from node.store.stopfile import STOP_FILE, StopFile
from node.store.votelog import VOTES, decode_record, read_floor
from node.upgrading import tell_rules
from protocol.block import Block
from protocol.codec import CodecError, decode
from protocol.genesis import RULES_VERSION, Genesis
from protocol.ledger.rulesrow import RulesRow
from protocol.ledger.state import RULES

Told = dict[str, Any]
LAST_WORDS: Final = 4


def examine(directory: Path) -> Told:
    """Everything, part by part; a part that cannot be read is {"fault": code, "sentence": ...}. JSON values only."""
    parts: dict[str, Callable[[Path], Told]] = {
        "settings": _tell_settings,
        "network": _tell_network,
        "database": _tell_database,
        "votes": _tell_votes,
        "payloads": _tell_payloads,
        "voting_stopped": _tell_stops,
        "snapshots": _tell_snapshots,
        "files": _tell_files,
    }
    return {
        "directory": str(directory),
        "in_use": is_in_use(directory),
        **{name: _try(part, directory) for name, part in parts.items()},
    }


def _try(part: Callable[[Path], Told], directory: Path) -> Told:
    try:
        return part(directory)
    except (ConfigError, StartError, LogError) as error:
        return {"fault": error.code, "sentence": error.sentence}
    except (sqlite3.Error, CodecError, msgspec.MsgspecError) as error:
        return {"fault": "database_damaged", "sentence": f"It cannot be read ({error}): run liushui check."}
    except OSError as error:
        return {"fault": "unreadable", "sentence": f"It cannot be read: {error.strerror}."}


def is_in_use(directory: Path) -> bool:
    """Whether a process holds the directory: a node, or a command that changes it."""
    path = (directory / DATABASE).with_suffix(".lock")
    try:
        handle = os.open(path, os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(handle)
    return False


def _tell_settings(directory: Path) -> Told:
    config = load_config(directory, environment={})
    peers = [{"name": one.name, "node_key": one.node_key, "url": one.url} for one in config.peers]
    return {"name": config.name, "role": config.role, "peers": peers}


def find_genesis(directory: Path) -> Genesis:
    """The founding document that the settings name, or the one that lies there. Raises StartError."""
    try:
        return read_genesis(Path(load_config(directory, environment={}).genesis))
    except ConfigError:
        return read_genesis(directory / "genesis.json")


def _tell_network(directory: Path) -> Told:
    genesis = find_genesis(directory)
    return {"name": genesis.name, "chain_id": genesis.calculate_chain_id().hex(), "members": len(genesis.members)}


# ---------------------------------------------------------------------- the database


def open_read_only(path: Path) -> sqlite3.Connection:
    """A connection that writes nothing, beside a running node too. Raises sqlite3.Error."""
    return sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None)


def _tell_database(directory: Path) -> Told:
    path = directory / DATABASE
    if not path.is_file():
        return {"fault": "database_missing", "sentence": "There is none: the node has not been started here yet."}
    connection = open_read_only(path)
    try:
        connection.execute("BEGIN")
        meta = dict(connection.execute("SELECT key, value FROM meta WHERE key IN ('schema', 'chain_id', 'base')"))
        schema = int(meta.get("schema", b"0"))
        told: Told = {"schema": schema, "schema_of_this_release": SCHEMA_VERSION, "base": int(meta.get("base", b"0"))}
        told["chain_id"] = bytes(meta.get("chain_id", b"")).hex()
        return told | _tell_tip(connection)
    finally:
        connection.close()


def _tell_tip(connection: sqlite3.Connection) -> Told:
    row = connection.execute(
        "SELECT height, digest, block, state_root, receipts_root, exec_root FROM blocks ORDER BY height DESC LIMIT 1"
    ).fetchone()
    if row is None:
        return {"height": 0}
    header = decode(row[2], Block).header
    proven = connection.execute("SELECT MAX(height) FROM blocks WHERE finalization IS NOT NULL").fetchone()[0]
    epochs = connection.execute("SELECT COUNT(*), MAX(height) FROM epochs").fetchone()
    rules = connection.execute("SELECT value FROM state WHERE family = ?", (RULES.number,)).fetchone()
    return {
        "height": row[0],
        "rules": None if rules is None else tell_rules(decode(rules[0], RulesRow), RULES_VERSION),
        "digest": row[1].hex(),
        "epoch": header.epoch,
        "view": header.view,
        "time_ms": header.time_ms,
        "state_root": row[3].hex(),
        "receipts_root": row[4].hex(),
        "exec_root": row[5].hex(),
        "finalization_of": proven,
        "epochs_ended": epochs[0],
        "last_epoch_end": epochs[1],
        "state_rows": connection.execute("SELECT COUNT(*) FROM state").fetchone()[0],
        "batches": connection.execute("SELECT COUNT(*) FROM batches").fetchone()[0],
    }


# ---------------------------------------------------------------------- the logs


def _read_log(path: Path) -> tuple[list[bytes], int]:
    """Records, and how many bytes of a torn end stand behind them. Raises LogError for damage."""
    raw = path.read_bytes()
    groups, whole, _ = parse_groups(raw, path.name)
    return [record for group in groups for record in group], len(raw) - whole


def _tell_votes(directory: Path) -> Told:
    path = directory / VOTES
    if not path.exists() and read_floor(path) is None:
        return {"records": 0, "floor": None, "last": []}
    raw, torn = _read_log(path)
    records = [decode_record(one) for one in raw]
    floor = read_floor(path)
    words: list[Told] = []
    for record in records:
        match record:
            case VoteRecord(vote=vote):
                words.append(_tell_word(vote.kind.name, vote.epoch, vote.view, vote.digest))
            case ProposalRecord(propose=propose):
                digest = propose.block.header.calculate_digest()
                words.append(_tell_word("PROPOSE", propose.epoch, propose.view, digest))
            case _:
                pass
    return {
        "records": len(records),
        "own_words": len(words),
        "torn_bytes": torn,
        "floor": None if floor is None else {"epoch": floor[0], "view": floor[1]},
        "last": words[-LAST_WORDS:],
    }


def _tell_word(kind: str, epoch: int, view: int, digest: bytes) -> Told:
    return {"kind": kind.lower(), "epoch": epoch, "view": view, "digest": digest.hex()}


def _tell_payloads(directory: Path) -> Told:
    path = directory / PAYLOADS
    if not path.exists():
        return {"blocks": 0}
    raw, torn = _read_log(path)
    heights = sorted(decode(one, PayloadRecord).block.header.height for one in raw)
    ends = {"lowest": heights[0], "highest": heights[-1]} if heights else {}
    return {"blocks": len(heights), "torn_bytes": torn, **ends}


def _tell_stops(directory: Path) -> Told:
    stops = StopFile.open(directory).stops
    told = [
        {
            "code": one.code,
            "sentence": one.sentence,
            "at_ms": one.at_ms,
            "validator_key": one.validator_key or None,
            "height": one.height or None,
        }
        for one in stops
    ]
    return {"file": STOP_FILE if stops else None, "reasons": told}


# ---------------------------------------------------------------------- the rest


def _tell_snapshots(directory: Path) -> Told:
    place = directory / DIRECTORY
    found = []
    for path in sorted(place.iterdir()) if place.is_dir() else []:
        manifest = read_manifest(path) if path.name.isdecimal() else None
        if manifest is not None:
            content = manifest.content
            found.append(
                {
                    "height": content.height,
                    "digest": content.calculate_digest().hex(),
                    "rows": content.rows,
                    "bytes": content.size,
                }
            )
    found.sort(key=lambda one: int(str(one["height"])), reverse=True)
    incoming, fetched = Incoming(directory), None
    manifest = incoming.read_manifest()
    if manifest is not None:
        fetched = {"height": manifest.content.height, "complete": incoming.is_complete(manifest.content)}
    return {"made": found, "fetched": fetched}


def _tell_files(directory: Path) -> Told:
    names = (DATABASE, f"{DATABASE}-wal", VAULT, f"{VAULT}-wal", VOTES, PAYLOADS, STOP_FILE)
    sizes = {name: (directory / name).stat().st_size for name in names if (directory / name).is_file()}
    place = directory / DIRECTORY
    if place.is_dir():
        sizes[DIRECTORY] = sum(one.stat().st_size for one in place.rglob("*") if one.is_file())
    aside = sorted(one.name for one in directory.glob(f"{DATABASE}.*-*") if one.is_file())
    aside += sorted(one.name for one in directory.glob(f"{VOTES}.aside-*"))
    return {"bytes": sizes, "set_aside": aside}
