"""`liushui status`: one node's own account of where it stands."""

from typing import Any

import click

from node.cli.common import json_option, node_option, print_facts, print_json, print_table
from node.cli.syncwords import describe_since, describe_sync


@click.command()
@node_option
@click.option("--why", is_flag=True, help="Say in words what the node waits for.")
@json_option
def status(*, node_url: str, why: bool, as_json: bool) -> None:
    """Say where a node stands: height, view, peers, and with --why what it waits for."""
    from node.cli.remote import get

    found: dict[str, Any] = get(node_url, "/v1/status")
    if as_json:
        print_json(found)
        return
    if why:
        _print_why(found)
        return
    print_facts(
        [
            ("node", f"{found['name']} ({found['role']}, version {found['version']})"),
            ("state", found["sync_state"]),
            ("sync", describe_sync(found["sync"])),
            ("does not vote", found["voting_advice"] or None),
            ("epoch", found["epoch"]),
            ("rules", _tell_rules(found["rules"])),
            ("height", found["height"]),
            ("executed", found["exec_height"]),
            ("exec root", found["exec_root"]),
            ("view", f"{found['view']}, led by {found['leader'] or 'somebody unknown'}"),
            ("waits for", found["waiting_for"] or "nothing"),
            ("waiting transactions", found["pool_transactions"]),
            ("guests", found["guests"] or None),
        ]
    )
    if found["peers"]:
        click.echo("")
        rows = [
            (
                peer["name"],
                "connected" if peer["connected"] else "not connected",
                peer["height"],
                "never" if peer["silent_ms"] < 0 else f"{peer['silent_ms']} ms ago",
            )
            for peer in found["peers"]
        ]
        print_table(("Peer", "Link", "Height", "Last heard"), rows, right=(2,))


def _print_why(found: dict[str, Any]) -> None:
    """What the node waits for: first what keeps itself from taking part, then what consensus lacks and whose it is."""
    why = found["why"]
    if found["sync_state"] not in ("participating", "following"):
        click.echo(f"This node is {found['sync_state']}: {describe_sync(found['sync']) or 'it is not level yet'}.")
    if found["voting_advice"]:
        click.echo(f"This node does not vote. {found['voting_advice']}")
    if why is None:
        click.echo("Consensus waits for nothing: there is nothing to order.")
        return
    click.echo(f"Consensus waits for {why['sentence']} (for {describe_since(why['since_ms'])}).")
    rows = [
        (
            one["name"] + (" (this node)" if one["is_self"] else ""),
            "connected" if one["connected"] else "not connected",
            "never" if one["silent_ms"] < 0 else f"{one['silent_ms'] // 1_000} s ago",
            one["voted_view"],
        )
        for one in why["silent"]
    ]
    if rows:
        click.echo("")
        print_table(("Its word lacks", "Link", "Last heard", "Last voted in view"), rows, right=(3,))


def _tell_rules(told: dict[str, Any]) -> str:
    """In force, to come, and whether this node's software knows them."""
    coming = told["next"]
    if coming is None:
        return str(told["version"])
    too_old = "" if coming["version"] <= told["known"] else f"; this node knows up to {told['known']}: update it before"
    return f"{told['version']}, and {coming['version']} from height {coming['since']} on{too_old}"
