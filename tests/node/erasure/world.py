"""A whole network in one process, with clients over HTTP, for tests of what is left on its disks.

    async with network(tmp_path) as here:   four lenders that validate; the observer starts when it is told to

Real nodes over real files; what they log is kept and searched as well.
"""

import base64
import io
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, cast

from rich.console import Console
from structlog.testing import capture_logs

from node.client.borrower import Application
from node.config import load_config
from node.core import read_clock_ms
from node.demo.acts import Player, Stage
from node.demo.cast import LENDERS, OBSERVER
from node.demo.network import LocalNetwork
from node.runtime import Node
from node.setup import Testnet, make_testnet
from protocol.genesis import DAY_MS
from protocol.ids import TimeMs
from tests.node.core.chaintools import until

NAMES = tuple(one.name for one in LENDERS)


class Network:
    """The running nodes; stands in for a network of processes where the stage asks for one."""

    def __init__(self, testnet: Testnet, logs: list[Any]) -> None:
        self.testnet = testnet
        self.logs = logs
        self.nodes: dict[str, Node] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """All nodes, started or not."""
        return (*NAMES, OBSERVER)

    def get_url(self, name: str) -> str:
        """Base address of a node's API."""
        place = next(one for one in self.testnet.nodes if one.name == name)
        return f"http://127.0.0.1:{place.api_port}"

    def directory(self, name: str) -> Path:
        """A node's data."""
        return self.testnet.directory / name

    async def start(self, *names: str) -> None:
        """Start nodes over whatever their directories hold."""
        for name in names:
            node = Node(load_config(self.directory(name), environment={}))
            await node.start()
            self.nodes[name] = node

    async def stop(self, *names: str) -> None:
        """End nodes in order."""
        for name in names:
            await self.nodes.pop(name).stop(drain_s=0.5)

    def count(self, name: str, result: str) -> int:
        """How often something came of an application at a node's attester."""
        return self.nodes[name].core.meters.attestations[result]

    def search(self, name: str, needles: Iterable[bytes]) -> list[str]:
        """Files of a node, and lines of all logs, in which a needle stands: raw, in hex or in base64."""
        wanted = [
            form for one in needles for form in (one, one.hex().encode(), base64.b64encode(one).rstrip(b"=")[:-1])
        ]
        texts = {
            str(path.relative_to(self.testnet.directory)): path.read_bytes()
            for path in sorted(self.directory(name).rglob("*"))
            if path.is_file()
        }
        texts["log"] = repr(self.logs).encode()
        return [where for where, text in texts.items() if any(one in text for one in wanted)]


class Scene:
    """A network in which somebody has applied with a statement."""

    def __init__(self, network: Network, stage: Stage) -> None:
        self.network = network
        self.stage = stage

    @property
    def player(self) -> Player:
        """Who applies."""
        return self.stage.players[0]

    async def apply(self, *, features_to: tuple[str, ...] = ()) -> Application:
        """Ask, and wait for the answers of all four, but for those who may read features alone."""
        application = self.stage.prepare(self.player, features_to=features_to)
        await self.player.device.apply(application)
        count = len(LENDERS) - len(features_to)
        found = await self.player.device.wait_decisions(application.application, count=count, timeout_s=60)
        assert len(found["decisions"]) == count
        for name in features_to:
            await until(lambda name=name: self.network.count(name, "features_verified") == 1, 60)
        return application

    async def must(self, payload: Any) -> None:
        """The borrower signs it, and it is final."""
        await self.stage.must(self.player.node, [self.player.wallet.build(payload)], type(payload).__name__)


@asynccontextmanager
async def network(directory: Path, *, day_ms: int = DAY_MS, audits: bool = False) -> AsyncIterator[Scene]:
    """A new network with funded lenders and borrowers; the observer, an auditor if told so, is not started."""
    watchers = {"auditors" if audits else "observers": (OBSERVER,)}
    testnet = make_testnet(directory / "net", lenders=NAMES, **watchers, time_ms=TimeMs(read_clock_ms()), day_ms=day_ms)
    with capture_logs() as logs:
        here = Network(testnet, cast("list[Any]", logs))
        async with AsyncExitStack() as stack:
            try:
                await here.start(*NAMES)
                stage = await Stage.enter(
                    stack, cast("LocalNetwork", here), Console(file=io.StringIO()), time_warp=False
                )
                stage.alive = list(NAMES)
                stage.clients[OBSERVER] = stage.clients[NAMES[0]]
                await stage.fund_lenders()
                await stage.open_accounts()
                yield Scene(here, stage)
            finally:
                await here.stop(*list(here.nodes))
