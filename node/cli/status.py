"""`liushui status`: one node's own account of where it stands."""

from typing import Any

import click

from node.cli.common import json_option, node_option, print_facts, print_json, print_table


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
        click.echo(found["waiting_for"] or "It waits for nothing.")
        return
    print_facts(
        [
            ("node", f"{found['name']} ({found['role']}, version {found['version']})"),
            ("state", found["sync_state"]),
            ("does not vote", found["voting_advice"] or None),
            ("epoch", found["epoch"]),
            ("height", found["height"]),
            ("executed", found["exec_height"]),
            ("exec root", found["exec_root"]),
            ("view", f"{found['view']}, led by {found['leader'] or 'somebody unknown'}"),
            ("waits for", found["waiting_for"] or "nothing"),
            ("waiting transactions", found["pool_transactions"]),
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
