"""What proved rows say, in words: which rows a question needs, which rows those lead to, and the lines to print.

Only what stands in the rows, or is added up from them. Never a request or a rule here.
"""

from datetime import UTC, date, datetime
from typing import Any, Final

from node.cli.common import format_money, format_ppm
from protocol.genesis import Genesis
from protocol.ledger.journal import DEBIT_BOOKS, Book, calculate_balance_key
from protocol.ledger.rows import Role
from protocol.ledger.state import (
    ACCOUNTS,
    BALANCES,
    EPOCH,
    EPOCH_KEY,
    EXPOSURES,
    GOVERNED,
    GOVERNED_KEY,
    LOANS,
    MEMBERS,
    POOLS,
    PRODUCTS,
    PROPOSALS,
    RULES,
    RULES_KEY,
    TIP,
    TIP_KEY,
    Place,
)
from protocol.limits import PROVED_ROWS_MAX

Rows = dict[Place, Any]
Facts = list[tuple[str, object]]

STATUS: Final[tuple[Place, ...]] = (
    (TIP.number, TIP_KEY),
    (EPOCH.number, EPOCH_KEY),
    (GOVERNED.number, GOVERNED_KEY),
    (RULES.number, RULES_KEY),
)
HELD: Final = (Book.CASH, Book.ESCROW, Book.DEPOSIT)
"""Books of an account's own money, the one that can be spent first."""


def plain(value: Any) -> Any:
    """JSON values of a row."""
    from node.api.reading import to_plain

    return to_plain(value)


def format_time(time_ms: int) -> str:
    """An instant in UTC, to the second."""
    return datetime.fromtimestamp(time_ms // 1_000, tz=UTC).isoformat().replace("+00:00", "Z")


def find_exponent(genesis: Genesis, currency: str) -> int:
    """Decimal digits of a currency of this network."""
    return next(one.exponent for one in genesis.currencies if one.code == currency)


def name_account(rows: Rows, account: bytes) -> str:
    """A member's name as proved, else the account's id."""
    member = rows.get((MEMBERS.number, account))
    return account.hex() if member is None else f"{member.name} ({account.hex()})"


def find_row(rows: Rows, table: int) -> tuple[bytes, Any]:
    """The first row of a table that was asked for, with its key."""
    return next((key, row) for (number, key), row in rows.items() if number == table)


def tell_status(genesis: Genesis, rows: Rows) -> Facts:
    """How far the network has come."""
    tip, epoch, governed, rules = (rows[place] for place in STATUS)
    return [
        ("network", genesis.name),
        ("chain", genesis.calculate_chain_id().hex()),
        ("height", tip.height),
        ("block time", format_time(tip.time_ms)),
        ("epoch", epoch.epoch),
        ("seats", len(epoch.seats)),
        ("suspects", len(epoch.suspects) or None),
        ("policy version", governed.policy_version),
        ("rules version", rules.present.version),
    ]


def find_account_places(genesis: Genesis, account: bytes, *, signed: bool) -> list[Place]:
    """Its balances, its name if it has one, and for those who may see it the account itself."""
    fits = len(HELD) * len(genesis.currencies) + 2 <= PROVED_ROWS_MAX
    books = HELD if fits else HELD[:1]
    places = [
        (BALANCES.number, calculate_balance_key(account, book, one.code))
        for one in genesis.currencies
        for book in books
    ]
    places.append((MEMBERS.number, account))
    return [*places, (ACCOUNTS.number, account)] if signed else places


def tell_account(genesis: Genesis, account: bytes, rows: Rows) -> Facts:
    """Money, and the credential where it was asked for."""
    facts: Facts = [("account", name_account(rows, account))]
    for one in genesis.currencies:
        for book in HELD:
            balance = rows.get((BALANCES.number, calculate_balance_key(account, book, one.code)))
            if balance is not None:
                amount = balance if book in DEBIT_BOOKS else -balance
                facts.append((book.name.lower(), format_money(amount, one.exponent, one.code)))
    if len(facts) == 1:
        facts.append(("holds", "nothing"))
    if (ACCOUNTS.number, account) in rows and rows[ACCOUNTS.number, account] is None:
        facts.append(("credential", "none: nobody opened this account"))
    row = rows.get((ACCOUNTS.number, account))
    if row is not None:
        roles = [str(role.name).lower() for role in Role if row.roles & role]
        facts += [
            ("kind", row.kind.name.lower()),
            ("key", row.key.hex()),
            ("credential level", row.level),
            ("holds until", date.fromordinal(row.expires_on).isoformat()),
            ("roles", ", ".join(roles) or None),
            ("frozen", "yes" if row.frozen else "no"),
        ]
    return facts


def follow_loan(rows: Rows) -> list[Place]:
    """The pool that leads, and its lender."""
    _, loan = find_row(rows, LOANS.number)
    if loan is None:
        return []
    assert loan.holdings, "a loan keeps its holdings when it ends"
    lead = loan.holdings[0].pool
    pool = rows.get((POOLS.number, lead))
    return [(POOLS.number, lead)] if pool is None else [(MEMBERS.number, pool.owner)]


def tell_loan(genesis: Genesis, rows: Rows) -> Facts:
    """Where a loan stands."""
    key, loan = find_row(rows, LOANS.number)
    _, pool = find_row(rows, POOLS.number)
    exponent = find_exponent(genesis, pool.currency)

    def money(amount: int) -> str:
        return format_money(amount, exponent, pool.currency)

    principal, interest, fee, penalty = loan.paid
    return [
        ("loan", key.hex()),
        ("lender", name_account(rows, pool.owner)),
        ("state", loan.state.name.lower()),
        ("principal owed", money(loan.principal_out)),
        ("principal paid", money(principal)),
        ("interest paid", money(interest)),
        ("fees paid", money(fee)),
        ("penalties paid", money(penalty)),
        ("late at most", f"{loan.days_past_due_max} days"),
        ("restructured", f"{loan.restructures} times" if loan.restructures else None),
        ("pools", len(loan.holdings) if len(loan.holdings) > 1 else None),
    ]


def follow_pool(rows: Rows) -> list[Place]:
    """Whose it is."""
    _, pool = find_row(rows, POOLS.number)
    return [] if pool is None else [(MEMBERS.number, pool.owner)]


def tell_pool(genesis: Genesis, rows: Rows) -> Facts:
    """What a pool has."""
    key, pool = find_row(rows, POOLS.number)
    exponent = find_exponent(genesis, pool.currency)

    def money(amount: int) -> str:
        return format_money(amount, exponent, pool.currency)

    return [
        ("pool", key.hex()),
        ("lender", name_account(rows, pool.owner)),
        ("cash", money(pool.cash)),
        ("of it promised", money(pool.reserved)),
        ("principal lent", money(pool.principal)),
        ("goods", money(pool.assets)),
        ("net asset value", money(pool.cash + pool.principal + pool.assets)),
        ("lost", money(pool.lost) if pool.lost else None),
        ("cover", money(pool.cover)),
        ("cover asked for", format_ppm(pool.cover_rate_ppm)),
        ("shares", pool.shares),
        ("waiting to leave", pool.exiting or None),
        ("open loans", pool.loans_open),
    ]


def follow_product(rows: Rows) -> list[Place]:
    """Whose it is."""
    _, product = find_row(rows, PRODUCTS.number)
    return [] if product is None else [(MEMBERS.number, product.lender)]


def tell_product(genesis: Genesis, rows: Rows) -> Facts:
    """The main terms; the whole row is in JSON."""
    key, product = find_row(rows, PRODUCTS.number)
    terms, exponent = product.terms, find_exponent(genesis, product.currency)
    rates = [one.rate_ppm for one in terms.bands]
    least, most = (format_money(one, exponent, product.currency) for one in (terms.amount_min, terms.amount_max))
    every = f"{terms.period_every} {terms.period_unit.name.lower()}"
    return [
        ("product", key.hex()),
        ("name", terms.name),
        ("lender", name_account(rows, product.lender)),
        ("kind", type(terms.kind).__name__.removesuffix("Kind").lower()),
        ("amount", f"{least} to {most}"),
        ("instalments", f"{terms.instalments_min} to {terms.instalments_max}, every {every}"),
        ("rate a year", f"{format_ppm(min(rates))} to {format_ppm(max(rates))}"),
        ("origination fee", format_ppm(terms.origination_fee_ppm)),
        ("until", date.fromordinal(terms.expires_on).isoformat()),
    ]


def follow_proposal(rows: Rows) -> list[Place]:
    """Who proposes, and who voted."""
    _, proposal = find_row(rows, PROPOSALS.number)
    if proposal is None:
        return []
    known = len(rows)
    people = (proposal.proposer, *proposal.approved, *proposal.rejected)
    return [(MEMBERS.number, one) for one in dict.fromkeys(people)][: max(0, PROVED_ROWS_MAX - known)]


def tell_proposal(_genesis: Genesis, rows: Rows) -> Facts:
    """Where a proposal stands."""
    key, proposal = find_row(rows, PROPOSALS.number)

    def names(accounts: tuple[bytes, ...]) -> str:
        members = [rows.get((MEMBERS.number, one)) for one in accounts]
        told = [one.hex()[:8] if member is None else member.name for one, member in zip(accounts, members, strict=True)]
        return ", ".join(told) or "nobody"

    return [
        ("proposal", key.hex()),
        ("action", type(proposal.action).__name__),
        ("proposed by", name_account(rows, proposal.proposer)),
        ("state", proposal.state.name.lower()),
        ("takes effect", date.fromordinal(proposal.effective_on).isoformat()),
        ("for it", names(proposal.approved)),
        ("against it", names(proposal.rejected)),
        ("votes needed", proposal.needed or None),
    ]


def tell_exposure(genesis: Genesis, rows: Rows) -> Facts:
    """What one subject owes across all lenders, in the network's first currency."""
    key, row = find_row(rows, EXPOSURES.number)
    unit = genesis.currencies[0]
    return [
        ("tag", key.hex()),
        ("account", row.account.hex()),
        ("principal open", format_money(row.principal_open, unit.exponent, unit.code)),
        ("undrawn lines", format_money(row.undrawn, unit.exponent, unit.code)),
        ("open loans", len(row.loans)),
        ("open lines", len(row.lines)),
        ("guarantees", len(row.guarantees)),
    ]


def tell_row(_genesis: Genesis, rows: Rows) -> str:
    """A row as JSON."""
    import json

    (row,) = rows.values()
    return json.dumps(plain(row), ensure_ascii=False, indent=2)
