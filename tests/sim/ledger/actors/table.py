"""The Byzantine actors of the whole ledger by name."""

from tests.sim.ledger.node import LedgerNode

ACTORS: dict[str, type[LedgerNode]] = {}
