"""Authenticated websocket links between the nodes of one network: full mesh, one frame per message, bounded queues."""
