"""Loans in trouble: impairment, default by rule, write-off, and what recoveries pay first (ledger 2.8)."""

from protocol.ledger.rules import Rules

RULES: Rules = {}
