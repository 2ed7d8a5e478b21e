"""Corrections of a loan: waivers, refunds, reversed receipts of fiat, costs of recovery."""

from protocol.ledger.rules import Rules

RULES: Rules = {}
