"""`liushui peers`: who is connected, who is banned, and bans by the operator of this very machine. Nothing is sent.

Bans stand in a file of the data directory that the running node looks at every second (`node.bans`): whoever may write
there may ban, and no port has to be guarded for it.
"""

import time
from pathlib import Path
from typing import Any

import click

from node.cli.common import fail, json_option, node_option, print_facts, print_json, print_table
from node.cli.typed import DIRECTORY, read_time


@click.group()
def peers() -> None:
    """Show peers; ban and unban them by key, for a time."""


@peers.command(name="list")
@node_option
@click.option("--data-dir", "directory", type=DIRECTORY, default=None, help="Show this node's bans, too.")
@json_option
def list_peers(*, node_url: str, directory: Path | None, as_json: bool) -> None:
    """Show the members a node knows, whether it reaches them, and with --data-dir whom it bans.

    Example: liushui peers list --data-dir mynet/lender1
    """
    from node.cli.remote import get

    found: dict[str, Any] = get(node_url, "/v1/status")
    bans = [] if directory is None else _list_bans(directory)
    if as_json:
        print_json({"peers": found["peers"], "bans": bans})
        return
    rows = [
        (
            one["name"],
            "connected" if one["connected"] else "not connected",
            one["height"],
            "never" if one["silent_ms"] < 0 else f"{one['silent_ms']} ms ago",
        )
        for one in found["peers"]
    ]
    print_table(("Peer", "Link", "Height", "Last heard"), rows, right=(2,))
    if bans:
        click.echo("")
        print_table(
            ("Banned", "Node key", "Reason", "For"),
            [(one["name"], one["node_key"][:16], one["reason"], f"{one['left_s']} s more") for one in bans],
        )


def _list_bans(directory: Path) -> list[dict[str, Any]]:
    from node.bans import BanFileError, read_bans

    now_ms = time.time_ns() // 1_000_000
    try:
        bans = read_bans(directory)
    except BanFileError as error:
        fail(error.code, error.sentence)
    return [
        {
            "name": one.name,
            "node_key": one.node_key,
            "reason": one.reason,
            "until_ms": one.until_ms,
            "left_s": (one.until_ms - now_ms + 999) // 1_000,
        }
        for one in bans
        if one.until_ms > now_ms
    ]


@peers.command()
@click.argument("peer", metavar="NAME|NODE_KEY")
@click.option("--data-dir", "directory", type=DIRECTORY, required=True, help="Data directory of the node that bans.")
@click.option("--for", "seconds", default="1h", show_default=True, callback=lambda *given: read_time(given[2]))
def ban(*, peer: str, directory: Path, seconds: int) -> None:
    """Take no link from a peer, and dial it as little, for a time: 30m, 12h, 7d. A running node follows in a second.

    A validator that bans others may miss their votes: a network needs a quorum that can speak with each other.

    Example: liushui peers ban lender3 --for 12h --data-dir mynet/lender1
    """
    from node.bans import OPERATOR, Ban, put_ban

    key, name = _find_peer(directory, peer)
    until_ms = time.time_ns() // 1_000_000 + 1_000 * seconds
    one = Ban(node_key=key, name=name, until_ms=until_ms, reason=OPERATOR)
    _change(directory, lambda bans: put_ban(bans, one))
    print_facts([("banned", name), ("node key", key), ("for", f"{seconds} s")])


@peers.command()
@click.argument("peer", metavar="NAME|NODE_KEY")
@click.option("--data-dir", "directory", type=DIRECTORY, required=True, help="Data directory of the node that bans.")
def unban(*, peer: str, directory: Path) -> None:
    """Take links from a peer again, whoever banned it. A running node follows in a second.

    Example: liushui peers unban lender3 --data-dir mynet/lender1
    """
    from node.bans import lift_bans

    key, name = _find_peer(directory, peer)
    before = {one["node_key"] for one in _list_bans(directory)}
    _change(directory, lambda bans: lift_bans(bans, key))
    if key not in before:
        fail("peer_not_banned", f"{name} is not banned.")
    print_facts([("welcome again", name), ("node key", key)])


def _change(directory: Path, change: Any) -> None:
    from node.bans import BanFileError, change_bans

    try:
        change_bans(directory, change)
    except BanFileError as error:
        fail(error.code, error.sentence)


def _find_peer(directory: Path, peer: str) -> tuple[str, str]:
    """Node key (hex) and name. The genesis and the settings name peers; a later member is named by its key."""
    import os

    from node.config import ConfigError, load_config
    from protocol.genesis import GenesisError, decode_genesis

    try:
        config = load_config(directory, environment=os.environ)
        members = decode_genesis(Path(config.genesis).read_bytes()).members
    except ConfigError as error:
        fail(error.code, error.sentence)
    except OSError as error:
        fail("genesis_missing", f"{error.filename} cannot be read ({error.strerror}).")
    except GenesisError as error:
        fail("genesis_invalid", f"{error}.")
    known = {one.node_key.hex(): one.name for one in members}
    known |= {one.node_key: one.name for one in config.peers}
    if peer in (config.name, next((key for key, name in known.items() if name == config.name), None)):
        fail("peer_is_self", f"{peer} is this node itself.")
    by_name = {name: key for key, name in known.items()}
    is_key = len(peer) == 64 and all(one in "0123456789abcdef" for one in peer)
    if peer not in by_name and not is_key:
        fail("peer_unknown", f"Nobody in the genesis or the settings is called {peer!r}: give the node key in hex.")
    return (by_name[peer], peer) if peer in by_name else (peer, known.get(peer, peer[:16]))
