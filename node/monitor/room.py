"""The monitor of one lender: after each block and each day it judges its own loans, and keeps what must be told.

    books, events of this member, refreshed statements under consent  ->  rules  ->  watch + alerts, in one write

It opens a statement once, when it comes, and each opening is in the access log the borrower can read. A restart judges
everything anew and tells nothing twice. Nothing here may hold the node up or end it: a loan that cannot be judged is
logged and tried again. Never a rule here, and never log a row or an amount.
"""

import asyncio
import sqlite3
from collections.abc import Callable
from typing import Final

import msgspec

from node.api.ports import NodePort
from node.api.state import find_row
from node.keystore import NodeKeys
from node.monitor.facts import (
    WATCHED,
    Anchored,
    Feed,
    LoanCase,
    is_monitoring,
    judge_books,
    judge_statement,
    read_case,
    read_feed,
)
from node.monitor.pacing import Pacer
from node.monitor.portfolio import Portfolio
from node.monitor.records import AlertRecord, Kept, make_loan_alert
from node.monitor.statements import StatementError, StatementReader
from node.monitor.store import AlertStore
from node.store.chain import StoreError
from node.telemetry import get_logger
from node.vault.store import VaultError
from protocol.ids import AccountId, Height, ObjectId, TimeMs
from protocol.ledger.holdings import find_holders
from protocol.ledger.rows import Role
from protocol.ledger.state import ACCOUNTS, CONSENTS, CONTRACTS, KEYS, LOANS, POOLS
from protocol.limits import PAGE_ITEMS_MAX
from scoring.warning import Finding, Paid, advance

WAIT_S: Final = 5.0
RETRY_S: Final = 30.0
"""A statement that is not here yet is asked for again after so long."""
PAYMENTS_DAYS: Final = 60


class _Told(msgspec.Struct):
    """What matters here of an event."""

    loan: str | None = None
    consent: str | None = None
    owner: str | None = None


class Monitor:
    """One member's monitor beside its node. `now_ms` is the clock of the access log."""

    def __init__(self, node: NodePort, keys: NodeKeys, store: AlertStore, *, now_ms: Callable[[], TimeMs]) -> None:
        assert keys.attester is not None, "a monitor speaks for a member"
        self._node = node
        self._key = keys.attester.public_key
        self._store = store
        self._reader = StatementReader(node, keys, now_ms)
        self.portfolio = Portfolio(node, store)
        self._loans: dict[ObjectId, AccountId] = {}
        """Open loans of this lender, with their borrowers."""
        self._owing: dict[AccountId, dict[ObjectId, None]] = {}
        self._consents: dict[AccountId, dict[ObjectId, None]] = {}
        """Consents to monitoring for this lender, by borrower, ended ones too."""
        self._waiting: dict[ObjectId, None] = {}
        """Loans whose statement was not here."""
        self._log = get_logger("monitor")

    def find_member(self) -> AccountId | None:
        """The member that the attester key speaks for today."""
        key = find_row(self._node, KEYS, self._key)
        return None if key is None or key.account is None else AccountId(key.account)

    def _find_lender(self) -> AccountId | None:
        """The member this node watches for; None while it does not lend."""
        account = self.find_member()
        row = None if account is None else find_row(self._node, ACCOUNTS, account)
        return account if row is not None and row.roles & Role.LENDER else None

    async def run(self) -> None:
        """Watch until cancelled. A fault of the monitor's own is logged, and it begins anew."""
        while True:
            try:
                await self._watch()
            except (StoreError, VaultError) as error:
                self._log.error("monitor_interrupted", code=error.code, reason=error.sentence)
            except sqlite3.Error as error:
                self._log.error("monitor_interrupted", code="alerts_unwritable", reason=str(error))
            except Exception:
                self._log.exception("monitor_interrupted", code="fault")
            await asyncio.sleep(RETRY_S)

    async def _watch(self) -> None:
        height, day, tried_s = Height(0), -1, 0.0
        clock = asyncio.get_running_loop().time
        while True:
            await self._node.wait_settled()
            lender, today = self._find_lender(), self._node.ledger.books.today
            if lender is None:
                height, day = self._node.status().exec_height, -1
            elif today != day:
                height = await self._judge_all(lender)
                day, tried_s = today, clock()
            else:
                dirty, height = await self._read_news(lender, height)
                if clock() - tried_s > RETRY_S:
                    dirty |= self._waiting
                    tried_s = clock()
                for loan in dirty:
                    await self.judge(loan, lender)
            await self._node.wait_height_beyond(height, WAIT_S)

    # ------------------------------------------------------------------ what there is to watch

    async def _judge_all(self, lender: AccountId) -> Height:
        """Find all own loans and judge each; the height from which on events tell the rest."""
        height = await self._survey(lender)
        for loan in list(self._loans):
            await self.judge(loan, lender)
        over = [one for one in await self._store.list_watched() if one not in self._loans]
        await self._store.drop_watches(over)
        await self.portfolio.look(lender)
        return height

    async def _survey(self, lender: AccountId) -> Height:
        """Read a copy of the tables, taken between two blocks, in slices."""
        books = self._node.ledger.books
        height, still, pacer = Height(books.height), books.state.copy((LOANS, CONTRACTS, CONSENTS, POOLS)), Pacer()
        self._loans, self._owing, self._consents = {}, {}, {}
        for key, loan in still.walk(LOANS):
            owners = {still.need(POOLS, one.pool).owner for one in loan.holdings}
            if loan.state in WATCHED and lender in owners:
                self._add(ObjectId(key), AccountId(still.need(CONTRACTS, key).disclosure.borrower))
            await pacer.rest()
        for key, consent in still.walk(CONSENTS):
            if is_monitoring(consent, lender):
                self._consents.setdefault(AccountId(consent.owner), {})[ObjectId(key)] = None
            await pacer.rest()
        return height

    def _add(self, loan: ObjectId, borrower: AccountId) -> None:
        self._loans[loan] = borrower
        self._owing.setdefault(borrower, {})[loan] = None

    def _drop(self, loan: ObjectId) -> None:
        borrower = self._loans.pop(loan, None)
        if borrower is not None:
            self._owing[borrower].pop(loan, None)
        self._waiting.pop(loan, None)

    async def _read_news(self, lender: AccountId, after: Height) -> tuple[dict[ObjectId, None], Height]:
        """Loans that events since a height concern, and the height that was read to."""
        dirty: dict[ObjectId, None] = {}
        until, position = self._node.status().exec_height, (after, 2**53 - 1)
        while True:
            events = await self._node.store.read_subject_events(lender, PAGE_ITEMS_MAX, after=position)
            for event in events:
                told = msgspec.json.decode(event.data, type=_Told)
                dirty |= self._take(event.kind, told, lender)
            if len(events) < PAGE_ITEMS_MAX or events[-1].height > until:
                return dirty, max(until, after)
            position = (events[-1].height, events[-1].index)

    def _take(self, kind: str, told: _Told, lender: AccountId) -> dict[ObjectId, None]:
        """The loans an event concerns; a new loan or consent is remembered."""
        if told.consent is not None and told.owner is not None:
            consent, owner = ObjectId(bytes.fromhex(told.consent)), AccountId(bytes.fromhex(told.owner))
            row = find_row(self._node, CONSENTS, consent)
            if row is not None and is_monitoring(row, lender):
                self._consents.setdefault(owner, {})[consent] = None
                return dict(self._owing.get(owner, {}))
        if told.loan is None:
            return {}
        loan = ObjectId(bytes.fromhex(told.loan))
        if loan not in self._loans and not self._is_own(loan, lender):
            return {}
        return {loan: None}

    def _is_own(self, loan_id: ObjectId, lender: AccountId) -> bool:
        row, contract = find_row(self._node, LOANS, loan_id), find_row(self._node, CONTRACTS, loan_id)
        if row is None or contract is None or row.state not in WATCHED:
            return False
        if lender not in find_holders(self._node.ledger.books, row):
            return False
        self._add(loan_id, AccountId(contract.disclosure.borrower))
        return True

    # ------------------------------------------------------------------ judging one loan

    async def judge(self, loan_id: ObjectId, lender: AccountId) -> None:
        """Judge one loan as it stands, and keep what follows."""
        await self._node.wait_settled()
        books = self._node.ledger.books
        feed = self._read_feed(self._loans.get(loan_id), lender)
        case = read_case(books, loan_id, feed)
        if case is None:
            self._drop(loan_id)
            return
        findings = list(judge_books(case))
        before = await self._store.load(loan_id)
        judged = before.judged
        if case.newest is not None and case.newest.id != judged:
            found = await self._judge_statement(case, case.newest, lender)
            if found is None:
                self._waiting[loan_id] = None
            else:
                self._waiting.pop(loan_id, None)
                judged = case.newest.id
                findings += found
        watch, alerts = advance(before.watch, sorted(findings), case.today)
        kept = Kept(watch, judged)
        if kept == before and not alerts:
            return
        data = None if case.newest is None else case.newest.id
        records = [
            make_loan_alert(
                one,
                loan=loan_id,
                borrower=case.borrower,
                lender=lender,
                data=data,
                height=case.height,
                time_ms=case.time_ms,
            )
            for one in alerts
        ]
        await self._store.keep(loan_id, kept, records)
        self._log_alerts(records)

    def _read_feed(self, borrower: AccountId | None, lender: AccountId) -> Feed:
        consents = {} if borrower is None else self._consents.get(borrower, {})
        return read_feed(self._node.ledger.books, consents, lender)

    def _log_alerts(self, records: list[AlertRecord]) -> None:
        for one in records:
            self._log.info("alert_raised", loan=one.subject, rule=one.rule, severity=one.severity.name.lower())

    async def _judge_statement(self, case: LoanCase, newest: Anchored, lender: AccountId) -> tuple[Finding, ...] | None:
        """Findings of the newest statement; None while it is not here. One that cannot be believed gives none."""
        try:
            plain = await self._reader.open(newest, lender)
            if plain is None:
                return None
            committed = None if case.committed is None else await self._reader.open(case.committed, lender)
        except StatementError as error:
            self._log.warning("statement_refused", loan=case.loan, data=error.data, reason=error.code)
            return ()
        payments = await self._read_payments(case)
        return await asyncio.to_thread(judge_statement, case, plain, committed, payments)

    async def _read_payments(self, case: LoanCase) -> tuple[Paid, ...]:
        """The loan's payments of the last two months, from its history; fewer where the node's history begins later."""
        node, found, position = self._node, [], (0, -1)
        while True:
            events = await node.store.read_subject_events(case.loan, PAGE_ITEMS_MAX, after=position)
            found += [one for one in events if one.kind == "paid"]
            if len(events) < PAGE_ITEMS_MAX:
                break
            position = (events[-1].height, events[-1].index)
        tz = node.ledger.books.state.need(CONTRACTS, case.loan).disclosure.tz_offset_min
        payments: list[Paid] = []
        for event in reversed(found):
            block = await node.store.read_block(event.height)
            if block is None:
                break
            day = node.genesis.calculate_day(block.header.time_ms, tz)
            if day < case.today - PAYMENTS_DAYS:
                break
            payments.append(Paid(day, msgspec.json.decode(event.data, type=_Payment).taken))
        return tuple(reversed(payments))


class _Payment(msgspec.Struct):
    """Of a `paid` event."""

    taken: int
