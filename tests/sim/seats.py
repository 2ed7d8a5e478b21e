"""The simulated ledger's seats: who validates, who is to follow, and how ordered changes become a plan.

As protocol.ledger does it, in few lines: a plan is frozen once made, what comes later queues behind it, and the first
executed block of a new epoch seats the planned. Never let consensus read this; it hears of a plan from `Executed`.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from protocol.block import Block
from protocol.ids import BatchDigest, BlockDigest, Epoch, Height, PublicKey

Keys = tuple[PublicKey, ...]


class Seats(NamedTuple):
    """The state after one height."""

    epoch: Epoch
    genesis: BlockDigest
    """Digest that the epoch stands on."""
    keys: Keys
    """Of the present validators, ascending."""
    next: Keys = ()
    """Of those to follow; () while none are planned."""
    next_at: Height = Height(0)
    queued: Keys = ()
    """Of those to follow these."""
    convicted: Keys = ()
    """Keys against which the ledger holds evidence."""


class Step(NamedTuple):
    """One seat that changes."""

    kind: str
    """add (the place sits down), remove (it gets up), rotate (it sits down with its next key) or convict."""
    place: int
    key: PublicKey | None = None
    """Whom the evidence speaks against."""


Decide = Callable[[Step, Keys], Keys]
"""The seats that follow from a step; the same ones when it is refused."""


def execute(seats: Seats, block: Block, changes: Mapping[BatchDigest, tuple[Step, ...]], decide: Decide) -> Seats:
    """The state after a final block."""
    header = block.header
    if header.epoch != seats.epoch:
        assert header.epoch == seats.epoch + 1, "epochs follow one another"
        assert seats.next, "an epoch begins by a plan"
        again = seats.queued if seats.queued not in ((), seats.next) else ()
        at = header.height if again else Height(0)
        seats = Seats(header.epoch, header.parent_digest, seats.next, again, at, (), seats.convicted)
    for ref in block.batches:
        for step in changes.get(ref.digest, ()):
            seats = _apply(seats, step, header.height, decide)
    return seats


def _apply(seats: Seats, step: Step, height: Height, decide: Decide) -> Seats:
    base = seats.queued or seats.next or seats.keys
    if step.key is not None and step.key not in seats.convicted:
        seats = seats._replace(convicted=(*seats.convicted, step.key))
    keys = tuple(sorted(decide(step, base)))
    assert keys, "somebody validates"
    if keys == base:
        return seats
    if seats.next:
        return seats._replace(queued=() if keys == seats.next else keys)
    return seats._replace(next=keys, next_at=height) if keys != seats.keys else seats
