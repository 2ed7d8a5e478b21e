"""`liushui peers`: who is connected, who reads as a guest, who is banned; bans, at a running node or in its directory.

With a token the running node is asked, and does it at once. With --data-dir the file of the data directory is changed,
which a running node looks at every second and a stopped one when it starts (`node.bans`).
"""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from node.cli.common import fail, json_option, node_option, print_facts, print_json, print_table
from node.cli.typed import DIRECTORY, read_time

if TYPE_CHECKING:
    from node.client.http import NodeClient


@click.group()
def peers() -> None:
    """Show peers; ban and unban them by key, for a time."""


@peers.command(name="list")
@node_option
@click.option("--data-dir", "directory", type=DIRECTORY, default=None, help="Show this node's bans, too.")
@json_option
def list_peers(*, node_url: str, directory: Path | None, as_json: bool) -> None:
    """Show the members a node knows and whether it reaches them; with a token guests and bans, with --data-dir bans.

    Example: liushui peers list --data-dir mynet/lender1
    """
    from node.cli.remote import get
    from node.cli.shown import has_token

    asks_operator = directory is None and has_token()
    found: dict[str, Any] = get(node_url, "/v1/operator/peers" if asks_operator else "/v1/status")
    bans = _list_bans(directory) if directory is not None else _date(found["bans"]) if asks_operator else []
    guests = found["guests"] if asks_operator else []
    if as_json:
        print_json({"peers": found["peers"], "guests": guests, "bans": bans})
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
    if guests:
        click.echo("")
        print_table(("Guest's node key", "For"), [(one["node_key"], f"{one['connected_s']} s") for one in guests])
    if bans:
        click.echo("")
        print_table(
            ("Banned", "Node key", "Reason", "For"),
            [(one["name"], one["node_key"][:16], one["reason"], f"{one['left_s']} s more") for one in bans],
        )


def _date(bans: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Bans as the node tells them, with what is left of each."""
    now_ms = time.time_ns() // 1_000_000
    return [{**one, "left_s": max(0, (one["until_ms"] - now_ms + 999) // 1_000)} for one in bans]


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


_home = click.option(
    "--data-dir",
    "directory",
    type=DIRECTORY,
    default=None,
    help="Directory of the node that bans, without a token.",
)


@peers.command()
@click.argument("peer", metavar="NAME|NODE_KEY")
@_home
@click.option(
    "--for",
    "seconds",
    default="1h",
    show_default=True,
    callback=lambda *given: read_time(given[2]),
    help="How long, up to a year.",
)
@node_option
def ban(*, peer: str, directory: Path | None, seconds: int, node_url: str) -> None:
    """Take no link from a peer, and dial it as little, for a time: 30m, 12h, 7d. With a token at once.

    A validator that bans others may miss their votes: a network needs a quorum that can speak with each other. In a
    data directory a running node follows in a second.

    Example: liushui peers ban lender3 --for 12h --data-dir mynet/lender1
    """
    from node.bans import OPERATOR, Ban, put_ban

    if directory is None:
        made = _ask(node_url, peer, "PUT", {"seconds": seconds})
        key, name = made["node_key"], made["name"]
    else:
        key, name = _find_peer(directory, peer)
        until_ms = time.time_ns() // 1_000_000 + 1_000 * seconds
        one = Ban(node_key=key, name=name, until_ms=until_ms, reason=OPERATOR)
        _change(directory, lambda bans: put_ban(bans, one))
    print_facts([("banned", name), ("node key", key), ("for", f"{seconds} s")])


@peers.command()
@click.argument("peer", metavar="NAME|NODE_KEY")
@_home
@node_option
def unban(*, peer: str, directory: Path | None, node_url: str) -> None:
    """Take links from a peer again, whoever banned it. With a token at once; in a data directory within a second.

    Example: liushui peers unban lender3 --data-dir mynet/lender1
    """
    from node.bans import lift_bans

    if directory is None:
        made = _ask(node_url, peer, "DELETE", None)
        key, name = made["node_key"], made["name"]
    else:
        key, name = _find_peer(directory, peer)
        before = {one["node_key"] for one in _list_bans(directory)}
        _change(directory, lambda bans: lift_bans(bans, key))
        if key not in before:
            fail("peer_not_banned", f"{name} is not banned.")
    print_facts([("welcome again", name), ("node key", key)])


def _ask(node_url: str, peer: str, method: str, body: dict[str, int] | None) -> dict[str, Any]:
    """Have a running node do it; what it says of the peer."""
    import msgspec

    from node.cli.remote import run
    from node.cli.shown import has_token
    from node.client.http import ApiError

    if not has_token():
        raise click.UsageError("Give --token-file FILE with a token of the running node, or --data-dir DIR.")

    async def ask(client: "NodeClient") -> dict[str, Any]:
        key = await _find_key(client, peer)
        try:
            raw = await client.call(
                method, f"/v1/operator/bans/{key}", body=None if body is None else msgspec.json.encode(body)
            )
        except ApiError as error:
            if error.code == "not_found":
                fail("peer_not_banned", f"{peer} is not banned.")
            raise
        found: dict[str, Any] = msgspec.json.decode(raw)
        return found

    return run(node_url, ask)


async def _find_key(client: "NodeClient", peer: str) -> str:
    """The node key of a name, or the key that was typed. Members have one name each; a member comes before a ban."""
    if _is_key(peer):
        return peer
    from node.client.http import ApiError

    try:
        known: dict[str, Any] = await client.get("/v1/operator/peers")
    except ApiError as error:
        if error.code == "insufficient_scope":
            fail(error.code, f"{peer} is looked up with the scope monitor: give a token with both, or the node key.")
        raise
    keys = [str(one["node_key"]) for one in (*known["peers"], *known["bans"]) if one["name"] == peer]
    if not keys:
        fail("peer_unknown", f"The node knows nobody called {peer!r}: give the node key in hex.")
    return keys[0]


def _is_key(text: str) -> bool:
    return len(text) == 64 and all(one in "0123456789abcdef" for one in text)


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
    if peer not in by_name and not _is_key(peer):
        fail("peer_unknown", f"Nobody in the genesis or the settings is called {peer!r}: give the node key in hex.")
    return (by_name[peer], peer) if peer in by_name else (peer, known.get(peer, peer[:16]))
