"""Disputes: a contested amount holds late charges and default for a time; an arbiter decides."""

from protocol.ledger.rules import Rules

RULES: Rules = {}
