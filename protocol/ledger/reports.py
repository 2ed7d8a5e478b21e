"""What all loans come to: portfolios by lateness and vintage, and the figures that a supervisor asks for.

    books of one moment -> Survey: one Tally of all loans, one for each lender, one for each pool

A survey is gathered loan by loan, so that a node can do something else in between; it reads books that stand still
(`take_snapshot`). Principal counts while the books hold it or claim it, so a defaulted loan counts until it is written
off, although its pools have booked the loss. Integers only, shares in ppm, rounded down. Never a row changed here.
"""

from collections.abc import Iterable
from datetime import date
from heapq import nlargest
from typing import NamedTuple, TypeVar

from protocol.ids import AccountId, ObjectId
from protocol.ledger.books import Books
from protocol.ledger.contracts import (
    Contract,
    Disclosure,
    DrawTold,
    LeaseTold,
    LineTold,
    Loan,
    PurchaseTold,
    RevenueTold,
)
from protocol.ledger.exposure import calculate_debt, find_lenders
from protocol.ledger.holdings import get_owner, split_whole
from protocol.ledger.loans import load_loan
from protocol.ledger.rows import Exposure
from protocol.ledger.servicing import calculate_loan_lateness
from protocol.ledger.state import CONTRACTS, EXPOSURES, GOVERNED, LINES, LOANS, OFFERS, POOLS, replace
from protocol.loans.delinquency import (
    AssetClass,
    DelinquencyBucket,
    calculate_bucket,
    calculate_class,
    calculate_stage,
)
from protocol.loans.lifecycle import CLAIMED, LoanState
from protocol.money import PPM, divide_floor

K = TypeVar("K")
TABLES_READ = (GOVERNED, POOLS, OFFERS, CONTRACTS, LOANS, EXPOSURES, LINES)
HELD = (LoanState.ACTIVE, LoanState.DEFAULTED)
"""States whose principal is the portfolio."""
AT_RISK_DAYS = (30, 60, 90)
TOP_BORROWERS = 10
CAP_STEPS_PPM = (0, 250_000, 500_000, 750_000, 900_000, PPM)
"""Bounds of the shares of the debt cap by which borrowers are counted; the last is open."""


def take_snapshot(books: Books) -> Books:
    """Books of this moment that later blocks do not reach. For reading alone; what no report reads is left out."""
    still = Books(books.genesis)
    still.state = books.state.copy(TABLES_READ)
    still.policy, still.paused = books.policy, books.paused
    still.set_time(books.height, books.now_ms)
    return still


# ---------------------------------------------------------------------- one loan


class Position(NamedTuple):
    """A loan as it stands on the day of the books."""

    contract: Contract
    loan: Loan
    """Brought to the day."""
    days_past_due: int
    """Of a claim too, which grows older though nothing runs on it; 0 once closed."""
    bucket: DelinquencyBucket
    asset_class: AssetClass
    stage: int
    observed: bool
    """Amended, and within the policy's days since."""

    @property
    def is_held(self) -> bool:
        """Whether its principal counts."""
        return self.loan.state in HELD


def calculate_days_late(books: Books, contract: Contract, loan: Loan) -> int:
    """Days past due of a loan that was brought to today."""
    if loan.closed_ms is not None:
        return 0
    today = books.calculate_day(contract.disclosure.tz_offset_min)
    if loan.accrual.as_of != today:
        loan = replace(loan, accrual=replace(loan.accrual, as_of=today))
    return calculate_loan_lateness(contract, loan, contract.disclosure.materiality)


def rate_loan(books: Books, loan_id: ObjectId) -> Position:
    """A loan's lateness, class and stage by rule, or worse by its lender's word.

    A default makes it at least substandard, a write-off a loss; another bad loan of its borrower makes it special
    mention. Stage 3 is everything from substandard on, and an amended loan under observation is at least in stage 2.
    """
    contract, loan = load_loan(books, loan_id)
    late = calculate_days_late(books, contract, loan)
    if loan.closed_ms is not None or loan.state is LoanState.FUNDED:
        return Position(contract, loan, late, DelinquencyBucket.CURRENT, AssetClass.NORMAL, 1, observed=False)
    since = loan.restructured_on
    today = books.calculate_day(contract.disclosure.tz_offset_min)
    observed = since is not None and today < since + books.policy.observation_days
    rated = _rate(loan, late, observed=observed)
    if rated is AssetClass.NORMAL and _has_other_bad_loan(books, contract, loan_id):
        rated = AssetClass.SPECIAL_MENTION
    stage = 3 if rated >= AssetClass.SUBSTANDARD else max(calculate_stage(late), 2 if observed else 1)
    return Position(contract, loan, late, calculate_bucket(late), rated, stage, observed)


def _rate(loan: Loan, late: int, *, observed: bool) -> AssetClass:
    floor = {LoanState.DEFAULTED: AssetClass.SUBSTANDARD, LoanState.WRITTEN_OFF: AssetClass.LOSS}
    own = loan.impaired or AssetClass.NORMAL
    rated = calculate_class(late, restructured=observed, lender_class=own)
    return max(rated, floor.get(loan.state, AssetClass.NORMAL))


def _has_other_bad_loan(books: Books, contract: Contract, loan_id: ObjectId) -> bool:
    for other_id in books.state.need(EXPOSURES, contract.subject_tag).loans:
        if other_id == loan_id:
            continue
        other, loan = load_loan(books, ObjectId(other_id))
        if _rate(loan, calculate_days_late(books, other, loan), observed=False) >= AssetClass.SUBSTANDARD:
            return True
    return False


def name_kind(disclosure: Disclosure) -> str:
    """What kind of loan it is, in a word."""
    match disclosure.told:
        case RevenueTold():
            return "revenue_share"
        case LineTold():
            return "line"
        case DrawTold():
            return "line_draw"
        case LeaseTold():
            return "lease"
        case PurchaseTold():
            return "purchase"
        case _:
            return "term"


# ---------------------------------------------------------------------- figures of many loans


class Figure:
    """So many loans with so much principal, in minor units."""

    __slots__ = ("loans", "principal")

    def __init__(self) -> None:
        self.loans = 0
        self.principal = 0

    def add(self, principal: int) -> None:
        """Count one loan."""
        self.loans += 1
        self.principal += principal


class Vintage:
    """Loans paid out in one month, and how they went."""

    __slots__ = ("disbursed", "ever_late_30", "late_30", "loans", "principal")

    def __init__(self) -> None:
        self.loans = 0
        self.disbursed = 0
        """Principal paid out."""
        self.principal = 0
        """Of it, still in the portfolio."""
        self.late_30 = Figure()
        """In the portfolio, and more than thirty days past due or defaulted."""
        self.ever_late_30 = 0
        """Loans that ever were."""


class Tally:
    """Figures of a set of loans, each with the part of it that counts."""

    def __init__(self) -> None:
        self.by_bucket: dict[str, Figure] = {}
        self.by_class: dict[str, Figure] = {}
        self.by_stage: dict[str, Figure] = {}
        self.by_kind: dict[str, Figure] = {}
        self.by_product: dict[str, Figure] = {}
        self.by_state: dict[str, Figure] = {}
        """Every loan ever made; of claims the principal claimed."""
        self.vintages: dict[str, Vintage] = {}
        """By month of pay-out."""
        self.held = Figure()
        """The portfolio."""
        self.at_risk = {days: Figure() for days in AT_RISK_DAYS}
        """More days past due than that, or defaulted."""
        self.non_performing = Figure()
        """Substandard or worse."""
        self.restructured = Figure()
        """Amended and under observation."""
        self.written_off = Figure()
        """Written off; the principal is what is still claimed."""
        self.recovered = Figure()
        """Loans that had defaulted, and the principal that came back since; cured ones are not among them."""
        self.borrowers: dict[bytes, int] = {}
        """Principal by subject tag."""
        self.borrowers_elsewhere = 0
        """Borrowers with open loans or lines that owe another lender too."""

    def add(self, position: Position, *, principal: int, disbursed: int, recovered: int) -> None:
        """Count a loan with the parts that belong here, in minor units."""
        contract, loan = position.contract, position.loan
        _count(self.by_state, loan.state.name.lower(), principal)
        late_30 = position.days_past_due > 30 or loan.state in CLAIMED
        if loan.state not in (LoanState.FUNDED, LoanState.CANCELLED):
            self._add_vintage(position, principal=principal, disbursed=disbursed, late_30=late_30)
        if loan.defaulted_on is not None and loan.state is not LoanState.ACTIVE:
            self.recovered.add(recovered)
        if loan.state is LoanState.WRITTEN_OFF:
            self.written_off.add(principal)
        if not position.is_held:
            return
        _count(self.by_bucket, position.bucket.name.lower(), principal)
        _count(self.by_class, position.asset_class.name.lower(), principal)
        _count(self.by_stage, str(position.stage), principal)
        _count(self.by_kind, name_kind(contract.disclosure), principal)
        _count(self.by_product, contract.disclosure.product.hex(), principal)
        self.held.add(principal)
        for days, figure in self.at_risk.items():
            if position.days_past_due > days or loan.state is LoanState.DEFAULTED:
                figure.add(principal)
        if position.asset_class >= AssetClass.SUBSTANDARD:
            self.non_performing.add(principal)
        if position.observed:
            self.restructured.add(principal)
        self.borrowers[contract.subject_tag] = self.borrowers.get(contract.subject_tag, 0) + principal

    def _add_vintage(self, position: Position, *, principal: int, disbursed: int, late_30: bool) -> None:
        day, loan = position.contract.disbursed_on, position.loan
        month = name_month(day)
        vintage = self.vintages.get(month)
        if vintage is None:
            vintage = self.vintages[month] = Vintage()
        vintage.loans += 1
        vintage.disbursed += disbursed
        vintage.ever_late_30 += late_30 or loan.days_past_due_max > 30 or loan.defaulted_on is not None
        if position.is_held:
            vintage.principal += principal
            if late_30:
                vintage.late_30.add(principal)

    def calculate_share(self, figure: Figure) -> int:
        """A figure's principal as a share of the portfolio, ppm."""
        return calculate_share(figure.principal, self.held.principal)

    def calculate_top_share(self) -> int:
        """Share of the ten largest borrowers, ppm of the portfolio's principal."""
        return calculate_share(sum(nlargest(TOP_BORROWERS, self.borrowers.values())), self.held.principal)

    def calculate_borrower_concentration(self) -> int:
        """Herfindahl-Hirschman index over borrowers, ppm: a million is one borrower."""
        return calculate_concentration(self.borrowers.values())


def _count(figures: dict[str, Figure], label: str, principal: int) -> None:
    figure = figures.get(label)
    if figure is None:
        figure = figures[label] = Figure()
    figure.add(principal)


def name_month(day: int) -> str:
    """The calendar month of a contract day, as 2026-11."""
    return date.fromordinal(day).isoformat()[:7]


def calculate_share(part: int, whole: int) -> int:
    """Parts per million, rounded down; 0 of nothing."""
    return divide_floor(part * PPM, whole) if whole else 0


def calculate_concentration(parts: Iterable[int]) -> int:
    """Sum of the squares of the shares, ppm, rounded down once; 0 of nothing."""
    whole = squares = 0
    for part in parts:
        whole += part
        squares += part * part
    return divide_floor(squares * PPM, whole * whole) if whole else 0


# ---------------------------------------------------------------------- all loans


class Survey:
    """Figures of all loans, of each lender's parts of them and of each pool's; gathered one by one, in any order."""

    def __init__(self) -> None:
        self.total = Tally()
        self.lenders: dict[AccountId, Tally] = {}
        self.pools: dict[ObjectId, Tally] = {}
        self.debt_by_cap_step = [Figure() for _ in CAP_STEPS_PPM]
        """Borrowers and their debt, by the share of the debt cap it takes: above nothing, from a quarter on, ..."""
        self.owe_several = Figure()
        """Borrowers with open loans or lines at two lenders or more, and their principal."""

    def add_loan(self, books: Books, loan_id: ObjectId) -> None:
        """Count a loan: once in all, and for everybody that holds a part."""
        position = rate_loan(books, loan_id)
        contract, loan = position.contract, position.loan
        back = calculate_back_since_default(loan)
        self.total.add(position, principal=loan.principal_out, disbursed=contract.principal, recovered=back)
        parts = zip(
            loan.holdings, split_whole(loan.holdings, contract.principal), split_whole(loan.holdings, back), strict=True
        )
        held: dict[AccountId, list[int]] = {}
        for one, disbursed, recovered in parts:
            pool_id = ObjectId(one.pool)
            tally = _get(self.pools, pool_id)
            tally.add(position, principal=one.principal, disbursed=disbursed, recovered=recovered)
            sums = held.setdefault(get_owner(books, pool_id), [0, 0, 0])
            sums[0] += one.principal
            sums[1] += disbursed
            sums[2] += recovered
        for owner, (principal, disbursed, recovered) in held.items():
            tally = _get(self.lenders, owner)
            tally.add(position, principal=principal, disbursed=disbursed, recovered=recovered)

    def add_subject(self, books: Books, exposure: Exposure) -> None:
        """Count a person or company that owes or may draw something, or stands in for somebody who does."""
        debt = calculate_debt(books, exposure)
        cap = books.policy.debt_cap
        if debt:
            step = sum(debt * PPM >= bound * cap for bound in CAP_STEPS_PPM[1:])
            # A debt of exactly the cap is within it.
            self.debt_by_cap_step[step - (debt == cap)].add(debt)
        lenders = find_lenders(books, exposure)
        if len(lenders) > 1:
            self.owe_several.add(exposure.principal_open)
            for lender in lenders:
                _get(self.lenders, lender).borrowers_elsewhere += 1

    def calculate_lender_shares(self) -> dict[AccountId, int]:
        """Each lender's share of the portfolio's principal, ppm."""
        return {lender: self.total.calculate_share(tally.held) for lender, tally in self.lenders.items()}

    def calculate_lender_concentration(self) -> int:
        """Herfindahl-Hirschman index over lenders, ppm: a million is one lender."""
        return calculate_concentration(tally.held.principal for tally in self.lenders.values())


def _get(tallies: dict[K, Tally], key: K) -> Tally:
    tally = tallies.get(key)
    if tally is None:
        tally = tallies[key] = Tally()
    return tally


def calculate_back_since_default(loan: Loan) -> int:
    """Principal that came back since a loan's last default; 0 for one that never defaulted, or was cured."""
    ground = loan.default_ground
    if ground is None or loan.defaulted_on is None or loan.state is LoanState.ACTIVE:
        return 0
    return loan.paid[0] - ground.principal_paid


def survey_all(books: Books) -> Survey:
    """The whole survey in one go."""
    survey = Survey()
    for loan_id, _ in books.state.items(LOANS):
        survey.add_loan(books, ObjectId(loan_id))
    for _, exposure in books.state.items(EXPOSURES):
        survey.add_subject(books, exposure)
    return survey
