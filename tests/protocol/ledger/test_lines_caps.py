"""What may be drawn counts as debt: against every cap, before it is drawn, for whatever else would make debt grow."""

from protocol.crypto import calculate_hash
from protocol.ledger.state import POOLS
from protocol.money import Amount, Ppm
from protocol.rejections import Rejection
from protocol.transactions.lending import LineClose
from protocol.transactions.pools import CoverDeposit, PoolSet
from protocol.transactions.servicing import AdjustKind
from tests.protocol.ledger.changes import adjust, answer, pay, proposal
from tests.protocol.ledger.kinds import lawful_kinds
from tests.protocol.ledger.world import change

R = Rejection


def test_what_may_be_drawn_counts_wherever_debt_does() -> None:
    """Against the debt cap, the pool's limit for one borrower, and the number of lenders."""
    with lawful_kinds(lenders_max=1, debt_cap=Amount(1_000_000)) as world:
        world.open_line()
        other = world.publish("harbour")
        assert world.sound(world.take("ann", world.ask("ann", other, amount=400_001))) is R.CAP_DEBT
        assert world.sound(world.take("ann", world.ask("ann", world.products["jade"], amount=300_000))) is R.CAP_LENDERS
        offer = world.ask("ann", other, amount=400_000)
        for limit, answer in ((999_999, R.CAP_POOL), (1_000_000, None)):
            change(world, POOLS, world.pool_id("harbour"), borrower_max=Amount(limit))
            assert world.sound(world.take("ann", offer)) is answer


def test_draws_need_cover_like_any_loan() -> None:
    """A pool whose cover is short of all that is lent and promised lends no more, promised or not."""
    with lawful_kinds() as world:
        pool = world.pool_id("harbour")
        line_id = world.open_line()
        world.must("harbour", PoolSet(pool=pool, borrower_max=Amount(9_000_000), cover_rate_ppm=Ppm(0), fee_ppm=Ppm(0)))
        rule = PoolSet(pool=pool, borrower_max=Amount(9_000_000), cover_rate_ppm=Ppm(100_000), fee_ppm=Ppm(0))
        world.mint("harbour", 60_000)
        world.must("harbour", CoverDeposit(pool=pool, amount=Amount(59_999)))
        world.must("harbour", rule)
        assert world.draw(line_id, 200_000) is R.COVER_LOW
        world.must("harbour", CoverDeposit(pool=pool, amount=Amount(1)))
        world.drawn(line_id, 200_000)
        world.drawn(line_id, 10_000)


def test_a_reversed_payment_is_debt_beside_what_may_be_drawn() -> None:
    """300,000 of 600,000 were paid when a line of 800,000 was opened: together they would pass 1,200,000."""
    with lawful_kinds(debt_cap=Amount(1_200_000), cooling_off_days=0) as world:
        assert world.sound(world.take("ann", world.ask("ann", world.products["harbour"], amount=600_000))) is None
        loan_id = world.made("loan", "ann")
        pay(world, "ann", loan_id, 300_000)
        line_id = world.open_line(amount=800_000)
        for name, answered in (("first", R.CAP_DEBT), ("second", None)):
            reference = calculate_hash("ref", name.encode())
            payload = adjust(loan_id, AdjustKind.REVERSAL, 300_000, payment=0, reference=reference)
            assert world.sound(world.do("agent", payload)) is answered
            if answered is not None:
                world.must("ann", LineClose(line=line_id))


def test_capitalised_charges_are_debt_beside_what_may_be_drawn() -> None:
    """At the cap with a line of 400,000, nothing becomes principal; once the line is given up, it can."""
    with lawful_kinds(debt_cap=Amount(1_000_000), cooling_off_days=0) as world:
        assert world.sound(world.take("ann", world.ask("ann", world.products["harbour"], amount=600_000))) is None
        loan_id = world.made("loan", "ann")
        line_id = world.open_line(amount=400_000)
        world.pass_days(30)
        world.must("harbour", proposal(loan_id))
        amendment = world.made("amendment", "harbour")
        assert world.sound(world.do("ann", answer(world, amendment))) is R.CAP_DEBT
        world.must("ann", LineClose(line=line_id))
        assert world.sound(world.do("ann", answer(world, amendment))) is None
