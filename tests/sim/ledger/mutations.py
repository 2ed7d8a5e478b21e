"""The mutation gate of the whole ledger: bugs injected by hand, each with the one campaign that must catch it.

A bug that no campaign catches is a finding about the simulator: strengthen it, never drop the bug.
"""

from typing import NamedTuple

from tests.sim.gate import Mutation
from tests.sim.ledger import mutants
from tests.sim.ledger.runner import run_ledger_seed


class Seeds(NamedTuple):
    """Seeds from 0 on, beside one kind of actor."""

    byzantine: str | None = None
    count: int = 12
    size: int = 4

    def find(self) -> str | None:
        """The first seed that fails."""
        for seed in range(self.count):
            failure = run_ledger_seed(seed, size=self.size, byzantine=self.byzantine).failure
            if failure:
                return failure
        return None


MUTATIONS = (
    Mutation("the door keeps no promise", mutants.keep_no_promise, Seeds()),
    Mutation("the pool forgets what it sealed", mutants.forget_what_is_sealed, Seeds()),
    Mutation("a batch is ordered again", mutants.order_again, Seeds()),
    Mutation("what is executed goes on waiting", mutants.let_executed_ones_wait, Seeds()),
    Mutation("a batch that two sealed is counted twice", mutants.count_a_batch_twice, Seeds()),
    Mutation("a pool without bounds", mutants.no_bounds, Seeds("doubler", 30)),
    Mutation("batches are believed unsigned", mutants.believe_unsigned, Seeds("forger")),
    Mutation("an answer is taken for the batch asked for", mutants.believe_answers, Seeds("forger", 30)),
    Mutation("other batches under a final header", mutants.believe_blocks, Seeds("syncliar", 30)),
    Mutation("any nonce will do", mutants.any_nonce, Seeds()),
    Mutation("the window of nonces is one too wide", mutants.window_off_by_one, Seeds(None, 40)),
    Mutation("receipts in disorder", mutants.receipts_in_disorder, Seeds()),
    Mutation("the last of a batch is passed over", mutants.pass_over_the_last, Seeds()),
    Mutation("batches are executed as they came", mutants.batches_as_they_came, Seeds()),
    Mutation("money is made", mutants.make_money, Seeds()),
)
