"""The operator's addresses: peers with their guests and bans, and bans at once. Each asks for a token, on loopback too.

Never an address here that changes the books, a key or a setting.
"""

from typing import Annotated, Any, Final, Literal

import msgspec
from aiohttp import web

from node.api.access import require_token
from node.api.answers import Hex32
from node.api.problems import ProblemError
from node.api.reading import NOW_MS, get_id, get_node, read_body, respond
from node.bans import Ban, BanFileError
from node.tokens import Scope
from protocol.codec import JSON_FAULTS
from protocol.ids import PublicKey

BAN_BODY_BYTES_MAX: Final = 1_024
BAN_S_MAX: Final = 366 * 86_400


class KnownPeerView(msgspec.Struct, frozen=True, kw_only=True):
    """A member's node, or one that the settings name."""

    name: str
    node_key: Hex32
    connected: bool
    height: int
    """Its last reported final height; 0 when it never reported."""
    silent_ms: int
    """Since its last frame; -1 when it never spoke."""


class GuestView(msgspec.Struct, frozen=True, kw_only=True):
    """A node of nobody in the books that reads from here."""

    node_key: Hex32
    connected_s: int


class BanView(msgspec.Struct, frozen=True, kw_only=True):
    """A peer that this node takes no link from."""

    node_key: Hex32
    name: str
    until_ms: int
    """Wall-clock milliseconds since 1970."""
    reason: Literal["false_signatures", "operator"]
    times: int
    """How often it was banned for this reason."""


class OperatorPeersView(msgspec.Struct, frozen=True, kw_only=True):
    """Who this node speaks with, and whom it does not."""

    height: int
    peers: list[KnownPeerView]
    guests: list[GuestView]
    bans: list[BanView]


class BanRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long a peer is banned from now on."""

    seconds: Annotated[int, msgspec.Meta(ge=1, le=BAN_S_MAX)]


class UnbanView(msgspec.Struct, frozen=True, kw_only=True):
    """A peer that this node takes links from again."""

    node_key: Hex32
    name: str


async def list_operator_peers(request: web.Request) -> web.Response:
    """GET /v1/operator/peers: with a token that has the scope monitor."""
    node = get_node(request)
    desk, height = node.operator, node.status().exec_height
    view = OperatorPeersView(
        height=height,
        peers=[
            KnownPeerView(
                name=one.name,
                node_key=one.key.hex(),
                connected=one.connected,
                height=one.height,
                silent_ms=one.silent_ms,
            )
            for one in desk.list_peers()
        ],
        guests=[GuestView(node_key=key.hex(), connected_s=seconds) for key, seconds in desk.list_guests()],
        bans=[_view_ban(one) for one in _list_bans(request)],
    )
    return respond(view, height=height)


async def put_ban(request: web.Request) -> web.Response:
    """PUT /v1/operator/bans/{node_key}: ban a peer from now on; a ban that stands gets this end instead."""
    desk, peer = get_node(request).operator, PublicKey(get_id(request, "node_key"))
    seconds = await _read_seconds(request)
    if peer == desk.own:
        raise ProblemError("malformed_request", "This key is the node's own.")
    try:
        made = await desk.ban(peer, seconds, by=_name_caller(request))
    except BanFileError as error:
        raise ProblemError("bans_unusable", error.sentence) from error
    return respond(_view_ban(made), height=get_node(request).status().exec_height)


async def delete_ban(request: web.Request) -> web.Response:
    """DELETE /v1/operator/bans/{node_key}: take links from a peer again, whoever banned it."""
    desk, peer = get_node(request).operator, PublicKey(get_id(request, "node_key"))
    try:
        was_banned = await desk.unban(peer, by=_name_caller(request))
    except BanFileError as error:
        raise ProblemError("bans_unusable", error.sentence) from error
    if not was_banned:
        raise ProblemError("not_found", "This peer is not banned.")
    view = UnbanView(node_key=peer.hex(), name=desk.get_name(peer))
    return respond(view, height=get_node(request).status().exec_height)


def _list_bans(request: web.Request) -> list[Ban]:
    try:
        return get_node(request).operator.list_bans()
    except BanFileError as error:
        raise ProblemError("bans_unusable", error.sentence) from error


def _name_caller(request: web.Request) -> str:
    """Whose token it is, for the log."""
    return require_token(request, Scope.OPERATE, request.app[NOW_MS]()).name


async def _read_seconds(request: web.Request) -> int:
    if request.content_type != "application/json":
        raise ProblemError("unsupported_media", "Send application/json.")
    try:
        asked: Any = msgspec.json.decode(await read_body(request, BAN_BODY_BYTES_MAX))
        seconds = asked.get("seconds") if isinstance(asked, dict) else None
        if isinstance(seconds, float) and seconds.is_integer():
            asked["seconds"] = int(seconds)  # an integer to JSON Schema, and to programs that know no other numbers
        return msgspec.convert(asked, BanRequest).seconds
    except JSON_FAULTS as error:
        raise ProblemError("malformed_request", f"{error}.") from error


def _view_ban(one: Ban) -> BanView:
    return BanView(node_key=one.node_key, name=one.name, until_ms=one.until_ms, reason=one.reason, times=one.times)
