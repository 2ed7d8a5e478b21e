"""A lender's node warns of its own loans: from the books and from refreshed statements, once, and across restarts."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from structlog.testing import capture_logs

from node.monitor import room
from node.monitor.records import Kept
from node.monitor.store import ALERTS_FILE, AlertStore
from protocol.codec import encode
from protocol.ids import Day, Height, TimeMs
from protocol.ledger.rows import Role
from protocol.ledger.state import ACCOUNTS, CONTRACTS, DATA
from protocol.money import Amount
from protocol.transactions.data import Purpose
from scoring.rows import Category
from scoring.warning import Watch
from scoring.warning_table import WarningRule
from tests.node.monitor.scene import Scene, open_scene


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    """A running loan."""
    async with open_scene(tmp_path) as made:
        yield made


async def test_a_missed_payment_is_told_once_and_after_a_restart_not_again(scene: Scene) -> None:
    """The instalment's amount and the days since stand in the alert; a new process tells nothing twice."""
    first = scene.node.ledger.books.state.need(CONTRACTS, scene.loan).disclosure.instalments[0]
    async with scene.watching():
        await scene.pass_days(first.due_on - scene.today)
        await scene.pass_days(3)
        (alert,) = await scene.wait_alerts(1)
    assert (alert.rule, alert.subject, alert.borrower) == ("payment_missed", scene.loan, scene.wallet.account)
    evidence = dict(alert.evidence)
    assert evidence["days_past_due"] == 3
    assert evidence["past_due"] >= first.total_due
    assert alert.public
    await scene.reopen()
    async with scene.watching():
        await scene.pass_days(1)
        await scene.node.do(scene.wallet.pay(loan=scene.loan, amount=Amount(1)))
        await asyncio.sleep(0.1)
        assert scene.store.newest == 1


async def test_a_late_loan_is_seen_by_its_event_within_the_day(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """The network's day need not turn: its contract's day does, eight hours earlier, and the ledger's event tells."""
    first = scene.node.ledger.books.state.need(CONTRACTS, scene.loan).disclosure.instalments[0]
    await scene.pass_days(first.due_on - scene.today)
    day = scene.node.ledger.books.today
    judged = asyncio.Event()
    honest = room.judge_books

    def judge(case: room.LoanCase) -> tuple[room.Finding, ...]:
        judged.set()
        return honest(case)

    monkeypatch.setattr(room, "judge_books", judge)
    async with scene.watching():
        await judged.wait()
        assert scene.store.newest == 0
        scene.node.clock_ms = TimeMs(scene.node.clock_ms + 17 * 3_600_000)
        await scene.node.make_block()
        assert scene.node.ledger.books.today == day
        (alert,) = await scene.wait_alerts(1)
    assert dict(alert.evidence)["days_past_due"] == 1


async def test_a_refreshed_statement_that_contradicts_the_first_is_told(scene: Scene) -> None:
    """One amount of the overlap was edited: the alert names how many rows differ, and rests on the new statement."""
    await scene.pass_days(20)
    end = Day(scene.today - 1)
    honest = scene.extend([(end - 1, 100, Category.OTHER)], end)
    rows = list(honest.plain.rows)
    at = len(rows) - 30
    shift = 777
    rows[at] = msgspec.structs.replace(rows[at], amount=rows[at].amount + shift)
    for i in range(at, len(rows)):
        balance = rows[i].balance
        assert balance is not None
        rows[i] = msgspec.structs.replace(rows[i], balance=balance + shift)
    async with scene.watching():
        made = await scene.refresh(scene.make_prepared(rows, end))
        alerts = await scene.wait_alerts(1)
    told = {one.rule: one for one in alerts}
    assert told["overlap_differs"].data == made.data
    assert not told["overlap_differs"].public
    assert dict(told["overlap_differs"].evidence)["rows"] > 0
    log = await scene.node.vault.read_access_log(made.data)
    assert [one.record.purpose for one in log] == [Purpose.MONITOR]


async def test_an_honest_refresh_raises_nothing_and_is_opened_once(scene: Scene) -> None:
    """The same rows and a few more: no rule speaks, and days later the statement is not opened again."""
    await scene.pass_days(10)
    end = Day(scene.today - 1)
    made = await scene.refresh(scene.extend([(end - 1, -100, Category.HOUSEHOLD)], end))
    async with scene.watching():
        await wait_judged(scene, made.data)
        await scene.pass_days(1)
        await asyncio.sleep(0.1)
        assert scene.store.newest == 0
    assert len(await scene.node.vault.read_access_log(made.data)) == 1


async def wait_judged(scene: Scene, data: bytes) -> None:
    async with asyncio.timeout(30):
        while (await scene.store.load(scene.loan)).judged != data:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_income_that_ended_and_an_account_that_is_emptied_are_told(scene: Scene) -> None:
    """Two months without income and a drained account, in a refreshed statement."""
    await scene.pass_days(60)
    end = Day(scene.today - 1)
    balance = scene.prepared.plain.rows[-1].balance
    assert balance is not None
    moves = [(end - 12, -(balance - 1_000), Category.HOUSEHOLD), (end - 2, -10, Category.HOUSEHOLD)]
    async with scene.watching():
        await scene.refresh(scene.extend(moves, end))
        await scene.wait_alerts(2)
        await asyncio.sleep(0.1)
        alerts = [one.record for one in await scene.store.read(0, 200)]
    assert {"emptying", "inflow_fallen"} <= {one.rule for one in alerts}


async def test_a_withdrawn_consent_is_told_and_nothing_is_opened_after_it(scene: Scene) -> None:
    """The feed ends: the alert says so, and a document that was not opened before stays closed."""
    await scene.pass_days(5)
    end = Day(scene.today - 1)
    made = await scene.refresh(scene.extend([(end - 1, -100, Category.HOUSEHOLD)], end))
    await scene.node.do(scene.wallet.revoke_consent(made.consent))
    async with scene.watching():
        (alert,) = await scene.wait_alerts(1)
    assert alert.rule == "feed_ended"
    assert await scene.node.vault.read_access_log(made.data) == []


async def test_a_statement_that_comes_late_is_judged_then(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """The consent is final before the document is here: it is asked for again."""
    monkeypatch.setattr(room, "RETRY_S", 0.01)
    monkeypatch.setattr(room, "WAIT_S", 0.02)
    await scene.pass_days(5)
    end = Day(scene.today - 1)
    made = await scene.refresh(scene.extend([(end - 1, -100, Category.HOUSEHOLD)], end), put=False)
    async with scene.watching():
        await asyncio.sleep(0.1)
        assert (await scene.store.load(scene.loan)).judged == b""
        await scene.node.vault.put(encode(made.sealed.envelope))
        await wait_judged(scene, made.data)


async def test_a_statement_unlike_its_anchor_is_refused_once(scene: Scene) -> None:
    """Another document under the anchor's name gives no finding, and a line in the log without a figure."""
    await scene.pass_days(5)
    end = Day(scene.today - 1)
    made = scene.make_refresh(scene.extend([(end - 1, -100, Category.HOUSEHOLD)], end))
    await scene.node.vault.put(encode(made.sealed.envelope))
    await scene.node.do(*made.intents)
    row = scene.node.ledger.books.state.need(DATA, made.data)
    lie = msgspec.structs.replace(
        row, anchor=msgspec.structs.replace(row.anchor, first_day=Day(row.anchor.first_day - 1))
    )
    scene.node.ledger.books.state.put(DATA, made.data, lie)
    scene.node.ledger.books.state.keep()
    with capture_logs() as logs:
        async with scene.watching():
            await wait_judged(scene, made.data)
    refused = [line for line in logs if line["event"] == "statement_refused"]
    assert [line["reason"] for line in refused] == ["period_differs"]


async def test_a_member_that_does_not_lend_watches_nothing_and_rests(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waits for the next block each time, and begins once the validators let it lend."""
    waited: list[int] = []
    wait = scene.node.wait_height_beyond

    async def count(height: Height, timeout_s: float) -> Height:
        waited.append(height)
        return await wait(height, timeout_s)

    monkeypatch.setattr(scene.node, "wait_height_beyond", count)
    account = scene.node.make_officer("harbour").account
    state = scene.node.ledger.books.state
    lender = state.need(ACCOUNTS, account)
    state.put(ACCOUNTS, account, msgspec.structs.replace(lender, roles=int(Role.VALIDATOR)))
    state.keep()
    first = state.need(CONTRACTS, scene.loan).disclosure.instalments[0]
    async with scene.watching():
        await scene.pass_days(first.due_on - scene.today + 2)
        await asyncio.sleep(0.1)
        assert scene.store.newest == 0
        assert len(waited) <= 5
        state.put(ACCOUNTS, account, lender)
        state.keep()
        await scene.node.make_block()
        (alert,) = await scene.wait_alerts(1)
    assert alert.rule == "payment_missed"


async def test_a_fault_of_the_monitor_ends_nothing(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """A judgement that fails is logged, and the monitor begins anew."""
    monkeypatch.setattr(room, "RETRY_S", 0.01)
    broken = [True]
    honest = room.judge_books

    def judge(case: room.LoanCase) -> tuple[room.Finding, ...]:
        if broken:
            broken.pop()
            raise RuntimeError("planted")
        return honest(case)

    monkeypatch.setattr(room, "judge_books", judge)
    first = scene.node.ledger.books.state.need(CONTRACTS, scene.loan).disclosure.instalments[0]
    await scene.pass_days(first.due_on - scene.today + 2)
    with capture_logs() as logs:
        async with scene.watching():
            (alert,) = await scene.wait_alerts(1)
    assert alert.rule == "payment_missed"
    assert [line["event"] for line in logs if line["log_level"] == "error"] == ["monitor_interrupted"]


async def test_watch_and_alerts_are_kept_together_and_a_damaged_file_is_put_aside(tmp_path: Path) -> None:
    """What a store has said it kept is there after it was closed; one that cannot be read is replaced, not fatal."""
    path = tmp_path / ALERTS_FILE
    store = await AlertStore.open(path)
    kept = Kept(Watch((WarningRule.EMPTYING,), ((WarningRule.EMPTYING, 7),)), b"d" * 32)
    await store.keep(b"l" * 32, kept, [])
    await store.close()
    store = await AlertStore.open(path)
    assert await store.load(b"l" * 32) == kept
    await store.close()
    path.write_bytes(b"not a database at all, but long enough to look like one" * 50)
    with capture_logs() as logs:
        store = await AlertStore.open(path)
    assert [line["event"] for line in logs] == ["alerts_put_aside"]
    assert await store.load(b"l" * 32) == Kept(Watch(), b"")
    await store.close()
