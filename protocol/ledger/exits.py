"""Leaving a pool: shares wait in escrow and all who wait share the free cash of a day alike (ledger 2.9)."""

from protocol.ledger.rules import Due, Rules

RULES: Rules = {}
DUE: Due = {}
