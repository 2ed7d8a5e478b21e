"""Files for auditors and regulators: what the ledger holds and did, as CSV, JSON Lines or Parquet, with a manifest."""
