"""What a type of payload needs of its signer, why it may fail, and what it does: the form in which families say it.

Each family's module exports its `RULES` (by payload type) and, where time alone does something, its `DUE`. Only the
form stands here; never a rule.
"""

from collections.abc import Callable
from enum import IntFlag
from typing import Any, NamedTuple

from protocol.ids import ObjectId
from protocol.ledger.books import Books, Call, EventKind
from protocol.ledger.records import Fact
from protocol.rejections import Rejection


class Pause(IntFlag):
    """Families that the validators can pause. What lets people out is in none of them: paying, withdrawing, voting."""

    ACCOUNTS = 1
    MONEY = 2
    """Minting, transfers, new redemptions."""
    POOLS = 4
    """Deposits, exits, cover withdrawals."""
    PRODUCTS = 8
    LENDING = 16
    """Applications, offers, acceptances, draws."""
    SERVICING = 32
    """Distress, assignment, adjustments by lenders, seizures."""


class Rule(NamedTuple):
    """What a type of payload needs of its signer, why it may fail, and what it does."""

    check: Callable[[Books, Call, Any], Rejection | None]
    apply: Callable[[Books, Call, Any], tuple[Fact, ...]]
    roles: int = 0
    """Bits of Role, of which one is enough; none for anybody."""
    credential: bool = False
    """The signer's credential must be in force."""
    frozen_may: bool = False
    borrower: bool = False
    """Persons and companies only; member organisations do not borrow here."""
    attester_may: bool = False
    """An organisation's attester key may sign it."""
    pause: int = 0
    """Bits of Pause: refused while one of these is paused."""


Rules = dict[type, Rule]
Due = dict[EventKind, Callable[[Books, ObjectId], None]]
