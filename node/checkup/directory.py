"""A data directory and its surroundings: settings, keys and who may read them, genesis, books, ports, peers' clocks.

Nothing is changed and no passphrase is asked for. What a running node holds (ports, the database) is told as such.
"""

import contextlib
import json
import os
import socket
import sqlite3
import ssl
import stat
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from email.utils import parsedate_to_datetime
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from importlib.metadata import PackageNotFoundError, version
from ipaddress import ip_address
from pathlib import Path
from statistics import median
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from node.checkup.finding import Finding, failed, warn, well
from node.checkup.machine import check_disk, check_sync_time
from node.config import ConfigError, NodeConfig, PeerAddress, load_config
from node.examine import examine
from node.gossip.tls import make_dialling_context
from node.keystore import (
    KEYS_DIRECTORY,
    VALIDATOR_NAMES,
    KeyFileError,
    check_observer,
    find_path,
    list_keys,
    read_public_key,
)
from node.opening import DATABASE
from node.store.appendlog import LogError
from node.store.stopfile import StopFile
from node.tokens import REGISTER
from protocol.genesis import Genesis, GenesisError, decode_genesis
from protocol.ids import PublicKey

PEER_TIMEOUT_S: Final = 3.0
RUNNING_BYTES_MAX: Final = 262_144
SKEW_WARN_S: Final = 1.5
"""A peer's answer tells its time to the second."""
SKEW_FAIL_S: Final = 5.0
"""Further off than this, blocks of this node are refused until their time has come."""


class Heard(NamedTuple):
    """What a peer's port said."""

    name: str
    error: str
    """Why it said nothing; empty when it did."""
    ahead_s: float | None
    """How far this machine's clock is ahead of the peer's."""


def check_directory(directory: Path) -> list[Finding]:
    """Everything about one node."""
    try:
        config = load_config(directory, environment=os.environ)
    except ConfigError as error:
        return [failed(error.code, "settings", error.sentence, "Correct the file that the sentence names.")]
    place = Path(config.data_dir)
    return [
        well("settings", f"{config.name}, {config.role}."),
        *check_keys(place, config.allow_unsealed_keys),
        *check_role(place, config.role),
        *check_readers(place),
        *check_genesis(place, config),
        *check_stops(place),
        *check_rules(place),
        *check_ports(config, find_running(config)),
        *check_disk(place),
        check_sync_time(place),
        *check_peers(_ask_all(config.peers)),
    ]


# ---------------------------------------------------------------------- keys


def check_keys(place: Path, allow_unsealed: bool) -> list[Finding]:
    """Whether the keys that every node needs are there, and sealed unless the settings say otherwise."""
    try:
        held = list_keys(place)
    except KeyFileError as error:
        return [failed(error.code, "keys", error.sentence, "Do what the sentence says.")]
    missing = [name for name in ("node", "enc") if name not in held]
    if missing:
        return [failed("key_missing", "keys", f"{place} holds no {missing[0]} key.", "Create it with liushui init.")]
    bare = [name for name, is_sealed in held.items() if not is_sealed]
    if bare and not allow_unsealed:
        told = f"{', '.join(bare)} not sealed."
        return [failed("keys_unsealed", "keys", told, f"Run liushui keys seal --dir {place}.")]
    told = "all sealed" if not bare else "not sealed, as the settings allow"
    return [well("keys", f"{', '.join(held)}; {told}.")]


def check_role(place: Path, role: str) -> list[Finding]:
    """Whether the directory holds what its role may have: a validator's its key, an observer's none."""
    try:
        if role == "observer":
            check_observer(place)
            return []
        seated = any(find_path(place, name).exists() for name in VALIDATOR_NAMES)
    except KeyFileError as error:
        return [failed(error.code, "role", error.sentence, "Do what the sentence says: it does not start.")]
    if seated:
        return []
    told = f"{place} holds no validator key."
    return [failed("not_a_validator", "role", told, "Put it in place, or set role to observer.")]


def check_readers(place: Path) -> list[Finding]:
    """Who else on this machine may read keys, books or what the API's tokens hash to."""
    keys = place / KEYS_DIRECTORY
    exposed = [path for path in (*sorted(keys.glob("*")), keys) if _is_open(path, 0o077)]
    if exposed:
        told = f"{exposed[0]} can be read by other users."
        return [failed("keys_exposed", "permissions", told, f"Run chmod -R go= {keys}, and think of a new key.")]
    if _is_open(place / REGISTER, 0o077):
        told = f"{place / REGISTER} can be read or written by other users: no token holds."
        return [failed("tokens_exposed", "permissions", told, f"Run chmod 600 {place / REGISTER}; look what it lists.")]
    if _is_open(place, 0o022):
        return [failed("directory_open", "permissions", f"others may write {place}.", f"Run chmod go-w {place}.")]
    return [well("permissions", "keys are for their owner alone.")]


def _is_open(path: Path, mask: int) -> bool:
    try:
        found = path.stat()
    except OSError:
        return False
    return bool(stat.S_IMODE(found.st_mode) & mask)


# ---------------------------------------------------------------------- genesis and books


def check_genesis(place: Path, config: NodeConfig) -> list[Finding]:
    """Whether the founding document can be read, knows this node, and is that of the books here."""
    try:
        genesis = decode_genesis(Path(config.genesis).read_bytes())
    except OSError as error:
        told = f"{config.genesis} cannot be read: {error.strerror}."
        return [failed("genesis_missing", "genesis", told, "Copy the network's genesis.json there, or set genesis.")]
    except GenesisError as error:
        return [failed("genesis_invalid", "genesis", f"{error}.", "Copy the network's own genesis.json there.")]
    return [_find_member(place, genesis), *check_books(place / DATABASE, genesis)]


def _find_member(place: Path, genesis: Genesis) -> Finding:
    node_key: PublicKey | None = None
    with contextlib.suppress(KeyFileError):  # told with the keys
        node_key = read_public_key(place, "node")
    member = next((one for one in genesis.members if one.node_key == node_key), None)
    if member is None:
        return well("genesis", f"{genesis.name}; this node is none of its founders: votes must admit it.")
    return well("genesis", f"{genesis.name}, this node is {member.name}.")


def check_books(path: Path, genesis: Genesis) -> list[Finding]:
    """Whether the books belong to this genesis."""
    if not path.exists():
        return [well("books", "none yet: they begin at the first start.")]
    try:
        connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=2)
        try:
            found = dict(connection.execute("SELECT key, value FROM meta").fetchall())
            (height,) = connection.execute("SELECT COALESCE(MAX(height), 0) FROM blocks").fetchone()
        finally:
            connection.close()
    except sqlite3.Error as error:
        told = f"{path} cannot be read ({error})."
        return [failed("database_damaged", "books", told, "Run liushui check, or move it away and sync anew.")]
    if found.get("chain_id") not in (None, bytes(genesis.calculate_chain_id())):
        told = f"{path} holds the books of another network."
        return [failed("wrong_genesis", "books", told, "Use that network's genesis.json, or another directory.")]
    return [well("books", f"of this network, up to block {height}.")]


def check_stops(place: Path) -> list[Finding]:
    """Why a validator that starts here would not vote."""
    try:
        stops = StopFile.open(place).stops
    except LogError as error:
        return [failed(error.code, "voting", error.sentence, "Do what the sentence says.")]
    return [failed(stop.code, "voting", stop.sentence, "Do what the sentence says.") for stop in stops]


def check_rules(place: Path) -> list[Finding]:
    """Whether this release can execute the rules that are in force, and those that were decided on."""
    told = examine(place)["database"].get("rules")
    if told is None:
        return []
    coming, known, install = told["next"], told["known"], "Install the release that the others run"
    if told["version"] > known:
        said = f"the network executes by rules {told['version']}, and this release knows them up to {known}."
        return [failed("rules_unknown", "rules", said, f"{install}.")]
    if coming is not None and coming["version"] > known:
        said = f"rules {coming['version']} begin at height {coming['since']}, and this release knows up to {known}."
        return [warn("rules_unknown_soon", "rules", said, f"{install} before that: the node stops there else.")]
    later = "" if coming is None else f", and {coming['version']} from height {coming['since']} on"
    return [well("rules", f"version {told['version']}{later}; this release knows them up to {known}.")]


# ---------------------------------------------------------------------- ports


def find_running(config: NodeConfig) -> str | None:
    """The version of this very node where it runs already, empty where only tokens may know it; None when nobody
    answers in its name.
    """
    host = config.api_host
    with contextlib.suppress(ValueError):
        address = ip_address(host)
        if address.is_unspecified:  # all of this machine's addresses
            host = "127.0.0.1" if address.version == 4 else "::1"
    connection = HTTPConnection(host, config.api_port, timeout=PEER_TIMEOUT_S)
    try:
        connection.request("GET", "/v1/status")
        answer = connection.getresponse()
        if config.status_for == "tokens" and 'realm="liushui"' in answer.getheader("WWW-Authenticate", ""):
            return ""  # a node, and it says no more without a token
        told = json.loads(answer.read(RUNNING_BYTES_MAX))
        return str(told["version"]) if told["name"] == config.name else None
    except (OSError, HTTPException, ValueError, KeyError, TypeError):
        return None
    finally:
        connection.close()


def check_ports(config: NodeConfig, running: str | None) -> list[Finding]:
    """Whether the node can have its two ports, or has them already; `running` is the version of one that runs."""
    if running is not None:
        return [_check_running(running)]
    return [
        check_port("gossip port", config.listen_host, config.listen_port),
        check_port("API port", config.api_host, config.api_port),
    ]


def _check_running(running: str) -> Finding:
    if not running:
        return well("running", "a node holds the API's port, and tells its version to tokens alone.")
    try:
        installed = version("liushui")
    except PackageNotFoundError:
        installed = running
    if installed != running:
        told = f"the node runs {running}, and {installed} is installed."
        return warn("restart_due", "running", told, "Restart it when the others are level.")
    return well("running", f"the node runs ({running}) and holds its ports.")


def check_port(name: str, host: str, port: int) -> Finding:
    """Whether a port can be had; one of a running node on this machine answers."""
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except (OSError, OverflowError) as error:
        told = f"{host}:{port} cannot be used ({getattr(error, 'strerror', None) or error})."
        return failed("port_in_use", name, told, "Stop what holds it (perhaps this very node), or change it.")
    return well(name, f"{host}:{port} is free.")


# ---------------------------------------------------------------------- peers


def ask_peer(peer: PeerAddress, *, read_clock_s: Callable[[], float] = time.time) -> Heard:
    """Ask a peer's port for anything at all: its answer carries its clock, and needs no key."""
    parts = urlsplit(peer.url)
    context: ssl.SSLContext = make_dialling_context()
    connection = HTTPSConnection(parts.hostname or "", parts.port or 443, timeout=PEER_TIMEOUT_S, context=context)
    try:
        connection.request("GET", parts.path or "/")
        answer = connection.getresponse()
        told_s = parsedate_to_datetime(answer.headers["Date"]).timestamp() + 0.5  # it is cut to the second
        return Heard(peer.name, "", read_clock_s() - told_s)
    except (OSError, HTTPException) as error:
        return Heard(peer.name, getattr(error, "strerror", None) or str(error) or type(error).__name__, None)
    except (TypeError, ValueError):
        return Heard(peer.name, "", None)  # it answered, and said no time
    finally:
        connection.close()


def _ask_all(peers: Sequence[PeerAddress]) -> list[Heard]:
    with ThreadPoolExecutor(max_workers=16) as pool:
        return list(pool.map(ask_peer, peers))


def check_peers(heard: Sequence[Heard]) -> list[Finding]:
    """Whether peers can be reached, and whether this machine's clock agrees with most of them."""
    if not heard:
        return [well("peers", "none configured.")]
    mute = [one for one in heard if one.error]
    told = f"{len(heard) - len(mute)} of {len(heard)} answer."
    if mute:
        told += " " + "; ".join(f"{one.name}: {one.error}" for one in mute[:5]) + "."
    fix = "Correct [[peers]] of config.toml or the firewall between; a peer may also be down itself."
    found = [well("peers", told) if not mute else warn("peers_unreachable", "peers", told, fix)]
    return found + check_skew([one.ahead_s for one in heard if one.ahead_s is not None])


def check_skew(ahead_s: Sequence[float]) -> list[Finding]:
    """Whether this clock is that of most peers."""
    if not ahead_s:
        return []
    middle = median(ahead_s)
    told = f"{abs(middle):.1f} s {'ahead of' if middle > 0 else 'behind'} most peers, to within a second."
    if abs(middle) >= SKEW_FAIL_S:
        return [failed("clock_skew", "clock skew", told, "Set the clock with NTP; the others refuse its blocks.")]
    if abs(middle) >= SKEW_WARN_S:
        return [warn("clock_skew", "clock skew", told, "Set the clock with NTP.")]
    return [well("clock skew", told)]
