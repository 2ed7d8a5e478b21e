"""Every view that is left is counted once, with why: what an operator's alerts go by."""

from collections.abc import Callable

import pytest

from consensus.departures import Departure
from consensus.events import (
    PayloadChecked,
    ReceivedCertificate,
    ReceivedProposal,
    ReceivedVote,
    TimerFired,
    TimerName,
    Verdict,
    WorkChanged,
)
from protocol.certificate import VoteKind
from protocol.ids import BlockDigest, View
from tests.consensus.bench import NO_BLOCK, Bench, make_follower, make_leader

N, U = VoteKind.NOTARIZE, VoteKind.NULLIFY


def fire(bench: Bench, name: TimerName, view: int = 1) -> None:
    bench.drive(WorkChanged(has_work=True))
    bench.drive(TimerFired(name=name, view=View(view)))


def hear_nothing(bench: Bench) -> None:
    fire(bench, TimerName.LEAD)


def hear_what_is_bad(bench: Bench) -> None:
    block = bench.block(1)
    bench.drive(ReceivedProposal(propose=bench.propose(block)))
    bench.drive(PayloadChecked(digest=block.header.calculate_digest(), verdict=Verdict.BAD))
    fire(bench, TimerName.LEAD)


def hear_a_block_and_no_quorum(bench: Bench) -> None:
    bench.hear_block(bench.block(1))
    fire(bench, TimerName.VIEW)


def hear_two_blocks(bench: Bench) -> None:
    bench.hear_block(bench.block(1))
    bench.hear_block(bench.block(1, batches=2))
    fire(bench, TimerName.VIEW)


def hear_the_leader_give_up(bench: Bench) -> None:
    bench.drive(ReceivedVote(vote=bench.vote(U, 1, NO_BLOCK, bench.leader(1))))


def be_without_a_reason(bench: Bench) -> None:
    assert bench.engine.view == 1


@pytest.mark.parametrize(
    ("happens", "why"),
    [
        (hear_nothing, Departure.NO_PROPOSAL),
        (hear_what_is_bad, Departure.BAD_PAYLOAD),
        (hear_a_block_and_no_quorum, Departure.LATE),
        (hear_two_blocks, Departure.EQUIVOCATION),
        (hear_the_leader_give_up, Departure.LEADER_GAVE_UP),
        (be_without_a_reason, Departure.BY_OTHERS),
    ],
)
def test_a_nullified_view_is_counted_by_what_i_saw_of_it(happens: Callable[[Bench], None], why: Departure) -> None:
    """One view, one reason."""
    bench = make_follower()
    happens(bench)
    bench.drive(ReceivedCertificate(certificate=bench.nullification(1)))
    assert bench.engine.view == 2
    assert {one: count for one, count in bench.engine.departures.items() if count} == {why: 1}


def test_my_own_view_is_counted_as_mine() -> None:
    """An operator must see that it is this node whose blocks come to nothing."""
    bench = make_leader()
    fire(bench, TimerName.VIEW)
    bench.drive(ReceivedCertificate(certificate=bench.nullification(1)))
    assert bench.engine.departures[Departure.OWN_TURN] == 1


def test_a_leader_that_is_silent_or_convicted_is_counted_as_such() -> None:
    """Both are skipped at once, for two reasons."""
    for mark, why in (("heard", Departure.LEADER_SILENT), ("suspects", Departure.LEADER_CONTRADICTED_ITSELF)):
        bench = make_follower()
        view = bench.view_led_by(bench.leader(2), 12)
        bench.nullify_up_to(view)
        getattr(bench.engine._machine, mark)[bench.leader(view)] = mark == "suspects" or View(1)
        bench.drive(WorkChanged(has_work=True))
        bench.drive(ReceivedCertificate(certificate=bench.nullification(view)))
        assert bench.engine.departures[why] == 1, why


def test_a_notarized_view_is_no_failure_however_late_and_what_is_jumped_over_is_caught_up() -> None:
    """A certificate three views ahead passes two that nobody here saw the end of."""
    bench = make_follower()
    fire(bench, TimerName.VIEW)
    bench.drive(ReceivedCertificate(certificate=bench.certificate(N, 3, BlockDigest(bytes(31) + b"\x03"))))
    assert bench.engine.view == 4
    counted = {one: count for one, count in bench.engine.departures.items() if count}
    assert counted == {Departure.NOTARIZED: 1, Departure.CAUGHT_UP: 2}
