"""What the story came to: every node's books compared from outside, every invariant, every receipt verified offline.

Databases are read beside the running nodes, read-only; receipts are judged by the genesis file alone, as a stranger
would. Never trust a node's own word here.
"""

import asyncio
import time
from collections import Counter
from typing import Any

from node.client.http import ClientError
from node.demo.acts import Stage
from node.demo.cast import OBSERVER, Fate
from node.demo.report import LoanLine, Report, calculate_spread
from node.store.inspect import read_exec_roots, read_picture
from protocol.genesis import decode_genesis
from protocol.ids import Height
from protocol.ledger.execute import Ledger
from protocol.ledger.invariants import INVARIANTS
from protocol.receipt import ReceiptFault, verify_receipt_file

HELD = "held"


async def check_everything(stage: Stage, began: float) -> Report:
    """Judge the whole run."""
    loans = [await _read_loan(stage, player.character.name, loan) for player in stage.players for loan in player.loans]
    declines = stage.declines
    if not any(one.borrower == player.character.name for one in declines for player in stage.players):
        stage.problems.append("nobody was declined")
    for player in stage.players:
        if player.character.fate is Fate.DECLINED and player.loans:
            stage.problems.append(f"{player.character.name} was to be declined and got a loan")
    verified, failed = await _check_receipts(stage)
    heights, equal = _compare_roots(stage)
    invariants = _check_invariants(stage)
    ok = equal and not stage.problems and not failed and all(said == HELD for said in invariants.values())
    return Report(
        ok=ok and verified > 0,
        network=stage.genesis.name,
        chain_id=stage.genesis.calculate_chain_id().hex(),
        validators=tuple(place.name for place in stage.network.testnet.nodes if place.role == "validator"),
        observers=tuple(place.name for place in stage.network.testnet.nodes if place.role == "observer"),
        height=heights,
        exec_roots_equal=equal,
        loans=tuple(loans),
        loans_by_state=dict(sorted(Counter(one.state for one in loans).items())),
        declines=tuple(declines),
        refused_by_cap=tuple(stage.refused_by_cap),
        finality_ms=calculate_spread(stage.finality_ms),
        application_to_money_ms=calculate_spread(stage.to_money_ms),
        receipts_verified=verified,
        receipts_failed=failed,
        invariants=invariants,
        killed=tuple(stage.killed),
        problems=tuple(stage.problems),
        seconds=round(time.monotonic() - began, 1),
    )


async def _read_loan(stage: Stage, borrower: str, loan: bytes) -> LoanLine:
    """A loan as the observer, who took part in nothing, shows it."""
    found: dict[str, Any] = (await stage.clients[OBSERVER].get(f"/v1/loans/{loan.hex()}"))["loan"]
    return LoanLine(
        id=found["id"],
        borrower=borrower,
        lender=found["lender_name"],
        principal_minor=found["principal"],
        rate_ppm=found["rate_ppm"],
        apr_ppm=found["apr_ppm"],
        total_cost_minor=found["total_cost"],
        state="late" if found["state"] == "active" and found["days_past_due"] > 0 else found["state"],
        paid_minor=sum(found["paid"].values()),
        days_past_due=found["days_past_due"],
    )


async def _check_receipts(stage: Stage) -> tuple[int, int]:
    """Fetch a receipt file for each step of each loan, keep it, and verify it with genesis.json alone."""
    directory = stage.network.testnet.directory
    folder = directory / "receipts"
    folder.mkdir(exist_ok=True)
    genesis = decode_genesis((directory / "genesis.json").read_bytes())
    verified = failed = 0
    for one in stage.receipts:
        path = folder / f"{one.hex()[:16]}.receipt"
        try:
            path.write_bytes(await stage.clients[OBSERVER].get_receipt_file(one, timeout_s=10))
        except ClientError as error:
            stage.problems.append(f"no receipt for {one.hex()[:16]}: {error.code}")
            failed += 1
            continue
        found = verify_receipt_file(path.read_bytes(), genesis)
        if isinstance(found, ReceiptFault):
            stage.problems.append(f"receipt {path.name} proves nothing: {found.code}")
            failed += 1
        else:
            verified += 1
        await asyncio.sleep(0)
    return verified, failed


def _compare_roots(stage: Stage) -> tuple[dict[str, int], bool]:
    """Heights of all nodes, and whether all saved the same exec_root at every height they share."""
    roots = {place.name: read_exec_roots(place.directory / "ledger.sqlite") for place in stage.network.testnet.nodes}
    heights = {name: max(saved, default=0) for name, saved in roots.items()}
    shared = min(heights.values())
    for height in range(1, shared + 1):
        if len({saved.get(Height(height)) for saved in roots.values()}) != 1:
            stage.problems.append(f"nodes differ at height {height}")
            return heights, False
    return heights, shared > 0


def _check_invariants(stage: Stage) -> dict[str, str]:
    """Load every node's saved books, which checks their root, and run each invariant on them."""
    results = dict.fromkeys(INVARIANTS, HELD)
    for place in stage.network.testnet.nodes:
        picture = read_picture(place.directory / "ledger.sqlite")
        if picture is None:
            return dict.fromkeys(INVARIANTS, f"{place.name} saved nothing")
        ledger = Ledger.from_rows(stage.genesis, picture.rows, height=picture.height, exec_root=picture.exec_root)
        for name, check in INVARIANTS.items():
            broken = check(ledger)
            if broken:
                results[name] = f"{place.name}: {broken[0]}"
    return results
