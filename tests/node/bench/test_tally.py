"""The books of a load: every transaction has one place, one answer and at most one end, and the sums add up."""

import random
from pathlib import Path

import pytest

from node.bench.layout import Layout, count_turns, pick_recipient
from node.bench.plan import Kind
from node.bench.signing import PAY_AMOUNTS, Order, Sender, read_spool, sign_lane
from node.bench.tally import Answered, PaymentNames, Tally, TransferNames
from protocol.batch import BatchItem
from protocol.codec import decode
from protocol.crypto import KeySigner, calculate_account_id
from protocol.ids import ChainId
from protocol.transactions.envelope import Transaction, check_stateless
from protocol.transactions.money import Transfer
from protocol.transactions.servicing import Pay

CHAIN = ChainId(bytes(range(32)))


@pytest.mark.parametrize("layout", [Layout(1, 1, 1), Layout(100, 4, 7), Layout(101, 3, 10), Layout(5, 4, 19)])
def test_every_serial_has_one_place_in_one_lane(layout: Layout) -> None:
    """Groups cover all serials once; lane and place lead to the serial; turns add up to the lane's total."""
    seen: list[int] = []
    for lane in range(layout.lanes):
        mine = [serial for first, count in layout.list_groups(lane) for serial in range(first, first + count)]
        assert len(mine) == layout.count_lane(lane)
        assert [layout.find_serial(lane, place) for place in range(len(mine))] == mine
        assert sum(count_turns(len(mine), 3, index) for index in range(3)) == len(mine)
        seen += mine
    assert sorted(seen) == list(range(layout.transactions))


def test_nobody_pays_themselves() -> None:
    """The ledger would refuse it."""
    assert all(pick_recipient(sender, serial, 12) != sender for sender in range(12) for serial in range(100))


def test_answers_and_ends_add_up() -> None:
    """Accepted, refused and not taken are all; an end before its answer counts once; a second end is counted apart."""
    tally = Tally(Layout(6, 1, 2))
    tally.on_final(0, 5.0)  # the event overtakes the answer
    tally.on_answer(0, Answered.ACCEPTED)
    tally.on_answer(1, Answered.ACCEPTED)
    assert not tally.is_complete
    tally.on_answer(2, Answered.REFUSED, "nonce_used")
    tally.on_answer(3, Answered.NOT_TAKEN)
    tally.on_answer(4, Answered.ACCEPTED)
    tally.on_answer(5, Answered.ACCEPTED)
    tally.on_final(1, 6.0)
    tally.on_final(3, 6.5)  # executed although no answer came
    tally.on_final(4, 7.0)
    tally.on_final(4, 8.0)
    tally.on_final(99, 8.0)
    assert (tally.accepted, tally.refused.total(), tally.not_taken) == (4, 1, 1)
    assert tally.accepted + tally.refused.total() + tally.not_taken == tally.answered == 6
    assert (tally.matched, tally.final, tally.twice, tally.strange) == (3, 4, 1, 1)
    assert tally.list_missing() == [5]
    assert not tally.is_complete
    assert tally.calculate_latencies_ms([4.0, 5.0, 6.0]) == [1_000.0, 1_000.0, 2_000.0]
    tally.on_final(5, 9.0)
    assert tally.is_complete
    assert tally.last_s == 9.0


def test_a_transaction_answered_twice_is_a_fault_of_ours() -> None:
    """Otherwise the sums could add up by chance."""
    tally = Tally(Layout(1, 1, 1))
    tally.on_answer(0, Answered.ACCEPTED)
    with pytest.raises(AssertionError):
        tally.on_answer(0, Answered.ACCEPTED)


def test_transfers_are_named_by_their_amounts() -> None:
    """Those of an earlier load, or of anybody else, lie outside."""
    tally = Tally(Layout(3, 1, 1))
    names = TransferNames(first_amount=21)
    for amount in (20, 21, 23, 24):
        tally.on_final(names.find(amount, ""), 1.0)
    assert (tally.final, tally.strange) == (2, 2)


def make_order(kind: Kind, layout: Layout, spool: str, senders: list[Sender]) -> Order:
    """Lane 1 of a load."""
    return Order(
        chain_id=CHAIN,
        currency="CNY",
        kind=kind,
        now_ms=1_800_000_000_000,
        transactions=layout.transactions,
        lanes=layout.lanes,
        group=layout.group,
        lane=1,
        first_amount=1_000,
        senders=senders,
        accounts=[calculate_account_id(KeySigner(one.seed).public_key) for one in senders],
        spool=spool,
    )


def read_transactions(spool: str) -> list[Transaction]:
    """Everything of a spool, its signatures verified."""
    found: list[Transaction] = []
    for body in read_spool(Path(spool)):
        for item in decode(body, list[BatchItem]):
            verdict = check_stateless(item, CHAIN)
            assert isinstance(verdict, Transaction), verdict
            found.append(verdict)
    return found


def test_a_spool_holds_what_the_layout_says(tmp_path: Path) -> None:
    """Valid signatures, senders in turn with rising nonces, and amounts that name the serials."""
    layout, spool = Layout(23, 2, 5), f"{tmp_path}/lane"
    senders = [Sender(seed=bytes([index]) * 32, nonce=10 * index, index=index) for index in range(1, 4)]
    signed = sign_lane(make_order(Kind.TRANSFER, layout, spool, senders))
    found = read_transactions(spool)
    mine = [serial for first, count in layout.list_groups(1) for serial in range(first, first + count)]
    amounts = [one.body.payload.amount for one in found if isinstance(one.body.payload, Transfer)]
    assert amounts == [1_000 + serial for serial in mine]
    assert [one.body.nonce for one in found] == [10 * (1 + place % 3) + place // 3 for place in range(len(mine))]
    assert signed.transactions == len(mine)
    assert signed.transaction_bytes > 200 * len(mine)


def test_payments_are_named_by_loan_and_amount(tmp_path: Path) -> None:
    """Over more payments than there are amounts, some refused, in an order of their own, each finds its serial."""
    layout, spool = Layout(2 * 2_000, 2, 9), f"{tmp_path}/lane"
    loans = [bytes([0xAA]) * 32, bytes([0xBB]) * 32]
    senders = [
        Sender(seed=bytes([index + 1]) * 32, nonce=0, index=index, loan=loan, paid=100)
        for index, loan in enumerate(loans)
    ]
    sign_lane(make_order(Kind.PAY, layout, spool, senders))
    paid = [(one.body.payload.loan.hex(), one.body.payload.amount) for one in read_transactions(spool)
            if isinstance(one.body.payload, Pay)]  # fmt: skip
    assert len(paid) == layout.count_lane(1)
    tally = Tally(layout)
    names = PaymentNames(tally, [[("cc" * 32, 0)], [(loan.hex(), 100) for loan in loans]])
    chance = random.Random(7)
    serials = [layout.find_serial(1, place) for place in range(len(paid))]
    refused = set(chance.sample(serials, 40))
    window: list[int] = []
    for place, serial in enumerate(serials):
        tally.on_answer(serial, Answered.REFUSED if serial in refused else Answered.ACCEPTED)
        if serial not in refused:
            window.append(place)
        if len(window) > 200:
            _finish(tally, names, window.pop(chance.randrange(100)), paid, serials)
    while window:
        _finish(tally, names, window.pop(0), paid, serials)
    assert tally.twice == 0
    assert tally.matched == tally.accepted == len(serials) - 40
    tally.on_final(names.find(paid[0][1], paid[0][0]), 2.0)
    assert tally.twice == 1
    assert names.find(PAY_AMOUNTS + 1, paid[0][0]) == names.find(1, "dd" * 32) == -1


def _finish(tally: Tally, names: PaymentNames, place: int, paid: list[tuple[str, int]], serials: list[int]) -> None:
    loan, amount = paid[place]
    found = names.find(amount, loan)
    assert found == serials[place]
    tally.on_final(found, 1.0)
