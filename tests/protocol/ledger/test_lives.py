"""Random lives of all five kinds of loan: every law holds after every step, and every machine gives the same root."""

import json
import os
import subprocess
import sys
from collections import Counter
from random import Random

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from protocol.ledger.execute import Ledger
from protocol.ledger.invariants import find_violations
from tests.protocol.ledger.lives import loans
from tests.protocol.ledger.lives.core import Action, Lives
from tests.protocol.ledger.lives.everything import ACTIONS, make_lives
from tests.protocol.ledger.lives.history import History
from tests.protocol.payloads import PAYLOADS

STEPS = 700
LONG_SEEDS = 130
"""With about 800 transactions a life, the long run is of more than 100,000."""
REPLAYED_SEEDS = 130
REPLAYED_STEPS = 1_300


def live(seed: int, steps: int) -> Lives:
    """A life in which every law is looked at after every step, and whose saved rows give the same books."""
    lives, history = make_lives(seed), History()
    for step in range(steps):
        lives.step()
        broken = find_violations(lives.world.ledger)
        assert broken == {}, f"seed {seed}, step {step}: {broken}"
        assert history.look(lives) == [], f"seed {seed}, step {step}"
    ledger = lives.world.ledger
    again = Ledger.from_rows(lives.world.genesis, list(ledger.rows()), height=ledger.height, exec_root=ledger.exec_root)
    assert again.state_root == ledger.state_root
    assert again.next_due_ms() == ledger.next_due_ms()
    return lives


def replay(seed: int, steps: int, hash_seed: str) -> dict[str, object]:
    """The same life in a process of its own, with its own order of hashes."""
    command = [sys.executable, "-m", "tests.protocol.ledger.lives", str(seed), str(steps), "0"]
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    told = json.loads(subprocess.run(command, check=True, capture_output=True, env=environment).stdout)
    del told["seconds"]
    return dict(told)


@pytest.mark.parametrize("seed", [1, 2])
def test_every_law_holds_after_every_step_of_a_random_life(seed: int) -> None:
    """Invariants (1) to (36) of the books, over all kinds of loan and everything that people do to them."""
    live(seed, STEPS)


def test_the_same_life_in_two_processes_has_the_same_root() -> None:
    """Nothing hangs on the order of hashes: exec_root and every outcome are equal."""
    assert replay(3, STEPS, "0") == replay(3, STEPS, "4242")


class AnyLife(RuleBasedStateMachine):
    """The same deeds, chosen and shrunk by Hypothesis: a failure comes down to the few deeds that matter."""

    @initialize(seed=st.integers(0, 2**16))
    def begin(self, seed: int) -> None:
        self.lives = make_lives(seed)

    @rule(deed=st.sampled_from([one for one, _ in ACTIONS]), random=st.randoms(use_true_random=False))
    def do(self, deed: Action, random: Random) -> None:
        self.lives.random = random
        deed(self.lives)

    @rule(borrower=st.randoms(use_true_random=False))
    def borrow(self, borrower: Random) -> None:
        self.lives.random = borrower
        loans.apply(self.lives)

    @invariant()
    def every_law_holds(self) -> None:
        if hasattr(self, "lives"):
            assert find_violations(self.lives.world.ledger) == {}


AnyLife.TestCase.settings = settings(
    max_examples=12,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
TestAnyLife = AnyLife.TestCase


@pytest.mark.long
@pytest.mark.parametrize("seed", range(1_000, 1_000 + LONG_SEEDS))
def test_long_lives(seed: int) -> None:
    """The long run: more than 100,000 transactions, every law after each."""
    live(seed, 1_000)


@pytest.mark.long
def test_every_type_succeeds_somewhere() -> None:
    """The lives are no theatre: over some seeds each payload type is executed with success."""
    done: Counter[str] = Counter()
    for seed in range(40):
        lives = make_lives(seed)
        for _ in range(1_000):
            lives.step()
        done.update({kind: count for (kind, outcome), count in lives.tally.items() if outcome == "ok"})
    assert sorted({kind.__name__ for kind in PAYLOADS} - set(done)) == []


@pytest.mark.long
@pytest.mark.parametrize("seed", range(2_000, 2_000 + REPLAYED_SEEDS))
def test_long_replays(seed: int) -> None:
    """200,000 random transactions, replayed with another order of hashes."""
    assert replay(seed, REPLAYED_STEPS, "1") == replay(seed, REPLAYED_STEPS, "99")
