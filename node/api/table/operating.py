"""Addresses for whoever runs the node. Every one of them asks for a token."""

from typing import Final

from node.api import operating
from node.api.openapi import Endpoint
from node.tokens import Scope

_BANS: Final = "/v1/operator/bans/{node_key}"

OPERATING: Final = (
    Endpoint(
        "GET",
        "/v1/operator/peers",
        operating.list_operator_peers,
        "Peers, guests and bans of this node",
        operating.OperatorPeersView,
        problems=("bans_unusable",),
        scope=Scope.MONITOR,
    ),
    Endpoint(
        "PUT",
        _BANS,
        operating.put_ban,
        "Ban a peer from this node for a time, at once",
        operating.BanView,
        request=operating.BanRequest,
        problems=("bans_unusable", "unsupported_media", "too_large", "too_slow"),
        scope=Scope.OPERATE,
    ),
    Endpoint(
        "DELETE",
        _BANS,
        operating.delete_ban,
        "Take links from a banned peer again, at once",
        operating.UnbanView,
        problems=("bans_unusable", "not_found"),
        scope=Scope.OPERATE,
    ),
)
