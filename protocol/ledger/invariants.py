"""What must hold of the books after every block (ledger 2.13), each law a function from a ledger to its violations.

Run by nodes and by tests. The arithmetic here is its own wherever a rule has some, so that a fault of a rule cannot
hide behind itself. Numbers in parentheses are those of the design. Never change a row here.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Final

from protocol.ids import ObjectId
from protocol.ledger.books import EventKind, calculate_queue_key
from protocol.ledger.execute import Ledger
from protocol.ledger.journal import Book, split_balance_key
from protocol.ledger.rows import (
    ApplicationState,
    Contract,
    Loan,
    LoanState,
    OfferState,
    Pool,
)
from protocol.ledger.state import (
    ACCOUNTS,
    APPLICATIONS,
    BALANCES,
    BUDGETS,
    CONSENTS,
    CONTRACTS,
    DECISIONS,
    EXPOSURES,
    KEYS,
    LOANS,
    OFFERS,
    POOLS,
    PRODUCTS,
    QUEUE,
    REDEMPTIONS,
    SHARES,
)
from protocol.loans.schedule import calculate_schedule
from protocol.money import AMOUNT_MAX, PPM

Violations = list[str]
Check = Callable[[Ledger], Violations]

_NEVER_IN_CREDIT: Final = (Book.FIAT, Book.PRINCIPAL)


def _loans(ledger: Ledger) -> Iterator[tuple[ObjectId, Contract, Loan]]:
    state = ledger.books.state
    for key, loan in state.items(LOANS):
        yield ObjectId(key), state.need(CONTRACTS, key), loan


def _sums(ledger: Ledger) -> dict[tuple[str, Book], int]:
    """Sum of balances by currency and book, debits positive."""
    totals: Counter[tuple[str, Book]] = Counter()
    for key, amount in ledger.books.state.items(BALANCES):
        _, book, currency = split_balance_key(key)
        totals[currency, book] += amount
    return dict(totals)


def _balance(ledger: Ledger, pool_id: bytes, pool: Pool, book: Book) -> int:
    key = pool_id + bytes((book,)) + pool.currency.encode("ascii")
    return ledger.books.state.get(BALANCES, key) or 0


# ---------------------------------------------------------------------- money


def check_money_conserved(ledger: Ledger) -> Violations:
    """(1) What holders, escrow and pools have is what agents hold: minted less burned."""
    sums, found = _sums(ledger), []
    for currency in ledger.books.currencies:
        fiat = sums.get((currency, Book.FIAT), 0)
        held = -sums.get((currency, Book.CASH), 0) - sums.get((currency, Book.ESCROW), 0)
        held += sum(pool.cash for _, pool in ledger.books.state.items(POOLS) if pool.currency == currency)
        if fiat != held:
            found.append(f"{currency}: agents hold {fiat}, owners have {held}")
    return found


def check_books_balance(ledger: Ledger) -> Violations:
    """(2) All balances of a currency sum to zero: every entry was balanced."""
    totals: Counter[str] = Counter()
    for (currency, _), amount in _sums(ledger).items():
        totals[currency] += amount
    return [f"{currency}: books are {amount} apart" for currency, amount in sorted(totals.items()) if amount]


def check_no_negative_balance(ledger: Ledger) -> Violations:
    """(3, 4) Nobody owes the network cash, no agent burned more than it holds, no pool is owed less than nothing."""
    found = []
    for key, amount in ledger.books.state.items(BALANCES):
        owner, book, currency = split_balance_key(key)
        natural = amount if book in _NEVER_IN_CREDIT else -amount
        if natural < 0:
            found.append(f"{owner.hex()}: {book.name} is {natural} {currency}")
    for key, pool in ledger.books.state.items(POOLS):
        if pool.cash < 0 or pool.principal < 0 or pool.shares < 0:
            found.append(f"pool {key.hex()}: a negative figure")
    return found


def check_escrow(ledger: Ledger) -> Violations:
    """(5) Escrow is the sum of open redemptions, holder by holder."""
    wanted: Counter[tuple[bytes, str]] = Counter()
    for _, redemption in ledger.books.state.items(REDEMPTIONS):
        if redemption.paid is None:
            wanted[redemption.holder, redemption.currency] += redemption.amount
    held: Counter[tuple[bytes, str]] = Counter()
    for key, amount in ledger.books.state.items(BALANCES):
        owner, book, currency = split_balance_key(key)
        if book is Book.ESCROW:
            held[owner, currency] -= amount
    keys = sorted({*wanted, *held})
    return [
        f"{one[0].hex()}: escrow {held[one]}, open redemptions {wanted[one]} {one[1]}"
        for one in keys
        if held[one] != wanted[one]
    ]


def check_amounts_bounded(ledger: Ledger) -> Violations:
    """Fiat of a currency stays within what every reader can count (2^53 - 1)."""
    return [
        f"{currency}: {amount} minted"
        for (currency, book), amount in sorted(_sums(ledger).items())
        if book is Book.FIAT and amount > AMOUNT_MAX
    ]


# ---------------------------------------------------------------------- loans


def check_principal_bounds(ledger: Ledger) -> Violations:
    """(7, 8) 0 <= principal out <= disbursed, and principal out = disbursed - paid."""
    found = []
    for loan_id, contract, loan in _loans(ledger):
        disbursed = contract.disclosure.schedule.principal
        if not 0 <= loan.principal_out <= disbursed or loan.principal_out != disbursed - loan.paid[0]:
            found.append(f"loan {loan_id.hex()}: {loan.principal_out} out of {disbursed}, {loan.paid[0]} paid")
    return found


def check_rows_hold_principal(ledger: Ledger) -> Violations:
    """(9) Unpaid principal of the rows is the principal out, and the rows' principal is what was disbursed."""
    found = []
    for loan_id, contract, loan in _loans(ledger):
        unpaid = sum(row.principal_due - row.principal_paid for row in loan.rows)
        due = sum(row.principal_due for row in loan.rows)
        if unpaid != loan.principal_out or due != contract.disclosure.schedule.principal:
            found.append(f"loan {loan_id.hex()}: rows hold {unpaid}, books {loan.principal_out}")
    return found


def check_rows_not_overpaid(ledger: Ledger) -> Violations:
    """(10) Of each part of each row, 0 <= paid <= due."""
    return [
        f"loan {loan_id.hex()}: row {row.index} is overpaid"
        for loan_id, _, loan in _loans(ledger)
        for row in loan.rows
        if not (
            0 <= row.principal_paid <= row.principal_due
            and 0 <= row.interest_paid <= row.interest_due
            and 0 <= row.fee_paid <= row.fee_due
            and 0 <= row.penalty_paid <= row.penalty_due
        )
    ]


def check_paid_is_allocated(ledger: Ledger) -> Violations:
    """(11) What was received, part by part, is what the rows were given."""
    found = []
    for loan_id, _, loan in _loans(ledger):
        parts = (
            sum(row.principal_paid for row in loan.rows),
            sum(row.interest_paid for row in loan.rows),
            sum(row.fee_paid for row in loan.rows),
            sum(row.penalty_paid for row in loan.rows),
        )
        if parts != loan.paid:
            found.append(f"loan {loan_id.hex()}: rows were given {parts}, received {loan.paid}")
    return found


def check_due_dates(ledger: Ledger) -> Violations:
    """(12) Due dates strictly increase and are those that were signed."""
    found = []
    for loan_id, contract, loan in _loans(ledger):
        days = tuple(row.due_on for row in loan.rows)
        signed = tuple(one.due_on for one in contract.disclosure.instalments)
        if days != signed or any(first >= second for first, second in pairwise(days)):
            found.append(f"loan {loan_id.hex()}: due dates moved")
    return found


def check_closed_loans(ledger: Ledger) -> Violations:
    """(13, 17) A closed loan owes nothing and waits for nothing; an active one owes something."""
    found = []
    for loan_id, _, loan in _loans(ledger):
        closed = loan.state is not LoanState.ACTIVE
        owed = sum(row.unpaid for row in loan.rows)
        if closed != (loan.closed_ms is not None) or (closed and (owed or loan.principal_out or loan.due_ms)):
            found.append(f"loan {loan_id.hex()}: {loan.state.name.lower()}, owes {owed}")
        if not closed and not owed:
            found.append(f"loan {loan_id.hex()}: active and owes nothing")
    return found


def check_cost_capped(ledger: Ledger) -> Violations:
    """(14) Interest, fees and penalties stay within the share of the principal that was disclosed."""
    found = []
    for loan_id, contract, loan in _loans(ledger):
        disclosure = contract.disclosure
        charged = sum(row.interest_due + row.fee_due + row.penalty_due for row in loan.rows)
        cost = disclosure.origination_fee + charged
        if cost * PPM > disclosure.cost_cap_ppm * disclosure.schedule.principal:
            found.append(f"loan {loan_id.hex()}: costs {cost}")
    return found


def check_schedules(ledger: Ledger) -> Violations:
    """(16) The signed instalments are what their terms give."""
    return [
        f"loan {loan_id.hex()}: the schedule does not recompute"
        for loan_id, contract, _ in _loans(ledger)
        if calculate_schedule(contract.disclosure.schedule) != contract.disclosure.instalments
    ]


# ---------------------------------------------------------------------- pools


def check_pool_cash(ledger: Ledger) -> Violations:
    """(18) A pool's own cash is what its books say: capital and income less what it has lent."""
    found = []
    for key, pool in ledger.books.state.items(POOLS):
        books = (Book.CAPITAL, Book.PRINCIPAL, Book.INTEREST, Book.FEES, Book.PENALTIES)
        booked = -sum(_balance(ledger, key, pool, book) for book in books)
        if booked != pool.cash:
            found.append(f"pool {key.hex()}: cash {pool.cash}, books {booked}")
    return found


def check_pool_principal(ledger: Ledger) -> Violations:
    """(19) A pool's principal is that of its loans, in its row and in its books."""
    owed: Counter[bytes] = Counter()
    open_loans: Counter[bytes] = Counter()
    for _, contract, loan in _loans(ledger):
        owed[contract.disclosure.pool] += loan.principal_out
        open_loans[contract.disclosure.pool] += loan.closed_ms is None
    found = []
    for key, pool in ledger.books.state.items(POOLS):
        booked = _balance(ledger, key, pool, Book.PRINCIPAL)
        if not owed[key] == pool.principal == booked or open_loans[key] != pool.loans_open:
            found.append(f"pool {key.hex()}: principal {pool.principal}, loans {owed[key]}, books {booked}")
    return found


def check_pool_reserved(ledger: Ledger) -> Violations:
    """(24) What a pool keeps ready is what its loans may still give back, and it is there."""
    held: Counter[bytes] = Counter()
    for _, contract, loan in _loans(ledger):
        held[contract.disclosure.pool] += loan.fee_held
    return [
        f"pool {key.hex()}: {pool.reserved} reserved of {pool.cash}, loans hold {held[key]}"
        for key, pool in ledger.books.state.items(POOLS)
        if pool.reserved != held[key] or pool.reserved > pool.cash
    ]


def check_pool_shares(ledger: Ledger) -> Violations:
    """(21) Shares of all investors are the pool's shares."""
    issued: Counter[bytes] = Counter()
    for key, shares in ledger.books.state.items(SHARES):
        issued[key[:32]] += shares
    return [
        f"pool {key.hex()}: {pool.shares} shares, investors hold {issued[key]}"
        for key, pool in ledger.books.state.items(POOLS)
        if issued[key] != pool.shares
    ]


def check_budgets(ledger: Ledger) -> Violations:
    """(27) What a product has granted is the sum of its loans, and within its budget."""
    granted: Counter[bytes] = Counter()
    for _, contract, _ in _loans(ledger):
        granted[contract.disclosure.product] += contract.disclosure.schedule.principal
    found = []
    for key, budget in ledger.books.state.items(BUDGETS):
        limit = ledger.books.state.need(PRODUCTS, key).terms.auto_budget
        if budget.used != granted[key] or budget.used > limit:
            found.append(f"product {key.hex()}: {budget.used} used, {granted[key]} granted, budget {limit}")
    return found


# ---------------------------------------------------------------------- people and records


def check_exposure(ledger: Ledger) -> Violations:
    """(28) Exposure of a person is recomputed from the loans."""
    principal: Counter[bytes] = Counter()
    loans: dict[bytes, list[bytes]] = {}
    for loan_id, contract, loan in _loans(ledger):
        principal[contract.subject_tag] += loan.principal_out
        if loan.closed_ms is None:
            loans.setdefault(contract.subject_tag, []).append(loan_id)
    found = []
    for tag, exposure in ledger.books.state.items(EXPOSURES):
        if exposure.principal_open != principal[tag] or sorted(exposure.loans) != loans.get(tag, []):
            found.append(f"tag {tag.hex()}: {exposure.principal_open} recorded, {principal[tag]} owed")
    return found


def check_debt_cap(ledger: Ledger) -> Violations:
    """(29) Nobody owes more than the policy's cap: principal only falls between acceptances."""
    cap = ledger.genesis.policy.debt_cap
    return [
        f"tag {tag.hex()}: owes {exposure.principal_open}, cap {cap}"
        for tag, exposure in ledger.books.state.items(EXPOSURES)
        if exposure.principal_open > cap
    ]


def check_lenders_cap(ledger: Ledger) -> Violations:
    """(29) Nobody owes more lenders at once than the policy allows."""
    lenders: dict[bytes, list[bytes]] = {}
    for _, contract, loan in _loans(ledger):
        if loan.closed_ms is None:
            lenders.setdefault(contract.subject_tag, []).append(contract.disclosure.lender)
    limit = ledger.genesis.policy.lenders_max
    return [f"tag {tag.hex()}: too many lenders" for tag, some in lenders.items() if len(set(some)) > limit]


def check_one_account_per_tag(ledger: Ledger) -> Violations:
    """(30) One subject tag, one account, and back."""
    state = ledger.books.state
    tags = [account.subject_tag for _, account in state.items(ACCOUNTS)]
    found = [f"tag {tag.hex()}: {count} accounts" for tag, count in Counter(tags).items() if count > 1]
    found += [
        f"account {key.hex()}: its tag names another"
        for key, account in state.items(ACCOUNTS)
        if (exposure := state.get(EXPOSURES, account.subject_tag)) is None or exposure.account != key
    ]
    found += [
        f"key {key.hex()}: speaks for an account that is not there"
        for key, row in state.items(KEYS)
        if row.account is not None and state.get(ACCOUNTS, row.account) is None
    ]
    return found


def check_consent(ledger: Ledger) -> Violations:
    """(32) No attestation was made after its consent ended, or by somebody not granted."""
    found = []
    for key, application in ledger.books.state.items(APPLICATIONS):
        consent = ledger.books.state.need(CONSENTS, application.request.consent)
        end = consent.grant.until_ms if consent.revoked_ms is None else min(consent.grant.until_ms, consent.revoked_ms)
        found += [
            f"application {key.hex()}: attested by {one.attester.hex()} without consent"
            for one in application.attestations
            if one.time_ms > end or one.attester not in consent.grant.grantees
        ]
    return found


def check_decisions(ledger: Ledger) -> Violations:
    """Each decision rests on enough equal attestations, the lender's own among them, and on a registered model (33)."""
    state, found = ledger.books.state, []
    for key, decision in state.items(DECISIONS):
        application = state.need(APPLICATIONS, key[:32])
        terms = state.need(PRODUCTS, key[32:]).terms
        bodies = {
            (one.commitment, one.capacity30)
            for one in application.attestations
            if one.attester in decision.attesters and one.model == decision.model
        }
        sound = (
            len(bodies) == 1
            and len(set(decision.attesters)) == len(decision.attesters) >= terms.attestations_min
            and decision.lender in decision.attesters
            and decision.model in ledger.books.models
            and (decision.offer is None or not decision.reasons)
            and (decision.offer is not None or bool(decision.reasons) != (decision.rule is not None))
        )
        if not sound:
            found.append(f"decision {key.hex()}: does not rest on equal attestations, or gives no reason")
    return found


def check_applications(ledger: Ledger) -> Violations:
    """An offer stands only while its application is open; a taken one has exactly one accepted offer."""
    state = ledger.books.state
    accepted: Counter[bytes] = Counter()
    found = []
    for key, offer in state.items(OFFERS):
        application = state.need(APPLICATIONS, offer.disclosure.application)
        accepted[offer.disclosure.application] += offer.state is OfferState.ACCEPTED
        if offer.state is OfferState.POSTED and application.state is not ApplicationState.OPEN:
            found.append(f"offer {key.hex()}: stands for an application that is {application.state.name.lower()}")
    for key, application in state.items(APPLICATIONS):
        taken = application.state is ApplicationState.TAKEN
        listed = key in state.need(ACCOUNTS, application.borrower).applications
        if accepted[key] != taken or listed != (application.state is ApplicationState.OPEN):
            found.append(f"application {key.hex()}: {application.state.name.lower()}, {accepted[key]} offers accepted")
    return found


def check_days_past_due(ledger: Ledger) -> Violations:
    """(35) The worst lateness ever is not below the present one, up to the day a loan was last brought to."""
    found = []
    for loan_id, _, loan in _loans(ledger):
        materiality = ledger.genesis.policy.materiality
        late = [loan.accrual.as_of - row.due_on for row in loan.rows if row.unpaid > materiality]
        if max(late, default=0) > loan.days_past_due_max:
            found.append(f"loan {loan_id.hex()}: {max(late)} days late, at most {loan.days_past_due_max} recorded")
    return found


def check_queue(ledger: Ledger) -> Violations:
    """Whatever must happen by time alone is scheduled, once, and nothing else is."""
    state = ledger.books.state
    wanted = [
        calculate_queue_key(one.expires_ms, EventKind.APPLICATION_EXPIRY, ObjectId(key))
        for key, one in state.items(APPLICATIONS)
        if one.state is ApplicationState.OPEN
    ]
    wanted += [
        calculate_queue_key(one.expires_ms, EventKind.OFFER_EXPIRY, ObjectId(key))
        for key, one in state.items(OFFERS)
        if one.state is OfferState.POSTED
    ]
    wanted += [
        calculate_queue_key(loan.due_ms, EventKind.LOAN, loan_id)
        for loan_id, _, loan in _loans(ledger)
        if loan.due_ms is not None
    ]
    held = [key for key, _ in state.items(QUEUE)]
    return [] if sorted(wanted) == held else [f"{len(held)} events scheduled, {len(wanted)} wanted"]


INVARIANTS: Final[dict[str, Check]] = {
    "money_conserved": check_money_conserved,
    "books_balance": check_books_balance,
    "no_negative_balance": check_no_negative_balance,
    "escrow": check_escrow,
    "amounts_bounded": check_amounts_bounded,
    "principal_bounds": check_principal_bounds,
    "rows_hold_principal": check_rows_hold_principal,
    "rows_not_overpaid": check_rows_not_overpaid,
    "paid_is_allocated": check_paid_is_allocated,
    "due_dates": check_due_dates,
    "closed_loans": check_closed_loans,
    "cost_capped": check_cost_capped,
    "schedules": check_schedules,
    "pool_cash": check_pool_cash,
    "pool_principal": check_pool_principal,
    "pool_reserved": check_pool_reserved,
    "pool_shares": check_pool_shares,
    "budgets": check_budgets,
    "exposure": check_exposure,
    "debt_cap": check_debt_cap,
    "lenders_cap": check_lenders_cap,
    "one_account_per_tag": check_one_account_per_tag,
    "consent": check_consent,
    "decisions": check_decisions,
    "applications": check_applications,
    "days_past_due": check_days_past_due,
    "queue": check_queue,
}
"""Every law by its stable name."""


def find_violations(ledger: Ledger) -> dict[str, Violations]:
    """Names of the laws that do not hold, each with what is wrong; empty when all hold."""
    results = {name: check(ledger) for name, check in INVARIANTS.items()}
    return {name: found for name, found in results.items() if found}
