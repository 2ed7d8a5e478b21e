"""How epochs ended, in `ledger.sqlite`: one row with every block that ends one, whole enough to be shown to anybody.

The rows alone lead from the genesis to the present validators. Never judge a proof here.
"""

from typing import Final

from node.store.blockwriter import Rows
from protocol.block import Block
from protocol.certificate import Certificate
from protocol.codec import encode
from protocol.ledger.records import Execution

TABLE: Final = """CREATE TABLE IF NOT EXISTS epochs (
        epoch INTEGER PRIMARY KEY,
        height INTEGER NOT NULL,
        header BLOB NOT NULL,
        finalization BLOB NOT NULL,
        validators BLOB NOT NULL)"""
"""The epoch that ended, its last block, and the keys of the validators that follow."""


def make_epoch_rows(block: Block, finalization: Certificate | None, execution: Execution) -> Rows:
    """How an epoch ended, if this block ends one. Nobody follows where this node's own state plans nobody."""
    header, rows = block.header, []
    if header.is_boundary and execution.next_validators:
        assert finalization is not None, "a block that ends its epoch is finalised directly"
        validators = encode(execution.next_validators)
        rows = [(header.epoch, header.height, encode(header), encode(finalization), validators)]
    return Rows("INSERT INTO epochs VALUES", rows)
