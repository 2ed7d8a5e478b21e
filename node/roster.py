"""Who is who in the network: node keys, names and validator positions, as the genesis says. No behaviour, no IO."""

from collections.abc import Mapping
from typing import NamedTuple

from protocol.genesis import Genesis
from protocol.ids import PublicKey, ValidatorIndex


class Roster(NamedTuple):
    """The members of one network."""

    names: Mapping[PublicKey, str]
    """Name by node key, of every member."""
    validators: tuple[PublicKey, ...]
    """Node key of each validator, by its position in the epoch's set."""
    keys: tuple[PublicKey, ...]
    """Validator keys in that order."""

    def get_name(self, index: ValidatorIndex) -> str:
        """The name of a validator."""
        return self.names[self.validators[index]]


def make_roster(genesis: Genesis) -> Roster:
    """The roster of a genesis."""
    node_keys = {one.validator_key: one.node_key for one in genesis.members if one.validator_key is not None}
    keys = genesis.calculate_validator_keys()
    return Roster(
        names={one.node_key: one.name for one in genesis.members},
        validators=tuple(node_keys[key] for key in keys),
        keys=keys,
    )
