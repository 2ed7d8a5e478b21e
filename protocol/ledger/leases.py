"""The end of a lease: return, buy or extend."""

from protocol.ledger.rules import Rules

RULES: Rules = {}
