"""What every measurement of a bench stands on: plan, network, people, one client per node that is up, and progress."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from node.bench.accounts import People
from node.bench.meter import Mark, take_mark
from node.bench.plan import Plan
from node.bench.progress import Progress
from node.bench.site import Site
from node.client.http import NodeClient, NodeUnreachable
from node.demo.network import LocalNetwork, NetworkError

END_LOOKS: Final = 10
END_LOOK_EVERY_S: Final = 0.1


class Stage:
    """A running network of a bench."""

    def __init__(self, plan: Plan, site: Site, network: LocalNetwork, people: People, progress: Progress) -> None:
        self.plan = plan
        self.site = site
        self.network = network
        self.people = people
        self.progress = progress
        self.clients: dict[str, NodeClient] = {}
        """Of every node that is up."""

    @property
    def validators(self) -> list[str]:
        """Those alive."""
        return [name for name in self.site.validators if name in self.clients]

    @property
    def work(self) -> Path:
        """Where the bench keeps files of its own."""
        return self.site.testnet.directory

    def get_role(self, name: str) -> str:
        """`validator` or `observer`."""
        return self.network.get_place(name).role

    async def kill_down_to(self, dead: int) -> None:
        """Kill validators, the last ones first, until so many are dead."""
        for name in self.site.validators[len(self.site.validators) - dead :]:
            if name in self.clients:
                del self.clients[name]
                await self.network.kill(name)

    async def mark(self) -> Mark:
        """What every node that is up has used so far. Raises NetworkError for one that has ended."""
        try:
            return take_mark({name: self.network.get_pid(name) for name in self.clients})
        except OSError as error:
            raise await self._explain(error) from error

    async def read_statuses(self) -> Mapping[str, Any]:
        """What every node that is up says of itself. Raises NetworkError for one that has ended."""
        try:
            return {name: await client.get("/v1/status") for name, client in self.clients.items()}
        except NodeUnreachable as error:
            raise await self._explain(error) from error

    async def _explain(self, error: Exception) -> Exception:
        """Why a node cannot be asked: that it has ended, which is heard of a moment later, or the error itself."""
        for _ in range(END_LOOKS):
            try:
                self.network.check_alive()
            except NetworkError as ended:
                return ended
            await asyncio.sleep(END_LOOK_EVERY_S)
        return error if isinstance(error, NodeUnreachable) else NetworkError(f"A node cannot be measured: {error}")
