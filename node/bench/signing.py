"""Signs a load beforehand, in a process of its own: `python -m node.bench.signing` reads orders, writes their spools.

A spool is the requests of one lane in order, each the very body that is sent, behind its length in four bytes. The
keys are those of a throw-away network. Never anything that is measured here but its own processor time.
"""

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from node.bench.layout import Layout, pick_recipient
from node.bench.plan import Kind
from node.client.wallet import Intent, Wallet
from protocol.codec import encode
from protocol.crypto import KeySigner
from protocol.ids import AccountId, ChainId, ObjectId, TimeMs
from protocol.limits import VALID_FOR_MS_MAX
from protocol.money import Amount, Currency

HEAD_BYTES: Final = 4
PAY_AMOUNTS: Final = 320
"""Payments on one loan take the amounts 1 to 320 in turn: more than a nonce window, so no two under way are alike."""
VALID_FOR_MS: Final = VALID_FOR_MS_MAX // 2  # a load is signed long before its last transaction is due


class Sender(msgspec.Struct, frozen=True, kw_only=True):
    """One signing key and where its nonces go on."""

    seed: bytes
    nonce: int
    index: int
    """Of its account among all accounts."""
    loan: bytes | None = None
    """What it pays on."""
    paid: int = 0
    """Payments it has signed already."""


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What to sign for one lane."""

    chain_id: bytes
    currency: str
    kind: Kind
    now_ms: int
    transactions: int
    lanes: int
    group: int
    lane: int
    first_amount: int
    """Amount of the transfer with serial 0; each later one is one more, so that its event names it."""
    senders: list[Sender]
    accounts: list[bytes]
    spool: str


class Signed(msgspec.Struct, frozen=True, kw_only=True):
    """What the signing of one lane came to."""

    transactions: int
    transaction_bytes: int
    """Of all signed transactions together, without the request around them."""


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """What one signing process did, in the order of its orders."""

    signed: list[Signed]
    processor_s: float
    """All that the process used, its start included."""


def sign_lane(order: Order) -> Signed:
    """Write the spool of a lane."""
    layout = Layout(order.transactions, order.lanes, order.group)
    chain_id = ChainId(order.chain_id)
    wallets = [
        Wallet(
            KeySigner(one.seed),
            chain_id,
            nonce_next=one.nonce,
            now_ms=lambda: TimeMs(order.now_ms),
            valid_for_ms=VALID_FOR_MS,
        )
        for one in order.senders
    ]
    place = size = 0
    with Path(order.spool).open("wb") as file:
        for first, count in layout.list_groups(order.lane):
            items = []
            for serial in range(first, first + count):
                turn = place % len(wallets)
                intent = _sign(order, wallets[turn], order.senders[turn], serial)
                size += len(intent.item.transaction)
                items.append(intent.item)
                place += 1
            body = encode(items)
            file.write(len(body).to_bytes(HEAD_BYTES, "big") + body)
    return Signed(transactions=place, transaction_bytes=size)


def _sign(order: Order, wallet: Wallet, sender: Sender, serial: int) -> Intent:
    if sender.loan is not None:
        done = sender.paid + wallet.nonce_next - sender.nonce
        return wallet.pay(loan=ObjectId(sender.loan), amount=Amount(1 + done % PAY_AMOUNTS))
    to = order.accounts[pick_recipient(sender.index, serial, len(order.accounts))]
    amount = Amount(order.first_amount + serial)
    return wallet.transfer(to=AccountId(to), currency=Currency(order.currency), amount=amount)


def read_spool(path: Path) -> Iterator[bytes]:
    """The requests of a spool, one at a time."""
    with path.open("rb") as file:
        while head := file.read(HEAD_BYTES):
            yield file.read(int.from_bytes(head, "big"))


def main() -> None:
    """Sign what the orders on standard input say, and tell what it cost."""
    orders = msgspec.json.decode(sys.stdin.buffer.read(), type=list[Order])
    signed = [sign_lane(order) for order in orders]
    sys.stdout.buffer.write(msgspec.json.encode(Done(signed=signed, processor_s=time.process_time())))


if __name__ == "__main__":
    main()
