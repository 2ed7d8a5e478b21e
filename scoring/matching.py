"""Which of many amounts comes first within a range: what makes matching pairs of rows a matter of milliseconds.

Part of the verified zone: integers only. Never a rule of what matches here; that is the feature's.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence


class AmountIndex:
    """Positions of a sequence of amounts, findable by amount, removable. Both take O(log n).

    A binary tree over the amounts in ascending order; each node holds the least position below it, so that the least
    of a range of amounts is the least of at most two nodes per level.
    """

    def __init__(self, amounts: Sequence[int]) -> None:
        order = sorted(range(len(amounts)), key=amounts.__getitem__)
        self._sorted = [amounts[position] for position in order]
        self._count = count = len(order)
        self._leaf = [0] * count
        for place, position in enumerate(order):
            self._leaf[position] = count + place
        # `count` stands for "nothing here"; node i has the children 2i and 2i + 1, the leaves begin at `count`.
        self._least = [count] * count + order
        for node in range(count - 1, 0, -1):
            self._least[node] = min(self._least[2 * node], self._least[2 * node + 1])

    def remove(self, position: int) -> None:
        """Forget a position; one that was removed before stays removed."""
        node = self._leaf[position]
        self._least[node] = self._count
        while node > 1:
            node //= 2
            self._least[node] = min(self._least[2 * node], self._least[2 * node + 1])

    def find_first(self, low: int, high: int) -> int | None:
        """The least position whose amount lies in low..high, both included; None when there is none."""
        begin = self._count + bisect_left(self._sorted, low)
        end = self._count + bisect_right(self._sorted, high)
        least = self._count
        while begin < end:
            if begin % 2:
                least = min(least, self._least[begin])
                begin += 1
            if end % 2:
                end -= 1
                least = min(least, self._least[end])
            begin //= 2
            end //= 2
        return None if least == self._count else least
