"""What whoever runs a node may see and do of its peers while it runs: who is linked, who reads as a guest, who is out.

A ban is this node's own affair, and goes to the file that holds all bans (`node.bans`); here it takes effect at once.
Never anything of the books: members are admitted and shut out by the validators' votes.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

from node.bans import Ban, BanRoom
from node.telemetry import get_logger
from protocol.ids import Height, PublicKey


class Linked(Protocol):
    """A peer as the network sees it."""

    @property
    def connected(self) -> bool:
        """Whether it can be reached."""

    @property
    def silent_ms(self) -> int:
        """Since its last frame; -1 when it never spoke."""


class Mesh(Protocol):
    """What is asked of the network."""

    def get_status(self, peer: PublicKey) -> Linked:
        """How a peer looks from here."""


class PeerRecord(NamedTuple):
    """A member's node, or one that the settings name."""

    key: PublicKey
    name: str
    connected: bool
    height: Height
    silent_ms: int


class OperatorDesk:
    """The peers of one node. `peers`: whom it may be linked with. `names`: of these and of other members' nodes."""

    def __init__(
        self,
        *,
        own: PublicKey,
        bans: BanRoom,
        peers: Sequence[PublicKey],
        names: Mapping[PublicKey, str],
        mesh: Mesh,
        find_height: Callable[[PublicKey], Height],
        list_guests: Callable[[], list[tuple[PublicKey, int]]],
    ) -> None:
        self.own = own
        self._bans = bans
        self._peers = peers
        self._names = names
        self._mesh = mesh
        self._find_height = find_height
        self.list_guests = list_guests
        """Nodes of nobody in the books that read from here, with the seconds each has been linked."""
        self._log = get_logger("operator")

    def list_peers(self) -> list[PeerRecord]:
        """All nodes that may be peers of this one, in order of name and key."""
        found = []
        for name, key in sorted((self.get_name(key), key) for key in self._peers):
            link = self._mesh.get_status(key)
            found.append(PeerRecord(key, name, link.connected, self._find_height(key), link.silent_ms))
        return found

    def list_bans(self) -> list[Ban]:
        """Bans in force, the operator's and those that peers earned. Raises BanFileError."""
        return self._bans.list_bans()

    def get_name(self, peer: PublicKey) -> str:
        """What a peer is called here; the beginning of its key when nothing names it."""
        return self._names.get(peer) or peer.hex()[:16]

    async def ban(self, peer: PublicKey, seconds: int, *, by: str) -> Ban:
        """Take no link from a peer for a time, from now on. Raises BanFileError. `by`: whose token said so."""
        made = await self._bans.put(peer, self.get_name(peer), seconds)
        self._log.info("peer_banned", peer=made.node_key[:16], name=made.name, seconds=seconds, by=by)
        return made

    async def unban(self, peer: PublicKey, *, by: str) -> bool:
        """Take links from a peer again; whether it was banned. Raises BanFileError."""
        was_banned = await self._bans.lift(peer)
        if was_banned:
            self._log.info("peer_unbanned", peer=peer.hex()[:16], name=self.get_name(peer), by=by)
        return was_banned
