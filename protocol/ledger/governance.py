"""Governance: validators propose, vote, and change policy, models, members and pauses; never a loan that was made."""

from protocol.ledger.rules import Due, Rules

RULES: Rules = {}
DUE: Due = {}
