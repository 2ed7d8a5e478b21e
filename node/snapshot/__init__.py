"""Snapshots of one node: made beside the running chain, offered to peers, fetched and installed when far behind."""
