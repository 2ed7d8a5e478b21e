"""The Byzantine actors by name."""

from tests.sim.actors.border import BorderEquivocator
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
from tests.sim.actors.liar import SyncLiar
from tests.sim.actors.outliver import Outliver
from tests.sim.actors.relay import AlteringRelay
from tests.sim.actors.replayer import Replayer
from tests.sim.actors.withholder import Withholder
from tests.sim.node import SimNode

ACTORS: dict[str, type[SimNode]] = {
    "border": BorderEquivocator,
    "equivocator": Equivocator,
    "everything": EverythingVoter,
    "finality": FinalityWithholder,
    "flooder": Flooder,
    "forker": Forker,
    "garbage": GarbageCertifier,
    "huge": HugeViews,
    "impersonator": Impersonator,
    "invalid": InvalidProposer,
    "late": LateProposer,
    "liar": SyncLiar,
    "outliver": Outliver,
    "relay": AlteringRelay,
    "replayer": Replayer,
    "withholder": Withholder,
}
