"""Who opened a statement, over the logs of several nodes: checked, merged in time, and with the gaps told.

    asked = [await ask_log(client, wallet, data, network, now_ms) ...]      one for each node that could be asked
    found = merge_logs(asked, await read_readers(client, wallet, data), owner)

The ledger says who was ever let in and who attested; a log says who opened. Where one says more than the other, that is
a gap, and it is told. Nobody publishes where nodes' APIs are: a reader whose node was not asked is named as such. Never
call a list whole that has a gap.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from node.client.access import check_access_view
from node.client.http import ApiError, NodeClient
from node.client.rights import read_all
from node.client.wallet import Wallet
from protocol.genesis import Genesis
from protocol.ids import ObjectId, PublicKey, TimeMs

GAPS: Final[dict[str, str]] = {
    "not_asked": "its node was not asked: name its API with --also",
    "unreachable": "its node did not answer",
    "log_false": "its node's log does not hold",
    "attested_unlogged": "it attested, and its node's log shows no opening before that",
}


class Asked(NamedTuple):
    """One node's answer."""

    url: str
    name: str | None
    """The member whose node it is: by the key that signed its log, else by its own word; None where neither is."""
    view: dict[str, Any] | None
    """As GET /v1/vault/access-log/{id} gave it; None when the node did not answer."""
    fault: str | None
    """Why its log proves nothing (access_*), or the code of its silence."""


class Reader(NamedTuple):
    """A member that was ever let in."""

    account: str
    name: str | None
    attested_ms: int | None
    """When it first attested on the data, which needs an opening before."""


async def ask_log(
    client: NodeClient, wallet: Wallet, data: ObjectId, genesis: Genesis, now_ms: Callable[[], TimeMs]
) -> Asked:
    """A node's log of the data, checked against the members' node keys as they stand today."""
    members = (await client.get("/v1/network"))["members"]
    names = {one["node_key"]: one["name"] for one in members if one["node_key"] is not None}
    view = await client.get_signed(f"/v1/vault/access-log/{data.hex()}", wallet.signer, now_ms)
    fault = check_access_view(view, genesis, data, [PublicKey(bytes.fromhex(one)) for one in names])
    entries = view.get("entries") or []
    if entries and fault is None:
        return Asked(str(client.url).rstrip("/"), names.get(entries[0]["key"]), view, None)
    return Asked(str(client.url).rstrip("/"), await _ask_name(client), view, fault)


async def _ask_name(client: NodeClient) -> str | None:
    try:
        return str((await client.get("/v1/status"))["name"])
    except (ApiError, KeyError):  # closed to all but tokens
        return None


async def read_readers(client: NodeClient, wallet: Wallet, data: ObjectId) -> tuple[Reader, ...]:
    """Every member that any consent, withdrawn or not, has let read the data, first come first."""
    owner = wallet.account.hex()
    names: dict[str, str | None] = {}
    for one in await read_all(client, "/v1/consents", owner=owner):
        if data.hex() in one["data"]:
            names |= dict(zip(one["grantees"], one["grantee_names"], strict=True))
    attested: dict[str, int] = {}
    for one in await read_all(client, "/v1/applications", borrower=owner):
        if data.hex() in one["data"]:
            for said in one["attestations"]:
                attested[said["attester"]] = min(said["time_ms"], attested.get(said["attester"], said["time_ms"]))
    return tuple(Reader(account, name, attested.get(account)) for account, name in names.items())


def merge_logs(asked: Sequence[Asked], readers: Sequence[Reader], owner: str) -> dict[str, Any]:
    """Openings of all logs that hold, in order of time, and of each reader what is known and what is not."""
    granted = {one.account for one in readers} | {owner}
    openings = [
        {**entry, "node": one.name or one.url, "granted": entry["reader"] in granted}
        for one in asked
        if one.view is not None and one.fault is None
        for entry in one.view["entries"]
    ]
    openings.sort(key=lambda one: (one["time_ms"], one["node"], one["serial"]))
    told = [_tell_reader(one, asked, openings) for one in readers]
    return {
        "openings": openings,
        "readers": told,
        "whole": all(one["gap"] is None for one in told) and all(one["granted"] for one in openings),
    }


def _tell_reader(reader: Reader, asked: Sequence[Asked], openings: Sequence[dict[str, Any]]) -> dict[str, Any]:
    own = [one for one in openings if one["reader"] == reader.account]
    answers = [one for one in asked if one.name is not None and one.name == reader.name]
    return {
        "account": reader.account,
        "name": reader.name,
        "openings": len(own),
        "attested_ms": reader.attested_ms,
        "gap": _find_gap(reader, answers, own),
    }


def _find_gap(reader: Reader, answers: Sequence[Asked], own: Sequence[dict[str, Any]]) -> str | None:
    if not answers:
        return "not_asked"
    if all(one.view is None for one in answers):
        return "unreachable"
    if any(one.view is not None and one.fault is not None for one in answers):
        return "log_false"
    # Its clock and the block's are two: within a minute they are not compared.
    late = reader.attested_ms is not None and all(one["time_ms"] > reader.attested_ms + 60_000 for one in own)
    return "attested_unlogged" if late else None
