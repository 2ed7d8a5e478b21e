"""Who is who in the network now: members' nodes by the books, and validators' nodes by the present epoch.

It follows the executed blocks: a member that is admitted may connect, and a validator's batches go to its node, without
anybody's restart. One object, read by many rooms; only `update` changes it. No IO, and no opinion of who should be in.
"""

from collections.abc import Iterable
from operator import itemgetter

from protocol.ids import AccountId, PublicKey, ValidatorIndex
from protocol.ledger.execute import Ledger
from protocol.ledger.records import Change
from protocol.ledger.seatrows import EpochRow
from protocol.ledger.state import EPOCH, MEMBERS

_TABLES = frozenset({EPOCH.number, MEMBERS.number})


def concerns_roster(changes: Iterable[Change]) -> bool:
    """Whether rows that the roster is read from are among those that a block changed."""
    return not _TABLES.isdisjoint(map(itemgetter(0), changes))


class Roster:
    """The members of one network, as seen from the node `own`."""

    def __init__(self, own: PublicKey) -> None:
        self._own = own
        self.names: dict[PublicKey, str] = {}
        """Name by node key, of every member that has a node."""
        self.accounts: dict[PublicKey, AccountId] = {}
        """Account by node key."""
        self.keys: tuple[PublicKey, ...] = ()
        """Validator keys of the present epoch, in the order of their places."""
        self.validators: tuple[PublicKey, ...] = ()
        """Node key of each validator, in the same order."""
        self.everybody: tuple[PublicKey, ...] = ()
        """Node keys of all members but this node's, ascending."""
        self.others: tuple[PublicKey, ...] = ()
        """Node keys of the validators but this node's."""

    @property
    def is_validator(self) -> bool:
        """Whether this node speaks for one of the validators."""
        return self._own in self.validators

    @property
    def own_account(self) -> AccountId | None:
        """Of the member that this node belongs to; None while the books do not know it."""
        return self.accounts.get(self._own)

    def find_account(self, node_key: PublicKey) -> AccountId | None:
        """Of the member that a node belongs to."""
        return self.accounts.get(node_key)

    def get_name(self, index: ValidatorIndex) -> str:
        """The name of a validator."""
        return self.names.get(self.validators[index], f"validator {self.keys[index].hex()[:8]}")

    def update(self, ledger: Ledger, keys: tuple[PublicKey, ...]) -> None:
        """Take over the books between two blocks, and the validators of the present epoch.

        The epoch may be one that the books have planned and not seen a block of.
        """
        nodes = ledger.list_nodes()
        names = {one.node_key: one.name for one in nodes}
        for key in self.names.keys() - names.keys():
            del self.names[key]
        self.names.update(names)
        self.accounts = {one.node_key: one.account for one in nodes}
        homes = {one.account: one.node_key for one in nodes}
        holders = _list_holders(ledger.epoch_row)
        self.keys = keys
        # A validator whose node nobody knows stands for itself: nobody can be reached by a validator key.
        self.validators = tuple(homes.get(holders[key], key) if key in holders else key for key in keys)
        self.everybody = tuple(sorted(key for key in self.names if key != self._own))
        self.others = tuple(key for key in self.validators if key != self._own)


def _list_holders(row: EpochRow) -> dict[PublicKey, AccountId]:
    """The account of every validator key of the last, present and coming epochs."""
    seats = (*row.previous, *(row.queued or ()), *(row.next or ()), *row.seats)
    return {PublicKey(one.validator_key): AccountId(one.account) for one in seats}
