"""Evidence that would convict a validator, and the ways in which it can fail: material of the test of precedence."""

from typing import Any

import msgspec

from protocol.certificate import VoteKind
from protocol.ids import AccountId, Epoch, Height, ValidatorIndex, View
from protocol.ledger.seatrows import Conviction
from protocol.ledger.state import CONVICTIONS
from protocol.rejections import Rejection
from protocol.transactions.governance import Evidence
from tests.protocol.ledger.goods import Goods
from tests.protocol.ledger.precedence import Case, Scene
from tests.protocol.ledger.seating import ONE, OTHER, sign_fact

R = Rejection


def build_evidence() -> Scene:
    """Plum's validator signed two blocks of one view, and Harbour saw both."""
    world = Goods()
    facts = [sign_fact(world, "plum/validator", VoteKind.FINALIZE, digest) for digest in (ONE, OTHER)]
    seats = world.ledger.epoch_row.seats
    index = next(place for place, one in enumerate(seats) if one.account == world.account("plum"))
    payload = Evidence(epoch=Epoch(0), index=ValidatorIndex(index), first=facts[0], second=facts[1])
    return Scene(world, "harbour", payload, key=seats[index].validator_key)


def convict(scene: Scene) -> None:
    """The key was convicted before."""
    account = AccountId(scene.world.account("plum"))
    row = Conviction(account=account, reporter=account, epoch=Epoch(0), view=View(1), height=Height(1))
    scene.books.state.put(CONVICTIONS, scene.names["key"], row)


def unsign(name: str) -> Any:
    """One of the two is not signed."""

    def fault(scene: Scene) -> None:
        fact = msgspec.structs.replace(getattr(scene.payload, name), signature=bytes(64))
        scene.say(**{name: fact})

    return fault


EVIDENCE: dict[type, Case] = {
    Evidence: Case(
        build_evidence,
        {
            R.EVIDENCE_EPOCH: lambda s: s.say(epoch=7),
            R.EVIDENCE_INDEX: lambda s: s.say(index=3),
            R.EVIDENCE_CONSISTENT: lambda s: s.say(second=s.payload.first),
            R.CONVICTED_ALREADY: convict,
            R.EVIDENCE_UNSIGNED: unsign("first"),
        },
    )
}
