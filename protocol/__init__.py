"""What two honest nodes must agree on byte for byte: bytes, books, loan contracts. No IO, no clock."""
