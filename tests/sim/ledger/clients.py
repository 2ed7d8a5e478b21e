"""The people's side: they submit the script's transactions to any node, to several, and again where a node died.

A transaction that a node accepted and that this node outlives is never submitted again by anybody: the network alone
must bring it to its end. Never look into a node here but through its door and what is final.
"""

import asyncio
from typing import TYPE_CHECKING

from node.api.ports import Busy
from protocol.rejections import Rejection
from tests.sim.ledger.script import Deed

if TYPE_CHECKING:
    from tests.sim.ledger.node import LedgerNode
    from tests.sim.ledger.world import LedgerWorld

TRIES_MAX = 12
PATIENCE_MS = 4_000
"""A deed under way for longer holds up nobody."""
ANSWER_S_MAX = 8.0
LASTING = frozenset(
    {
        Rejection.EXPIRED,
        Rejection.NONCE_USED,
        Rejection.SIGNATURE_INVALID,
        Rejection.COSIGNATURE_INVALID,
        Rejection.SIDECAR_MISMATCH,
    }
)
"""Refusals that nobody comes back from; others may be those of a node that lags."""


class Case:
    """One deed on its way."""

    def __init__(self, deed: Deed) -> None:
        self.deed = deed
        self.id = deed.transaction.id
        self.began_ms = 0
        self.promises: list[tuple[LedgerNode, int]] = []
        """Nodes that accepted it, and in which of their lives."""
        self.refused: dict[str, int] = {}
        self.busy = 0
        self.tries = 0


class Clients:
    """Everybody who submits."""

    def __init__(self, world: "LedgerWorld", deeds: list[Deed]) -> None:
        self.world = world
        self.deeds = deeds
        self.cases: list[Case] = []
        self._rng = world.client_rng
        self.finished = False

    # ------------------------------------------------------------------ submitting

    async def run(self, until_ms: int) -> None:
        """Submit the script from its beginning, no more at a time than people have hands."""
        world = self.world
        for deed in self.deeds:
            await world.pass_until(lambda due_ms=deed.at_ms: self._has_hands(due_ms))  # type: ignore[misc]
            if world.now_ms >= until_ms:
                break
            self.start(deed)
        self.finished = True

    def _has_hands(self, due_ms: int) -> bool:
        return self.world.now_ms >= due_ms and self._count_under_way() < self.world.plan.in_flight

    def start(self, deed: Deed) -> Case:
        """Somebody begins to submit a deed."""
        case = Case(deed)
        case.began_ms = self.world.now_ms
        self.cases.append(case)
        copies = self._rng.choice((1, 1, 1, 1, 2, 3))
        places = self._rng.sample(range(len(self.world.nodes)), min(copies, len(self.world.nodes)))
        for place in places:
            self.world.start(self._submit(case, place))
        return case

    def _count_under_way(self) -> int:
        now_ms, judge = self.world.now_ms, self.world.judge
        return sum(
            now_ms - case.began_ms < PATIENCE_MS and not self.is_settled(case) and case.id not in judge.passed
            for case in self.cases[-128:]
        )

    async def _submit(self, case: Case, place: int) -> None:
        """One person with one transaction, until some node takes it or it is clear that none ever will."""
        while (case.tries < TRIES_MAX or case.deed.what == "late") and not self.is_settled(case):
            case.tries += 1
            if await self._try(case, self.world.nodes[place]):
                return
            await asyncio.sleep(0.05 + self._rng.random() * 0.4)
            place = self._rng.randrange(len(self.world.nodes))

    async def _try(self, case: Case, node: "LedgerNode") -> bool:
        """Whether this was the last try; several may be submitted in one request, here it is one."""
        life = node.lives
        if not node.life.alive or not node.is_listening:
            return False
        task = node.start_task(node.submit([case.deed.item]))
        await asyncio.wait((task,), timeout=ANSWER_S_MAX)
        if not task.done() or task.cancelled():
            return False
        if task.exception() is not None:
            assert isinstance(task.exception(), Busy)
            case.busy += 1
            return False
        (answer,) = task.result()
        if answer.status in ("accepted", "known"):
            if node.honest:
                case.promises.append((node, life))
            return node.honest
        if answer.status == "busy" or answer.rejection is None:
            return False
        case.refused[answer.rejection.code] = case.refused.get(answer.rejection.code, 0) + 1
        return answer.rejection in LASTING

    def on_crash(self, node: "LedgerNode") -> None:
        """Whoever relied on it alone goes to another."""
        for case in self.cases:
            if any(one is node for one, _ in case.promises) and not self.is_promised(case):
                case.tries = 0
                self.world.start(self._submit(case, self._rng.randrange(len(self.world.nodes))))

    # ------------------------------------------------------------------ what came of it

    def is_settled(self, case: Case) -> bool:
        """It is final."""
        return case.id in self.world.judge.executed

    def is_promised(self, case: Case) -> bool:
        """A node that lives on since has accepted it."""
        return any(node.life.alive and node.lives == life for node, life in case.promises)

    def find_open(self) -> list[Case]:
        """What a living node accepted and that is neither final nor, for a reason, never will be."""
        judge = self.world.judge
        return [
            case
            for case in self.cases
            if self.is_promised(case)
            and not self.is_settled(case)
            and case.id not in judge.passed
            and not judge.is_dead(case.deed.transaction)
        ]
