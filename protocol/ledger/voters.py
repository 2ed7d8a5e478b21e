"""Who votes and how many votes carry: one vote for each organisation that validates, and the quorum of consensus."""

from protocol.ledger.books import Books
from protocol.ledger.rows import Account, Role
from protocol.ledger.state import ACCOUNTS, MEMBERS


def list_voters(books: Books) -> list[Account]:
    """Accounts of the organisations that validate, frozen ones too, in the order of their ids."""
    accounts = (books.state.need(ACCOUNTS, key) for key, _ in books.state.items(MEMBERS))
    return [one for one in accounts if one.roles & Role.VALIDATOR]


def count_voters(books: Books) -> int:
    """How many organisations have a vote; one that is frozen still counts among all, so that freezing lowers no bar."""
    return len(list_voters(books))


def calculate_votes_needed(voters: int) -> int:
    """q = (n+f) // 2 + 1 with f = (n-1) // 3: what consensus asks for (protocol.validators)."""
    return (voters + (voters - 1) // 3) // 2 + 1


def can_freeze_voter(books: Books) -> bool:
    """Whether enough free voters would be left to undo it, if one more were frozen."""
    voters = list_voters(books)
    free = sum(not one.frozen for one in voters)
    return free - 1 >= calculate_votes_needed(len(voters))
