"""Other rules from a height on, decided by the validators: planned, announced by headers, begun.

    decided at height p, for height s >= p + RULES_NOTICE      row.next
    the block of height s                                      row.present, before anything of the block is executed

Every header says by `params_hash` which rules are in force at its height, as the executed state that it names knows it.
Software that does not know a version executes no block of it (`RulesUnknownError`). Never a rule of lending here.
"""

from protocol.ids import Height
from protocol.ledger.books import Books
from protocol.ledger.rulesrow import RulesEntry, RulesRow
from protocol.ledger.state import RULES, RULES_KEY, replace
from protocol.limits import RULES_AHEAD_MAX, RULES_NOTICE
from protocol.transactions.governance import RulesUpgrade


class RulesUnknownError(Exception):
    """A block that is executed by rules which this software does not know."""

    def __init__(self, version: int, since: Height, known: int) -> None:
        super().__init__(f"rules {version} from height {since} on; known up to {known}")
        self.version, self.since, self.known = version, since, known


def apply_genesis_rules(books: Books) -> None:
    """What the network was founded with."""
    first = RulesEntry(books.genesis.rules, Height(0), Height(0))
    books.state.put(RULES, RULES_KEY, RulesRow(present=first))


def read_rules(books: Books) -> RulesRow:
    """The one row."""
    return books.state.need(RULES, RULES_KEY)


def is_height_fit(books: Books, action: RulesUpgrade) -> bool:
    """Whether every node can hear of it before it begins, and the height is not a slip of the pen."""
    return books.height + RULES_NOTICE <= action.activation_height <= books.height + RULES_AHEAD_MAX


def plan_rules(books: Books, action: RulesUpgrade) -> None:
    """Let other rules begin at the height."""
    row = read_rules(books)
    entry = RulesEntry(action.version, books.height, action.activation_height)
    books.state.put(RULES, RULES_KEY, replace(row, next=entry))
    books.emit("rules_planned", (), {"version": entry.version, "since": entry.since})


def begin_rules(books: Books, height: Height, known: int) -> None:
    """Execute the block of this height by the rules in force there. Raises RulesUnknownError before any change."""
    row = read_rules(books)
    entry = row.next if row.next is not None and height >= row.next.since else row.present
    if entry.version > known:
        raise RulesUnknownError(entry.version, Height(entry.since), known)
    if entry is row.next:
        books.state.put(RULES, RULES_KEY, RulesRow(present=entry))
        books.emit("rules_began", (), {"version": entry.version, "since": entry.since})
