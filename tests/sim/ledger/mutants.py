"""Bugs in the rooms between a client and the books: door, pool, batches, catching up, execution."""

from typing import Any

import msgspec
import pytest

from node.batches import BatchRoom
from node.executor import Executor
from node.mempool import Mempool
from protocol.ledger import accounts
from protocol.ledger import execute as execution
from protocol.ledger.execute import Ledger
from protocol.ledger.state import BALANCES
from protocol.rejections import Rejection
from protocol.transactions import envelope
from protocol.transactions.money import Mint

Patch = pytest.MonkeyPatch


# ---------------------------------------------------------------------- door and pool


def keep_no_promise(patch: Patch) -> None:
    patch.setattr(Mempool, "try_add", lambda *_: True)


def forget_what_is_sealed(patch: Patch) -> None:
    """An odd batch is pushed with its first transaction alone, and not held here."""
    honest = Mempool.try_seal

    def try_seal(self: Any, now_ms: int) -> Any:
        held = honest(self, now_ms)
        if held is not None and len(held.transactions) > 1:
            self._forget(held.digest)
            held.batch = msgspec.structs.replace(held.batch, items=held.batch.items[:1])
        return held

    patch.setattr(Mempool, "try_seal", try_seal)


def order_again(patch: Patch) -> None:
    """Until it is executed, a batch that a final block orders is chosen again."""
    patch.setattr(Mempool, "on_ordered", lambda *_: None)


def let_executed_ones_wait(patch: Patch) -> None:
    honest = Mempool.on_executed

    def on_executed(self: Any, digests: Any, ids: Any, height: int, now_ms: int) -> None:
        honest(self, digests[1:], ids[1:], height, now_ms)

    patch.setattr(Mempool, "on_executed", on_executed)


def count_a_batch_twice(patch: Patch) -> None:
    """The very batch that a peer had sealed before; found by the first seeds that were ever run."""
    patch.setattr(Mempool, "_own", Mempool._hold)


def no_bounds(patch: Patch) -> None:
    patch.setattr(Mempool, "check_push", lambda *_: None)


# ---------------------------------------------------------------------- batches and blocks


def believe_unsigned(patch: Patch) -> None:
    honest = envelope.check_opened

    def check(opened: Any) -> Any:
        found = honest(opened)
        return None if found is Rejection.SIGNATURE_INVALID else found

    patch.setattr("node.verifier.check_opened", check)


def believe_answers(patch: Patch) -> None:
    """Whatever a peer answers is taken for the batch that was asked for."""

    async def take(self: Any, peer: Any, message: Any) -> None:
        held = None if message.batch is None else await self._verify(message.batch, peer)
        if hasattr(held, "digest"):
            held.digest = message.digest
            self._mempool.add_wanted(held)
            self._on_held()
        self._fetcher.offer(message.digest, peer, held)

    patch.setattr(BatchRoom, "_take_reply", take)


def believe_blocks(patch: Patch) -> None:
    """Any batches stand under a header that is final."""
    for module in ("certifying", "committing"):
        patch.setattr(f"consensus.{module}.check_block", lambda _: None)


# ---------------------------------------------------------------------- execution


def any_nonce(patch: Patch) -> None:
    patch.setattr(accounts, "check_nonce", lambda *_: None)


def window_off_by_one(patch: Patch) -> None:
    honest = accounts.check_nonce

    def check(key: Any, nonce: int) -> Any:
        return honest(key, nonce - 1 if nonce > key.top + 1 else nonce)

    patch.setattr(accounts, "check_nonce", check)


def receipts_in_disorder(patch: Patch) -> None:
    honest = Ledger.close_block

    def close(self: Any) -> Any:
        self._receipts[:2] = self._receipts[:2][::-1]
        return honest(self)

    patch.setattr(Ledger, "close_block", close)


def pass_over_the_last(patch: Patch) -> None:
    """Of a batch of several."""
    honest = Executor._execute

    async def execute(self: Any, final: Any, held: Any) -> Any:
        for one in held:
            if len(one.transactions) > 2:
                one.transactions = one.transactions[:-1]
                one.batch = msgspec.structs.replace(one.batch, items=one.batch.items[:-1])
        return await honest(self, final, held)

    patch.setattr(Executor, "_execute", execute)


def batches_as_they_came(patch: Patch) -> None:
    """In the order in which this node holds them, not in the block's."""
    honest = Executor._execute

    async def execute(self: Any, final: Any, held: Any) -> Any:
        return await honest(self, final, sorted(held, key=lambda one: (one.arrived_ms, one.digest)))

    patch.setattr(Executor, "_execute", execute)


def make_money(patch: Patch) -> None:
    """Whenever fiat arrives, somebody gets one unit more."""
    rule = execution.RULES[Mint]

    def apply(books: Any, call: Any, payload: Any) -> Any:
        found = rule.apply(books, call, payload)
        key = next(key for key, _ in books.state.items(BALANCES))
        books.state.put(BALANCES, key, books.state.need(BALANCES, key) + 1)
        return found

    patch.setitem(execution.RULES, Mint, rule._replace(apply=apply))
