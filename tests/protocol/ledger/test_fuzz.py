"""What hostile signers send comes to a receipt, and what they once broke stays whole."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from protocol.ledger.invariants import find_violations
from protocol.ledger.state import State, Table
from protocol.loans.terms import PeriodUnit
from protocol.money import Amount, Ppm
from protocol.rejections import Rejection
from protocol.transactions.lending import OfferPost
from tests.protocol.ledger.fuzz import Fuzz
from tests.protocol.ledger.lives.everything import make_lives
from tests.protocol.ledger.world import World

LONG_SEEDS = 200


def attack(seed: int, *, lived: int, steps: int) -> None:
    """A life under attack: only receipts, lawful books, and the same books after each restart."""
    fuzz = Fuzz(seed, lived=lived)
    for step in range(steps):
        fuzz.step()
        if step % 25 == 24:
            assert find_violations(fuzz.world.ledger) == {}, f"seed {seed}, step {step}"
            fuzz.restart()


@pytest.mark.parametrize("seed", [11, 12])
def test_hostile_payloads_come_to_receipts_alone(seed: int) -> None:
    """No payload that decodes, whoever signs it, stops a node or breaks a law; restarts change nothing."""
    attack(seed, lived=200, steps=200)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(5_000, 5_000 + LONG_SEEDS))
def test_long_attacks(seed: int) -> None:
    """The long run."""
    attack(seed, lived=400, steps=1_000)


def test_an_offer_longer_than_any_calendar_is_refused() -> None:
    """480 periods of 366 months are the officer's to write, and no date at all: a refusal, not an error."""
    world = World()
    world.open_account("ann")
    period = {"period_unit": PeriodUnit.MONTH, "period_every": 366}
    product = world.found_lender("harbour", instalments_max=1, attestations_min=1, **period)
    data, consent = world.anchor("ann")
    sidecar = world.sidecar("ann")
    payload = world.application("ann", data, consent, sidecar=sidecar, instalments=1, **period)
    world.must("ann", payload, sidecars=(sidecar,))
    application = world.made("application", "ann")
    world.attest(application, "ann", lenders=("harbour",))
    offer = OfferPost(
        application=application, product=product, principal=Amount(100_000), instalments=480, rate_ppm=Ppm(10_000)
    )
    assert world.do("harbour", offer).rejection is Rejection.POLICY_BROKEN


def test_no_transaction_or_event_walks_a_table_that_grows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever people do, only members and models, whom votes admit, are ever looked at one by one."""
    lives = make_lives(3)
    walked: set[str] = set()

    def watch(walk: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
        def watched(state: State, table: Table[Any]) -> Iterator[Any]:
            if lives.world.ledger._open:
                walked.add(table.name)
            return walk(state, table)

        return watched

    monkeypatch.setattr(State, "items", watch(State.items))
    monkeypatch.setattr(State, "walk", watch(State.walk))
    for _ in range(400):
        lives.step()
    assert {"members"} <= walked <= {"members", "models"}
