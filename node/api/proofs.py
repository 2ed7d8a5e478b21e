"""Rows of the books with the proof that a quorum signed them: what a reader needs who trusts no single node.

    GET /v1/proofs?rows=loans:5c5c...,pools:7a7a...   ->  the bytes that `protocol.rowproof` verifies

A row is proved as a whole, so rows that hold a person's tag are for those alone who may see it. Never a figure here.
"""

from collections.abc import Sequence
from typing import Any, Final

from aiohttp import web

from node.api.ports import NodePort
from node.api.problems import ProblemError
from node.api.reading import get_node, get_number, require_caller
from node.api.state import find_account, find_row, may_see_exposure
from node.proving import prove_rows
from protocol.ids import Epoch, Height, PublicKey
from protocol.ledger import state
from protocol.ledger.rows import Account
from protocol.ledger.state import Place, Table
from protocol.limits import PROVED_KEY_BYTES_MAX, PROVED_ROWS_MAX
from protocol.transactions.accounts import AccountKind

WAIT_MS_DEFAULT: Final = 5_000
WAIT_MS_MAX: Final = 12_000
"""Longer than an idle chain rests between two blocks."""
TAGGED: Final = (state.ACCOUNTS, state.CONTRACTS, state.LINES, state.EXPOSURES)
"""Their rows, or keys, hold the tag by which one person's accounts could be found everywhere."""
OPEN: Final = (
    state.TIP,
    state.KEYS,
    state.BALANCES,
    state.POOLS,
    state.SHARES,
    state.PRODUCTS,
    state.BUDGETS,
    state.DATA,
    state.CONSENTS,
    state.APPLICATIONS,
    state.DECISIONS,
    state.OFFERS,
    state.LOANS,
    state.GOVERNED,
    state.MEMBERS,
    state.MODELS,
    state.PROPOSALS,
    state.RECOVERIES,
    state.EXITS,
    state.ASSETS,
    state.AMENDMENTS,
    state.DISPUTES,
    state.EPOCH,
    state.CONVICTIONS,
    state.ERASURES,
    state.VERDICTS,
    state.RULES,
)
"""What other addresses show to everybody."""
PROVED: Final[dict[str, Table[Any]]] = {table.name: table for table in (*OPEN, *TAGGED)}
"""Of the others (references, queues, sums) no address shows anything, and so does none here."""
_ROW: Final = f"({'|'.join(sorted(PROVED))}):(-|([0-9a-f]{{2}}){{1,{PROVED_KEY_BYTES_MAX}}})"
ROWS: Final[dict[str, Any]] = {
    "type": "string",
    "pattern": f"^{_ROW}(,{_ROW}){{0,{PROVED_ROWS_MAX - 1}}}$",
    "examples": ["tip:-", "loans:" + "5c" * 32],
}


async def get_row_proof(request: web.Request) -> web.Response:
    """GET /v1/proofs?rows=table:key,...[&height_min=][&epoch=][&wait_ms=]: rows of one height, and their proof."""
    node = get_node(request)
    places = parse_places(request.query["rows"])
    _check_permitted(request, node, places)
    made = await prove_rows(
        node,
        places,
        height_min=Height(get_number(request, "height_min", default=0, lowest=0, highest=2**53 - 1)),
        known=Epoch(get_number(request, "epoch", default=0, lowest=0, highest=2**53 - 1)),
        timeout_s=get_number(request, "wait_ms", default=WAIT_MS_DEFAULT, lowest=0, highest=WAIT_MS_MAX) / 1_000,
    )
    if made is None:
        raise ProblemError("proof_not_ready", "No final header names such a state yet.", retry_after_ms=1_000)
    _check_permitted(request, node, places)  # of rows that were not there before
    return web.Response(body=made, content_type="application/octet-stream", headers={"Cache-Control": "no-store"})


def parse_places(text: str) -> tuple[Place, ...]:
    """Tables and keys of a text that the pattern allows, each once, in order."""
    pairs = (row.split(":") for row in text.split(","))
    found = ((PROVED[name].number, b"" if key == "-" else bytes.fromhex(key)) for name, key in pairs)
    return tuple(dict.fromkeys(found))


def _check_permitted(request: web.Request, node: NodePort, places: Sequence[Place]) -> None:
    """Raise ProblemError unless no row holds anybody's tag, or the caller may see it. Such rows are never deleted."""
    for number, key in places:
        table = state.TABLES[number]
        row = find_row(node, table, key) if table in TAGGED else None
        if row is None and table is not state.EXPOSURES:
            continue  # that there is none says nothing of anybody
        if isinstance(row, Account) and row.kind is AccountKind.ORGANISATION:
            continue
        caller = require_caller(request).key
        if not may_see_exposure(node, caller) and not _is_party(node, caller, key, row):
            raise ProblemError(
                "not_permitted",
                "Rows with a person's tag are for its parties, and for members that validate or observe.",
            )


def _is_party(node: NodePort, caller: PublicKey, key: bytes, row: Any) -> bool:
    """Whether the key speaks for the account that the row is of, or for who lends by it."""
    account = find_account(node, caller)
    if account is None or row is None:
        return False
    if isinstance(row, Account):
        return account == key
    disclosure = getattr(row, "disclosure", None)
    if disclosure is None and hasattr(row, "offer"):
        offer = find_row(node, state.OFFERS, row.offer)
        disclosure = None if offer is None else offer.disclosure
    parties = (row.account,) if disclosure is None else (disclosure.borrower, disclosure.lender)
    return account in parties
