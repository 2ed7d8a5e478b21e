"""Which transaction goes where: serial numbers, groups, lanes, senders. Pure arithmetic, shared by signing and load.

Serial s belongs to group s // group; groups take turns over the lanes (one lane per node, as each lender's gateway
serves its own customers); within a lane the lane's own senders take turns, so that nonces arrive nearly in order.
"""

from collections.abc import Iterator
from typing import NamedTuple


class Layout(NamedTuple):
    """One load."""

    transactions: int
    lanes: int
    group: int

    @property
    def groups(self) -> int:
        """How many requests."""
        return -(-self.transactions // self.group)

    def list_groups(self, lane: int) -> Iterator[tuple[int, int]]:
        """(first serial, count) of each group of a lane, in order."""
        for number in range(lane, self.groups, self.lanes):
            first = number * self.group
            yield first, min(self.group, self.transactions - first)

    def count_lane(self, lane: int) -> int:
        """Transactions of a lane: its groups are full, but for the last of all."""
        return sum(count for _, count in self.list_groups(lane))

    def find_serial(self, lane: int, place: int) -> int:
        """The serial at a place of a lane: its transactions are counted from 0."""
        return (place // self.group * self.lanes + lane) * self.group + place % self.group


def pick_recipient(sender: int, serial: int, accounts: int) -> int:
    """Index of the account a transfer goes to: never the sender's, and another one nearly every time."""
    return (sender + 1 + serial * 7_919 % (accounts - 1)) % accounts


def count_turns(total: int, senders: int, index: int) -> int:
    """How many of a lane's `total` transactions its sender `index` signs when `senders` take turns."""
    return (total - index + senders - 1) // senders
