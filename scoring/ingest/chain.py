"""The order of rows: the one in which the balance chain closes.

A balance chain closes when every balance is the one before plus the row's amount. Files list rows upwards, downwards
or by nothing; within one day the time is often missing. Never change an amount or a balance here: an order is
chosen, and what does not close in it is reported.
"""

from collections.abc import Sequence
from itertools import pairwise

from scoring.ingest.draft import RawRow
from scoring.rows import Row


def find_breaks(rows: Sequence[RawRow | Row], opening: int | None) -> list[int]:
    """Indices of the rows whose balance is not the last known balance plus all amounts since; oldest row first."""
    breaks: list[int] = []
    expected = opening
    for index, row in enumerate(rows):
        if expected is not None:
            expected += row.amount
        if row.balance is not None:
            if expected is not None and expected != row.balance:
                breaks.append(index)
            expected = row.balance
    return breaks


def is_ascending(rows: Sequence[RawRow]) -> bool:
    """Whether no row is dated before the one above it."""
    return all(not _is_before(after, before) for before, after in pairwise(rows))


def choose_order(rows: Sequence[RawRow], opening: int | None) -> tuple[list[RawRow], str]:
    """The rows in the order of their balance chain, and how it was found: "file", "reversed" or "sorted".

    Without balances the order is that of time. Among orders with equally few breaks the least change wins, but a
    file that does not close is at least put in the order of time.
    """
    listed, turned = list(rows), list(reversed(rows))
    downwards = is_ascending(turned) and not is_ascending(listed)
    if sum(row.balance is not None for row in rows) < 2:
        if is_ascending(listed):
            return listed, "file"
        return (turned, "reversed") if downwards else (_by_time(turned if _falls(rows) else listed), "sorted")
    candidates = [(listed, "file"), (turned, "reversed")]
    if downwards:
        candidates.reverse()
    by_time = _by_time(turned if _falls(rows) else listed)
    ordered = [each for each in candidates if is_ascending(each[0])]
    ordered += [(by_time, "sorted"), (_by_day_chain(by_time, opening), "sorted")]
    # A closed chain in the order of time beats one whose dates go back, and that beats any that does not close.
    for order, name in ordered + candidates:
        if not find_breaks(order, opening):
            return order, name
    return min(ordered, key=lambda each: len(find_breaks(each[0], opening)))


def _is_before(left: RawRow, right: RawRow) -> bool:
    if left.day != right.day:
        return left.day < right.day
    return left.second >= 0 and right.second >= 0 and left.second < right.second


def _falls(rows: Sequence[RawRow]) -> bool:
    steps = [_is_before(after, before) - _is_before(before, after) for before, after in pairwise(rows)]
    return sum(steps) > 0


def _by_time(rows: Sequence[RawRow]) -> list[RawRow]:
    return sorted(rows, key=lambda row: (row.day, row.second))


def _by_day_chain(rows: Sequence[RawRow], opening: int | None) -> list[RawRow]:
    """Rows of one day put end to end: each row is an edge from the balance before it to the balance after it."""
    if any(row.balance is None for row in rows):
        return list(rows)
    ordered: list[RawRow] = []
    start = 0
    balance = opening
    while start < len(rows):
        end = start
        while end < len(rows) and rows[end].day == rows[start].day:
            end += 1
        ordered += _trail(rows[start:end], balance)
        balance = ordered[-1].balance
        start = end
    return ordered


def _trail(rows: Sequence[RawRow], start: int | None) -> list[RawRow]:
    """An Eulerian trail through the rows of a day from `start` (Hierholzer), or the rows as they are if none exists."""
    edges: dict[int, list[int]] = {}
    surplus: dict[int, int] = {}
    for index in range(len(rows) - 1, -1, -1):
        after = rows[index].balance
        assert after is not None
        before = after - rows[index].amount
        edges.setdefault(before, []).append(index)
        surplus[before] = surplus.get(before, 0) + 1
        surplus[after] = surplus.get(after, 0) - 1
    heads = [balance for balance, count in surplus.items() if count > 0]
    if start is None or start not in edges:
        first = rows[0].balance
        assert first is not None
        start = heads[0] if heads else first - rows[0].amount
    stack: list[tuple[int, int | None]] = [(start, None)]
    trail: list[int] = []
    while stack:
        node, edge = stack[-1]
        if edges.get(node):
            index = edges[node].pop()
            after = rows[index].balance
            assert after is not None
            stack.append((after, index))
        else:
            stack.pop()
            if edge is not None:
                trail.append(edge)
    trail.reverse()
    ordered = [rows[index] for index in trail]
    return ordered if len(ordered) == len(rows) and not find_breaks(ordered, start) else list(rows)
