"""Revenue share: sales reported, payments that earn the discount by the unit, floors and breaches (ledger 2.11)."""

from protocol.ledger.rules import Rules

RULES: Rules = {}
