"""What would make one transaction slow has a limit, and reaching it is a refusal."""

import pytest

from protocol.ids import TimeMs
from protocol.ledger import amend, decisions, execute, exposure, guarantees, servicing
from protocol.ledger.contracts import Contract, Loan
from protocol.ledger.execute import Ledger
from protocol.ledger.invariants import find_violations
from protocol.ledger.loans import load_loan
from protocol.ledger.state import ACCOUNTS, APPLICATIONS, DECISIONS, EXPOSURES, LOANS, OFFERS
from protocol.loans import accrual
from protocol.loans.calendar import Period, shift_months
from protocol.loans.terms import PeriodUnit
from protocol.money import AMOUNT_MAX, Amount, Ppm
from protocol.rejections import Rejection
from protocol.transactions.data import ConsentRevoke
from protocol.transactions.lending import Accept, ApplyWithdraw
from protocol.transactions.products import BandPrice
from protocol.transactions.servicing import AmendPropose, Treatment
from tests.protocol.ledger.world import DAY_MS, World, change, refused


def make_world() -> World:
    """Three lenders who may all lend to one, as often as wanted."""
    world = World(lenders_max=9, accepts_per_day_max=9)
    world.open_account("ann")
    for lender in ("harbour", "jade"):
        world.found_lender(lender)
    return world


def test_a_borrower_has_so_many_loans_at_once_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each open loan is brought to its day by the next acceptance, so a thousand small ones would stop a block."""
    world = make_world()
    loan = world.borrow("ann", amount=20_000)
    monkeypatch.setattr(exposure, "DEBTS_PER_SUBJECT_MAX", 1)
    offer = world.offer("ann", amount=20_000)[0]
    receipt = world.accept("ann", offer)
    assert receipt.rejection is Rejection.DEBTS_TOO_MANY
    lender = world.ledger.books.state.need(OFFERS, offer).disclosure.lender
    change(world, ACCOUNTS, lender, frozen=True)
    assert world.accept("ann", offer).rejection is Rejection.LENDER_UNFIT
    change(world, ACCOUNTS, lender, frozen=False)
    world.mint("ann", 20_000)
    world.pay("ann", loan, 30_000)
    assert world.accept("ann", offer).rejection is None


def test_a_guarantor_stands_in_for_so_many_loans_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Guarantees that weigh nothing are bounded by no cap on debt, yet each is summed."""
    world = make_world()
    world.open_account("bob")
    monkeypatch.setattr(guarantees, "GUARANTEES_PER_SUBJECT_MAX", 0)
    data, consent = world.anchor("ann")
    sidecar = world.sidecar("ann")
    payload = world.application("ann", data, consent, sidecar=sidecar, guarantors=(world.account("bob"),))
    world.must("ann", payload, sidecars=(sidecar,))
    decided = world.attest(world.made("application", "ann"), "ann")
    offer = next(one.offer for one in decided if one.offer is not None)
    accept = Accept(offer=offer, terms_hash=world.ledger.books.state.need(OFFERS, offer).terms_hash)
    assert refused(world, "ann", accept, cosigners=("bob",)) is Rejection.DEBTS_TOO_MANY
    monkeypatch.setattr(guarantees, "GUARANTEES_PER_SUBJECT_MAX", 1)
    assert refused(world, "ann", accept, cosigners=("bob",)) is None
    tag = world.ledger.books.state.need(ACCOUNTS, world.account("bob")).subject_tag
    assert len(world.ledger.books.state.need(EXPOSURES, tag).guarantees) == 1


@pytest.mark.parametrize("materiality", [0, 10_000])
def test_a_loan_that_everybody_forgot_is_still_cheap_to_look_at(
    monkeypatch: pytest.MonkeyPatch, materiality: int
) -> None:
    """Time itself brings a loan to its day, even one whose rows are too small to be late: no years at once."""
    world = World(materiality=materiality)
    world.open_account("ann")
    world.found_lender("harbour", period_unit=PeriodUnit.DAY, attestations_min=1)
    data, consent = world.anchor("ann")
    sidecar = world.sidecar("ann")
    payload = world.application(
        "ann", data, consent, amount=20_000, sidecar=sidecar, instalments=52, period_unit=PeriodUnit.DAY
    )
    world.must("ann", payload, sidecars=(sidecar,))
    (decided,) = world.attest(world.made("application", "ann"), "ann", lenders=("harbour",))
    assert decided.offer is not None
    assert world.accept("ann", decided.offer).rejection is None
    loan = world.made("loan", "ann")
    passed, pass_days = list[int](), servicing._pass_days

    def count(contract: Contract, row: Loan, today: int) -> Loan:
        passed.append(today)
        return pass_days(contract, row, today)

    monkeypatch.setattr(servicing, "_pass_days", count)
    for _ in range(300):
        world.pass_days(5)
        passed.clear()
        load_loan(world.ledger.books, loan)
        assert len(passed) <= servicing.KEEP_UP_DAYS
    assert find_violations(world.ledger) == {}


@pytest.mark.parametrize("every", [1, 2, 12])
@pytest.mark.parametrize("last_due", [740_000, 740_013, 740_014, 740_072])
def test_the_period_after_the_last_one_is_found_without_walking(every: int, last_due: int) -> None:
    """A month's stretch is that of a walk from the last due date, months' ends and long years included."""
    period, anchor_day, start = Period(unit=PeriodUnit.MONTH, every=every), 31, last_due
    for count in range(1, 40):
        end = shift_months(last_due, count * every, anchor_day=anchor_day)
        assert accrual._nominal_stretch(last_due, period, anchor_day, start) == (start, end)
        assert accrual._nominal_stretch(last_due, period, anchor_day, end - 1) == (start, end)
        start = end


def test_the_largest_loan_can_be_late_for_a_century() -> None:
    """Unit-days and late interest of hundreds of trillions stay within what a row can hold."""
    whole = {"debt_cap": Amount(AMOUNT_MAX), "instalment_share_ppm": Ppm(10**6), "cost_cap_ppm": Ppm(10**8)}
    world = World(**whole)
    world.open_account("ann")
    bands = (BandPrice(rate_ppm=Ppm(120_000), amount_max=Amount(AMOUNT_MAX)),)
    terms = {"amount_max": Amount(AMOUNT_MAX), "bands": bands, "auto_budget": Amount(AMOUNT_MAX), "attestations_min": 1}
    world.found_lender("harbour", cash=8 * 10**12, borrower_max=AMOUNT_MAX, **terms)
    decided = {}
    for amount in (813 * 10**12, 8 * 10**12):
        application = world.apply("ann", amount=amount)
        (decided[amount],) = world.attest(application, "ann", lenders=("harbour",), capacity30=9 * 10**15)
    assert decided[813 * 10**12].rule is Rejection.POLICY_BROKEN
    offer = decided[8 * 10**12].offer
    assert offer is not None
    assert world.accept("ann", offer).rejection is None
    loan = world.made("loan", "ann")
    for _ in range(30):
        world.block(ms=3_650 * DAY_MS)
    ledger = world.ledger
    assert ledger.books.state.need(LOANS, loan).late_days > 2**59
    rows = list(ledger.rows())
    again = Ledger.from_rows(ledger.genesis, rows, height=ledger.height, exec_root=ledger.exec_root)
    assert again.state_root == ledger.state_root
    assert find_violations(ledger) == {}


def test_more_products_than_one_attestation_has_room_for_answer_a_block_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """One transaction computes so many rows; the others' answers are the same, wherever blocks end."""
    answers = []
    for rows in (960, 12):
        monkeypatch.setattr(decisions, "DECIDED_ROWS_MAX", rows)
        world = make_world()
        application = world.apply("ann", amount=20_000)
        told = world.attest(application, "ann", lenders=("harbour", "jade"))
        assert len(told) == (2 if rows == 960 else 1)
        assert find_violations(world.ledger) == {}
        again = Ledger.from_rows(
            world.genesis, list(world.ledger.rows()), height=world.ledger.height, exec_root=world.ledger.exec_root
        )
        assert again.has_due_events(TimeMs(world.now_ms)) == (rows == 12)
        world.ledger = again
        world.block()
        row = again.books.state.need(APPLICATIONS, application)
        assert row.deciding_ms is None
        assert find_violations(again) == {}
        decided = [again.books.state.need(DECISIONS, application + one) for one in sorted(row.products)]
        answers.append([(one.offer, one.points, one.reasons, one.attesters) for one in decided])
    assert answers[0] == answers[1]


def test_a_closed_application_decides_nothing_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who withdraws, or takes her consent back, hears no more answers."""
    monkeypatch.setattr(decisions, "DECIDED_ROWS_MAX", 12)
    for ends in (True, False):
        world = make_world()
        application = world.apply("ann", amount=20_000)
        assert len(world.attest(application, "ann", lenders=("harbour", "jade"))) == 1
        consent = world.ledger.books.state.need(APPLICATIONS, application).request.consent
        last = ApplyWithdraw(application=application) if ends else ConsentRevoke(consent=consent)
        monkeypatch.setattr(execute, "DAY_EVENTS_PER_BLOCK_MAX", 0)
        world.must("ann", last)
        monkeypatch.setattr(execute, "DAY_EVENTS_PER_BLOCK_MAX", 1_000)
        world.block()
        assert len(world.ledger.books.state.need(APPLICATIONS, application).products) == 1
        assert find_violations(world.ledger) == {}


def test_nobody_gets_a_schedule_for_somebody_elses_loan(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proposal by a stranger is refused before anything dear is computed for it."""
    world = make_world()
    world.open_account("bob")
    loan = world.borrow("ann", amount=20_000)
    computed: list[object] = []
    monkeypatch.setattr(amend, "calculate_amended", lambda *given: computed.append(given))
    proposal = AmendPropose(
        loan=loan,
        instalments=480,
        rate_ppm=Ppm(1),
        forgiven=Amount(0),
        interest=Treatment.CARRY,
        fees=Treatment.CARRY,
        penalties=Treatment.CARRY,
        valid_days=1,
    )
    assert refused(world, "bob", proposal) is Rejection.LOAN_NOT_YOURS
    assert computed == []
