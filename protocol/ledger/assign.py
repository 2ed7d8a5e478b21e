"""Assignment: a pool's share of a loan against another pool's cash, in one step."""

from protocol.ledger.rules import Rules

RULES: Rules = {}
