"""Ask one peer after another for one thing by its name until somebody brings it.

A peer that says "not here" is passed by at once, a silent one after a deadline that grows round by round. Whether what
a peer brings is right is the caller's check, made before `offer`; never trust a reply here. Where a name does not
determine all that is brought, the caller also looks at `was_asked`.
"""

import asyncio
import itertools
from collections.abc import Callable, Hashable, Sequence
from typing import Final, Generic, TypeVar

from protocol.ids import PublicKey

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

REPLY_FIRST_S: Final = 0.4
REPLY_LONGEST_S: Final = 3.0
ROUND_PAUSE_S: Final = 0.1
GIVE_UP_S: Final = 20.0


class NobodyHasItError(Exception):
    """No peer brought it in time; asking again later is for the caller to decide."""


class _Search(Generic[V]):
    def __init__(self) -> None:
        self.found: asyncio.Future[V] = asyncio.get_running_loop().create_future()
        self.news: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when what is sought was found, or denied by whoever is being asked. A future and no task: a node that
        catches up asks thousands of times."""
        self.asked: PublicKey | None = None
        self.heeded: dict[PublicKey, bool] = {}
        """Peers whose answer has come, and whether it is being checked still: whoever was asked is not silent."""
        self.ever_asked: dict[PublicKey, bool] = {}


class Fetcher(Generic[K, V]):
    """Searches under way for one kind of thing; two who want the same one share a search."""

    def __init__(self, ask: Callable[[PublicKey, K], bool], peers: Callable[[], Sequence[PublicKey]]) -> None:
        self._ask = ask
        self._peers = peers
        self._searches: dict[K, tuple[_Search[V], asyncio.Task[V]]] = {}
        self._turn = itertools.count()

    def __len__(self) -> int:
        return len(self._searches)

    def is_wanted(self, key: K) -> bool:
        """Whether a search for `key` is under way: anything else a peer offers was not asked for."""
        return key in self._searches

    def was_asked(self, key: K, peer: PublicKey) -> bool:
        """Whether the search for `key` under way has asked this peer; a late answer is an answer too."""
        held = self._searches.get(key)
        return held is not None and peer in held[0].ever_asked

    async def fetch(
        self, key: K, first: Sequence[PublicKey] = (), *, give_up_s: float = GIVE_UP_S, rounds_max: int | None = None
    ) -> V:
        """What `key` names; `first` are asked before the other peers. Raises NobodyHasItError.

        It gives up after a time, and after `rounds_max` rounds of everybody when given.
        """
        held = self._searches.get(key)
        if held is None:
            search: _Search[V] = _Search()
            task = asyncio.ensure_future(self._search(key, search, tuple(first), give_up_s, rounds_max))
            task.add_done_callback(_look_at)
            self._searches[key] = (search, task)
        else:
            task = held[1]
        return await asyncio.shield(task)

    def heed(self, key: K, peer: PublicKey) -> None:
        """The answer of a peer has come: nobody else is asked until it was checked and offered.

        Only of one that was asked, and once in a search, so that nobody can hold it up by answering again and again.
        """
        held = self._searches.get(key)
        if held is not None and peer in held[0].ever_asked:
            held[0].heeded.setdefault(peer, True)

    def offer(self, key: K, peer: PublicKey, value: V | None) -> None:
        """A peer's checked answer; None when it does not have it (or brought something else)."""
        held = self._searches.get(key)
        if held is None:
            return
        search = held[0]
        if peer in search.heeded:
            search.heeded[peer] = False
        if value is not None:
            if not search.found.done():
                search.found.set_result(value)
        elif search.asked != peer:
            return
        if not search.news.done():
            search.news.set_result(None)

    async def close(self) -> None:
        """End all searches."""
        tasks = [task for _, task in self._searches.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _search(
        self, key: K, search: _Search[V], first: tuple[PublicKey, ...], give_up_s: float, rounds_max: int | None
    ) -> V:
        try:
            async with asyncio.timeout(give_up_s):
                reply_s = REPLY_FIRST_S
                for done in itertools.count():
                    if done == rounds_max:
                        break
                    for peer in self._make_round(first):
                        search.ever_asked[peer] = True
                        if self._ask(peer, key) and await self._has_come(search, peer, reply_s):
                            return search.found.result()
                    # Nobody is connected, or nobody has it yet; it may still come by another way.
                    if await self._has_come(search, None, ROUND_PAUSE_S):
                        return search.found.result()
                    reply_s = min(REPLY_LONGEST_S, 2 * reply_s)
        except TimeoutError:
            pass
        finally:
            del self._searches[key]
        raise NobodyHasItError

    def _make_round(self, first: tuple[PublicKey, ...]) -> list[PublicKey]:
        others = [peer for peer in self._peers() if peer not in first]
        start = next(self._turn) % len(others) if others else 0
        return [*first, *others[start:], *others[:start]]

    async def _has_come(self, search: _Search[V], asked: PublicKey | None, timeout_s: float) -> bool:
        search.asked = asked
        if not search.found.done():
            search.news = asyncio.get_running_loop().create_future()
            await asyncio.wait((search.news,), timeout=timeout_s)
            while any(search.heeded.values()) and not search.news.done():
                await asyncio.wait((search.news,), timeout=timeout_s)
        return search.found.done()


def _look_at(task: "asyncio.Task[V]") -> None:
    """A search may fail after everybody who wanted it has gone: that is no fault of ours."""
    if not task.cancelled():
        task.exception()
