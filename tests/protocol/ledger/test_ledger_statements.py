"""A statement stands for the loan's own currency and for days that have been."""

import msgspec
import pytest

from protocol.ids import Day
from protocol.ledger.state import DATA
from protocol.money import Currency
from protocol.rejections import Rejection
from tests.protocol.ledger.world import World, change, refused


def test_a_statement_in_another_currency_backs_no_loan() -> None:
    """Units of cash flow and of instalments must be the same money; one foreign statement among several is enough."""
    world = World()
    world.open_account("ann")
    data, consent = world.anchor("ann")
    anchor = world.ledger.books.state.need(DATA, data).anchor
    change(world, DATA, data, anchor=msgspec.structs.replace(anchor, currency=Currency("EUR")))
    payload, sidecars = world.application("ann", data, consent), (world.sidecar("ann"),)
    assert refused(world, "ann", payload, sidecars=sidecars) is Rejection.STATEMENT_CURRENCY
    change(world, DATA, data, anchor=anchor)
    assert refused(world, "ann", payload, sidecars=sidecars) is None


@pytest.mark.parametrize(
    ("ahead", "code"), [(0, None), (1, Rejection.PERIOD_INVALID), (9_999, Rejection.PERIOD_INVALID)]
)
def test_a_statement_ends_no_later_than_the_first_place_on_earth_has_today(ahead: int, code: Rejection | None) -> None:
    """Else its last day would keep it fresh for as long as its owner likes."""
    world = World()
    world.open_account("ann")
    data, _ = world.anchor("ann")
    anchor = world.ledger.books.state.need(DATA, data).anchor
    last_day = Day(world.ledger.books.calculate_day(840) + ahead)
    assert refused(world, "ann", msgspec.structs.replace(anchor, last_day=last_day)) is code
