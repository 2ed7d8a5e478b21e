"""Each law of the books can fail: a fault planted behind the ledger's back is found by the law it breaks."""

from collections.abc import Callable
from functools import cache
from typing import Any

import msgspec
import pytest

from protocol.crypto import calculate_hash
from protocol.ids import ZERO_DIGEST, AccountId, Day, Epoch, Height, ObjectId, TimeMs, View
from protocol.ledger.contracts import DefaultGround, OfferState, SalesTally
from protocol.ledger.erasurerows import Erasure
from protocol.ledger.execute import Ledger
from protocol.ledger.invariants import INVARIANTS, find_violations
from protocol.ledger.journal import Book, calculate_balance_key
from protocol.ledger.rows import (
    Amendment,
    ApplicationState,
    Asset,
    Dispute,
    Exit,
    ExitRound,
    Leaver,
    Leaving,
    Line,
    Payments,
    Proposal,
    ProposalState,
    Taken,
)
from protocol.ledger.seatrows import Conviction
from protocol.ledger.state import (
    ACCOUNTS,
    AMENDMENTS,
    APPLICATIONS,
    ASSETS,
    BALANCES,
    BUDGETS,
    CONSENTS,
    CONTRACTS,
    CONVICTIONS,
    DATA,
    DECISIONS,
    DISPUTES,
    EPOCH,
    ERASURES,
    EXITS,
    EXPOSURES,
    GOVERNED,
    KEYS,
    LEAVERS,
    LINES,
    LOANS,
    LOSSES,
    MEMBERS,
    OFFERS,
    PAYMENTS,
    POOLS,
    PROPOSALS,
    QUEUE,
    SHARES,
    State,
    Table,
)
from protocol.loans.lifecycle import LoanState
from protocol.loans.waterfall import Take
from protocol.money import AMOUNT_MAX, Amount, Ppm
from protocol.rejections import Rejection
from protocol.transactions.governance import PauseSet
from protocol.transactions.money import RedeemRequest
from protocol.transactions.servicing import AmendPropose, DisputeCode, DisputeSide, Treatment
from tests.protocol.ledger.world import CNY, LENDERS, World, make_signer


@cache
def saved() -> tuple[World, list[tuple[int, bytes, bytes]]]:
    """Books with something in every table: a late loan, a decline, an open application, an open redemption."""
    world = World()
    for lender in LENDERS:
        world.found_lender(lender)
    for person in ("ann", "bob"):
        world.open_account(person)
    world.borrow("ann")
    world.mint("ann", 1_000)
    agent = world.account("agent")
    world.must("ann", RedeemRequest(agent=agent, currency=CNY, amount=Amount(500), payout_commit=ZERO_DIGEST))
    world.pass_days(20)
    world.offer("bob")
    return world, list(world.ledger.rows())


@pytest.fixture
def ledger() -> Ledger:
    """A fresh copy of those books."""
    world, rows = saved()
    return Ledger.from_rows(world.genesis, rows, height=world.ledger.height, exec_root=world.ledger.exec_root)


def alter(state: State, table: Table[Any], /, **fields: Any) -> None:
    """Replace fields of the first row of a table."""
    key, row = next(state.items(table))
    state.put(table, key, msgspec.structs.replace(row, **fields))


def first(state: State, table: Table[Any]) -> Any:
    """The first row of a table."""
    return next(state.items(table))[1]


def shift(state: State, owner: bytes, book: Book, amount: int) -> None:
    """Add to a balance without a counter-posting."""
    key = calculate_balance_key(owner, book, CNY)
    state.put(BALANCES, key, (state.get(BALANCES, key) or 0) + amount)


def alter_row(state: State, /, **fields: Any) -> None:
    """Replace fields of the first row of the first loan."""
    rows = first(state, LOANS).rows
    alter(state, LOANS, rows=(msgspec.structs.replace(rows[0], **fields), *rows[1:]))


def alter_disclosure(state: State, /, **fields: Any) -> None:
    """Replace fields of the first contract's disclosure."""
    alter(state, CONTRACTS, disclosure=msgspec.structs.replace(first(state, CONTRACTS).disclosure, **fields))


def alter_holding(state: State, /, **fields: Any) -> None:
    """Replace fields of the lead's part of the first loan."""
    held = first(state, LOANS).holdings
    alter(state, LOANS, holdings=(msgspec.structs.replace(held[0], **fields), *held[1:]))


def default_before_payment(state: State) -> None:
    """A well-grounded default says that more had been paid by then than was ever received."""
    court = calculate_hash("account", make_signer("court").public_key)
    ground = DefaultGround(days_past_due=0, arbiter=AccountId(court), evidence=calculate_hash("evidence"))
    alter(state, LOANS, defaulted_on=Day(1), default_ground=msgspec.structs.replace(ground, principal_paid=10**12))


def move_cash(state: State) -> None:
    """Bob's cash is overdrawn in Ann's favour: sums stay right."""
    account, other = (calculate_hash("account", make_signer(name).public_key) for name in ("ann", "bob"))
    shift(state, account, Book.CASH, -10)
    shift(state, other, Book.CASH, 10)


def rename_key(state: State, table: Table[Any]) -> None:
    """Move the first row of a table to another key."""
    key, row = next(state.items(table))
    state.delete(table, key)
    state.put(table, bytes(len(key)), row)


def shorten_decision(state: State) -> None:
    """A decision that rests on one attestation."""
    alter(state, DECISIONS, attesters=first(state, DECISIONS).attesters[:1])


def revoke_early(state: State) -> None:
    """Consent that ended before it was used."""
    for key, row in list(state.items(CONSENTS)):
        state.put(CONSENTS, key, msgspec.structs.replace(row, revoked_ms=row.granted_ms))


def twin_tag(state: State) -> None:
    """Two accounts of one person."""
    key, row = next(state.items(ACCOUNTS))
    state.put(ACCOUNTS, calculate_hash("twin", key), row)


def both_lenders(state: State) -> None:
    """Ann owes three lenders at once."""
    loan_id, loan = next(state.items(LOANS))
    contract = state.need(CONTRACTS, loan_id)
    for pool, _ in list(state.items(POOLS)):
        other = calculate_hash("loan", pool)
        held = msgspec.structs.replace(loan.holdings[0], pool=pool)
        state.put(LOANS, other, msgspec.structs.replace(loan, holdings=(held,)))
        state.put(CONTRACTS, other, contract)


def plant_asset(state: State, /, **fields: Any) -> None:
    """A registered thing of the first account."""
    plain = Asset(
        asset_class="car",
        serial_hash=ZERO_DIGEST,
        meta_commit=ZERO_DIGEST,
        owner=next(state.items(ACCOUNTS))[0],  # type: ignore[arg-type]
        currency=CNY,
        value=Amount(1),
    )
    state.put(ASSETS, calculate_hash("thing"), msgspec.structs.replace(plain, **fields))


def lose_nowhere(state: State) -> None:
    """A loss that no day counts."""
    alter(state, LOANS, defaulted_on=Day(1))
    alter_holding(state, lost=Amount(1))


RUNNING = ExitRound(due_ms=TimeMs(1), shares=2, assets=2, issued=2, pay=Amount(1), shares_left=1, cash_left=Amount(1))
"""A day's payment under way, of whom nobody knows."""


def plant_exit(state: State, due_ms: TimeMs | None) -> None:
    """A share of the first pool in the escrow of nobody."""
    pool, nobody = next(state.items(POOLS))[0], AccountId(calculate_hash("nobody"))
    row = Exit(pool=ObjectId(pool), account=nobody, shares=1, requested_ms=TimeMs(0), due_ms=due_ms)
    state.put(EXITS, calculate_hash("exit"), row)


def plant_payment(state: State, /, payments: int = 0, **fields: Any) -> None:
    """A payment of the first loan that was never taken."""
    loan_id, _ = next(state.items(LOANS))
    alter(state, LOANS, payments=payments)
    payer = AccountId(next(state.items(ACCOUNTS))[0])
    taken = Taken(number=0, paid_on=Day(1), payer=payer, takes=(Take(index=1, principal=1),), prepaid=(0, 0, 0))
    state.put(PAYMENTS, loan_id, Payments(taken=(msgspec.structs.replace(taken, **fields),)))


def plant_dispute(state: State, /, held: dict[str, Any] | None = None, **fields: Any) -> None:
    """A dispute that the first loan knows of."""
    loan_id, loan = next(state.items(LOANS))
    plain = Dispute(
        loan=ObjectId(loan_id),
        side=DisputeSide.BORROWER,
        code=DisputeCode.AMOUNT,
        amount=Amount(5),
        evidence=ZERO_DIGEST,
        answer=None,
        opened_on=Day(1),
        hold_until=Day(2),
    )
    state.put(DISPUTES, calculate_hash("dispute"), msgspec.structs.replace(plain, **fields))
    if not fields.get("resolved"):
        plain_held = {"dispute": calculate_hash("dispute"), "hold_until": Day(2), "contested": Amount(5)}
        state.put(LOANS, loan_id, msgspec.structs.replace(loan, **{**plain_held, **(held or {})}))


def plant_amendment(state: State, /, **fields: Any) -> None:
    """A proposal for the first loan."""
    loan_id, _ = next(state.items(LOANS))
    terms = AmendPropose(
        loan=ObjectId(loan_id),
        rate_ppm=Ppm(0),
        forgiven=Amount(0),
        interest=Treatment.WAIVE,
        fees=Treatment.WAIVE,
        penalties=Treatment.WAIVE,
        valid_days=1,
    )
    proposer = AccountId(next(state.items(ACCOUNTS))[0])
    plain = Amendment(proposer=proposer, by_borrower=True, terms=terms, expires_on=Day(1))
    state.put(AMENDMENTS, calculate_hash("amendment"), msgspec.structs.replace(plain, **fields))


def pass_alone(state: State) -> None:
    """A proposal that one vote of three was enough for."""
    voter = calculate_hash("account", make_signer("jade").public_key)
    lonely = Proposal(
        proposer=AccountId(voter),
        action=PauseSet(families=1),
        effective_on=Day(1),
        effective_ms=TimeMs(1),
        state=ProposalState.DONE,
        approved=(AccountId(voter),),
    )
    state.put(PROPOSALS, calculate_hash("proposal"), lonely)


def seat_again(state: State, /, **fields: Any) -> None:
    """The row of validators with some fields that follow from its own seats."""
    row = first(state, EPOCH)
    made = {name: make(row.seats) if callable(make) else make for name, make in fields.items()}
    state.put(EPOCH, b"", msgspec.structs.replace(row, **made))


def double_seat(seats: Any) -> Any:
    """One organisation on two seats."""
    return (seats[0], msgspec.structs.replace(seats[1], account=seats[0].account), seats[2])


def plant_conviction(state: State, /, **fields: Any) -> None:
    """A key that sits was convicted, of which nobody knows."""
    seat = first(state, EPOCH).seats[0]
    plain = Conviction(account=seat.account, reporter=seat.account, epoch=Epoch(0), view=View(1), height=Height(1))
    state.put(CONVICTIONS, fields.pop("key", seat.validator_key), msgspec.structs.replace(plain, **fields))


def plant_proposal(state: State, /, **fields: Any) -> None:
    """An open proposal of Jade's that is kept as hers."""
    voter = AccountId(calculate_hash("account", make_signer("jade").public_key))
    plain = Proposal(
        proposer=voter,
        action=PauseSet(families=1),
        effective_on=Day(1),
        effective_ms=TimeMs(1),
        state=ProposalState.OPEN,
        approved=(voter,),
    )
    state.put(PROPOSALS, calculate_hash("proposal"), msgspec.structs.replace(plain, **fields))


def alter_all_members(state: State, **fields: object) -> None:
    """Every member's row with some fields changed."""
    for key, row in list(state.items(MEMBERS)):
        state.put(MEMBERS, key, msgspec.structs.replace(row, **fields))


def alter_all_accounts(state: State, **fields: object) -> None:
    """Every account's row with some fields changed."""
    for key, row in list(state.items(ACCOUNTS)):
        state.put(ACCOUNTS, key, msgspec.structs.replace(row, **fields))


def forget_member(state: State) -> None:
    """An organisation's account without its member."""
    state.delete(MEMBERS, next(state.items(MEMBERS))[0])


def plant_erasure(state: State) -> None:
    """The data of an open loan fell due."""
    data = first(state, APPLICATIONS).request.data[0]
    owner, now_ms = first(state, DATA).owner, TimeMs(2**50)
    state.put(ERASURES, data, Erasure(owner=owner, ordered_ms=now_ms, due_ms=now_ms))


def plant_line(state: State) -> None:
    """A closed line on which something is left."""
    line = Line(
        offer=next(state.items(OFFERS))[0],  # type: ignore[arg-type]
        subject_tag=next(state.items(EXPOSURES))[0],  # type: ignore[arg-type]
        limit=Amount(9),
        undrawn=Amount(1),
        draws=(),
        opened_on=Day(1),
        closes_on=Day(2),
        closes_ms=TimeMs(1),
        closed=True,
    )
    state.put(LINES, calculate_hash("line"), line)


FAULTS: dict[str, Callable[[State], None]] = {
    "money_conserved": lambda s: alter(s, POOLS, cash=Amount(first(s, POOLS).cash + 1)),
    "books_balance": lambda s: shift(s, calculate_hash("nobody"), Book.CASH, -1),
    "no_negative_balance": move_cash,
    "escrow": lambda s: shift(s, calculate_hash("nobody"), Book.ESCROW, -1),
    "amounts_bounded": lambda s: shift(s, calculate_hash("nobody"), Book.FIAT, AMOUNT_MAX),
    "principal_bounds": lambda s: alter(s, LOANS, paid=(Amount(1), Amount(0), Amount(0), Amount(0))),
    "rows_hold_principal": lambda s: alter_row(s, principal_due=1),
    "rows_not_overpaid": lambda s: alter_row(s, interest_paid=10**9),
    "paid_is_allocated": lambda s: alter_row(s, penalty_paid=1),
    "due_dates": lambda s: alter_row(s, due_on=1),
    "closed_loans": lambda s: alter(s, LOANS, state=LoanState.REPAID),
    "cost_capped": lambda s: alter_row(s, penalty_due=800_001),
    "schedules": lambda s: alter_disclosure(s, instalments=first(s, CONTRACTS).disclosure.instalments[:-1]),
    "pool_cash": lambda s: shift(s, next(s.items(POOLS))[0], Book.INTEREST, -5),
    "pool_principal": lambda s: alter(s, POOLS, loans_open=7),
    "holdings": lambda s: alter_holding(s, share_ppm=999_999),
    "claims": lambda s: alter_holding(s, lost=Amount(1)),
    "haircuts": lambda s: alter_holding(s, haircut=Amount(1)),
    "pool_reserved": lambda s: alter(s, POOLS, reserved=Amount(1)),
    "pool_shares": lambda s: rename_key(s, SHARES),
    "budgets": lambda s: alter(s, BUDGETS, used=Amount(3)),
    "exposure": lambda s: alter(s, EXPOSURES, principal_open=3),
    "debt_cap": lambda s: alter(s, EXPOSURES, principal_open=1_500_001),
    "lenders_cap": both_lenders,
    "one_account_per_tag": twin_tag,
    "consent": revoke_early,
    "decisions": shorten_decision,
    "applications": lambda s: alter(s, APPLICATIONS, state=ApplicationState.EXPIRED),
    "days_past_due": lambda s: alter(s, LOANS, days_past_due_max=0),
    "queue": lambda s: rename_key(s, QUEUE),
    "erasures": plant_erasure,
    "governed": lambda s: alter(s, GOVERNED, policy_version=2),
    "proposals": pass_alone,
    "members": forget_member,
    "seats": lambda s: alter(s, EPOCH, since=1),
    "convictions": lambda s: alter(s, EPOCH, suspects=(first(s, EPOCH).seats[0].validator_key,)),
    "network_keys": lambda s: alter(s, MEMBERS, node_key=first(s, EPOCH).seats[0].validator_key),
    "keys": lambda s: alter(s, KEYS, retired_from=first(s, KEYS).account),
    "lines": plant_line,
    "sales": lambda s: alter(s, LOANS, sales=SalesTally(reported_to=Day(1), window_start=Day(1))),
    "liens": lambda s: plant_asset(s, lien=calculate_hash("no loan")),
    "goods": lambda s: plant_asset(s, held=((next(s.items(POOLS))[0], Amount(1)),)),
    "deposits": lambda s: shift(s, calculate_hash("nobody"), Book.DEPOSIT, -1),
    "disputes": lambda s: alter(s, LOANS, dispute=calculate_hash("dispute")),
    "amendments": lambda s: alter(s, LOANS, restructures=1),
    "last_payments": lambda s: plant_payment(s),
    "defaults": lambda s: alter(s, LOANS, defaulted_on=Day(1)),
    "losses": lambda s: alter(s, POOLS, lost=Amount(1)),
    "exits": lambda s: alter(s, POOLS, exiting=1),
}


def test_lawful_books_break_no_law(ledger: Ledger) -> None:
    """Nothing is found where nothing is wrong."""
    assert find_violations(ledger) == {}


def test_every_law_has_a_planted_fault() -> None:
    """A new law comes with the fault that shows it can fail."""
    assert sorted(FAULTS) == sorted(INVARIANTS)


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_found_by_its_law(ledger: Ledger, name: str) -> None:
    """The law's own name is among those that are broken."""
    FAULTS[name](ledger.books.state)
    assert name in find_violations(ledger)


@pytest.mark.parametrize(
    ("name", "plant"),
    [
        ("decisions", lambda s: alter(s, DECISIONS, model=calculate_hash("foreign"))),
        ("decisions", lambda s: alter(s, DECISIONS, offer=None)),
        ("decisions", lambda s: alter(s, DECISIONS, officer=True, attesters=())),
        ("decisions", lambda s: alter(s, DECISIONS, rule=Rejection.BUDGET_SPENT, offer=None, reasons=(1,))),
        ("applications", lambda s: alter(s, OFFERS, state=OfferState.ACCEPTED)),
        ("one_account_per_tag", lambda s: alter(s, KEYS, account=calculate_hash("nobody"))),
        ("keys", lambda s: alter(s, ACCOUNTS, key=calculate_hash("another"))),
        ("governed", lambda s: alter(s, GOVERNED, paused=1)),
        ("keys", lambda s: alter(s, KEYS, waits_for=first(s, KEYS).account)),
        ("members", lambda s: alter(s, MEMBERS, proposals=(calculate_hash("proposal"),))),
        ("members", lambda s: alter_all_members(s, products=())),
        ("members", lambda s: [s.put(MEMBERS, key, first(s, MEMBERS)) for key, _ in list(s.items(MEMBERS))]),
        ("seats", lambda s: seat_again(s, seats=lambda seats: seats[::-1])),
        ("seats", lambda s: seat_again(s, seats=double_seat)),
        ("seats", lambda s: seat_again(s, seats=())),
        ("seats", lambda s: seat_again(s, next=lambda seats: seats, next_at=1)),
        ("seats", lambda s: seat_again(s, next=lambda seats: seats[:2])),
        ("seats", lambda s: seat_again(s, next_at=1)),
        ("seats", lambda s: seat_again(s, queued=lambda seats: seats[:2])),
        ("seats", lambda s: seat_again(s, next=lambda seats: seats[:2], queued=lambda seats: seats[:2], next_at=1)),
        ("seats", lambda s: seat_again(s, previous=lambda seats: seats)),
        ("seats", lambda s: alter_all_members(s, node_key=None)),
        ("convictions", plant_conviction),
        ("convictions", lambda s: plant_conviction(s, key=bytes(32), account=bytes(32))),
        ("convictions", lambda s: plant_conviction(s, key=bytes(32), epoch=1)),
        ("convictions", lambda s: alter_all_accounts(s, roles=0)),
        ("convictions", lambda s: seat_again(s, seats=lambda seats: seats[:2])),
        ("network_keys", lambda s: alter_all_members(s, node_key=bytes(32))),
        ("proposals", lambda s: plant_proposal(s, approved=(AccountId(bytes(32)),))),
        ("proposals", lambda s: plant_proposal(s, approved=(next(s.items(ACCOUNTS))[0],) * 2)),
        ("proposals", lambda s: plant_proposal(s, needed=1, voters=3, state=ProposalState.REJECTED)),
        ("proposals", lambda s: plant_proposal(s, needed=2, voters=3, state=ProposalState.PASSED)),
        ("proposals", lambda s: plant_proposal(s, needed=0, voters=3, state=ProposalState.DONE)),
        ("proposals", lambda s: plant_proposal(s, needed=1, voters=1)),
        ("proposals", lambda s: seat_again(s, seats=lambda seats: seats[:1]) or plant_proposal(s)),  # type: ignore[func-returns-value]
        ("closed_loans", lambda s: alter(s, LOANS, closed_ms=1)),
        ("pool_principal", lambda s: alter(s, POOLS, principal=Amount(1))),
        ("liens", lambda s: plant_asset(s, lien=next(s.items(LOANS))[0])),
        ("goods", lambda s: plant_asset(s, advanced=Amount(1))),
        ("goods", lambda s: alter(s, POOLS, assets=Amount(1))),
        ("deposits", lambda s: alter(s, LOANS, deposit=Amount(1))),
        ("disputes", lambda s: plant_dispute(s, {"contested": Amount(4)})),
        ("disputes", lambda s: plant_dispute(s, {"hold_until": Day(3)})),
        ("disputes", lambda s: plant_dispute(s, waived=Amount(1))),
        ("disputes", lambda s: plant_dispute(s, resolved=True, waived=Amount(3), refunded=Amount(3))),
        ("amendments", lambda s: plant_amendment(s)),
        ("amendments", lambda s: plant_amendment(s, accepted=True)),
        ("last_payments", lambda s: plant_payment(s, payments=1)),
        ("defaults", lambda s: alter(s, LOANS, state=LoanState.WRITTEN_OFF)),
        ("defaults", lambda s: alter(s, LOANS, defaulted_on=Day(1), default_ground=DefaultGround(days_past_due=13))),
        ("defaults", default_before_payment),
        ("losses", lambda s: s.put(LOSSES, bytes(36), 1)),
        ("losses", lose_nowhere),
        ("exits", lambda s: alter(s, POOLS, leaving=Leaving(next_ms=TimeMs(1), shares=1))),
        ("exits", lambda s: s.put(LEAVERS, bytes(64), Leaver(exit=ObjectId(bytes(32))))),
        ("exits", lambda s: plant_exit(s, due_ms=None)),
        ("exits", lambda s: plant_exit(s, due_ms=TimeMs(1))),
        ("pool_reserved", lambda s: alter(s, POOLS, leaving=Leaving(next_ms=TimeMs(2), round=RUNNING))),
    ],
)
def test_other_faces_of_a_law(ledger: Ledger, name: str, plant: Callable[[State], None]) -> None:
    """Further ways in which the same law can be broken."""
    plant(ledger.books.state)
    assert name in find_violations(ledger)
