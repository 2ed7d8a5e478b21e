"""Several files of one account: joined where they meet, compared where they overlap, refused where days are missing."""

from collections.abc import Callable, Sequence
from datetime import date, timedelta
from random import Random

import pytest

from scoring.ingest.merge import merge
from scoring.ingest.read import read_statement
from scoring.ingest.statement import Statement, StatementError
from scoring.rows import Provenance
from tests.scoring.ingest.conftest import KEY

Line = tuple[date, int, int, str]
"""Day, amount and balance in cents, party."""
START = date(2026, 1, 1)


def make_lines(days: int = 60, seed: int = 1, opening: int = 100_000) -> list[Line]:
    """A made account with one to three rows a day."""
    rng, balance, lines = Random(seed), opening, list[Line]()
    for offset in range(days):
        for _ in range(rng.choice((1, 1, 2, 3))):
            amount = rng.choice((-1, 1)) * rng.randrange(100, 9_000)
            balance += amount
            lines.append((START + timedelta(days=offset), amount, balance, rng.choice(("Ann", "Bob", "Shop"))))
    return lines


def write(lines: Sequence[Line], *, balances: bool = True) -> bytes:
    """The lines as a CSV file, as a bank exports it."""
    rows = ["Date,Amount,Currency,Counterparty" + (",Balance" if balances else "")]
    for day, amount, balance, party in lines:
        cells = [day.isoformat(), f"{amount / 100:.2f}", "EUR", party, *([f"{balance / 100:.2f}"] if balances else [])]
        rows.append(",".join(cells))
    return "\n".join(rows).encode()


def read(lines: Sequence[Line], *, balances: bool = True) -> Statement:
    """What a file of these lines says."""
    return read_statement(write(lines, balances=balances), name="f.csv", counterparty_key=KEY)


def join(*parts: Sequence[Line], balances: bool = True) -> Statement:
    """The statement that files of these lines make together."""
    return merge([(f"{at}.csv", read(part, balances=balances)) for at, part in enumerate(parts)])


def refuse(*parts: Sequence[Line], balances: bool = True) -> StatementError:
    """What the files are refused with."""
    with pytest.raises(StatementError) as caught:
        join(*parts, balances=balances)
    return caught.value


def between(lines: Sequence[Line], first: int, last: int) -> list[Line]:
    """Lines of the days from `first` to `last` of the account."""
    return [line for line in lines if first <= (line[0] - START).days <= last]


@pytest.mark.parametrize("balances", [True, False], ids=["balances", "none"])
def test_any_cut_into_overlapping_files_gives_the_whole_back(balances: bool) -> None:
    """However months overlap and in whatever order they are given: rows, period and sums are those of one file."""
    for seed in range(15):
        rng = Random(seed)
        lines = make_lines(seed=seed)
        whole = read(lines, balances=balances)
        cuts = sorted(rng.sample(range(5, 55), 3))
        parts, begins = [], 0
        for ends in [*cuts, 59]:
            parts.append(between(lines, max(0, begins - rng.randrange(1, 6)), ends))
            begins = ends + 1
        rng.shuffle(parts)
        joined = join(*(part for part in parts if part), balances=balances)
        assert joined.rows == whole.rows
        assert (joined.first_day, joined.last_day) == (whole.first_day, whole.last_day)
        assert (joined.opening_balance, joined.closing_balance) == (whole.opening_balance, whole.closing_balance)
        assert (joined.total_in, joined.total_out, joined.provenance) == (
            whole.total_in,
            whole.total_out,
            whole.provenance,
        )


def test_files_cut_within_a_day_are_joined_there() -> None:
    """An export made at noon ends in the middle of a day; one that goes back a fixed number of rows begins in one."""
    lines = make_lines()
    whole = read(lines)
    for end in range(10, len(lines) - 10, 3):
        for begin in (end - 4, end - 1):
            assert join(lines[:end], lines[begin:]).rows == whole.rows


def test_files_that_meet_by_their_balances_alone_are_joined() -> None:
    """No day in common and quiet days in between: the closing balance of one is the opening balance of the other."""
    lines = make_lines()
    whole = read(lines)
    for cut in range(20, 60, 3):
        joined = join(lines[:cut], lines[cut:])
        assert joined.rows == whole.rows
        assert joined.provenance is Provenance.BALANCE_CHAIN


def test_a_file_inside_another_adds_nothing() -> None:
    """The year and one of its months are the year."""
    lines = make_lines()
    assert join(lines, between(lines, 20, 30)).rows == read(lines).rows


def test_a_single_file_is_left_as_it_is() -> None:
    """Nothing to join."""
    statement = read(make_lines())
    assert merge([("f.csv", statement)]) is statement


@pytest.mark.parametrize("balances", [True, False], ids=["balances", "none"])
def test_every_edit_of_an_amount_in_the_overlap_is_found(balances: bool) -> None:
    """Whoever alters one of two files that tell of the same days contradicts the other."""
    lines = make_lines()
    first, second = between(lines, 0, 40), between(lines, 25, 59)
    for at, (day, amount, balance, party) in enumerate(second):
        if not 25 <= (day - START).days < 40:
            continue
        altered = list(second)
        altered[at] = (day, amount + 100, balance, party)
        error = refuse(first, altered, balances=balances)
        assert error.code == "overlap_differs"
        assert error.file == "1.csv after 0.csv"


@pytest.mark.parametrize("balances", [True, False], ids=["balances", "none"])
def test_a_row_left_out_of_the_overlap_is_found(balances: bool) -> None:
    """A repayment that stands in one file only."""
    lines = make_lines()
    first, second = between(lines, 0, 40), between(lines, 25, 59)
    for at, line in enumerate(second):
        if 26 <= (line[0] - START).days < 40:
            assert refuse(first, second[:at] + second[at + 1 :], balances=balances).code == "overlap_differs"


def test_a_missing_month_is_named() -> None:
    """With balances they do not meet; without, days that nobody tells of are refused."""
    lines = make_lines()
    assert refuse(between(lines, 0, 20), between(lines, 40, 59)).code == "balances_differ"
    error = refuse(between(lines, 0, 20), between(lines, 40, 59), balances=False)
    assert error.code == "period_gap"
    assert "2026-01-2" in error.reason


def test_days_that_follow_without_balances_are_joined_with_a_note() -> None:
    """The days meet, nothing proves that no row is missing, and the statement says so."""
    lines = [line for line in make_lines() if (line[0] - START).days not in (29, 30)]
    lines += [(START + timedelta(days=29), 500, 0, "Ann"), (START + timedelta(days=30), -500, 0, "Bob")]
    lines.sort(key=lambda line: line[0])
    joined = join(between(lines, 0, 29), between(lines, 30, 59), balances=False)
    assert "meeting_unproven" in [warning.code for warning in joined.warnings]
    assert joined.rows == read(lines, balances=False).rows


def test_other_accounts_and_currencies_are_refused(read: Callable[..., Statement]) -> None:
    """One statement is one account."""
    mt940 = (
        ":20:A\n:25:NL08DEUT{account}\n:28C:1/1\n:60F:C26010{day}{currency}100,00\n:62F:C26010{day}{currency}100,00\n"
    )
    one = read(mt940.format(account="0319809633", day=1, currency="EUR"))
    same = read(mt940.format(account="0319809633", day=2, currency="EUR"))
    other = read(mt940.format(account="0319809634", day=2, currency="EUR"))
    dollars = read(mt940.format(account="0319809633", day=2, currency="USD"))
    assert merge([("a", one), ("b", same)]).last_day == same.last_day
    for later, code in ((other, "multiple_accounts"), (dollars, "multiple_currencies")):
        with pytest.raises(StatementError) as caught:
            merge([("a", one), ("b", later)])
        assert caught.value.code == code
