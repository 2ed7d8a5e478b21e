"""A loan's whole life through the ledger's own door: several lenders, caps, lateness, closing, replays."""

import msgspec
import pytest

from protocol.genesis import GenesisError
from protocol.ledger.contracts import OfferState
from protocol.ledger.execute import Execution, Ledger, LedgerError
from protocol.ledger.invariants import find_violations
from protocol.ledger.journal import Book, calculate_trial_balance, read_balance, read_cash
from protocol.ledger.records import Assessed, Decided, Disbursed, Dissented, Made, Repaid
from protocol.ledger.rows import ApplicationState
from protocol.ledger.state import (
    APPLICATIONS,
    CONTRACTS,
    DECISIONS,
    EXPOSURES,
    KEYS,
    LOANS,
    OFFERS,
    POOLS,
    PRODUCTS,
)
from protocol.ledger.tree import check_state_proof
from protocol.loans.delinquency import DelinquencyBucket
from protocol.loans.lifecycle import LoanState
from protocol.loans.terms import ExcessRule
from protocol.money import Amount, Ppm
from protocol.rejections import Rejection
from protocol.transactions.lending import Accept
from protocol.transactions.products import BandPrice
from protocol.transactions.servicing import Pay
from tests.protocol.ledger.world import BEST_BINS, CNY, DAY_MS, LENDERS, MODEL, WORST_BINS, World, make_signer


@pytest.fixture
def world() -> World:
    """Three lenders with a product each, and Ann."""
    made = World()
    for lender in LENDERS:
        made.found_lender(lender)
    assert made.open_account("ann").rejection is None
    return made


def kinds(world: World) -> list[str]:
    """Kinds of the events of the last block."""
    assert world.execution is not None
    return [event.kind for event in world.execution.events]


def test_an_application_becomes_money_in_the_block_of_the_acceptance(world: World) -> None:
    """Pool, borrower, fee, exposure and books all move in one block, to the unit."""
    state = world.ledger.books.state
    offers = world.offer("ann")
    assert len(offers) == 3
    receipt = world.accept("ann", offers[0])
    loan_id = world.made("loan", "ann")
    assert receipt.outcome == (
        Made(id=loan_id),
        Disbursed(loan=loan_id, principal=Amount(800_000), proceeds=Amount(796_000)),
    )
    contract = state.need(CONTRACTS, loan_id)
    pool_id = contract.disclosure.pool
    assert read_cash(state, world.account("ann"), CNY) == 796_000
    assert state.need(POOLS, pool_id).cash == 10_000_000 - 796_000
    assert state.need(POOLS, pool_id).principal == 800_000
    assert read_balance(state, pool_id, Book.FEES, CNY) == 4_000
    assert state.need(EXPOSURES, contract.subject_tag).principal_open == 800_000
    assert [state.need(OFFERS, one).state for one in offers] == [
        OfferState.ACCEPTED,
        OfferState.CANCELLED,
        OfferState.CANCELLED,
    ]
    assert all(sum(books.values()) == 0 for books in calculate_trial_balance(state).values())
    assert find_violations(world.ledger) == {}


def test_offers_come_cheapest_first_and_state_the_whole_cost() -> None:
    """One offer per lender that attested; the disclosure's figures follow from its own instalments."""
    world = World()
    for lender, fee in zip(LENDERS, (9_000, 5_000, 7_000), strict=True):
        world.found_lender(lender, origination_fee_ppm=fee, attestations_min=3)
    world.open_account("ann")
    application = world.apply("ann")
    decided = world.attest(application, "ann")
    assert [fact.lender for fact in decided] == [world.account(one) for one in ("jade", "plum", "harbour")]
    assert [fact.apr_ppm for fact in decided] == sorted(fact.apr_ppm or 0 for fact in decided)
    for fact in decided:
        assert fact.offer is not None
        shown = world.ledger.books.state.need(OFFERS, fact.offer).disclosure
        assert shown.total_payable == sum(one.total_due for one in shown.instalments)
        assert shown.total_cost == shown.total_payable - shown.net_proceeds
        assert shown.net_proceeds == shown.schedule.principal - shown.origination_fee
        assert shown.prepayment_fee_ppm == 0
        assert shown.cooling_off_days == 3


def test_a_bad_score_is_declined_with_specific_reasons(world: World) -> None:
    """Each lender's decline is a record of its own with the model's reasons; the application stays open."""
    application = world.apply("ann", bins=WORST_BINS)
    decided = world.attest(application, "ann", bins=WORST_BINS)
    assert [(fact.offer, fact.rule) for fact in decided] == [(None, None)] * 3
    expected = MODEL.assess(WORST_BINS)
    assert all(fact.reasons == expected.reasons and 0 < len(fact.reasons) <= 4 for fact in decided)
    state = world.ledger.books.state
    assert state.need(APPLICATIONS, application).state is ApplicationState.OPEN
    assert state.need(DECISIONS, application + decided[0].product).reasons == expected.reasons


def test_the_score_stands_in_the_receipt_of_the_application(world: World) -> None:
    """What every node computed from the sidecar is proved under exec_root, and a replay after erasure agrees."""
    data, consent = world.anchor("ann")
    sidecar = world.sidecar("ann")
    transaction = world.transaction("ann", world.application("ann", data, consent, sidecar=sidecar))
    saved = list(world.ledger.rows()), world.ledger.height, world.ledger.exec_root
    receipt = world.block((transaction, (sidecar,)))[0]
    assert receipt is not None
    said = MODEL.assess(BEST_BINS)
    (assessed,) = [fact for fact in receipt.outcome if isinstance(fact, Assessed)]
    assert (assessed.points, assessed.pd_ppm, assessed.band, assessed.reasons) == said

    again = Ledger.from_rows(world.genesis, saved[0], height=saved[1], exec_root=saved[2])
    again.begin_block(world.header(world.ledger.height))
    with pytest.raises(LedgerError, match="erased"):
        again.execute(transaction, ())
    assert again.execute(transaction, (), receipt) == receipt
    execution = again.end_block()
    assert execution.exec_root == world.ledger.exec_root
    assert world.execution is not None
    assert execution.events == world.execution.events


def test_equal_attestations_decide_and_the_lender_must_be_among_them(world: World) -> None:
    """Two equal bodies decide for lenders who attested; a lender who did not read the data makes no offer."""
    application = world.apply("ann")
    assert world.attest(application, "ann", lenders=("harbour",)) == []
    decided = world.attest(application, "ann", lenders=("jade",))
    assert {fact.lender for fact in decided} == {world.account("harbour"), world.account("jade")}


def test_a_dissenting_attestation_is_recorded_and_stops_nobody(world: World) -> None:
    """One that differs is an event about the attester; the equal ones decide all the same."""
    application = world.apply("ann")
    commitment = world.sidecar("ann").calculate_commitment()
    liar = world.must("jade/attester", world.attestation("jade", application, world.sidecar("bob").salt))
    assert liar.outcome == (Dissented(attester=world.account("jade")),)
    assert kinds(world) == ["attestation_dissented"]
    world.must("harbour/attester", world.attestation("harbour", application, commitment))
    receipt = world.must("plum/attester", world.attestation("plum", application, commitment))
    lenders = [fact.lender for fact in receipt.outcome if isinstance(fact, Decided)]
    assert sorted(lenders) == sorted((world.account("harbour"), world.account("plum")))
    assert find_violations(world.ledger) == {}


def test_a_second_loan_at_another_lender_is_refused_by_the_debt_cap(world: World) -> None:
    """800,000 stand; another 800,000 anywhere would pass the cap of 1,500,000, and nothing moves."""
    world.borrow("ann")
    offers = world.offer("ann")
    before = world.ledger.books.state.need(OFFERS, offers[1])
    receipt = world.accept("ann", offers[1])
    assert receipt.rejection is Rejection.CAP_DEBT
    assert receipt.outcome == ()
    assert world.ledger.books.state.need(OFFERS, offers[1]) == before
    assert find_violations(world.ledger) == {}


def test_two_acceptances_in_one_block_cannot_both_take_the_last_of_the_cap(world: World) -> None:
    """However they are ordered, the first of two wins and the second meets the cap."""
    first, second = world.offer("ann")[0], world.offer("ann")[1]
    state = world.ledger.books.state
    calls = [
        world.transaction("ann", Accept(offer=one, terms_hash=state.need(OFFERS, one).terms_hash))
        for one in (second, first)
    ]
    receipts = world.block(*((one, ()) for one in calls))
    assert [one.rejection for one in receipts if one is not None] == [None, Rejection.CAP_DEBT]


def test_a_loan_paid_on_its_days_costs_what_was_disclosed(world: World) -> None:
    """Twelve instalments on their due dates: interest as signed, then closed, and nothing is open any more."""
    loan_id = world.borrow("ann")
    state = world.ledger.books.state
    contract = state.need(CONTRACTS, loan_id)
    world.mint("ann", 50_000)
    paid = 0
    for instalment in contract.disclosure.instalments:
        while world.ledger.books.calculate_day(480) < instalment.due_on:
            world.pass_days(1)
        receipt = world.pay("ann", loan_id, instalment.total_due)
        (fact,) = [one for one in receipt.outcome if isinstance(one, Repaid)]
        assert (fact.principal, fact.interest, fact.penalty) == (instalment.principal_due, instalment.interest_due, 0)
        paid += fact.principal + fact.interest
    assert paid == contract.disclosure.total_payable
    loan = state.need(LOANS, loan_id)
    assert loan.state is LoanState.REPAID
    assert loan.days_past_due_max == 0
    assert state.need(EXPOSURES, contract.subject_tag).loans == ()
    assert "loan_closed" in kinds(world)
    assert world.ledger.next_due_ms() is None
    assert find_violations(world.ledger) == {}


def test_a_loan_is_late_on_the_day_after_it_was_due_by_day_roll_alone(world: World) -> None:
    """Nobody sends anything: the block after midnight charges the fee and says late; on the due day it is not late."""
    loan_id = world.borrow("ann")
    due_on = world.ledger.books.state.need(LOANS, loan_id).rows[0].due_on
    while world.ledger.books.calculate_day(480) < due_on:
        world.pass_days(1)
        assert "loan_late" not in kinds(world)
    due_ms = world.ledger.next_due_ms()
    assert due_ms == world.genesis.calculate_day_start_ms(due_on + 1, 480)
    assert not world.ledger.has_due_events(due_ms - 1)
    assert world.ledger.has_due_events(due_ms)
    world.block(ms=due_ms - world.now_ms)
    assert kinds(world) == ["late_fee_charged", "loan_late"]
    loan = world.ledger.books.state.need(LOANS, loan_id)
    assert loan.rows[0].penalty_due >= 2_000
    assert loan.bucket is DelinquencyBucket.TO_7
    assert loan.days_past_due_max == 1
    world.pass_days(40)
    loan = world.ledger.books.state.need(LOANS, loan_id)
    assert loan.bucket is DelinquencyBucket.TO_60
    assert loan.fees_charged == (1, 2, 3, 4, 5, 6)
    assert find_violations(world.ledger) == {}


def test_when_blocks_come_does_not_change_what_a_late_loan_owes(world: World) -> None:
    """A block a day or one after fifty days: the same rows, the same penalties."""
    other = World()
    for lender in LENDERS:
        other.found_lender(lender)
    other.open_account("ann")
    loans = [(one, one.borrow("ann")) for one in (world, other)]
    world.pass_days(50)
    other.block(ms=50 * DAY_MS)
    for one in (world, other):
        one.mint("ann", 500_000, "late money")
    outcomes = [one.pay("ann", loan, 1_000).outcome for one, loan in loans]
    assert outcomes[0] == outcomes[1]
    rows = [one.ledger.books.state.need(LOANS, loan).rows for one, loan in loans]
    assert rows[0] == rows[1]


def test_paying_everything_back_within_the_cooling_off_days_gives_the_fee_back(world: World) -> None:
    """Principal and interest of the days, nothing else; the loan is withdrawn, not repaid."""
    loan_id = world.borrow("ann")
    world.mint("ann", 50_000)
    world.pass_days(3)
    receipt = world.pay("ann", loan_id, 830_000)
    (fact,) = [one for one in receipt.outcome if isinstance(one, Repaid)]
    assert (fact.principal, fact.refunded, fact.closed) == (800_000, 4_000, True)
    assert 0 < fact.interest < 800
    assert world.ledger.books.state.need(LOANS, loan_id).state is LoanState.WITHDRAWN
    assert find_violations(world.ledger) == {}


def test_a_fee_that_may_go_back_is_not_lent_meanwhile() -> None:
    """The pool lends all it may; the withdrawing borrower's fee is still there, and later it is the pool's to lend."""
    world = World(debt_cap=2_000_000)
    world.found_lender("harbour", cash=1_000_000, attestations_min=1)
    for person in ("ann", "bob"):
        world.open_account(person)
    loan_id = world.borrow("ann", amount=800_000)
    pool_id = world.ledger.books.state.need(CONTRACTS, loan_id).disclosure.pool
    assert world.ledger.books.state.need(POOLS, pool_id).reserved == 4_000
    offers = world.offer("bob", amount=200_500)
    assert world.accept("bob", offers[0]).rejection is Rejection.LIQUIDITY_SHORT
    world.mint("ann", 50_000)
    world.pay("ann", loan_id, 800_000, ExcessRule.NEXT)
    world.borrow("bob", amount=990_000)
    world.pass_days(1)
    world.pay("ann", loan_id, 40_000)
    assert world.ledger.books.state.need(LOANS, loan_id).state is LoanState.WITHDRAWN
    assert find_violations(world.ledger) == {}
    world.pass_days(4)
    assert world.ledger.books.state.need(POOLS, pool_id).reserved == 0


def test_a_payment_takes_no_more_than_the_payoff_and_anybody_may_pay(world: World) -> None:
    """A friend sends too much; what is not owed stays with the friend."""
    loan_id = world.borrow("ann")
    world.open_account("bob")
    world.mint("bob", 2_000_000)
    world.pass_days(10)
    receipt = world.pay("bob", loan_id, 2_000_000)
    (fact,) = [one for one in receipt.outcome if isinstance(one, Repaid)]
    taken = fact.principal + fact.interest + fact.fee + fact.penalty
    assert fact.closed
    assert read_cash(world.ledger.books.state, world.account("bob"), CNY) == 2_000_000 - taken
    assert world.pay("bob", loan_id, 10).rejection is Rejection.LOAN_CLOSED


def test_an_offer_taken_late_never_costs_more_than_was_shown(world: World) -> None:
    """Two days after the offer the first instalment bears two days less of interest; the dates stay."""
    offers = world.offer("ann")
    world.pass_days(2)
    receipt = world.accept("ann", offers[0])
    assert receipt.rejection is None
    loan = world.ledger.books.state.need(LOANS, world.made("loan", "ann"))
    shown = world.ledger.books.state.need(OFFERS, offers[0]).disclosure.instalments
    assert [row.due_on for row in loan.rows] == [one.due_on for one in shown]
    assert loan.rows[0].interest_due * 7 == pytest.approx(shown[0].interest_due * 5, abs=7)
    assert [row.interest_due for row in loan.rows[1:]] == [one.interest_due for one in shown[1:]]


def test_applications_and_offers_end_by_themselves(world: World) -> None:
    """After the offer's days it is expired, after the application's days so is the application."""
    offers = world.offer("ann")
    world.pass_days(7)
    assert {world.ledger.books.state.need(OFFERS, one).state for one in offers} == {OfferState.EXPIRED}
    world.pass_days(8)
    application = world.ledger.books.state.need(OFFERS, offers[0]).disclosure.application
    assert world.ledger.books.state.need(APPLICATIONS, application).state is ApplicationState.EXPIRED
    assert world.ledger.next_due_ms() is None
    assert find_violations(world.ledger) == {}


def test_a_transaction_executes_once(world: World) -> None:
    """The same bytes again, in the same block or later, are skipped without a receipt."""
    loan_id = world.borrow("ann")
    call = world.transaction("ann", Pay(loan=loan_id, amount=Amount(10), excess=ExcessRule.LAST))
    first, second = world.block((call, ()), (call, ()))
    assert first is not None
    assert second is None
    assert world.block((call, ())) == [None]
    assert world.ledger.check_door(call, world.now_ms) is Rejection.NONCE_USED  # type: ignore[arg-type]


def test_a_failed_transaction_changes_its_nonce_and_nothing_else(world: World) -> None:
    """Two ledgers, one with a failing acceptance: all rows but the sender's key and the block's own are equal."""
    world.borrow("ann")
    offers = world.offer("ann")
    saved = list(world.ledger.rows()), world.ledger.height, world.ledger.exec_root
    twin = Ledger.from_rows(world.genesis, saved[0], height=saved[1], exec_root=saved[2])
    assert world.accept("ann", offers[1]).rejection is Rejection.CAP_DEBT
    assert world.execution is not None
    assert world.execution.events == ()
    twin.begin_block(world.header(world.ledger.height))
    twin.end_block()
    differing = set(world.ledger.rows()) ^ set(twin.rows())
    assert {(table, key) for table, key, _ in differing} == {(1, b""), (KEYS.number, make_signer("ann").public_key)}


def test_saved_rows_are_believed_only_with_their_root(world: World) -> None:
    """Rows give back the same ledger, which goes on to the same root; a changed, lost or foreign row is refused."""
    world.borrow("ann")
    ledger = world.ledger
    rows, height, root = list(ledger.rows()), ledger.height, ledger.exec_root
    again = Ledger.from_rows(world.genesis, rows, height=height, exec_root=root)
    assert again.next_due_ms() == ledger.next_due_ms()
    world.block(ms=30 * DAY_MS)
    again.begin_block(world.header(world.ledger.height))
    assert again.end_block().exec_root == world.ledger.exec_root != root
    table, key, value = rows[40]
    for wrong in (rows[:-1], [*rows[:40], (table, key + b"x", value), *rows[41:]], [*rows, (250, b"", b"")]):
        with pytest.raises(LedgerError):
            Ledger.from_rows(world.genesis, wrong, height=height, exec_root=root)
    with pytest.raises(LedgerError, match="damaged"):
        Ledger.from_rows(world.genesis, [(table, key, value[:-1]), *rows], height=height, exec_root=root)
    with pytest.raises(LedgerError, match="height"):
        Ledger.from_rows(world.genesis, rows, height=world.ledger.height, exec_root=root)


def test_large_amounts_survive_a_restart() -> None:
    """Money near what a pool can hold, late for years: every row still decodes."""
    most = 9 * 10**12
    world = World(debt_cap=Amount(most))
    world.found_lender(
        "harbour",
        cash=most,
        borrower_max=most,
        attestations_min=1,
        amount_max=Amount(most),
        auto_budget=Amount(most),
        bands=(BandPrice(rate_ppm=Ppm(100_000), amount_max=Amount(most)),),
    )
    world.open_account("ann")
    loan_id = world.borrow("ann", amount=most - 10**9, capacity30=9_000_000_000_000)
    world.block(ms=1_500 * DAY_MS)
    world.mint("ann", 1)
    world.pay("ann", loan_id, 1)
    assert world.ledger.books.state.need(LOANS, loan_id).late_days > 2**53
    assert find_violations(world.ledger) == {}
    ledger = world.ledger
    Ledger.from_rows(world.genesis, list(ledger.rows()), height=ledger.height, exec_root=ledger.exec_root)


def test_a_genesis_with_an_unfit_model_is_refused_with_a_sentence() -> None:
    """The operator hears what is wrong with it."""
    genesis = msgspec.structs.replace(World().genesis, models=("{}",))
    with pytest.raises(GenesisError, match="model"):
        Ledger.from_genesis(genesis)


def test_changes_of_blocks_add_up_to_all_rows(world: World) -> None:
    """What a node saves block by block is the whole state."""
    assert world.open_account("bob").rejection is None
    steps = [
        lambda: world.borrow("bob"),
        lambda: world.pass_days(9),
        lambda: world.pay("bob", world.made("loan", "bob"), 790_000),
    ]
    saved = {(table, key): value for table, key, value in world.ledger.rows()}
    kept = len(saved)
    executions = collect_executions(world)
    for step in steps:
        step()
    for execution in executions:
        for table, key, value in execution.changes:
            if value is None:
                del saved[table, key]
            else:
                saved[table, key] = value
    assert len(saved) > kept
    assert sorted((table, key, value) for (table, key), value in saved.items()) == sorted(world.ledger.rows())


def collect_executions(world: World) -> list[Execution]:
    """A list that every later block's execution is added to."""
    found: list[Execution] = []
    inner = world.ledger.end_block

    def end_block() -> Execution:
        found.append(inner())
        return found[-1]

    world.ledger.end_block = end_block  # type: ignore[method-assign]
    return found


def test_rows_and_absent_rows_are_proved_under_the_state_root(world: World) -> None:
    """A proof shows the value or that there is none; any other root, value or key fails."""
    product = next(key for key, _ in world.ledger.books.state.items(PRODUCTS))
    root = world.ledger.state_root
    present = world.ledger.prove(PRODUCTS.number, product)
    absent = world.ledger.prove(PRODUCTS.number, bytes(32))
    assert present is not None
    assert absent is not None
    assert check_state_proof(present, root)
    assert check_state_proof(absent, root)
    assert absent.value is None
    assert world.ledger.prove(200, b"") is None
    for wrong in (
        msgspec.structs.replace(present, value=None),
        msgspec.structs.replace(present, value=present.value + b"x"),
        msgspec.structs.replace(present, key=bytes(32)),
        msgspec.structs.replace(absent, value=b"x"),
        msgspec.structs.replace(present, bucket=()),
        msgspec.structs.replace(present, path=present.path[::-1]),
    ):
        assert not check_state_proof(wrong, root)
    assert not check_state_proof(present, world.ledger.exec_root)


@pytest.mark.parametrize(
    "order", [("jade", "harbour", "plum"), ("harbour", "jade", "plum"), ("harbour", "plum", "jade")]
)
def test_dissent_is_the_minoritys_whoever_spoke_first(world: World, order: tuple[str, ...]) -> None:
    """Jade says another figure than two others: it is told of Jade alone, once, when two agree against it."""
    application = world.apply("ann")
    commitment = world.sidecar("ann").calculate_commitment()
    blamed = []
    for lender in order:
        capacity30 = 99 if lender == "jade" else 900_000
        receipt = world.must(
            f"{lender}/attester", world.attestation(lender, application, commitment, capacity30=capacity30)
        )
        blamed.append([fact.attester for fact in receipt.outcome if isinstance(fact, Dissented)])
    assert blamed == [[], [], [world.account("jade")]]
    assert find_violations(world.ledger) == {}
