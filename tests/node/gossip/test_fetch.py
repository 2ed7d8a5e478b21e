"""Searches among peers: whoever is silent is passed by, and nobody holds one up."""

import asyncio

import pytest

from node.gossip.fetch import REPLY_FIRST_S, Fetcher, NobodyHasItError
from protocol.ids import PublicKey
from tests.node.core.chaintools import until

A, B, C = (PublicKey(bytes([one]) * 32) for one in (1, 2, 3))


async def test_nobody_else_is_asked_while_an_answer_is_being_checked() -> None:
    """Verifying what came takes longer than a peer may be silent; what proves wrong is asked for elsewhere."""
    asked: list[PublicKey] = []

    def ask(peer: PublicKey, key: bytes) -> bool:
        asked.append(peer)
        return True

    fetcher: Fetcher[bytes, int] = Fetcher(ask, lambda: (A, B))
    wanted = asyncio.create_task(fetcher.fetch(b"x", (A,)))
    await until(lambda: asked == [A])
    fetcher.heed(b"x", A)
    await asyncio.sleep(1.5 * REPLY_FIRST_S)
    assert asked == [A]
    fetcher.offer(b"x", A, None)
    await until(lambda: asked == [A, B])
    fetcher.offer(b"x", B, 1)
    assert await wanted == 1


async def test_nobody_holds_a_search_up_by_answering_again_or_unasked() -> None:
    """An answer of a peer that was not asked keeps nobody waiting, nor does a second one of the same peer."""
    asked: list[PublicKey] = []

    def ask(peer: PublicKey, key: bytes) -> bool:
        asked.append(peer)
        return True

    fetcher: Fetcher[bytes, int] = Fetcher(ask, lambda: (A, B))
    wanted = asyncio.create_task(fetcher.fetch(b"x", (A,)))
    await until(lambda: asked == [A])
    fetcher.heed(b"x", C)
    await until(lambda: asked[:2] == [A, B])
    fetcher.heed(b"x", B)
    fetcher.offer(b"x", B, None)
    fetcher.heed(b"x", B)
    await until(lambda: asked[:3] == [A, B, A])
    fetcher.offer(b"x", A, 1)
    assert await wanted == 1


async def test_a_search_gives_up_in_time_and_two_who_want_the_same_share_it() -> None:
    """Nobody connected, or nobody has it: NobodyHasItError, and nothing stays behind."""
    asked: list[PublicKey] = []

    def ask(peer: PublicKey, key: bytes) -> bool:
        asked.append(peer)
        return True

    fetcher: Fetcher[bytes, int] = Fetcher(ask, lambda: (A,))
    first, second = (asyncio.create_task(fetcher.fetch(b"x", give_up_s=0.2)) for _ in range(2))
    with pytest.raises(NobodyHasItError):
        await first
    with pytest.raises(NobodyHasItError):
        await second
    assert asked == [A]
    assert len(fetcher) == 0
