"""The door: whoever knocks again with what was executed hears that it is known, whatever the books say of it now."""

from pathlib import Path

import pytest

from node.core import read_clock_ms
from node.door import Door
from node.mempool import Mempool
from node.setup import make_testnet
from node.verifier import Verifier
from protocol.ids import TimeMs, TransactionId
from protocol.rejections import Rejection
from protocol.transactions.envelope import Transaction
from tests.node.core.cluster import Purse


class RefusingBooks:
    """Books in which the transaction's nonce is used, or its time is over."""

    def __init__(self, reason: Rejection) -> None:
        self.reason = reason

    def check_door(self, transaction: Transaction, now_ms: TimeMs) -> Rejection | None:
        """Always the same reason."""
        return self.reason


class LateArchive:
    """A store in which the block that executed the transaction is still being saved."""

    def __init__(self, *, holds: bool) -> None:
        self.holds = holds
        self.level = False

    async def wait_settled(self) -> None:
        """The save ends."""
        self.level = True

    async def find_transaction(self, transaction_id: TransactionId) -> object | None:
        """The transaction, once it is saved."""
        return transaction_id if self.holds and self.level else None


@pytest.mark.parametrize("reason", [Rejection.NONCE_USED, Rejection.EXPIRED])
@pytest.mark.parametrize("holds", [True, False])
async def test_what_was_executed_is_known_even_while_its_block_is_being_saved(
    tmp_path: Path, reason: Rejection, holds: bool
) -> None:
    """Its own execution used the nonce: that is no reason to refuse it. Anything else with that nonce is refused."""
    net = make_testnet(tmp_path / "net", lenders=("solo",), time_ms=TimeMs(read_clock_ms()))
    chain_id = net.genesis.calculate_chain_id()
    archive = LateArchive(holds=holds)
    door = Door(
        verifier=Verifier(chain_id),
        mempool=Mempool(),
        books=RefusingBooks(reason),
        archive=archive,
        clock_ms=read_clock_ms,
        on_submitted=lambda: None,
        wait_settled=archive.wait_settled,
    )
    agent = Purse(net.directory / "authorities" / "clearing", chain_id)
    (answer,) = await door.submit([agent.mint(agent.account, 100)])
    assert (answer.status, answer.rejection) == (("known", None) if holds else ("rejected", reason))
