"""Models are voted on evidence: the hashes of card and validation report stand beside each in the books."""

import msgspec
import pytest

from protocol.ids import Digest, ModelId
from protocol.ledger.rows import ProposalState
from protocol.ledger.state import MODELS
from protocol.transactions.governance import ModelSet
from scoring.points import encode_model
from tests.protocol.ledger.votes import enact, restart
from tests.protocol.ledger.world import MODEL, MODEL_ID, World

OTHER = msgspec.structs.replace(MODEL, name="other")
OTHER_ID = ModelId(OTHER.id)
TEXT = encode_model(OTHER).decode("ascii")


@pytest.fixture
def world() -> World:
    return World()


def test_the_evidence_of_a_model_stands_beside_it(world: World) -> None:
    """Card and report are kept by hash; other evidence is a change of its own, the same again is none."""
    card, report = Digest(b"c" * 32), Digest(b"r" * 32)
    voted = ModelSet(text=TEXT, card=card, report=report)
    assert enact(world, voted) is ProposalState.DONE
    row = world.ledger.books.state.need(MODELS, OTHER_ID)
    assert (row.card, row.report, row.retired) == (card, report, False)
    assert enact(world, voted) is ProposalState.LAPSED
    first_ms = row.registered_ms
    assert enact(world, ModelSet(text=TEXT, card=report, report=card)) is ProposalState.DONE
    row = restart(world).books.state.need(MODELS, OTHER_ID)
    assert (row.card, row.report, row.registered_ms) == (report, card, first_ms)
    assert world.ledger.books.state.need(MODELS, MODEL_ID).card is None
