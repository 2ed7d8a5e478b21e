"""Draws, closed lines and sales reports name their first reason: each alone, and of every two the smaller number."""

from typing import Any

from protocol.ids import ZERO_DIGEST, Day
from protocol.ledger.contracts import Disclosure
from protocol.ledger.lines import quote_draw
from protocol.ledger.offers import calculate_terms_hash
from protocol.ledger.state import ACCOUNTS, CONTRACTS, LINES, LOANS, OFFERS, POOLS, PRODUCTS, replace
from protocol.loans.delinquency import AssetClass
from protocol.loans.lifecycle import LoanState
from protocol.money import AMOUNT_MAX, Amount, Ppm
from protocol.rejections import Rejection
from protocol.transactions.lending import Draw, LineClose
from protocol.transactions.products import LineKind
from protocol.transactions.servicing import SalesReport
from tests.protocol.ledger.kinds import Kinds
from tests.protocol.ledger.precedence import NOTHING, Fault, Scene, find_standing_faults

R = Rejection


def prove(scene: Scene, faults: dict[Rejection, Fault], moot: dict[Rejection, set[Rejection]]) -> None:
    assert scene.try_with() is None
    assert {code: scene.try_with(fault) for code, fault in faults.items()} == {code: code for code in faults}
    wrong = []
    for first in sorted(faults):
        for second in sorted(faults):
            if first < second:
                wanted = second if first in moot.get(second, set()) else first
                for pair in ((first, second), (second, first)):
                    found = scene.try_with(*(faults[one] for one in pair))
                    if found is not wanted:
                        wrong.append((first.code, second.code, found))
    assert wrong == []
    assert scene.try_with() is None


def build_draw() -> Scene:
    """Ann is about to draw 100,000 on a shared line on which 50,000 are drawn."""
    world = Kinds()
    line_id = world.open_line(partner="jade")
    loan_id = world.drawn(line_id, 50_000)
    scene = Scene(world, "ann", None, line=line_id, loan=loan_id)
    scene.payload = Draw(line=line_id, amount=Amount(100_000), instalments=12, terms_hash=ZERO_DIGEST)
    sign_again(scene)
    return scene


def sign_again(scene: Scene) -> None:
    """The hash of what the payload now asks for."""
    told = quote_draw(scene.books, scene.payload.line, scene.payload.amount, scene.payload.instalments)
    scene.say(terms_hash=calculate_terms_hash(told) if isinstance(told, Disclosure) else ZERO_DIGEST)


def spend_pool(scene: Scene) -> None:
    """Jade's pool holds nothing."""
    scene.put(POOLS, scene.world.pool_id("jade"), cash=Amount(0))


def suspend(scene: Scene) -> None:
    """Jade lends no more."""
    scene.put(ACCOUNTS, scene.world.account("jade"), roles=0)


DRAW_FAULTS: dict[Rejection, Fault] = {
    R.AMOUNT_ZERO: lambda s: s.say(amount=Amount(0)),
    R.POLICY_BROKEN: lambda s: s.rule(apr_cap_ppm=Ppm(1)),
    R.APPLICATION_TERMS_INVALID: lambda s: s.say(instalments=53),
    R.TERMS_MISMATCH: lambda s: s.say(terms_hash=ZERO_DIGEST),
    R.CAP_INSTALMENTS: lambda s: s.rule(instalment_share_ppm=Ppm(1)),
    R.LIQUIDITY_SHORT: spend_pool,
    R.LINE_UNKNOWN: lambda s: s.say(line=NOTHING),
    R.LINE_CLOSED: lambda s: s.put(LINES, s.names["line"], closed=True),
    R.LINE_SHORT: lambda s: (
        s.put(LINES, s.names["line"], undrawn=Amount(100_000), closes_ms=2**52)
        or s.put(PRODUCTS, product_of(s), terms=short(s))
    ),
    R.DRAW_BLOCKED: lambda s: s.put(LOANS, s.names["loan"], impaired=AssetClass.LOSS),
    R.COVER_LOW: lambda s: s.put(POOLS, s.world.pool_id("jade"), cover_rate_ppm=Ppm(1)),
    R.LENDER_UNFIT: suspend,
}


def product_of(scene: Scene) -> bytes:
    """The line's product."""
    state = scene.books.state
    offer = state.need(LINES, scene.names["line"]).offer
    return bytes(state.need(OFFERS, offer).disclosure.product)


def short(scene: Scene) -> Any:
    """Its terms, with draws of at least 100,001."""
    terms = scene.books.state.need(PRODUCTS, product_of(scene)).terms
    return replace(terms, kind=LineKind(days=90, draw_min=Amount(100_001)))


def test_each_reason_against_a_draw_is_named_and_of_two_the_smaller_number() -> None:
    """But of an unknown or closed line nothing else is wrong than the amount that is none."""
    scene, faults = build_draw(), {**find_standing_faults(Draw), **DRAW_FAULTS}
    moot = {R.POLICY_BROKEN, R.APPLICATION_TERMS_INVALID, R.TERMS_MISMATCH, R.CAP_INSTALMENTS, R.LIQUIDITY_SHORT}
    prove(scene, faults, {R.LINE_UNKNOWN: moot, R.LINE_CLOSED: moot})


def test_each_reason_against_closing_a_line_is_named() -> None:
    """An unknown one before a closed one."""
    world = Kinds()
    scene = Scene(world, "ann", LineClose(line=world.open_line()))
    scene.names["line"] = scene.payload.line
    faults = {code: DRAW_FAULTS[code] for code in (R.LINE_UNKNOWN, R.LINE_CLOSED)}
    prove(scene, {**find_standing_faults(LineClose), **faults}, {})


# ---------------------------------------------------------------------- sales


def build_report(who: str) -> Scene:
    """Ann's advance is two days old; its first day's sales are about to be reported."""
    world = Kinds()
    loan_id = world.advance()
    world.pass_days(2)
    first = Day(world.tally(loan_id).reported_to + 1)
    payload = SalesReport(loan=loan_id, first_day=first, last_day=first, gross=Amount(9), commit=ZERO_DIGEST)
    return Scene(world, who, payload, cosigners=("harbour",) if who == "ann" else (), loan=loan_id, first=first)


def forget_sales(scene: Scene) -> None:
    """The loan is of another kind."""
    scene.put(LOANS, scene.names["loan"], sales=None)


def sell_much(scene: Scene) -> None:
    """More sales than can be counted."""
    tally = scene.books.state.need(LOANS, scene.names["loan"]).sales
    if tally is not None:
        scene.put(LOANS, scene.names["loan"], sales=replace(tally, gross=AMOUNT_MAX))


def give_away(scene: Scene) -> None:
    """The loan is of another borrower and another pool."""
    contract = scene.books.state.need(CONTRACTS, scene.names["loan"])
    told = replace(contract.disclosure, borrower=scene.world.account("bob"))
    scene.put(CONTRACTS, scene.names["loan"], disclosure=told)
    scene.put(POOLS, scene.world.pool_id("harbour"), owner=scene.world.account("jade"))


REPORT_FAULTS: dict[Rejection, Fault] = {
    R.AMOUNT_TOO_LARGE: sell_much,
    R.LOAN_UNKNOWN: lambda s: s.say(loan=NOTHING),
    R.LOAN_CLOSED: lambda s: s.put(LOANS, s.names["loan"], closed_ms=1),
    R.LOAN_STATE: lambda s: s.put(LOANS, s.names["loan"], state=LoanState.DEFAULTED),
    R.LOAN_NOT_YOURS: give_away,
    R.NOT_REVENUE_SHARE: forget_sales,
    R.SALES_GAP: lambda s: s.say(first_day=Day(s.names["first"] + 1), last_day=Day(s.payload.last_day + 1)),
    R.SALES_DAYS_INVALID: lambda s: s.say(last_day=Day(s.names["first"] + 9)),
}


def test_each_reason_against_a_report_of_sales_is_named_and_of_two_the_smaller_number() -> None:
    """Of a loan without sales neither their sum nor their days can be wrong."""
    moot = {
        R.LOAN_UNKNOWN: {R.AMOUNT_TOO_LARGE},
        R.NOT_REVENUE_SHARE: {R.AMOUNT_TOO_LARGE},
    }
    faults = {**find_standing_faults(SalesReport), **REPORT_FAULTS}
    prove(build_report("harbour"), faults, moot)
    alone: dict[Rejection, Fault] = {R.COSIGNER_MISSING: lambda s: setattr(s, "cosigners", ())}
    moot[R.LOAN_NOT_YOURS] = {R.COSIGNER_MISSING}
    prove(build_report("ann"), {**faults, **alone}, moot)
