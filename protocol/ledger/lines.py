"""Revolving lines: opened by acceptance, drawn as loans of their own, closed by day or by the borrower."""

from protocol.ledger.rules import Due, Rules

RULES: Rules = {}
DUE: Due = {}
