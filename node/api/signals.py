"""Signals of a lender's portfolio over HTTP: vintages, rolls, drift of the scores, concentration.

Signed by the lender's own officers or an observer. Never a figure computed here.
"""

import msgspec
from aiohttp import web

from node.api.alerts import need_desk, read_wanted
from node.api.answers import Hex32, IsoDay, Minor
from node.api.problems import ProblemError
from node.api.reading import get_node, respond, view_day
from node.api.state import find_exponent, find_name
from node.monitor.signals import (
    DECISIONS_MIN,
    LOANS_MIN,
    SCORE_DRIFT,
    VINTAGE_LATE,
    PortfolioRule,
    Signals,
)
from protocol.ids import AccountId


class VintageSignal(msgspec.Struct, frozen=True, kw_only=True):
    """Loans paid out in one month."""

    month: str
    loans: int
    disbursed: Minor
    late_30_loans: int
    late_30_ppm: int
    """Principal more than 30 days late or defaulted, of what was paid out."""
    state: str
    """stable, watch or act; few where there are too few loans to say."""


class RollSignal(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the principal that stood in one bucket about 30 days ago; shares are of it."""

    bucket: str
    loans: int
    principal: Minor
    better_ppm: int
    same_ppm: int
    worse_ppm: int
    gone_ppm: int
    """Repaid, or sold to others."""


class DriftSignal(msgspec.Struct, frozen=True, kw_only=True):
    """Decisions of 90 days beside the distribution a model was fitted on."""

    model: Hex32
    name: str
    decisions: int
    psi_ppm: int
    """Stability index: below 100,000 stable, from 250,000 on act."""
    state: str
    reference: list[int]
    """Training cases by band, best first."""
    counts: list[int]


class ConcentrationSignal(msgspec.Struct, frozen=True, kw_only=True):
    """Principal over borrowers."""

    borrowers: int
    largest_ppm: int
    top_ten_ppm: int
    hhi_ppm: int
    """Herfindahl-Hirschman index: a million is one borrower."""


class PortfolioSignals(msgspec.Struct, frozen=True, kw_only=True):
    """A lender's own parts of loans, as a whole."""

    height: int
    lender: Hex32
    lender_name: str | None
    day: IsoDay
    currency: str
    exponent: int
    loans: int
    principal: Minor
    vintages: list[VintageSignal]
    rolled_from: IsoDay | None
    """Day of the picture that rolls are measured from; None until one is 30 days old."""
    rolls: list[RollSignal]
    late_rolled_ppm: int | None
    """Of principal at most 30 days late then, what is later than that now."""
    drifts: list[DriftSignal]
    concentration: ConcentrationSignal


def _name_state(value: int, rule: PortfolioRule, *, enough: bool) -> str:
    if not enough:
        return "few"
    return "act" if value >= rule.raised_from else "stable" if value < rule.cleared_below else "watch"


async def get_signals(request: web.Request) -> web.Response:
    """GET /v1/portfolio/signals: of the lender whose node this is."""
    node = get_node(request)
    desk = need_desk(node)
    read_wanted(request, node, desk)
    lender = desk.find_member()
    if lender is None:
        raise ProblemError("not_found", "This node speaks for no member.")
    found = await desk.portfolio.get(lender)
    await node.wait_settled()
    currency = node.genesis.currencies[0].code
    view = view_signals(found, lender, currency=currency, exponent=find_exponent(node, currency))
    view = msgspec.structs.replace(view, lender_name=find_name(node, lender))
    return respond(view, height=view.height)


def view_signals(found: Signals, lender: AccountId, *, currency: str, exponent: int) -> PortfolioSignals:
    """Signals as readers see them."""
    return PortfolioSignals(
        height=found.height,
        lender=lender.hex(),
        lender_name=None,
        day=view_day(found.day),
        currency=currency,
        exponent=exponent,
        loans=found.loans,
        principal=found.principal,
        vintages=[
            VintageSignal(
                **one._asdict(), state=_name_state(one.late_30_ppm, VINTAGE_LATE, enough=one.loans >= LOANS_MIN)
            )
            for one in found.vintages
        ],
        rolled_from=None if found.rolled_from is None else view_day(found.rolled_from),
        rolls=[RollSignal(**one._asdict()) for one in found.rolls],
        late_rolled_ppm=found.late_rolled_ppm,
        drifts=[
            DriftSignal(
                model=one.model.hex(),
                name=one.name,
                decisions=one.decisions,
                psi_ppm=one.psi_ppm,
                state=_name_state(one.psi_ppm, SCORE_DRIFT, enough=one.decisions >= DECISIONS_MIN),
                reference=list(one.reference),
                counts=list(one.counts),
            )
            for one in found.drifts
        ],
        concentration=ConcentrationSignal(**found.concentration._asdict()),
    )
