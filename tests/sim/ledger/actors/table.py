"""The Byzantine actors of the whole ledger by name: those who lie about batches and blocks, and voters' liars."""

from tests.sim.actors.equivocator import Equivocator
from tests.sim.actors.everything import EverythingVoter
from tests.sim.actors.finality import FinalityWithholder
from tests.sim.actors.flooder import Flooder
from tests.sim.actors.forker import Forker
from tests.sim.actors.garbage import GarbageCertifier
from tests.sim.actors.huge import HugeViews
from tests.sim.actors.impersonator import Impersonator
from tests.sim.actors.invalid import InvalidProposer
from tests.sim.actors.late import LateProposer
from tests.sim.actors.relay import AlteringRelay
from tests.sim.actors.replayer import Replayer
from tests.sim.actors.withholder import Withholder
from tests.sim.ledger.actors.doubler import Doubler
from tests.sim.ledger.actors.forger import Forger
from tests.sim.ledger.actors.hoarder import Hoarder
from tests.sim.ledger.actors.puppet import make_puppeteer
from tests.sim.ledger.actors.syncliar import SyncLiar
from tests.sim.ledger.node import LedgerNode

ACTORS: dict[str, type[LedgerNode]] = {
    "doubler": Doubler,
    "forger": Forger,
    "hoarder": Hoarder,
    "syncliar": SyncLiar,
    "equivocator": make_puppeteer(Equivocator),
    "everything": make_puppeteer(EverythingVoter),
    "finality": make_puppeteer(FinalityWithholder),
    "flooder": make_puppeteer(Flooder),
    "forker": make_puppeteer(Forker),
    "garbage": make_puppeteer(GarbageCertifier),
    "huge": make_puppeteer(HugeViews),
    "impersonator": make_puppeteer(Impersonator),
    "invalid": make_puppeteer(InvalidProposer),
    "late": make_puppeteer(LateProposer),
    "relay": make_puppeteer(AlteringRelay),
    "replayer": make_puppeteer(Replayer),
    "withholder": make_puppeteer(Withholder),
}
