"""Random lives on the ledger, seeded: what people do, by kind of deed; `everything` puts them together."""
