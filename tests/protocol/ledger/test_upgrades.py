"""Rules by version: planned once and well ahead, begun at their height before all else, never unknowingly."""

import msgspec
import pytest

from protocol.genesis import RULES_VERSION, GenesisError, decode_genesis, encode_genesis
from protocol.ids import Height
from protocol.ledger.actions import ActionFault, find_action_fault
from protocol.ledger.execute import Ledger
from protocol.ledger.invariants import find_violations
from protocol.ledger.rows import ProposalState
from protocol.ledger.rulesrow import RulesEntry
from protocol.ledger.upgrades import RulesUnknownError
from protocol.limits import RULES_AHEAD_MAX, RULES_NOTICE
from protocol.transactions.governance import RulesUpgrade
from tests.protocol.ledger.votes import enact, find_reason, pass_proposal, read_proposal
from tests.protocol.ledger.world import World

NEW = RULES_VERSION + 1


def make_upgrade(world: World, *, ahead: int = RULES_NOTICE + 40, version: int = NEW) -> RulesUpgrade:
    """Other rules so many blocks from now on."""
    return RulesUpgrade(version=version, activation_height=Height(world.ledger.height + ahead))


def test_decided_rules_begin_at_their_height_and_not_before() -> None:
    """The plan is told, stands in the books with the height that decided it, and begins with its block."""
    world = World()
    world.ledger.rules_known = NEW
    action = make_upgrade(world)
    assert enact(world, action) is ProposalState.DONE
    decided = world.ledger.height
    row = world.ledger.rules
    assert row.entries == (RulesEntry(1, 0, 0), RulesEntry(NEW, decided, action.activation_height))
    assert world.execution is not None
    assert world.execution.rules == row.entries
    while world.ledger.height < action.activation_height - 1:
        world.pass_days(1)
    assert world.ledger.rules.present.version == 1
    assert world.ledger.rules.find_version_at(Height(action.activation_height)) == NEW
    world.pass_days(1)
    assert world.ledger.rules.entries == (RulesEntry(NEW, decided, action.activation_height),)
    assert [one.kind for one in world.events if one.kind.startswith("rules_")] == ["rules_planned", "rules_began"]
    assert find_violations(world.ledger) == {}
    rows = list(world.ledger.rows())
    again = Ledger.from_rows(world.genesis, rows, height=world.ledger.height, exec_root=world.ledger.exec_root)
    assert again.rules == world.ledger.rules


def test_software_that_does_not_know_them_executes_nothing_of_them() -> None:
    """The block is refused before anything is changed; software that knows them goes on from the same books."""
    world = World()
    action = make_upgrade(world)
    assert enact(world, action) is ProposalState.DONE
    while world.ledger.height < action.activation_height - 1:
        world.pass_days(1)
    before, root = world.ledger.height, world.ledger.exec_root
    with pytest.raises(RulesUnknownError) as caught:
        world.pass_days(1)
    assert (caught.value.version, caught.value.since, caught.value.known) == (NEW, action.activation_height, 1)
    assert (world.ledger.height, world.ledger.exec_root) == (before, root)
    world.ledger.rules_known = NEW
    world.pass_days(1)
    assert world.ledger.rules.present.version == NEW


def test_what_is_too_near_too_far_old_or_decided_already_is_not_carried_out() -> None:
    """Each by its own reason, on the day as when it was proposed."""
    world = World()
    world.ledger.rules_known = NEW
    for action, fault in (
        (make_upgrade(world, ahead=RULES_NOTICE - 1), ActionFault.HEIGHT_UNFIT),
        (make_upgrade(world, ahead=RULES_NOTICE), None),
        (make_upgrade(world, ahead=RULES_AHEAD_MAX), None),
        (make_upgrade(world, ahead=RULES_AHEAD_MAX + 1), ActionFault.HEIGHT_UNFIT),
    ):
        assert find_action_fault(world.ledger.books, action) == fault
    late = pass_proposal(world, make_upgrade(world, ahead=RULES_NOTICE + 2))
    world.pass_days(1)
    assert read_proposal(world, late).state is ProposalState.LAPSED
    assert find_reason(world, late) == ActionFault.HEIGHT_UNFIT
    action = make_upgrade(world)
    assert enact(world, action) is ProposalState.DONE
    assert find_action_fault(world.ledger.books, make_upgrade(world, version=9)) is ActionFault.RULES_PLANNED
    while world.ledger.height < action.activation_height:
        world.pass_days(1)
    assert find_action_fault(world.ledger.books, make_upgrade(world)) is ActionFault.NOTHING_TO_CHANGE
    assert find_action_fault(world.ledger.books, make_upgrade(world, version=NEW + 1)) is None


def test_a_network_may_be_founded_by_newer_rules_and_older_software_says_so() -> None:
    """The founding document names its rules; who does not know them refuses it by name."""
    genesis = msgspec.structs.replace(World().genesis, rules=NEW)
    with pytest.raises(GenesisError) as caught:
        decode_genesis(encode_genesis(genesis))
    assert f"rules {NEW}" in str(caught.value)
    assert decode_genesis(encode_genesis(msgspec.structs.replace(genesis, rules=1))).rules == 1
