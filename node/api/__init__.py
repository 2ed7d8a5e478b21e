"""The HTTP face of a node: reads, submission, events. Nothing here decides anything the ledger decides."""
