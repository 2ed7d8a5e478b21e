"""Rows out of a node's API. What streams is cut at the height that the export began at; loans are read page by page.

Accounts and balances are in no list of the API, on purpose: an organisation exports those from its own database.
"""

from collections.abc import AsyncIterator
from typing import Any

from node.client.http import NodeClient
from node.exports.columns import Row, What, make_event_row, make_loan_row, make_posting_rows, write_json
from node.exports.writers import ExportError
from protocol.ids import Digest, Height
from protocol.rejections import Rejection


class RemoteSource:
    """One node, asked from `open` on."""

    def __init__(self, client: NodeClient) -> None:
        self._client = client
        self.chain_id = bytes(32)
        self.height = Height(0)
        self.exec_root = Digest(bytes(32))
        self.base = Height(0)
        self.heights = (0, 0)
        """Lowest and highest height that a page was read at."""

    async def open(self) -> None:
        """Fix the height. Raises ClientError."""
        status = await self._client.get("/v1/status")
        self.chain_id = bytes.fromhex(status["chain_id"])
        self.height, self.exec_root = Height(status["exec_height"]), Digest(bytes.fromhex(status["exec_root"]))
        self.heights = (self.height, self.height)

    async def read(self, what: What) -> AsyncIterator[Row]:
        """The rows of a table. Raises ClientError and ExportError."""
        if what == "loans":
            async for row in self._read_loans():
                yield row
        elif what == "transactions":
            async for row in self._read_transactions():
                yield row
        elif what in ("events", "postings"):
            async for event in self._list_events():
                place = (event["height"], event["index"], event["kind"])
                if what == "events":
                    yield make_event_row(*place, write_json(event["data"]).encode())
                else:
                    for row in make_posting_rows(*place, event["data"]):
                        yield row
        else:
            raise ExportError("not_over_http", f"A node lists no {what} to strangers: export them with --data-dir.")

    async def _read_loans(self) -> AsyncIterator[Row]:
        after: dict[str, str] = {}
        while True:
            page = await self._client.get("/v1/loans", limit="200", **after)
            self.heights = (min(self.heights[0], page["height"]), max(self.heights[1], page["height"]))
            for one in page["items"]:
                yield make_loan_row(one)
            if page["next"] is None:
                return
            after = {"after": page["next"]}

    async def _read_transactions(self) -> AsyncIterator[Row]:
        for height in range(self.base + 1, self.height + 1):
            block = await self._client.get(f"/v1/blocks/{height}")
            for one in block["receipts"]:
                yield _make_transaction_row(height, one)

    async def _list_events(self) -> AsyncIterator[dict[str, Any]]:
        async for event in self._client.stream_events("0-0", follow=False):
            if event["height"] > self.height:
                return
            yield event

    async def read_trial_balance(self) -> list[dict[str, Any]] | None:
        """The node's own lines, if it is still where the export began."""
        found = await self._client.get("/v1/trial-balance")
        return list(found["lines"]) if found["height"] == self.height else None


def _make_transaction_row(height: int, receipt: dict[str, Any]) -> Row:
    number, outcome = receipt["rejection"], write_json(receipt["outcome"])
    code = None if number is None else Rejection(number).code
    return height, receipt["index"], receipt["transaction_id"], number is None, number, code, outcome
