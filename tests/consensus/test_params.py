"""What headers name as their parameters follows from the executed state that they name, and from their height."""

import msgspec
import pytest

from consensus.chain import Chain, RootState, make_genesis_floor
from consensus.events import Params
from consensus.rules import check_header
from protocol.crypto import KeySigner
from protocol.ids import ZERO_DIGEST, ChainId, Digest, Height, ValidatorIndex
from protocol.validators import make_validator_set
from tests.node.core.test_driver import HEADER

CHAIN = ChainId(bytes(32))
OLD, NEW = Digest(b"\x01" * 32), Digest(b"\x02" * 32)
PLANNED, SINCE = Height(10), Height(50)
KEYS = tuple(sorted(KeySigner(bytes([one]) * 32).public_key for one in range(4)))


def make_chain(*, known: bool = True, executed: int = 60) -> Chain:
    """One that executed so far, and whose state planned new parameters on the way."""
    validators = make_validator_set(KEYS, ZERO_DIGEST)
    chain = Chain(make_genesis_floor(CHAIN, ZERO_DIGEST, validators, OLD), 32)
    for height in range(1, executed + 1):
        later = (Params(PLANNED, SINCE, NEW, known),) if height >= PLANNED else ()
        chain.on_executed(Height(height), ZERO_DIGEST, (), (Params(Height(0), Height(0), OLD), *later))
    return chain


def judge(chain: Chain, height: int, exec_height: int, params: Digest) -> RootState:
    """What the chain says of a header with a root that fits."""
    header = msgspec.structs.replace(
        HEADER,
        height=Height(height),
        exec_height=Height(exec_height),
        exec_root=ZERO_DIGEST,
        next_validators_hash=chain.succession.current_hash,
        params_hash=params,
    )
    return chain.check_root(header)


@pytest.mark.parametrize(
    ("height", "exec_height", "right"),
    [(49, 48, OLD), (49, 10, OLD), (50, 10, NEW), (50, 49, NEW), (61, 60, NEW), (61, 9, OLD)],
)
def test_a_header_names_what_is_in_force_at_its_height_as_its_state_knows(
    height: int, exec_height: int, right: Digest
) -> None:
    """Before the height the old ones, from it on the new ones, and a state that knows of no plan names the old."""
    wrong = OLD if right == NEW else NEW
    assert judge(make_chain(), height, exec_height, right) is RootState.OK
    assert judge(make_chain(), height, exec_height, wrong) is RootState.BAD


def test_what_this_node_cannot_execute_is_never_judged_to_be_good_or_bad() -> None:
    """Neither voted for nor held against anybody; what lies below goes on."""
    chain = make_chain(known=False)
    assert judge(chain, 49, 48, OLD) is RootState.OK
    assert judge(chain, 50, 48, NEW) is RootState.PENDING
    assert judge(chain, 50, 48, OLD) is RootState.PENDING


def test_a_state_that_is_not_executed_yet_may_still_plan_something() -> None:
    """Whoever lags behind waits."""
    assert judge(make_chain(executed=5), 50, 48, NEW) is RootState.PENDING


def test_a_proposal_that_names_neither_is_refused_at_once() -> None:
    """Without its state being asked for."""
    chain = make_chain()

    def check(params: Digest) -> str | None:
        header = msgspec.structs.replace(HEADER, params_hash=params, chain_id=CHAIN)
        return check_header(
            header,
            chain_id=CHAIN,
            epoch=header.epoch,
            view=header.view,
            leader=ValidatorIndex(header.proposer),
            params=chain.params,
        )

    assert check(Digest(b"\x03" * 32)) == "header_params"
    assert [check(one) for one in (OLD, NEW)] == [None, None]
