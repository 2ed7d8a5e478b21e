"""Gathers a lender's portfolio signals from the books, in slices, and keeps the pictures that rolls are measured by.

A copy of the tables is read, taken between two blocks, so that votes and other requests go on. Once a day the monitor
lets it tell what stands out. Never a threshold here: `node.monitor.signals` has them.
"""

import asyncio
from typing import Final

from node.api.ports import NodePort
from node.monitor.pacing import Pacer
from node.monitor.signals import (
    DRIFT_DAYS,
    ROLL_DAYS,
    Drift,
    PictureRow,
    Signals,
    advance_portfolio,
    calculate_concentration,
    calculate_drift,
    calculate_rolls,
    calculate_step,
    calculate_vintages,
    is_gone,
)
from node.monitor.store import AlertStore
from protocol.codec import CodecError, decode, encode
from protocol.ids import AccountId, Day, Height, ModelId, ObjectId, TimeMs
from protocol.ledger.books import Books
from protocol.ledger.holdings import find_holders
from protocol.ledger.reports import Survey, Tally, rate_loan, take_snapshot
from protocol.ledger.rows import Decision
from protocol.ledger.state import DECISIONS, LOANS, POOLS

PICTURE_EVERY_DAYS: Final = 5
PICTURES_KEPT: Final = 9
"""The newest that is at least 30 days old is at most 34."""
SHARE_OF_TIME: Final = 10
"""Signals that took so long may be served for so many times as long."""


class Portfolio:
    """One lender's portfolio on one node."""

    def __init__(self, node: NodePort, store: AlertStore) -> None:
        self._node = node
        self._store = store
        self._lock = asyncio.Lock()
        self._last: tuple[AccountId, Signals, float] | None = None

    async def get(self, lender: AccountId) -> Signals:
        """Signals of now, or of a moment ago. The caller comes between two blocks, before its first await."""
        async with self._lock:
            clock = asyncio.get_running_loop().time
            if self._last is not None:
                account, signals, fresh_until_s = self._last
                if account == lender and (signals.height == self._node.ledger.height or clock() < fresh_until_s):
                    return signals
            await self._node.wait_settled()
            begun_s = clock()
            signals, _ = await self._measure(lender)
            self._last = (lender, signals, clock() + SHARE_OF_TIME * (clock() - begun_s))
            return signals

    async def look(self, lender: AccountId) -> None:
        """Once a day: tell what stands out, and keep a picture where one is due."""
        await self._node.wait_settled()
        signals, picture = await self._measure(lender)
        standing, alerts = advance_portfolio(await self._store.load_standing(lender), signals, lender)
        await self._store.keep_standing(lender, standing, alerts)
        newest = await self._store.read_picture(signals.day)
        if newest is None or newest[0] <= signals.day - PICTURE_EVERY_DAYS:
            await self._store.keep_picture(signals.day, encode(picture), PICTURES_KEPT)

    async def _measure(self, lender: AccountId) -> tuple[Signals, tuple[PictureRow, ...]]:
        books = self._node.ledger.books
        still, decisions = take_snapshot(books), books.state.copy((DECISIONS,))
        models = dict(books.models)
        survey, pacer = Survey(), Pacer()
        steps: dict[bytes, int | None] = {}
        picture: list[PictureRow] = []
        for key, loan in still.state.walk(LOANS):
            if lender in find_holders(still, loan):
                survey.add_loan(still, ObjectId(key))
                row = _picture(still, ObjectId(key), lender, steps)
                picture += () if row is None else (row,)
            await pacer.rest()
        counts: dict[bytes, dict[int, int]] = {}
        since_ms = still.now_ms - DRIFT_DAYS * still.genesis.day_ms
        for _, decision in decisions.walk(DECISIONS):
            _count(counts, decision, lender, since_ms)
            await pacer.rest()
        drifts = [calculate_drift(models[ModelId(key)], by_band) for key, by_band in sorted(counts.items())]
        return await self._assemble(still, survey.lenders.get(lender) or Tally(), steps, drifts), tuple(
            sorted(picture, key=lambda one: one.loan)
        )

    async def _assemble(
        self, still: Books, tally: Tally, steps: dict[bytes, int | None], drifts: list[Drift]
    ) -> Signals:
        found = await self._store.read_picture(still.today - ROLL_DAYS)
        rows: tuple[PictureRow, ...] = ()
        if found is not None:
            try:
                rows = decode(found[1], tuple[PictureRow, ...])
            except CodecError:
                found = None
        rolls, late = calculate_rolls(rows, steps)
        return Signals(
            day=Day(still.today),
            height=Height(still.height),
            time_ms=TimeMs(still.now_ms),
            principal=tally.held.principal,
            loans=tally.held.loans,
            vintages=calculate_vintages(tally),
            rolled_from=None if found is None else Day(found[0]),
            rolls=rolls if found is not None else (),
            late_rolled_ppm=late,
            drifts=tuple(drifts),
            concentration=calculate_concentration(tally),
        )


def _picture(still: Books, loan_id: ObjectId, lender: AccountId, steps: dict[bytes, int | None]) -> PictureRow | None:
    """A loan's step, and its row of the picture while its principal counts."""
    position = rate_loan(still, loan_id)
    if is_gone(position):
        return None
    steps[loan_id] = calculate_step(position)
    if not position.is_held:
        return None
    own = sum(one.principal for one in position.loan.holdings if still.state.need(POOLS, one.pool).owner == lender)
    return PictureRow(loan=loan_id, step=calculate_step(position), principal=own)


def _count(counts: dict[bytes, dict[int, int]], decision: Decision, lender: AccountId, since_ms: int) -> None:
    if decision.lender == lender and decision.time_ms >= since_ms:
        by_band = counts.setdefault(decision.model, {})
        by_band[decision.band] = by_band.get(decision.band, 0) + 1
