"""What must hold of the books after every block, by family; `protocol.ledger.invariants` runs them all."""
