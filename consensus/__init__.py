"""The Simplex machine: `step(event) -> effects`. Knows blocks and votes, never loans; no IO, no clock."""
