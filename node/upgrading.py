"""Rules by version, as a node meets them: what headers say of them, when this release is too old, and how that is told.

The books decide (`protocol.ledger.upgrades`); a release says by RULES_VERSION what it can execute. Never a rule here.
"""

from collections.abc import Sequence
from typing import Any, Final

from consensus.events import Params
from node.store.chain import StoreError
from protocol.codec import encode
from protocol.crypto import calculate_hash
from protocol.genesis import Genesis
from protocol.ids import Digest, Height
from protocol.ledger.rulesrow import RulesEntry, RulesRow

RULES_UNKNOWN: Final = "rules_unknown"
FIRST_VERSION: Final = 1


class UpgradeNeededError(StoreError):
    """The next block is executed by rules that this release does not know."""


def calculate_params_hash(genesis: Genesis, version: int = FIRST_VERSION) -> Digest:
    """What headers name as their parameters: the policy the network was founded with, and the version of its rules.

    What votes put in the policy's place stands in the books, under exec_root.
    """
    later = () if version == FIRST_VERSION else (version.to_bytes(4, "big"),)
    return calculate_hash("params", encode(genesis.policy), *later)


def make_params(genesis: Genesis, entries: Sequence[RulesEntry], known: int) -> tuple[Params, ...]:
    """What the engine must know of the rules in force and to come."""
    return tuple(
        Params(
            planned_at=Height(one.planned_at),
            since=Height(one.since),
            params_hash=calculate_params_hash(genesis, one.version),
            is_known=one.version <= known,
        )
        for one in entries
    )


def find_unknown(row: RulesRow, height: Height, known: int) -> UpgradeNeededError | None:
    """Why the block of this height, the next one, cannot be executed; None when it can."""
    version = row.find_version_at(height)
    if version <= known:
        return None
    since = next(one.since for one in row.entries if one.version == version)
    return UpgradeNeededError(
        RULES_UNKNOWN,
        f"From height {since} on the network executes by rules {version}, and this release knows them up to {known}:"
        " install the release that the others run and start again. Nothing is lost, and nothing was voted beyond it.",
    )


def tell_rules(row: RulesRow, known: int) -> dict[str, Any]:
    """JSON values: the rules in force, those to come, and what this release knows."""
    coming = None if row.next is None else {"version": row.next.version, "since": row.next.since}
    return {"version": row.present.version, "since": row.present.since, "next": coming, "known": known}
