"""Pairs of rows that belong together, found in O(n log n): income that went back to where it came from.

Part of the verified zone: integers only. What counts as income or outflow is the feature's to say, never this file's.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import Final

from scoring.rows import Row

NARROW: Final = 8
"""So many different amounts in a range are looked at one by one; a wider range takes a tree, made when first needed."""


class AmountIndex:
    """Positions of a sequence of amounts, of which the least within a range of amounts can be taken out, in O(log n).

    Positions of one amount stand in a queue. The tree is binary over the different amounts in ascending order; each
    node holds the least head of the queues below it, so that the least of a range of amounts is the least of at most
    two nodes per level.
    """

    def __init__(self, amounts: Sequence[int]) -> None:
        queues: dict[int, list[int]] = {}
        for position in range(len(amounts) - 1, -1, -1):
            queues.setdefault(amounts[position], []).append(position)
        self._amounts = sorted(queues)
        self._queues = [queues[amount] for amount in self._amounts]  # the least position is the last
        self._none = len(amounts)  # stands for "nothing here"
        self._tree: list[int] = []

    def take_first(self, low: int, high: int, *, begin: int, end: int) -> int | None:
        """Takes out the least position in begin..end-1 whose amount lies in low..high; None when there is none.

        `begin` never falls from call to call: what is before it is forgotten.
        """
        first = bisect_left(self._amounts, low)
        last = bisect_right(self._amounts, high, first)
        if self._tree or last - first > NARROW:
            return self._take_from_tree(first, last, begin, end)
        least, found = self._none, -1
        for place in range(first, last):
            queue = self._queues[place]
            while queue and queue[-1] < begin:
                queue.pop()
            if queue and queue[-1] < least:
                least, found = queue[-1], place
        if found < 0 or least >= end:
            return None
        return self._queues[found].pop()

    def _take_from_tree(self, first: int, last: int, begin: int, end: int) -> int | None:
        count = len(self._queues)
        if not self._tree:
            # Node i has the children 2i and 2i + 1; the leaves begin at `count`.
            self._tree = [self._none] * count + [queue[-1] if queue else self._none for queue in self._queues]
            for node in range(count - 1, 0, -1):
                self._tree[node] = min(self._tree[2 * node], self._tree[2 * node + 1])
        while True:
            node = self._find_least(count + first, count + last)
            least = self._tree[node]
            if least >= end:
                return None
            while node < count:
                node = 2 * node if self._tree[2 * node] == least else 2 * node + 1
            self._pop(node)
            if least >= begin:
                return least

    def _find_least(self, first: int, last: int) -> int:
        """The node with the least head among the leaves first..last-1; node 0, which holds nothing, when there is none.

        Node 0 is never part of the tree.
        """
        tree, found = self._tree, 0
        while first < last:
            if first % 2:
                if tree[first] < tree[found]:
                    found = first
                first += 1
            if last % 2:
                last -= 1
                if tree[last] < tree[found]:
                    found = last
            first //= 2
            last //= 2
        return found

    def _pop(self, leaf: int) -> None:
        """Takes the head off a leaf's queue."""
        tree, queue = self._tree, self._queues[leaf - len(self._queues)]
        queue.pop()
        tree[leaf] = queue[-1] if queue else self._none
        node = leaf // 2
        while node:
            tree[node] = min(tree[2 * node], tree[2 * node + 1])
            node //= 2


def calculate_returned(income: Sequence[Row], outgoing: Sequence[Row], *, days: int, percent: int) -> int:
    """Sum of the income of one party that went back to it within `days` days, give or take `percent` %.

    Both are rows of that party in the order of the chain. An income takes the first outflow, in that order, that fits,
    and each outflow is taken once. What is too old for one income is too old for all that follow.
    """
    ends = [row.day for row in outgoing]
    index = AmountIndex([-row.amount for row in outgoing])
    begin = end = returned = 0
    count = len(ends)
    for row in income:
        day, amount = row.day, row.amount
        while begin < count and ends[begin] < day - days:
            begin += 1
        while end < count and ends[end] <= day + days:
            end += 1
        if begin < end:
            slack = amount * percent // 100
            if index.take_first(amount - slack, amount + slack, begin=begin, end=end) is not None:
                returned += amount
    return returned
