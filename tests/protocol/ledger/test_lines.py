"""Revolving lines: what is kept ready, counted and lent, by hand-computed figures; each way in which a line ends."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from protocol.ids import ZERO_DIGEST, Day, Digest, ObjectId
from protocol.ledger.contracts import Disclosure, DrawTold, LineTold
from protocol.ledger.invariants import find_violations
from protocol.ledger.lines import calculate_draw
from protocol.ledger.loans import load_loan
from protocol.ledger.offers import calculate_terms_hash
from protocol.ledger.restructure import calculate_amended
from protocol.ledger.state import ACCOUNTS, BUDGETS, DECISIONS, LINES, OFFERS, POOLS, PRODUCTS
from protocol.loans.delinquency import AssetClass
from protocol.loans.lifecycle import LoanState
from protocol.loans.terms import ExcessRule
from protocol.money import Amount, Ppm
from protocol.rejections import Rejection
from protocol.transactions.lending import Accept, Draw, LineClose, OfferPost
from protocol.transactions.pools import PoolDeposit, PoolOpen
from protocol.transactions.products import BandPrice, LineKind, Partner
from protocol.transactions.servicing import (
    AmendAnswer,
    AmendPropose,
    DistressKind,
    LoanDistress,
    Treatment,
)
from tests.protocol.ledger.kinds import LIMIT, Kinds, lawful_kinds
from tests.protocol.ledger.precedence import NOTHING
from tests.protocol.ledger.votes import change_policy, enact
from tests.protocol.ledger.world import CNY, DAY_MS, change

R = Rejection

# ---------------------------------------------------------------------- opening


def test_a_line_is_offered_as_its_whole_limit_drawn_at_once() -> None:
    """The borrower sees the dearest use of it, and signs that."""
    with lawful_kinds() as world:
        offer = world.ask("ann", world.publish_line(), amount=LIMIT)
        assert offer is not None
        told = world.ledger.books.state.need(OFFERS, offer).disclosure
        assert told.told == LineTold(kind=LineKind(days=90, draw_min=Amount(10_000)))
        assert (told.schedule.principal, len(told.instalments)) == (LIMIT, 12)


def test_opening_a_line_moves_no_money_and_keeps_all_of_it_ready() -> None:
    """The limit is reserved, counts as debt and against the budget, and lies under the cap for one borrower."""
    with lawful_kinds() as world:
        offer = world.ask("ann", world.publish_line(), amount=LIMIT)
        receipt = world.take("ann", offer)
        line_id = world.made("line", "ann")
        assert [fact.id for fact in receipt.outcome] == [line_id]  # type: ignore[union-attr]
        pool, exposure, line = world.pool("harbour"), world.exposure("ann"), world.line(line_id)
        assert (pool.cash, pool.reserved, pool.principal, pool.loans_open) == (10_000_000, LIMIT, 0, 0)
        assert (exposure.undrawn, exposure.principal_open, exposure.lines, exposure.loans) == (LIMIT, 0, (line_id,), ())
        assert exposure.accepts == 1
        assert (line.limit, line.undrawn, line.draws, line.closed) == (LIMIT, LIMIT, (), False)
        assert line.closes_on == line.opened_on + 90
        assert world.cash("ann") == 0
        product = world.ledger.books.state.need(OFFERS, line.offer).disclosure.product
        assert world.ledger.books.state.need(BUDGETS, product).used == LIMIT
        event = world.last("line_opened")
        assert (event.data["line"], event.data["limit"], event.data["closes_on"]) == (
            line_id.hex(),
            LIMIT,
            line.closes_on,
        )


def test_an_agent_pays_no_line_out() -> None:
    """There is nothing to pay out yet, and draws are paid on the ledger."""
    with lawful_kinds() as world:
        offer = world.ask("ann", world.publish_line(), amount=LIMIT)
        assert offer is not None
        terms_hash = world.ledger.books.state.need(OFFERS, offer).terms_hash
        payload = Accept(offer=offer, terms_hash=terms_hash, agent=world.account("agent"))
        assert world.sound(world.do("ann", payload)) is R.AGENT_UNFIT


def test_a_line_takes_no_security() -> None:
    """Collateral would be bound, and guarantors liable, for draws that may never be made: there is no such offer."""
    with lawful_kinds() as world:
        product = world.publish_line()
        for fields, rule in (
            ({"collateral": (world.register("ann"),)}, R.COLLATERAL_UNFIT),
            ({"guarantors": (world.account("bob"),)}, R.GUARANTOR_UNFIT),
        ):
            assert world.ask("ann", product, **fields) is None
            application = world.made("application", "ann")
            assert world.ledger.books.state.need(DECISIONS, application + product).rule is rule


def test_an_officers_line_is_kept_ready_once() -> None:
    """The offer had reserved the limit already; the line takes its place."""
    with lawful_kinds() as world:
        product = world.publish_line(auto_budget=Amount(0))
        data, consent = world.anchor("ann")
        sidecar = world.sidecar("ann")
        payload = world.application("ann", data, consent, amount=LIMIT, sidecar=sidecar, product=product)
        world.must("ann", payload, sidecars=(sidecar,))
        application = world.made("application", "ann")
        world.attest(application, "ann")
        offered = OfferPost(
            application=application,
            product=product,
            principal=Amount(LIMIT),
            instalments=12,
            rate_ppm=Ppm(100_000),
        )
        world.must("harbour", offered)
        assert world.pool("harbour").reserved == LIMIT
        assert world.sound(world.take("ann", world.made("offer", "harbour"))) is None
        assert world.pool("harbour").reserved == LIMIT
        world.drawn(world.made("line", "ann"), 100_000)
        assert world.pool("harbour").reserved == 500_000


# ---------------------------------------------------------------------- drawing and paying back


def test_a_draw_is_a_loan_that_adds_no_debt() -> None:
    """Twelve weeks at 7.2 %, by hand: what was undrawn is lent, and no acceptance is counted."""
    with lawful_kinds() as world:
        line_id = world.open_line()
        loan_id = world.drawn(line_id, 200_000)
        contract, loan = world.contract(loan_id), world.loan(loan_id)
        told = contract.disclosure
        assert told.told == DrawTold(line=line_id)
        assert (told.schedule.rate_ppm, told.schedule.principal, told.origination_fee) == (72_000, 200_000, 0)
        # 200,000 * 7.2 % * 7 / 364 = 276.92
        assert told.instalments[0].interest_due == 277
        assert world.cash("ann") == 200_000
        pool, exposure, line = world.pool("harbour"), world.exposure("ann"), world.line(line_id)
        assert (pool.cash, pool.reserved, pool.principal, pool.loans_open) == (9_800_000, 400_000, 200_000, 1)
        assert (exposure.principal_open, exposure.undrawn, exposure.accepts) == (200_000, 400_000, 1)
        assert (line.undrawn, line.draws) == (400_000, (loan_id,))
        assert loan.state is LoanState.ACTIVE
        assert contract.offer == line.offer


def test_principal_paid_back_may_be_drawn_again() -> None:
    """Interest restores nothing; a draw that is paid leaves the line."""
    with lawful_kinds(cooling_off_days=0) as world:
        line_id = world.open_line()
        first, second = world.drawn(line_id, 200_000), world.drawn(line_id, 400_000)
        assert world.line(line_id).undrawn == 0
        assert world.draw(line_id, 10_000) is R.LINE_SHORT
        world.pass_days(7)
        world.settle("ann", first, 50_277)
        assert world.loan(first).principal_out == 150_000
        assert (world.line(line_id).undrawn, world.pool("harbour").reserved) == (50_000, 50_000)
        assert (world.exposure("ann").undrawn, world.exposure("ann").principal_open) == (50_000, 550_000)
        world.settle("ann", second, 500_000)
        assert world.loan(second).state is LoanState.REPAID
        assert (world.line(line_id).undrawn, world.line(line_id).draws) == (450_000, (first,))
        third = world.drawn(line_id, 450_000)
        assert world.line(line_id).draws == (first, third)


def test_a_withdrawn_draw_gives_its_fee_back_and_may_be_drawn_again() -> None:
    """Each draw has its own days in which the borrower may think better of it."""
    with lawful_kinds() as world:
        line_id = world.open_line(origination_fee_ppm=Ppm(5_000))
        loan_id = world.drawn(line_id, 200_000)
        assert (world.cash("ann"), world.pool("harbour").reserved) == (199_000, 401_000)
        world.settle("ann", loan_id, 200_000)
        assert world.loan(loan_id).state is LoanState.WITHDRAWN
        assert world.cash("ann") == 200_000
        assert (world.line(line_id).undrawn, world.pool("harbour").reserved) == (LIMIT, LIMIT)


def test_a_draw_never_fails_for_want_of_cash() -> None:
    """A pool that has lent out all else still has what it promised."""
    with lawful_kinds() as world:
        line_id = world.open_line()
        pool = world.pool("harbour")
        change(world, POOLS, world.pool_id("harbour"), borrower_max=Amount(20_000_000))
        product = world.publish("harbour", amount_max=Amount(20_000_000))
        left = pool.cash - pool.reserved
        rest = left - 900_000 * (left // 900_000)
        for number in range(left // 900_000):
            name = f"b{number}"
            world.open_account(name)
            assert world.sound(world.take(name, world.ask(name, product, amount=900_000))) is None
        world.open_account("last")
        assert world.sound(world.take("last", world.ask("last", product, amount=rest + 45_000))) is R.LIQUIDITY_SHORT
        assert world.sound(world.take("bob", world.ask("bob", product, amount=max(10_000, rest)))) is None
        world.drawn(line_id, LIMIT)
        assert world.line(line_id).undrawn == 0


def test_draws_pay_themselves_where_the_line_was_accepted_so() -> None:
    """Automatic payment is agreed once, with the line."""
    with lawful_kinds() as world:
        offer = world.ask("ann", world.publish_line(), amount=LIMIT)
        assert offer is not None
        terms_hash = world.ledger.books.state.need(OFFERS, offer).terms_hash
        world.must("ann", Accept(offer=offer, terms_hash=terms_hash, autopay=True))
        loan_id = world.drawn(world.made("line", "ann"), 200_000)
        world.pass_days(7)
        assert world.loan(loan_id).rows[0].unpaid == 0


def test_a_wallet_computes_what_the_ledger_will() -> None:
    """From product, policy and the line's own disclosure; on the next day it is another hash."""
    with lawful_kinds() as world:
        line_id = world.open_line()
        books = world.ledger.books
        agreed = books.state.need(OFFERS, world.line(line_id).offer).disclosure
        product = books.state.need(PRODUCTS, agreed.product)

        def compute(today: int) -> Disclosure:
            told = calculate_draw(
                world.genesis.policy,
                product,
                agreed,
                line_id,
                amount=50_000,
                instalments=3,
                today=Day(today),
                policy_version=1,
            )
            assert isinstance(told, Disclosure)
            return told

        today = books.calculate_day(agreed.tz_offset_min)
        for day, answer in ((today + 1, R.TERMS_MISMATCH), (today, None)):
            terms_hash = calculate_terms_hash(compute(day))
            payload = Draw(line=line_id, amount=Amount(50_000), instalments=3, terms_hash=terms_hash)
            assert world.sound(world.do("ann", payload)) is answer
        assert world.contract(world.made("loan", "ann")).disclosure == compute(today)


def test_a_later_policy_holds_for_draws_not_yet_made() -> None:
    """A rate that is not lawful any more cannot be drawn at; what was drawn stays."""
    with lawful_kinds() as world:
        line_id = world.open_line()
        world.drawn(line_id, 100_000)
        enact(world, change_policy(world, apr_cap_ppm=Ppm(70_000)))
        assert world.draw(line_id, 100_000) is R.POLICY_BROKEN
        enact(world, change_policy(world, apr_cap_ppm=Ppm(80_000)))
        assert world.contract(world.drawn(line_id, 100_000)).disclosure.policy_version == 3


# ---------------------------------------------------------------------- what stops draws


def test_no_draw_while_another_is_overdue() -> None:
    """Not even by a day; once it is paid, the line can be drawn on again."""
    with lawful_kinds() as world:
        line_id = world.open_line()
        loan_id = world.drawn(line_id, 200_000)
        world.pass_days(8)
        assert world.draw(line_id, 10_000) is R.DRAW_BLOCKED
        world.settle("ann", loan_id, 60_000)
        assert world.draw(line_id, 10_000) is None


def test_no_draw_while_the_lender_sees_another_as_impaired() -> None:
    """And again once it does not."""
    with lawful_kinds() as world:
        line_id = world.open_line()
        loan_id = world.drawn(line_id, 200_000)
        worse = LoanDistress(loan=loan_id, kind=DistressKind.IMPAIR, asset_class=AssetClass.SPECIAL_MENTION)
        world.must("harbour", worse)
        assert world.draw(line_id, 10_000) is R.DRAW_BLOCKED
        world.must("harbour", LoanDistress(loan=loan_id, kind=DistressKind.UNIMPAIR))
        assert world.draw(line_id, 10_000) is None


def test_sixteen_draws_are_open_at_most() -> None:
    """Each is looked at whenever something is borrowed; one that is paid makes room."""
    with lawful_kinds() as world:
        line_id = world.open_line()
        first = world.drawn(line_id, 10_000)
        for _ in range(15):
            world.drawn(line_id, 10_000)
        assert world.draw(line_id, 10_000) is R.DRAW_BLOCKED
        world.settle("ann", first, 11_000)
        assert world.draw(line_id, 10_000) is None


# ---------------------------------------------------------------------- ends


def test_a_line_ends_on_its_day() -> None:
    """What is undrawn is the pool's again; draws go on, and what they pay back is not drawn again."""
    with lawful_kinds() as world:
        line_id = world.open_line(days=5)
        loan_id = world.drawn(line_id, 200_000)
        world.pass_days(4)
        assert not world.line(line_id).closed
        world.pass_days(1)
        assert world.sound(world.do("ann", LineClose(line=line_id))) is R.LINE_CLOSED
        assert world.draw(line_id, 10_000) is R.LINE_CLOSED
        line, pool, exposure = world.line(line_id), world.pool("harbour"), world.exposure("ann")
        assert (line.closed, line.undrawn, line.limit, line.draws) == (True, 0, LIMIT, (loan_id,))
        assert (pool.reserved, exposure.undrawn, exposure.lines, exposure.loans) == (0, 0, (), (loan_id,))
        assert world.last("line_closed").data["reason"] == "expired"
        assert world.last("line_closed").data["undrawn"] == 400_000
        world.settle("ann", loan_id, 300_000)
        assert (world.line(line_id).undrawn, world.line(line_id).draws) == (0, ())


def test_a_line_that_has_ended_is_closed_before_its_event_came() -> None:
    """The event may wait behind a thousand others of the day."""
    with lawful_kinds() as world:
        line_id = world.open_line(days=5)
        change(world, LINES, line_id, closes_ms=world.now_ms)
        for payload in (
            LineClose(line=line_id),
            Draw(line=line_id, amount=Amount(10_000), instalments=3, terms_hash=ZERO_DIGEST),
        ):
            assert world.do("ann", payload).rejection is R.LINE_CLOSED
        change(
            world, LINES, line_id, closes_ms=world.genesis.calculate_day_start_ms(world.line(line_id).closes_on, 480)
        )


def test_a_borrower_closes_her_line() -> None:
    """Frozen or not, once, and nobody else's."""
    with lawful_kinds() as world:
        line_id = world.open_line()
        loan_id = world.drawn(line_id, 200_000)
        assert world.sound(world.do("bob", LineClose(line=line_id))) is R.LINE_UNKNOWN
        assert world.sound(world.do("ann", LineClose(line=NOTHING))) is R.LINE_UNKNOWN
        change(world, ACCOUNTS, world.account("ann"), frozen=True)
        assert world.sound(world.do("ann", LineClose(line=line_id))) is None
        assert world.sound(world.do("ann", LineClose(line=line_id))) is R.LINE_CLOSED
        assert (world.pool("harbour").reserved, world.exposure("ann").undrawn) == (0, 0)
        assert world.last("line_closed").data["reason"] == "borrower"
        assert world.loan(loan_id).state is LoanState.ACTIVE


def test_a_default_of_a_draw_closes_the_line() -> None:
    """Before anything of the loss is counted, the rest is given up for good."""
    with lawful_kinds() as world:
        line_id = world.open_line(days=400)
        loan_id = world.drawn(line_id, 200_000)
        other = world.drawn(line_id, 100_000, 20)
        world.pass_days(98)
        assert world.line(line_id).undrawn == 300_000
        world.must("jade", LoanDistress(loan=loan_id, kind=DistressKind.DEFAULT))
        assert find_violations(world.ledger) == {}
        line = world.line(line_id)
        assert (line.closed, line.undrawn, line.draws) == (True, 0, (loan_id, other))
        assert world.last("line_closed").data["reason"] == "default"
        assert (world.pool("harbour").reserved, world.exposure("ann").undrawn) == (0, 0)
        world.settle("ann", loan_id, 300_000)
        assert world.loan(loan_id).state is LoanState.RECOVERED
        assert (world.line(line_id).draws, world.line(line_id).undrawn) == ((other,), 0)


@pytest.mark.parametrize("settled", [False, True])
def test_a_draw_that_is_partly_forgiven_closes_the_line(settled: bool) -> None:
    """What was not paid back cannot be lent again: by an amendment, or by settling for less."""
    with lawful_kinds(cooling_off_days=0) as world:
        line_id = world.open_line()
        loan_id = world.drawn(line_id, 200_000)
        world.pass_days(1)
        payload = AmendPropose(
            loan=loan_id,
            settle=Amount(150_000) if settled else None,
            instalments=4,
            rate_ppm=Ppm(72_000),
            forgiven=Amount(0 if settled else 50_000),
            interest=Treatment.CARRY,
            fees=Treatment.CARRY,
            penalties=Treatment.CARRY,
            valid_days=3,
        )
        world.must("harbour", payload)
        amendment = world.made("amendment", "harbour")
        terms_hash = ZERO_DIGEST
        if not settled:
            terms_hash = _hash_amended(world, loan_id, payload)
        world.must("ann", AmendAnswer(amendment=amendment, accept=True, terms_hash=terms_hash))
        assert find_violations(world.ledger) == {}
        assert world.line(line_id).closed
        assert world.last("line_closed").data["reason"] == "amended"
        assert (world.pool("harbour").reserved, world.exposure("ann").undrawn) == (0, 0)


def _hash_amended(world: Kinds, loan_id: ObjectId, payload: AmendPropose) -> Digest:
    contract, loan = load_loan(world.ledger.books, loan_id)
    amended = calculate_amended(contract, loan, payload, world.ledger.books.calculate_day(480))
    assert amended is not None
    return calculate_terms_hash(amended.disclosure)


# ---------------------------------------------------------------------- shared lines


def test_a_shared_line_is_kept_ready_by_share() -> None:
    """A third of every unit by the partner, rounded down; the lead has the rest."""
    with lawful_kinds(cooling_off_days=0) as world:
        line_id = world.open_line(partner="jade")
        assert (world.pool("harbour").reserved, world.pool("jade").reserved) == (400_001, 199_999)
        loan_id = world.drawn(line_id, 100_001)
        assert [one.principal for one in world.loan(loan_id).holdings] == [66_668, 33_333]
        assert (world.pool("harbour").reserved, world.pool("jade").reserved) == (333_333, 166_666)
        world.settle("ann", loan_id, 1)
        world.settle("ann", loan_id, 200_000)
        assert (world.pool("harbour").reserved, world.pool("jade").reserved) == (400_001, 199_999)


@settings(deadline=None, max_examples=15)
@given(
    share=st.integers(1, 999_999),
    spare=st.sampled_from((0, 20)),
    steps=st.lists(st.tuples(st.booleans(), st.integers(1, 40_000)), max_size=12),
)
@example(share=500_000, spare=0, steps=[(True, 33_333), (True, 33_333), (True, 33_334)])
@example(share=500_000, spare=20, steps=[(True, 33_333), (True, 33_333), (True, 33_334)])
def test_what_a_pool_keeps_is_always_there(share: int, spare: int, steps: list[tuple[bool, int]]) -> None:
    """Two pools that hold the limit to the unit, or next to it: draws and payments in any amounts, laws hold."""
    world = Kinds(cooling_off_days=0, guarantee_weight_ppm=Ppm(0))
    terms = {
        "kind": LineKind(days=90, draw_min=Amount(1)),
        "bands": (BandPrice(rate_ppm=Ppm(0), amount_max=Amount(2_000_000)),),
        "origination_fee_ppm": Ppm(0),
    }
    pools: dict[str, ObjectId] = {}
    limit = 100_000
    theirs = limit * share // 1_000_000
    for lender, cash in (("harbour", limit - theirs + spare), ("jade", theirs)):
        if cash:
            world.mint(lender, cash)
        world.must(lender, PoolOpen(currency=CNY, borrower_max=Amount(limit)))
        pools[lender] = world.made("pool", lender)
        if cash:
            world.must(lender, PoolDeposit(pool=pools[lender], amount=Amount(cash)))
    partners = (Partner(pool=pools["jade"], share_ppm=Ppm(share)),)
    world.must("harbour", world.product(pools["harbour"], partners=partners, **terms), cosigners=("jade",))
    offer = world.ask("ann", world.made("product", "harbour"), amount=limit)
    assert world.sound(world.take("ann", offer)) is None
    line_id = world.made("line", "ann")
    state = world.ledger.books.state
    for draws, amount in steps:
        line = world.line(line_id)
        if draws and line.undrawn:
            wanted = min(amount, line.undrawn)
            refused = world.draw(line_id, wanted, 1)
            # The lead pays what rounding leaves, and may have not one unit more than it promised.
            assert refused in {None, R.LIQUIDITY_SHORT} if not spare else refused is None
            if refused:
                assert sum(state.need(POOLS, one).reserved for one in pools.values()) - line.undrawn <= len(line.draws)
        elif line.draws:
            world.settle("ann", ObjectId(line.draws[amount % len(line.draws)]), amount)
    for loan_id in world.line(line_id).draws:
        world.settle("ann", ObjectId(loan_id), limit)
    assert world.line(line_id).undrawn == limit
    assert [state.need(POOLS, pools[one]).reserved for one in ("harbour", "jade")] == [limit - theirs, theirs]
    world.must("ann", LineClose(line=line_id))
    assert [state.need(POOLS, pools[one]).reserved for one in ("harbour", "jade")] == [0, 0]
    assert find_violations(world.ledger) == {}


@pytest.mark.parametrize("excess", list(ExcessRule))
def test_a_draw_paid_in_two_halves_is_a_draw_paid_once(excess: ExcessRule) -> None:
    """What may be drawn, and what is kept ready, does not depend on the parts in which money comes."""
    ends = []
    for parts in ((90_001,), (30_000, 60_001)):
        world = Kinds(cooling_off_days=0)
        line_id = world.open_line(partner="jade")
        loan_id = world.drawn(line_id, 123_457)
        world.block(ms=10 * DAY_MS)
        for part in parts:
            world.settle("ann", loan_id, part, excess)
        ends.append((world.line(line_id), world.pool("harbour"), world.pool("jade")))
    assert ends[0] == ends[1]
