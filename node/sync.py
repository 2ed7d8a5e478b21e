"""Catching up: which finalised blocks to ask of whom, and in what order to hand them to the engine.

Decisions only; the shell sends, waits and steps the engine, which alone decides whether blocks are final. A peer that
claims what it cannot show is not believed for a while, each time longer. One peer's claim is enough to ask it for
blocks, and never enough to call this node behind. Never move a view here.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec

from node.snapshot.plan import PeerView
from protocol.block import GENESIS_HEIGHT
from protocol.ids import Height, PublicKey
from protocol.limits import SYNC_BLOCKS_PER_REPLY_MAX
from protocol.messages import Blocks, GetBlocks, Status

REPLY_MS_MAX: Final = 5_000
DISTRUST_MS: Final = 10_000
DISTRUST_DOUBLINGS_MAX: Final = 3  # 80 s: an honest peer may have been at fault through us
PROGRESS_BLOCKS_MIN: Final = 16  # brought in one answer: a node in step is never this far behind
PROGRESS_MS: Final = 5_000  # how long such an answer shows that this node was behind
HEARD_MS_MAX: Final = 8_000  # four statuses: whoever is silent for longer says nothing of where the network is
CLAIM_REST_MS: Final = 400  # what consensus brings by itself within this time is not asked for
WINDOWS_AHEAD_MAX: Final = 8
EXECUTION_BEHIND_MAX: Final = 512  # blocks: beyond it the executor is what everybody waits for


class Asked(NamedTuple):
    """A request under way."""

    height_from: Height
    height_to: Height
    at_ms: int


class Window(NamedTuple):
    """Blocks received and not yet handed to the engine."""

    peer: PublicKey
    blocks: Blocks


class SyncPlan:
    """What is known of peers' heights, what was asked of them and what they brought."""

    def __init__(self, validators: Sequence[PublicKey]) -> None:
        self.set_validators(validators)
        self._lies: dict[PublicKey, int] = {}
        self._progress_ms: int | None = None
        self._claims: dict[PublicKey, tuple[Height, int]] = {}
        self._saved: dict[PublicKey, Height] = {}
        """What each peer can show: it says what is final a moment before it has saved it."""
        self._bases: dict[PublicKey, Height] = {}
        """Up to where each peer has no blocks: it began with a snapshot."""
        self._heard_ms: dict[PublicKey, int] = {}
        self._asked: dict[PublicKey, Asked] = {}
        self._windows: dict[Height, Window] = {}
        self._distrusted_until_ms: dict[PublicKey, int] = {}
        self._wanted_at: Height | None = None
        self._known = GENESIS_HEIGHT
        self._pages: list[Window] = []

    def set_validators(self, validators: Sequence[PublicKey]) -> None:
        """Whose word counts from now on: node keys of the present epoch's validators."""
        self._validators = frozenset(validators)
        self._liars_max = max(0, len(validators) - 1) // 3

    @property
    def liars_max(self) -> int:
        """How many validators may lie."""
        return self._liars_max

    # ------------------------------------------------------------------ what peers say

    def on_status(self, peer: PublicKey, status: Status, now_ms: int) -> None:
        """A peer said where it stands; the time of a claim is when it first passed the one before."""
        self._heard_ms[peer] = now_ms
        self._saved[peer] = Height(min(status.final_height, status.exec_height))
        self._bases[peer] = status.base
        held = self._claims.get(peer)
        if held is None or status.final_height != held[0]:
            self._claims[peer] = (status.final_height, now_ms)

    def on_gone(self, peer: PublicKey) -> None:
        """A peer cannot be reached any more: what was asked of it is free for others."""
        self._claims.pop(peer, None)
        self._saved.pop(peer, None)
        self._bases.pop(peer, None)
        self._heard_ms.pop(peer, None)
        self._asked.pop(peer, None)

    def on_wanted(self, final_height: Height, known: Height = GENESIS_HEIGHT) -> None:
        """The engine, at `final_height`, saw a finalization whose ancestors it does not know, but for `known`."""
        self._wanted_at, self._known = final_height, known

    def get_claim(self, peer: PublicKey) -> Height:
        """The final height a peer last claimed; 0 when it never did."""
        claim = self._claims.get(peer)
        return claim[0] if claim is not None else Height(0)

    def list_peers(self, now_ms: int) -> list[PeerView]:
        """Peers that are believed, and where they say they stand."""
        return [
            PeerView(peer, self._saved[peer], self._bases[peer], peer in self._validators)
            for peer in sorted(self._claims)
            if self._believes(peer, now_ms)
        ]

    def hears_quorum(self, own: PublicKey, now_ms: int) -> bool:
        """Whether validators, this node among them, that said lately where they stand make a quorum.

        Some honest one of them then voted for whatever is final anywhere.
        """
        return self.count_heard(own, now_ms) >= self.quorum

    def count_heard(self, own: PublicKey, now_ms: int) -> int:
        """How many validators, this node among them, said lately where they stand."""
        heard = {one for one, at_ms in self._heard_ms.items() if now_ms - at_ms <= HEARD_MS_MAX} | {own}
        return len(heard & self._validators)

    @property
    def quorum(self) -> int:
        """How many validators' words make a quorum."""
        return (len(self._validators) + self._liars_max) // 2 + 1

    def has_ahead(self, final_height: Height, now_ms: int) -> bool:
        """Whether any peer that is believed is further than what is just on its way."""
        return bool(self._find_ahead(final_height, now_ms))

    def is_behind(self, final_height: Height, now_ms: int) -> bool:
        """Whether this node is further behind than what is just on its way: more validators than may lie say so, or a
        peer says so and a longer stretch of blocks has just been brought.
        """
        ahead = self._find_ahead(final_height, now_ms)
        if sum(peer in self._validators for peer in ahead) > self._liars_max:
            return True
        return bool(ahead) and self._progress_ms is not None and now_ms - self._progress_ms < PROGRESS_MS

    def is_cut_off(self, final_height: Height, now_ms: int) -> bool:
        """Whether those that are ahead have all forgotten the block that comes next here."""
        ahead = self._find_ahead(final_height, now_ms)
        return bool(ahead) and all(self._bases.get(peer, GENESIS_HEIGHT) > final_height for peer in ahead)

    def _find_ahead(self, final_height: Height, now_ms: int) -> list[PublicKey]:
        return [
            peer for peer in self._claims if self._believes(peer, now_ms) and self._is_ahead(peer, final_height, now_ms)
        ]

    def _believes(self, peer: PublicKey, now_ms: int) -> bool:
        return self._distrusted_until_ms.get(peer, 0) <= now_ms

    def _is_ahead(self, peer: PublicKey, final_height: Height, now_ms: int) -> bool:
        claim, since_ms = self._claims[peer]
        return claim > final_height and (
            self._wanted_at == final_height or now_ms - since_ms >= CLAIM_REST_MS or claim > final_height + 16
        )

    # ------------------------------------------------------------------ asking

    def next_requests(
        self, final_height: Height, exec_height: Height, now_ms: int
    ) -> list[tuple[PublicKey, GetBlocks]]:
        """What to ask of whom now: one request per peer, windows that nobody was asked for yet."""
        for peer in [peer for peer, asked in self._asked.items() if now_ms - asked.at_ms > REPLY_MS_MAX]:
            self._distrust(peer, now_ms, lies=0)  # slow, perhaps
        self._windows = {start: one for start, one in self._windows.items() if _end(one.blocks) > final_height}
        if not self._find_ahead(final_height, now_ms):
            return []
        if final_height - exec_height > EXECUTION_BEHIND_MAX:
            return []
        requests: list[tuple[PublicKey, GetBlocks]] = []
        for peer in sorted(self._claims):
            if peer in self._asked or not self._believes(peer, now_ms):
                continue
            start = self._find_gap(final_height)
            count = min(SYNC_BLOCKS_PER_REPLY_MAX, self._saved[peer] - start + 1)
            if start <= self._bases[peer]:
                continue  # it does not have those, and says so
            if count < 1 or start > final_height + WINDOWS_AHEAD_MAX * SYNC_BLOCKS_PER_REPLY_MAX:
                continue
            self._asked[peer] = Asked(start, Height(start + count - 1), now_ms)
            requests.append((peer, GetBlocks(height_from=start, count=count, known=self._known)))
        return requests

    def _find_gap(self, final_height: Height) -> Height:
        """The first height that is neither final, nor received, nor asked for."""
        spans = [(one.height_from, one.height_to) for one in self._asked.values()]
        spans += [(start, _end(one.blocks)) for start, one in self._windows.items()]
        start = final_height + 1
        for first, last in sorted(spans):
            if first <= start <= last:
                start = last + 1
        return Height(start)

    def _distrust(self, peer: PublicKey, now_ms: int, *, lies: int = 1) -> None:
        self._asked.pop(peer, None)
        doublings = min(self._lies.get(peer, 0), DISTRUST_DOUBLINGS_MAX)
        self._distrusted_until_ms[peer] = now_ms + (DISTRUST_MS << doublings)
        self._lies[peer] = self._lies.get(peer, 0) + lies

    # ------------------------------------------------------------------ answers

    def on_blocks(self, peer: PublicKey, blocks: Blocks, now_ms: int) -> None:
        """A peer's answer: kept when it was asked for and begins where it should."""
        asked = self._asked.pop(peer, None)
        if asked is None:
            return
        heights = [block.header.height for block in blocks.blocks]
        expected = list(range(asked.height_from, asked.height_from + len(heights)))
        is_page = not heights and bool(blocks.trailing)
        if not heights and not is_page and asked.height_from <= self._bases.get(peer, GENESIS_HEIGHT):
            return  # what it was asked for it no longer has, as it says by now
        if not (heights or is_page) or blocks.finalization is None or heights != expected:
            self._distrust(peer, now_ms)
            return
        if is_page:
            self._pages.append(Window(peer, blocks))
            return
        self._windows[asked.height_from] = Window(peer, blocks)

    def pop_ready(self, final_height: Height) -> Window | None:
        """A page of headers, or what follows the final height, if it is there; what is final by now is cut off."""
        if self._pages:
            return self._pages.pop(0)
        for start in sorted(self._windows):
            if start <= final_height + 1 <= _end(self._windows[start].blocks):
                window = self._windows.pop(start)
                rest = window.blocks.blocks[final_height + 1 - start :]
                return Window(window.peer, msgspec.structs.replace(window.blocks, blocks=rest))
        return None

    def on_stepped(self, window: Window, final_height: Height, now_ms: int) -> None:
        """The engine saw the window; when that did not bring it there, the peer's blocks were not what it claimed."""
        blocks = window.blocks
        if blocks.blocks:
            fruitful = final_height >= _end(blocks)
        else:
            below = blocks.trailing[0].height - 1
            fruitful = final_height >= below or 0 < self._known <= below
        if not fruitful:
            self._distrust(window.peer, now_ms)
            return
        self._lies.pop(window.peer, None)
        if len(window.blocks.blocks) >= PROGRESS_BLOCKS_MIN:
            self._progress_ms = now_ms


def _end(blocks: Blocks) -> Height:
    return blocks.blocks[-1].header.height
