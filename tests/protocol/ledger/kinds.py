"""Scenes with credit lines and with advances that a share of sales repays. Shared by those families' tests."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from protocol.ids import ZERO_DIGEST, Day, ObjectId
from protocol.ledger.contracts import Disclosure, SalesTally
from protocol.ledger.execute import Ledger
from protocol.ledger.invariants import find_violations
from protocol.ledger.lines import quote_draw
from protocol.ledger.offers import calculate_terms_hash
from protocol.ledger.records import Receipt
from protocol.ledger.rows import Exposure, Line
from protocol.ledger.state import ACCOUNTS, EXPOSURES, LINES
from protocol.loans.terms import Amortisation, ExcessRule, PeriodUnit
from protocol.money import Amount, Ppm
from protocol.rejections import Rejection
from protocol.transactions.lending import Draw, SalesExpected
from protocol.transactions.products import BandPrice, LineKind, Partner, RevenueKind
from protocol.transactions.servicing import SalesReport
from tests.protocol.ledger.goods import Goods

LIMIT = 600_000
NET, DISCOUNT, PAYMENT = 900_000, 100_000, 5_000
"""Vector W01 in minor units: 9,000.00 at a price of 1,000.00, out of 18 % of sales of 100,000.00 in 360 days."""
VOLUME = 10_000_000


class Kinds(Goods):
    """A world of goods with lines and revenue shares; effective rates may be high. Laws hold after every step."""

    def __init__(self, **policy: Any) -> None:
        super().__init__(**{"apr_cap_ppm": Ppm(2_000_000), "late_cap_ppm": Ppm(2_000_000), **policy})

    def sound(self, receipt: Receipt) -> Rejection | None:
        """What was said, once the books have been looked at."""
        assert find_violations(self.ledger) == {}
        return receipt.rejection

    def exposure(self, who: str) -> Exposure:
        """What somebody owes."""
        state = self.ledger.books.state
        return state.need(EXPOSURES, state.need(ACCOUNTS, self.account(who)).subject_tag)

    def settle(self, who: str, loan: ObjectId, amount: int, excess: ExcessRule = ExcessRule.LAST) -> Receipt:
        """Pay on a loan with fresh money."""
        self.mint(who, amount)
        receipt = self.pay(who, loan, amount, excess)
        assert self.sound(receipt) is None
        return receipt

    # ------------------------------------------------------------------ lines

    def publish_line(
        self, lender: str = "harbour", *, partner: str | None = None, days: int = 90, **terms: Any
    ) -> ObjectId:
        """Draws of at least 10,000, without a fee unless told; a third is the partner's, if there is one."""
        plain: dict[str, Any] = {
            "kind": LineKind(days=days, draw_min=Amount(10_000)),
            "origination_fee_ppm": Ppm(0),
            "partners": () if partner is None else (Partner(pool=self.pool_id(partner), share_ppm=Ppm(333_333)),),
        }
        return self.publish(lender, cosigners=() if partner is None else (partner,), **{**plain, **terms})

    def open_line(self, who: str = "ann", *, amount: int = LIMIT, **options: Any) -> ObjectId:
        """From nothing to an open line; returns it."""
        receipt = self.take(who, self.ask(who, self.publish_line(**options), amount=amount))
        assert self.sound(receipt) is None
        return self.made("line", who)

    def line(self, line_id: ObjectId) -> Line:
        """A line's row."""
        return self.ledger.books.state.need(LINES, line_id)

    def draw(self, line_id: ObjectId, amount: int, instalments: int = 12, *, who: str = "ann") -> Rejection | None:
        """Sign what a draw of today costs, or anything where it has no price."""
        quoted = quote_draw(self.ledger.books, line_id, amount, instalments)
        terms_hash = calculate_terms_hash(quoted) if isinstance(quoted, Disclosure) else ZERO_DIGEST
        payload = Draw(line=line_id, amount=Amount(amount), instalments=instalments, terms_hash=terms_hash)
        return self.sound(self.do(who, payload))

    def drawn(self, line_id: ObjectId, amount: int, instalments: int = 12, *, who: str = "ann") -> ObjectId:
        """The loan of a draw, which must succeed."""
        assert self.draw(line_id, amount, instalments, who=who) is None
        return self.made("loan", who)

    # ------------------------------------------------------------------ shares of sales

    def publish_revenue(self, lender: str = "harbour", *, kind: dict[str, Any] | None = None, **terms: Any) -> ObjectId:
        """W01's terms: 18 % of sales; the floor is 30 % of what is expected, 80 % is told; due after 360 days."""
        plain: dict[str, Any] = {
            "share_ppm": Ppm(180_000),
            "volume_days": 360,
            "floor_ppm": Ppm(300_000),
            "warning_ppm": Ppm(800_000),
            "term_days_max": 360,
        }
        given: dict[str, Any] = {
            "kind": RevenueKind(**{**plain, **(kind or {})}),
            "period_unit": PeriodUnit.DAY,
            "amortisation": Amortisation.BULLET,
            "instalments_max": 1,
            "origination_fee_ppm": Ppm(0),
            "bands": (BandPrice(rate_ppm=Ppm(111_112), amount_max=Amount(2_000_000)),),
        }
        return self.publish(lender, **{**given, **terms})

    def ask_revenue(self, who: str, product: ObjectId, *, volume: int = VOLUME, amount: int = NET) -> ObjectId | None:
        """Apply for an advance on sales; returns the offer."""
        wish = SalesExpected(volume=Amount(volume))
        return self.ask(who, product, amount=amount, wish=wish, instalments=1, period_unit=PeriodUnit.DAY)

    def advance(self, who: str = "ann", *, amount: int = NET, volume: int = VOLUME, **options: Any) -> ObjectId:
        """From nothing to a running advance; returns the loan."""
        offer = self.ask_revenue(who, self.publish_revenue(**options), volume=volume, amount=amount)
        assert self.sound(self.take(who, offer)) is None
        return self.made("loan", who)

    def tally(self, loan_id: ObjectId) -> SalesTally:
        """How an advance goes."""
        tally = self.loan(loan_id).sales
        assert tally is not None
        return tally

    def report(
        self,
        who: str,
        loan_id: ObjectId,
        *,
        days: int = 1,
        gross: int = 30_000,
        skip: int = 0,
        cosigners: tuple[str, ...] = (),
    ) -> Rejection | None:
        """Report the sales of the next days."""
        first = self.tally(loan_id).reported_to + 1 + skip
        payload = SalesReport(
            loan=loan_id, first_day=Day(first), last_day=Day(first + days - 1), gross=Amount(gross), commit=ZERO_DIGEST
        )
        return self.sound(self.do(who, payload, cosigners=cosigners))


@contextmanager
def lawful_kinds(**policy: Any) -> Iterator[Kinds]:
    """A world that is lawful in the end and comes back from its saved rows with the same root."""
    world = Kinds(**policy)
    yield world
    world.block()
    ledger = world.ledger
    assert find_violations(ledger) == {}
    again = Ledger.from_rows(world.genesis, list(ledger.rows()), height=ledger.height, exec_root=ledger.exec_root)
    assert again.state_root == ledger.state_root
    assert again.next_due_ms() == ledger.next_due_ms()
