"""What a node keeps on disk: the chain and its books (SQLite), the vote log and the payload log (append-only files)."""
