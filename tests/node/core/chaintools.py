"""What the tests of the node's core share: signed transfers, batches of them, and waiting."""

import asyncio
from collections.abc import Callable
from hashlib import sha256

from node.mempool import HeldBatch
from protocol.batch import Batch, BatchItem
from protocol.codec import encode
from protocol.crypto import KeySigner
from protocol.ids import AccountId, ChainId, Digest, TimeMs
from protocol.money import Amount, Currency
from protocol.transactions.envelope import Transaction, TransactionBody, decode_transaction, sign_transaction
from protocol.transactions.money import Transfer

CHAIN = ChainId(sha256(b"chain").digest())
SENDER = KeySigner(b"\x21" * 32)


def make_item(nonce: int, *, chain: ChainId = CHAIN, sender: KeySigner = SENDER, valid_to_ms: int = 0) -> BatchItem:
    """A signed transfer of one unit."""
    body = TransactionBody(
        version=1,
        chain_id=chain,
        sender=sender.public_key,
        nonce=nonce,
        valid_to_ms=TimeMs(valid_to_ms),
        payload=Transfer(
            to=AccountId(bytes(32)), currency=Currency("CNY"), amount=Amount(1), memo_commit=Digest(bytes(32))
        ),
    )
    return BatchItem(transaction=sign_transaction(body, sender))


def make_transaction(item: BatchItem) -> Transaction:
    """The decoded transaction of an item known to be good."""
    transaction = decode_transaction(item.transaction)
    assert isinstance(transaction, Transaction)
    return transaction


def make_held(items: list[BatchItem], origin: bytes = b"peer", arrived_ms: int = 0) -> HeldBatch:
    """A batch as a peer's push leaves it."""
    batch = Batch(items=tuple(items))
    return HeldBatch(batch, tuple(make_transaction(one) for one in items), origin, arrived_ms, encode(batch))


async def until(condition: Callable[[], bool], timeout_s: float = 30.0, what: str = "") -> None:
    """Wait for a condition; fails with `what` when it does not come true in time."""
    try:
        async with asyncio.timeout(timeout_s):
            while not condition():  # noqa: ASYNC110  (conditions over foreign state have no event)
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise AssertionError(f"not within {timeout_s} s: {what}") from None
