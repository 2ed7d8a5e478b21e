"""Encrypted statements: sealed by their owner, kept beside the ledger, opened only by those granted."""
