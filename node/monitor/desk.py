"""What a member's node has of early warning: the store of alerts, the monitor, the webhooks. Opened and wired here.

Never a rule here. A store that cannot be opened leaves the node without alerts, not without itself.
"""

import sqlite3
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from node.api.ports import NodePort
from node.config import NodeConfig
from node.keystore import NodeKeys
from node.monitor.room import Monitor
from node.monitor.store import ALERTS_FILE, AlertStore
from node.monitor.webhook import Hook, WebhookRoom, read_hooks
from node.telemetry import get_logger
from protocol.ids import TimeMs


class AlertDesk:
    """Alerts of one node, as readers and rooms use them."""

    def __init__(self, store: AlertStore, monitor: Monitor, hooks: tuple[Hook, ...], webhooks: WebhookRoom) -> None:
        self.store = store
        self.find_member = monitor.find_member
        self.portfolio = monitor.portfolio
        self.hooks = hooks
        self.webhooks = webhooks
        self.rooms: tuple[Callable[[], Coroutine[Any, Any, None]], ...] = (monitor.run, webhooks.run)


async def open_desk(
    config: NodeConfig, node: NodePort, keys: NodeKeys, stack: AsyncExitStack, *, now_ms: Callable[[], TimeMs]
) -> AlertDesk | None:
    """The desk, closed by `stack`; None where its file takes nothing. Raises SecretError."""
    hooks = read_hooks(config.webhooks)
    try:
        store = await AlertStore.open(Path(config.data_dir) / ALERTS_FILE)
    except sqlite3.Error as error:
        get_logger("monitor").error("alerts_unavailable", reason=str(error))
        return None
    stack.push_async_callback(store.close)
    monitor = Monitor(node, keys, store, now_ms=now_ms)
    return AlertDesk(store, monitor, hooks, WebhookRoom(hooks, store, keys.node, now_ms=now_ms))
