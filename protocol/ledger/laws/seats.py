"""Laws of who validates: seats are of members, one each and one key each, and the vote follows from them alone."""

from collections import Counter
from typing import Final

from protocol.ledger.execute import Ledger
from protocol.ledger.laws.common import Laws, Violations
from protocol.ledger.rows import Role
from protocol.ledger.seatrows import EpochRow, Seats
from protocol.ledger.state import ACCOUNTS, CONVICTIONS, EPOCH, EPOCH_KEY, MEMBERS
from protocol.limits import VALIDATORS_MAX


def list_voting(ledger: Ledger) -> list[bytes]:
    """Accounts with a seat whose key was not convicted."""
    state = ledger.books.state
    row = state.need(EPOCH, EPOCH_KEY)
    return [one.account for one in row.seats if state.get(CONVICTIONS, one.validator_key) is None]


def check_seats(ledger: Ledger) -> Violations:
    """A plan differs from what it follows; its seats are of 1 to 32 members with a node, by key, one seat each."""
    row = ledger.books.state.need(EPOCH, EPOCH_KEY)
    found = [
        f"seats of epoch {row.epoch + ahead} are no set of validators"
        for ahead, seats in enumerate((row.seats, row.next, row.queued))
        if seats is not None and not _are_seats(ledger, seats)
    ]
    if row.next == row.seats or (row.queued is not None and row.queued in (row.next, None)):
        found.append("a plan changes nothing")
    if row.next is None and row.queued is not None:
        found.append("seats are queued behind no plan")
    if not _are_heights_lawful(ledger, row):
        found.append(f"epoch {row.epoch} since {row.since}, plan of {row.next_at}: not at height {ledger.height}")
    return found


def _are_seats(ledger: Ledger, seats: Seats) -> bool:
    members = dict(ledger.books.state.items(MEMBERS))
    keys = [one.validator_key for one in seats]
    return (
        1 <= len(seats) <= VALIDATORS_MAX
        and keys == sorted(set(keys))
        and len({one.account for one in seats}) == len(seats)
        and all(one.account in members and members[one.account].node_key is not None for one in seats)
    )


def _are_heights_lawful(ledger: Ledger, row: EpochRow) -> bool:
    first = row.epoch == 0
    return (
        first == (row.since == 0) == (row.previous == ())
        and (row.next_at > 0) == (row.next is not None)
        and max(row.since, row.next_at) <= ledger.height
        and (row.next is None or row.next_at >= row.since)
    )


def check_convictions(ledger: Ledger) -> Violations:
    """Convicted keys are of members and suspected while they sit; who sits with another key has a vote, nobody else."""
    state = ledger.books.state
    row = state.need(EPOCH, EPOCH_KEY)
    convicted = [key for key, _ in state.items(CONVICTIONS)]
    found = []
    if list(row.suspects) != [one.validator_key for one in row.seats if one.validator_key in convicted]:
        found.append(f"{len(row.suspects)} of the validators' keys are suspected, others were convicted")
    voting = sorted(list_voting(ledger))
    told = [key for key, one in state.items(ACCOUNTS) if one.roles & Role.VALIDATOR]
    if voting != told:
        found.append(f"{len(told)} accounts have a vote, {len(voting)} have a seat and no conviction")
    for key, one in state.items(CONVICTIONS):
        if state.get(MEMBERS, one.account) is None or one.epoch > row.epoch or one.height > ledger.height:
            found.append(f"conviction of {key.hex()}: of nobody, or of a time to come")
    return found


def check_network_keys(ledger: Ledger) -> Violations:
    """A node's key, a validator's and a signing key are different ones, and each of one member."""
    state = ledger.books.state
    row = state.need(EPOCH, EPOCH_KEY)
    owners = {
        (bytes(one.validator_key), one.account) for seats in (row.seats, row.next, row.queued) for one in seats or ()
    }
    counts = Counter(key for key, _ in sorted(owners))
    counts.update(bytes(one.node_key) for _, one in state.items(MEMBERS) if one.node_key is not None)
    return [f"key {key.hex()}: of two" for key, count in counts.items() if count > 1]


LAWS: Final[Laws] = {
    "seats": check_seats,
    "convictions": check_convictions,
    "network_keys": check_network_keys,
}
