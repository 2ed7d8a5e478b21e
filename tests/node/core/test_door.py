"""The door: whoever knocks again with what was executed hears that it is known, whatever the books say of it now."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from node.api.ports import Busy
from node.core import read_clock_ms
from node.door import SATURATED_MS, Books, Door
from node.mempool import Mempool
from node.setup import make_testnet
from node.standing import Hindrance
from node.verifier import Verifier
from protocol.ids import ChainId, TimeMs, TransactionId
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

    def __init__(self, *, holds: bool, executes: bool = True) -> None:
        self.holds, self.executes = holds, executes
        self.level = False

    async def wait_settled(self) -> None:
        """The save ends."""
        self.level = True

    async def find_transaction(self, transaction_id: TransactionId) -> object | None:
        """The transaction, once it is saved."""
        return transaction_id if self.holds and self.level else None


def make_door(
    chain_id: ChainId,
    books: Books,
    archive: LateArchive,
    hindrances: Sequence[Hindrance] = (),
    waits_ms: Sequence[int] = (),
) -> Door:
    """A door of one node; of hindrances and waits of what was taken before, each holds for one submission."""
    left, waits = list(hindrances), list(waits_ms)

    async def wait_level() -> bool:
        return archive.executes

    return Door(
        verifier=Verifier(chain_id),
        mempool=Mempool(),
        books=books,
        archive=archive,
        clock_ms=read_clock_ms,
        on_submitted=lambda: None,
        wait_settled=archive.wait_settled,
        wait_level=wait_level,
        find_hindrance=lambda: left.pop(0) if left else None,
        calculate_wait_ms=lambda: waits.pop(0) if waits else 0,
    )


@pytest.mark.parametrize("reason", [Rejection.NONCE_USED, Rejection.EXPIRED])
@pytest.mark.parametrize("holds", [True, False])
async def test_what_was_executed_is_known_even_while_its_block_is_being_saved(
    tmp_path: Path, reason: Rejection, holds: bool
) -> None:
    """Its own execution used the nonce: that is no reason to refuse it. Anything else with that nonce is refused."""
    net = make_testnet(tmp_path / "net", lenders=("solo",), time_ms=TimeMs(read_clock_ms()))
    chain_id = net.genesis.calculate_chain_id()
    archive = LateArchive(holds=holds)
    door = make_door(chain_id, RefusingBooks(reason), archive)
    agent = Purse(net.directory / "authorities" / "clearing", chain_id)
    (answer,) = await door.submit([agent.mint(agent.account, 100)])
    assert (answer.status, answer.rejection) == (("known", None) if holds else ("rejected", reason))


class LateBooks:
    """Books that know the sender only after they were asked for the first time."""

    def __init__(self) -> None:
        self.asked = 0

    def check_door(self, transaction: Transaction, now_ms: TimeMs) -> Rejection | None:
        """Unknown, then good."""
        self.asked += 1
        return Rejection.ACCOUNT_UNKNOWN if self.asked == 1 else None


async def test_a_refusal_of_books_that_are_behind_is_looked_at_again_when_they_are_level(tmp_path: Path) -> None:
    """An account opened in a final block that is not executed yet is not unknown."""
    net = make_testnet(tmp_path / "net", lenders=("solo",), time_ms=TimeMs(read_clock_ms()))
    chain_id = net.genesis.calculate_chain_id()
    door = make_door(chain_id, LateBooks(), LateArchive(holds=False))
    agent = Purse(net.directory / "authorities" / "clearing", chain_id)
    (answer,) = await door.submit([agent.mint(agent.account, 100)])
    assert (answer.status, answer.rejection) == ("accepted", None)


async def test_a_node_that_does_not_become_level_is_busy_and_refuses_nothing(tmp_path: Path) -> None:
    """Overloaded executor: nothing is final knowledge, so nothing is refused for it; the rest of the group stands."""
    net = make_testnet(tmp_path / "net", lenders=("solo",), time_ms=TimeMs(read_clock_ms()))
    chain_id = net.genesis.calculate_chain_id()
    agent = Purse(net.directory / "authorities" / "clearing", chain_id)
    group = [agent.mint(agent.account, 100), agent.mint(agent.account, 200)]
    late = LateArchive(holds=False, executes=False)
    with pytest.raises(Busy):
        await make_door(chain_id, RefusingBooks(Rejection.ACCOUNT_UNKNOWN), late).submit(group)


@pytest.mark.parametrize("hindrance", ["starting", "isolated", "syncing", "executing"])
async def test_a_node_that_does_not_know_where_the_network_stands_takes_and_refuses_nothing(
    tmp_path: Path, hindrance: Hindrance
) -> None:
    """Busy with its reason, without a look at the transaction; as soon as it knows, it answers."""
    net = make_testnet(tmp_path / "net", lenders=("solo",), time_ms=TimeMs(read_clock_ms()))
    chain_id = net.genesis.calculate_chain_id()
    books = RefusingBooks(Rejection.ACCOUNT_UNKNOWN)
    door = make_door(chain_id, books, LateArchive(holds=False), [hindrance])
    agent = Purse(net.directory / "authorities" / "clearing", chain_id)
    with pytest.raises(Busy) as caught:
        await door.submit([agent.mint(agent.account, 100)])
    assert caught.value.reason == hindrance
    (answer,) = await door.submit([agent.mint(agent.account, 100)])
    assert answer.rejection is Rejection.ACCOUNT_UNKNOWN


async def test_a_node_whose_network_is_saturated_takes_nothing_until_it_is_through(tmp_path: Path) -> None:
    """Up to the bound it takes in; beyond it nothing is even looked at, and nothing is refused."""
    net = make_testnet(tmp_path / "net", lenders=("solo",), time_ms=TimeMs(read_clock_ms()))
    chain_id = net.genesis.calculate_chain_id()
    books = LateBooks()
    books.asked = 1
    door = make_door(chain_id, books, LateArchive(holds=False), waits_ms=[SATURATED_MS + 1, SATURATED_MS, 0])
    agent = Purse(net.directory / "authorities" / "clearing", chain_id)
    group = [agent.mint(agent.account, amount) for amount in (100, 200)]
    with pytest.raises(Busy) as caught:
        await door.submit(group[:1])
    assert (caught.value.reason, caught.value.retry_after_ms > 0, books.asked) == ("saturated", True, 1)
    answers = [await door.submit([one]) for one in group]
    assert [answer.status for (answer,) in answers] == ["accepted", "accepted"]
