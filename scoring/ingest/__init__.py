"""Statement ingest: a file the borrower really has becomes normalised rows. Never part of consensus, never IO."""
