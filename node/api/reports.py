"""Figures of all loans: portfolios for everybody, the supervisors' report, all books added up.

A survey reads a copy of the tables, taken between two blocks, in slices of two milliseconds, so that votes and other
requests are answered meanwhile. One is made at a time and shared. The last one serves as long as making another would
take more than a tenth of the node's time, and every answer names its height. Never a figure computed here.
"""

import asyncio
import csv
import io
from collections.abc import Iterable
from typing import Final, NamedTuple

import msgspec
from aiohttp import web

from node.api.answers import Hex32, Minor
from node.api.ports import NodePort
from node.api.problems import ProblemError
from node.api.reading import get_node, parse_hex32, require_caller, respond
from node.api.state import find_exponent, find_name, find_row, may_see_exposure
from protocol.ids import AccountId, Height, ObjectId
from protocol.ledger.books import Books
from protocol.ledger.journal import Book, add_balance
from protocol.ledger.reports import CAP_STEPS_PPM, Figure, Survey, Tally, take_snapshot
from protocol.ledger.state import ACCOUNTS, BALANCES, EXPOSURES, LOANS, POOLS
from protocol.loans.delinquency import AssetClass, DelinquencyBucket
from protocol.loans.lifecycle import LoanState
from protocol.money import Currency

SLICE_S: Final = 0.002
SHARE_OF_TIME: Final = 10
"""A survey that took so long may be served for so many times as long."""


class FigureView(msgspec.Struct, frozen=True, kw_only=True):
    """So many loans with so much principal."""

    loans: int
    principal: Minor


class VintageView(msgspec.Struct, frozen=True, kw_only=True):
    """Loans paid out in one month, and how they went."""

    month: str
    """2026-11."""
    loans: int
    disbursed: Minor
    principal: Minor
    """Of it, still in the portfolio."""
    late_30: FigureView
    """In the portfolio, and more than thirty days past due or defaulted."""
    ever_late_30: int
    """Loans that ever were."""


class PortfolioView(msgspec.Struct, frozen=True, kw_only=True):
    """Loans with their principal by every way of looking at them; of a lender or pool the parts it holds."""

    height: int
    currency: str
    exponent: int
    lender: Hex32 | None
    lender_name: str | None
    pool: Hex32 | None
    held: FigureView
    """The portfolio: running and defaulted loans, until they are written off."""
    by_bucket: dict[str, FigureView]
    by_class: dict[str, FigureView]
    by_stage: dict[str, FigureView]
    by_kind: dict[str, FigureView]
    by_product: dict[str, FigureView]
    by_state: dict[str, FigureView]
    """Every loan ever made; of claims the principal claimed."""
    vintages: list[VintageView]


class RiskView(msgspec.Struct, frozen=True, kw_only=True):
    """A supervisor's figures of a portfolio; shares are of its principal, ppm."""

    held: FigureView
    par30: FigureView
    """More than 30 days past due, or defaulted."""
    par30_ppm: int
    par60: FigureView
    par60_ppm: int
    par90: FigureView
    par90_ppm: int
    npl: FigureView
    """Substandard or worse."""
    npl_ppm: int
    restructured: FigureView
    """Amended and under observation."""
    restructured_ppm: int
    written_off: FigureView
    """Not in the portfolio; the principal is what is still claimed."""
    recovered: FigureView
    """Loans that had defaulted and were not cured, and principal that came back since."""
    borrowers: int
    borrowers_elsewhere: int
    """Of them (or of its lines), those that owe another lender too."""
    top_borrowers_ppm: int
    """Share of the ten largest."""
    borrower_hhi_ppm: int
    """Herfindahl-Hirschman index over borrowers; a million is one borrower."""


class LenderRiskView(msgspec.Struct, frozen=True, kw_only=True):
    """One lender's parts of loans."""

    lender: Hex32
    lender_name: str | None
    share_ppm: int
    """Of all principal."""
    figures: RiskView


class CapStepView(msgspec.Struct, frozen=True, kw_only=True):
    """Borrowers whose debt takes a share of the debt cap within bounds."""

    from_ppm: int
    to_ppm: int | None
    """None for the last step, which holds those above the cap."""
    borrowers: int
    debt: Minor
    """With undrawn lines and the weight of guarantees."""


class RegulatorReportView(msgspec.Struct, frozen=True, kw_only=True):
    """All lenders at once: for members that validate or observe."""

    height: int
    time_ms: int
    currency: str
    exponent: int
    total: RiskView
    lenders: list[LenderRiskView]
    """Largest first."""
    largest_lender_ppm: int
    lender_hhi_ppm: int
    owe_several: FigureView
    """Borrowers (as `loans`) with open loans or lines at two lenders or more, and their principal."""
    debt_cap: Minor
    exposure: list[CapStepView]


class TrialLine(msgspec.Struct, frozen=True, kw_only=True):
    """One book in one currency."""

    currency: str
    book: str
    debit: Minor
    credit: Minor


class TrialBalanceView(msgspec.Struct, frozen=True, kw_only=True):
    """All books: debits equal credits per currency, or something is wrong."""

    height: int
    lines: list[TrialLine]
    balanced: bool


# ---------------------------------------------------------------------- making a survey


class Surveyed(NamedTuple):
    """A survey and the moment it is of."""

    survey: Survey
    height: Height
    time_ms: int
    debt_cap: int
    done_s: float
    took_s: float


class Pacer:
    """Lets others run after each slice of time."""

    def __init__(self) -> None:
        self._clock = asyncio.get_running_loop().time
        self._until_s = self._clock() + SLICE_S

    async def rest(self) -> None:
        """Give way if the slice is over."""
        if self._clock() > self._until_s:
            await asyncio.sleep(0)
            self._until_s = self._clock() + SLICE_S


class Surveyor:
    """Makes surveys, one at a time, and shares them."""

    def __init__(self) -> None:
        self._last: Surveyed | None = None
        self._running: asyncio.Task[Surveyed] | None = None

    async def get(self, node: NodePort) -> Surveyed:
        """A survey of now, or of a moment ago; the caller comes between two blocks, before its first await."""
        last = self._last
        if last is not None:
            age_s = asyncio.get_running_loop().time() - last.done_s
            if last.height == node.ledger.height or age_s < SHARE_OF_TIME * last.took_s:
                return last
        if self._running is None:
            books = take_snapshot(node.ledger.books)
            self._running = asyncio.create_task(_make_survey(books), name="survey")
            self._running.add_done_callback(self._keep)
        # Whoever waits may go; the survey is everybody's.
        return await asyncio.shield(self._running)

    def _keep(self, task: asyncio.Task[Surveyed]) -> None:
        self._running = None
        if not task.cancelled() and task.exception() is None:
            self._last = task.result()

    async def close(self) -> None:
        """End one that is being made."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)


async def _make_survey(books: Books) -> Surveyed:
    loop = asyncio.get_running_loop()
    begun_s, survey, pacer = loop.time(), Survey(), Pacer()
    for loan_id, _ in books.state.walk(LOANS):
        survey.add_loan(books, ObjectId(loan_id))
        await pacer.rest()
    for _, exposure in books.state.walk(EXPOSURES):
        survey.add_subject(books, exposure)
        await pacer.rest()
    done_s = loop.time()
    return Surveyed(survey, books.height, books.now_ms, books.policy.debt_cap, done_s, done_s - begun_s)


SURVEYOR: Final = web.AppKey("surveyor", Surveyor)


def set_up(app: web.Application) -> None:
    """Give an application its surveyor."""
    app[SURVEYOR] = Surveyor()
    app.on_shutdown.append(_close)


async def _close(app: web.Application) -> None:
    await app[SURVEYOR].close()


# ---------------------------------------------------------------------- portfolios


def _view(figure: Figure | None) -> FigureView:
    figure = figure or Figure()
    return FigureView(loans=figure.loans, principal=figure.principal)


def _view_all(figures: dict[str, Figure], labels: Iterable[str]) -> dict[str, FigureView]:
    return {label: _view(figures.get(label)) for label in labels}


def view_portfolio(
    node: NodePort, done: Surveyed, tally: Tally, *, lender: AccountId | None, pool: ObjectId | None
) -> PortfolioView:
    """A portfolio; buckets, classes, stages and states are all there, products and kinds where there are loans."""
    currency = node.genesis.currencies[0].code
    return PortfolioView(
        height=done.height,
        currency=currency,
        exponent=find_exponent(node, currency),
        lender=None if lender is None else lender.hex(),
        lender_name=None if lender is None else find_name(node, lender),
        pool=None if pool is None else pool.hex(),
        held=_view(tally.held),
        by_bucket=_view_all(tally.by_bucket, (one.name.lower() for one in DelinquencyBucket)),
        by_class=_view_all(tally.by_class, (one.name.lower() for one in AssetClass)),
        by_stage=_view_all(tally.by_stage, ("1", "2", "3")),
        by_kind=_view_all(tally.by_kind, sorted(tally.by_kind)),
        by_product=_view_all(tally.by_product, sorted(tally.by_product)),
        by_state=_view_all(tally.by_state, (one.name.lower() for one in LoanState)),
        vintages=[
            VintageView(
                month=month,
                loans=one.loans,
                disbursed=one.disbursed,
                principal=one.principal,
                late_30=_view(one.late_30),
                ever_late_30=one.ever_late_30,
            )
            for month, one in sorted(tally.vintages.items())
        ],
    )


CSV_TITLES: Final = (
    "dimension",
    "label",
    "currency",
    "loans",
    "principal_minor",
    "disbursed_minor",
    "loans_late_30",
    "principal_late_30_minor",
    "loans_ever_late_30",
)


def write_csv(view: PortfolioView) -> str:
    """The portfolio as a table: one line for each label of each way of looking; the last columns are the vintages'."""
    text = io.StringIO()
    table = csv.writer(text)
    table.writerow(CSV_TITLES)
    table.writerow(("held", "all", view.currency, view.held.loans, view.held.principal, "", "", "", ""))
    for name in ("bucket", "class", "stage", "kind", "product", "state"):
        for label, one in getattr(view, f"by_{name}").items():
            table.writerow((name, label, view.currency, one.loans, one.principal, "", "", "", ""))
    for each in view.vintages:
        late = (each.late_30.loans, each.late_30.principal, each.ever_late_30)
        table.writerow(("vintage", each.month, view.currency, each.loans, each.principal, each.disbursed, *late))
    return text.getvalue()


async def get_portfolio(request: web.Request) -> web.Response:
    """GET /v1/portfolio[?lender=|?pool=][&format=csv]."""
    node, wanted = get_node(request), request.query.get("format", "json")
    if wanted not in ("json", "csv"):
        raise ProblemError("malformed_request", "format is json or csv.")
    given, of_pool = request.query.get("lender"), request.query.get("pool")
    if given is not None and of_pool is not None:
        raise ProblemError("malformed_request", "Name a lender or a pool, not both.")
    lender = None if given is None else AccountId(parse_hex32(given))
    pool = None if of_pool is None else ObjectId(parse_hex32(of_pool))
    if lender is not None and find_row(node, ACCOUNTS, lender) is None:
        raise ProblemError("not_found", "No account has this id at this height.")
    if pool is not None and find_row(node, POOLS, pool) is None:
        raise ProblemError("not_found", "No pool has this id at this height.")
    done = await request.app[SURVEYOR].get(node)
    tally: Tally | None = done.survey.total
    if lender is not None:
        tally = done.survey.lenders.get(lender)
    elif pool is not None:
        tally = done.survey.pools.get(pool)
    view = view_portfolio(node, done, tally or Tally(), lender=lender, pool=pool)
    if wanted == "json":
        return respond(view, height=view.height)
    headers = {"Cache-Control": "no-store", "Liushui-Height": str(view.height)}
    return web.Response(text=write_csv(view), content_type="text/csv", charset="utf-8", headers=headers)


# ---------------------------------------------------------------------- the supervisors' report


def view_risk(tally: Tally) -> RiskView:
    """A supervisor's figures of a tally."""
    risk = tally.at_risk
    return RiskView(
        held=_view(tally.held),
        par30=_view(risk[30]),
        par30_ppm=tally.calculate_share(risk[30]),
        par60=_view(risk[60]),
        par60_ppm=tally.calculate_share(risk[60]),
        par90=_view(risk[90]),
        par90_ppm=tally.calculate_share(risk[90]),
        npl=_view(tally.non_performing),
        npl_ppm=tally.calculate_share(tally.non_performing),
        restructured=_view(tally.restructured),
        restructured_ppm=tally.calculate_share(tally.restructured),
        written_off=_view(tally.written_off),
        recovered=_view(tally.recovered),
        borrowers=len(tally.borrowers),
        borrowers_elsewhere=tally.borrowers_elsewhere,
        top_borrowers_ppm=tally.calculate_top_share(),
        borrower_hhi_ppm=tally.calculate_borrower_concentration(),
    )


def view_report(node: NodePort, done: Surveyed) -> RegulatorReportView:
    """The whole report."""
    survey, currency = done.survey, node.genesis.currencies[0].code
    shares = survey.calculate_lender_shares()
    steps = zip(CAP_STEPS_PPM, (*CAP_STEPS_PPM[1:], None), survey.debt_by_cap_step, strict=True)
    return RegulatorReportView(
        height=done.height,
        time_ms=done.time_ms,
        currency=currency,
        exponent=find_exponent(node, currency),
        total=view_risk(survey.total),
        lenders=[
            LenderRiskView(
                lender=lender.hex(),
                lender_name=find_name(node, lender),
                share_ppm=shares[lender],
                figures=view_risk(tally),
            )
            for lender, tally in sorted(survey.lenders.items(), key=lambda one: (-one[1].held.principal, one[0]))
        ],
        largest_lender_ppm=max(shares.values(), default=0),
        lender_hhi_ppm=survey.calculate_lender_concentration(),
        owe_several=_view(survey.owe_several),
        debt_cap=done.debt_cap,
        exposure=[
            CapStepView(from_ppm=low, to_ppm=high, borrowers=figure.loans, debt=figure.principal)
            for low, high, figure in steps
        ],
    )


async def get_regulator_report(request: web.Request) -> web.Response:
    """GET /v1/regulator/report: signed by a member that validates or observes."""
    node, caller = get_node(request), require_caller(request)
    if not may_see_exposure(node, caller.key):
        raise ProblemError("not_permitted", "The report is for members that validate or observe.")
    view = view_report(node, await request.app[SURVEYOR].get(node))
    return respond(view, height=view.height)


# ---------------------------------------------------------------------- all books


async def get_trial_balance(request: web.Request) -> web.Response:
    """GET /v1/trial-balance."""
    node = get_node(request)
    height, still, pacer = node.status().exec_height, node.ledger.books.state.copy((BALANCES,)), Pacer()
    totals: dict[Currency, dict[Book, int]] = {}
    for key, balance in still.walk(BALANCES):
        add_balance(totals, key, balance)
        await pacer.rest()
    lines = [
        TrialLine(currency=currency, book=book.name.lower(), debit=max(0, sum_), credit=max(0, -sum_))
        for currency, books in sorted(totals.items())
        for book, sum_ in books.items()
    ]
    view = TrialBalanceView(
        height=height, lines=lines, balanced=all(sum(books.values()) == 0 for books in totals.values())
    )
    return respond(view, height=height)
