"""Amendments: other terms for what is left of a loan, or settling it for less; both sides sign (ledger 2.11)."""

from protocol.ledger.rules import Rules

RULES: Rules = {}
