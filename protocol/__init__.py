"""What two honest nodes must agree on byte for byte: ids, money, crypto, codec, transactions, blocks, ledger, loans. No IO, no clock."""
