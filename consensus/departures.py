"""Why a view was left: counted for people and their alerts. Never read by a decision."""

from enum import Enum


class Departure(Enum):
    """One reason for each view that is over here; each nullified view has one."""

    NOTARIZED = "notarized"
    """It brought a block: nothing is wrong."""
    NO_PROPOSAL = "no_proposal"
    """Its leader's block did not come in time."""
    BAD_PAYLOAD = "bad_payload"
    """What came from its leader can never be accepted."""
    LATE = "late"
    """A block came and found no quorum in time."""
    EQUIVOCATION = "equivocation"
    """Its leader proposed two blocks."""
    LEADER_GAVE_UP = "leader_gave_up"
    """Its leader said itself that nothing would come."""
    LEADER_SILENT = "leader_silent"
    """Its leader had not been heard for two rounds of all leaders."""
    LEADER_CONTRADICTED_ITSELF = "leader_contradicted_itself"
    """Its leader has been caught before with two words that exclude each other."""
    OWN_TURN = "own_turn"
    """This node led it, and its block found no quorum in time, or it had none."""
    BY_OTHERS = "by_others"
    """A quorum gave it up before this node had a reason of its own, or while this node does not vote."""
    CAUGHT_UP = "caught_up"
    """This node was behind and went past it."""
