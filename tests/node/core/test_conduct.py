"""Who says what it must know to be false is banned for a while, and nobody else is, whatever happens to the network."""

import asyncio
import contextlib
import itertools
import os
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import aiohttp
import msgspec

from node.conduct import BAN_FIRST_S, BAN_LONGEST_S, FALSEHOODS_MAX, FORGIVEN_MS, Conduct
from node.gossip.handshake import CloseCode
from protocol.block import Block
from protocol.certificate import Certificate, Vote, VoteKind
from protocol.codec import encode
from protocol.ids import BlockDigest, Epoch, PublicKey, Signature, ValidatorIndex, View
from protocol.messages import Message, Propose
from tests.node.core.chaintools import until
from tests.node.core.cluster import LENDERS, OBSERVER, Cluster, cluster
from tests.node.core.test_bad_input import TurnedAwayError, impostor
from tests.node.core.test_driver import HEADER

SAID_AT_ONCE: Final = 20
REST_S: Final = 0.1
ROUNDS: Final = 10
LIAR: Final = PublicKey(b"\x09" * 32)


class Bans:
    """A mesh that notes whom it is to ban."""

    def __init__(self) -> None:
        self.seconds: list[int] = []

    def ban(self, peer: PublicKey, seconds: int) -> None:
        """Note it."""
        assert peer == LIAR
        self.seconds.append(seconds)

    def get_name(self, peer: PublicKey) -> str:
        """Any."""
        return "liar"


def test_bans_double_up_to_an_hour_and_a_rare_falsehood_is_forgiven() -> None:
    """Three make a ban; each ban is twice as long; what is long past does not count."""
    now_ms, mesh = 0, Bans()
    conduct = Conduct(mesh, lambda: now_ms)
    for expected in (60, 120, 240, 480, 960, 1_920, 3_600, 3_600):
        assert [conduct.on_falsehood(LIAR) for _ in range(FALSEHOODS_MAX)] == [False] * (FALSEHOODS_MAX - 1) + [True]
        assert mesh.seconds[-1] == expected
    assert (mesh.seconds[0], mesh.seconds[-1]) == (BAN_FIRST_S, BAN_LONGEST_S)
    for _ in range(20):
        now_ms += FORGIVEN_MS + 1
        assert not conduct.on_falsehood(LIAR)


def make_falsehoods(core_view: int, at: int) -> list[Message]:
    """A certificate, a vote and a proposal near the present view that nobody signed."""
    digest = BlockDigest(at.to_bytes(32, "big"))
    view = View(core_view + at % 8)
    false = Signature(os.urandom(64))
    certificate = Certificate(
        kind=VoteKind.NOTARIZE, epoch=Epoch(0), view=view, digest=digest, signers=7, signatures=(false,) * 3
    )
    vote = Vote(
        kind=VoteKind.NOTARIZE, epoch=Epoch(0), view=view, digest=digest, index=ValidatorIndex(at % 4), signature=false
    )
    block = Block(header=msgspec.structs.replace(HEADER, view=view), batches=())
    propose = Propose(
        epoch=Epoch(0),
        view=view,
        block=block,
        parent_view=View(0),
        parent_cert=certificate,
        finalization=None,
        nullifications=(),
        signature=false,
    )
    return [certificate, vote, propose]


async def read_code(socket: aiohttp.ClientWebSocketResponse) -> int:
    """The code with which a node closes, whatever it says before."""
    while True:
        frame = await socket.receive()
        if frame.type is aiohttp.WSMsgType.CLOSE:
            return int(frame.data)
        if frame.type is not aiohttp.WSMsgType.BINARY:
            return 0


async def flood(net: Cluster, name: str, codes: list[int], numbers: Iterator[int]) -> None:
    """One member says one falsehood after another to a node, again as soon as it is let in; codes of its being shown
    the door.
    """
    while True:
        with contextlib.suppress(aiohttp.ClientError, ConnectionError):
            try:
                async with impostor(net, name) as socket:
                    reading = asyncio.create_task(read_code(socket))
                    while not reading.done():
                        for number in itertools.islice(numbers, SAID_AT_ONCE):
                            for message in make_falsehoods(net.nodes[name].engine.view, number):
                                await socket.send_bytes(encode(message))
                        await asyncio.sleep(0)
                    codes.append(reading.result())
            except TurnedAwayError as away:
                codes.append(away.code)
        await asyncio.sleep(REST_S)


async def measure_finality(net: Cluster, rounds: int) -> float:
    """Median milliseconds until a lone transfer is executed where it was submitted."""
    took_ms: list[float] = []
    for i in range(rounds):
        name = LENDERS[i % 4]
        began_s = time.monotonic()
        await net.finish(name, await net.submit(name, net.purses["ada"].pay(net.purses["bo"].account, 1)))
        took_ms.append((time.monotonic() - began_s) * 1000)
    return statistics.median(took_ms)


async def test_a_flood_of_false_certificates_votes_and_proposals_ends_in_a_ban_of_the_liar_alone(
    tmp_path: Path,
) -> None:
    """Every node shows it the door, keeps it shut, and goes on about as fast as before; no honest peer is touched."""
    async with cluster(tmp_path, start=LENDERS) as net:
        await net.finish("ada", await net.submit("ada", net.agent.mint(net.purses["ada"].account, 1_000)))
        calm_ms = await measure_finality(net, ROUNDS)
        codes: list[int] = []
        numbers = itertools.count()
        floods = [asyncio.create_task(flood(net, name, codes, numbers)) for name in LENDERS]
        try:
            flooded_ms = await measure_finality(net, ROUNDS)
            await until(lambda: codes.count(CloseCode.PENALTY) >= 2 * len(LENDERS), what="the liar is turned away")
        finally:
            for task in floods:
                task.cancel()
            await asyncio.gather(*floods, return_exceptions=True)
        print(
            f"finality p50 {calm_ms:.0f} ms, under a flood {flooded_ms:.0f} ms; {next(numbers)} falsehoods of each kind"
        )
        assert flooded_ms < 8 * calm_ms + 100
        observer = next(key for key, name in net.nodes["ada"].roster.names.items() if name == OBSERVER)
        for core in net.nodes.values():
            assert FALSEHOODS_MAX <= core.driver.falsehoods < 10 * FALSEHOODS_MAX
            assert set(core.conduct._bans) == {observer}
            assert len(core.gossip.get_connected()) == len(LENDERS) - 1


async def test_what_honest_nodes_hand_on_after_crashes_and_absences_is_never_a_falsehood(tmp_path: Path) -> None:
    """Whatever nodes say that restart, lag and catch up, its sender had checked."""
    async with cluster(tmp_path) as net:
        await net.finish("ada", await net.submit("ada", net.agent.mint(net.purses["ada"].account, 1_000)))
        for victims in (("di",), ("bo", OBSERVER), LENDERS):
            await net.stop(*victims)
            if len(victims) < len(LENDERS):
                await pay_some(net, "ada")
            await net.start(*victims)
            await pay_some(net, "cy")
        assert [core.driver.falsehoods for core in net.nodes.values()] == [0] * 5


async def pay_some(net: Cluster, name: str) -> None:
    """Some transfers, one after the other."""
    for _ in range(ROUNDS):
        await net.finish(name, await net.submit(name, net.purses["ada"].pay(net.purses["bo"].account, 1)))
