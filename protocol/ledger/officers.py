"""What officers decide by hand: offers that reserve their money, cancellations, declines with reasons."""

from protocol.ledger.rules import Rules

RULES: Rules = {}
