"""The ground a bench stands on: disk, ports, and a network laid out for it. Nothing runs yet.

The directory is the bench's own: it is made here, or was empty, and may be removed afterwards.
"""

import secrets
import shutil
import socket
import time
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from node.bench.plan import Plan, PlanError
from node.config import CONFIG_FILE, format_config, load_config
from node.setup import NodePlace, Testnet, make_testnet
from protocol.ids import TimeMs

CURRENCY: Final = "CNY"
OBSERVER: Final = "observer"
NEWCOMER: Final = "newcomer"
PORTS: Final = range(20_000, 32_000)
"""Below the kernel's range for outgoing connections, so that nobody takes the port of a node that is down."""
PORT_TRIES: Final = 200
MOUNTS: Final = Path("/proc/self/mounts")
MEMORY_FILESYSTEMS: Final = frozenset({"tmpfs", "ramfs"})


class Site(NamedTuple):
    """A network on disk, and who is who in it."""

    testnet: Testnet
    validators: tuple[str, ...]
    filesystem: str
    """Type of the file system the nodes write to; empty when it is not known."""


def check_machine() -> None:
    """Raises PlanError where processes cannot be measured."""
    if not Path("/proc/self/io").exists():
        raise PlanError("not_linux", "The bench reads processor, memory and disk from /proc: run it on Linux.")


def check_directory(directory: Path) -> None:
    """Raises PlanError unless `directory` is missing or empty."""
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise PlanError("directory_taken", f"{directory} is not an empty directory: name another with --data-dir.")


def check_disk(directory: Path, plan: Plan) -> str | None:
    """A warning when disk may run short, None when there is plenty. Raises PlanError when it would run out."""
    free = shutil.disk_usage(directory).free
    need = plan.disk_bytes
    told = f"about {_format_gb(need)} may be written to {directory}, {_format_gb(free)} are free"
    if free < need:
        raise PlanError("disk_short", f"Too little disk: {told}. Make room, ask for less, or give another --data-dir.")
    return f"Disk is scarce: {told}." if free < 2 * need else None


def _format_gb(count: int) -> str:
    return f"{count / 1e9:.1f} GB"


def found(directory: Path, plan: Plan) -> Site:
    """Lay out the network of a plan in `directory`. Raises PlanError."""
    validators = tuple(f"v{index + 1}" for index in range(plan.validators))
    observers = [OBSERVER] * plan.observer + [NEWCOMER] * plan.sync
    base = find_base_port(2 * (len(validators) + len(observers)))
    try:
        testnet = make_testnet(
            directory,
            lenders=validators,
            observers=observers,
            time_ms=TimeMs(time.time_ns() // 1_000_000),
            currency=CURRENCY,
            base_port=base,
        )
        if plan.sync:
            for place in testnet.nodes:
                _expect_newcomer(place)
    except OSError as error:
        raise PlanError("directory_unwritable", f"{directory} cannot be written: {error.strerror}.") from error
    return Site(testnet, validators, find_filesystem(directory))


def _expect_newcomer(place: NodePlace) -> None:
    """Who comes last dials the others, so nobody spends time on calling it until then; it takes no snapshot."""
    config = load_config(place.directory, environment={})
    changed = msgspec.structs.replace(
        config,
        data_dir=".",
        genesis="genesis.json",
        peers=tuple(one for one in config.peers if one.name != NEWCOMER),
        snapshot_behind=0 if place.name == NEWCOMER else config.snapshot_behind,
    )
    (place.directory / CONFIG_FILE).write_text(format_config(changed), encoding="utf-8")


def find_base_port(count: int) -> int:
    """The first of `count` neighbouring free ports on loopback. Raises PlanError."""
    for _ in range(PORT_TRIES):
        base = PORTS.start + secrets.randbelow(len(PORTS) - count + 1)
        holders = [socket.socket() for _ in range(count)]
        try:
            for offset, holder in enumerate(holders):
                holder.bind(("127.0.0.1", base + offset))
        except OSError:
            continue
        finally:
            for holder in holders:
                holder.close()
        return base
    raise PlanError("ports_taken", f"No {count} neighbouring ports of 127.0.0.1 are free: stop what holds them.")


def find_filesystem(directory: Path) -> str:
    """Type of the file system that holds `directory` (proc(5), mounts): the longest mount point above it."""
    best, found_type = "", ""
    for line in MOUNTS.read_text(encoding="utf-8").splitlines():
        _, point, kind, *_ = line.split(" ")
        point = point.replace("\\040", " ")
        if directory.resolve().is_relative_to(point) and len(point) >= len(best):
            best, found_type = point, kind
    return found_type
