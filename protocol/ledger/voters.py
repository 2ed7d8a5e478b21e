"""Who votes and how many votes carry: one vote for each organisation that validates, and the quorum of consensus.

Role.VALIDATOR follows the seats of the epoch, but for keys that evidence convicted (`seats`).
"""

from protocol.ids import AccountId
from protocol.ledger.books import Books
from protocol.ledger.rows import Account, Role
from protocol.ledger.seatrows import Seats, find_seat
from protocol.ledger.seats import find_convicted, read_epoch
from protocol.ledger.state import ACCOUNTS, MEMBERS


def list_voters(books: Books) -> list[Account]:
    """Accounts of the organisations that validate, frozen ones too, in the order of their ids."""
    accounts = (books.state.need(ACCOUNTS, key) for key, _ in books.state.items(MEMBERS))
    return [one for one in accounts if one.roles & Role.VALIDATOR]


def has_vote(books: Books, account: AccountId) -> bool:
    """Whether an account is one of them."""
    return bool(books.state.need(ACCOUNTS, account).roles & Role.VALIDATOR)


def count_votes(books: Books) -> tuple[int, int]:
    """How many organisations have a vote, and how many ayes carry.

    One that is frozen still counts among all, so that freezing lowers no bar. Only evidence can leave fewer free ones
    than the quorum; then all of these must agree, or nobody could ever decide anything again.
    """
    voters = list_voters(books)
    free = sum(not one.frozen for one in voters)
    return len(voters), max(1, min(calculate_votes_needed(len(voters)), free))


def calculate_votes_needed(voters: int) -> int:
    """q = (n+f) // 2 + 1 with f = (n-1) // 3: what consensus asks for (protocol.validators)."""
    return (voters + (voters - 1) // 3) // 2 + 1


def can_freeze_voter(books: Books, account: AccountId) -> bool:
    """Whether enough free voters would be left to undo it, now and with the seats that are planned."""
    row = read_epoch(books)
    plans = (row.seats, row.next or (), row.queued or ())
    return all(can_seats_decide(books, seats, account) for seats in plans if find_seat(seats, account) is not None)


def can_seats_decide(books: Books, seats: Seats, frozen: AccountId | None = None) -> bool:
    """Whether the free voters among some seats are a quorum of them, as if one more were frozen."""
    convicted = find_convicted(books, seats)
    voters = [one.account for one in seats if one.validator_key not in convicted]
    free = [one for one in voters if one != frozen and not books.state.need(ACCOUNTS, one).frozen]
    return 1 <= calculate_votes_needed(len(voters)) <= len(free)
