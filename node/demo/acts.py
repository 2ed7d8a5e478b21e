"""The acts of the demonstration, one function each, over the public API of running nodes.

Every submission is timed from the moment it is sent until the node says it is final. Never a check of the result
here: what the story came to is judged in `node.demo.checks`.
"""

import asyncio
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final

from nacl.public import PrivateKey
from nacl.utils import random
from rich.console import Console

from node.client.borrower import (
    Application,
    Borrower,
    BorrowError,
    Wish,
    list_lenders,
    load_models,
    make_application,
    prepare_statement,
)
from node.client.http import NodeClient
from node.client.wallet import Intent, Wallet
from node.demo.cast import BORROWERS, CURRENCY, LENDERS, OBSERVER, POOL_CASH, make_product
from node.demo.cast import Borrower as Character
from node.demo.network import LocalNetwork
from node.demo.report import Decline
from node.demo.statements import make_statement
from node.keystore import read_seed
from protocol.crypto import KeySigner, calculate_hash
from protocol.ids import BoxKey, Day, Digest, ObjectId, TimeMs, TransactionId
from protocol.loans.terms import ExcessRule, PeriodUnit
from protocol.money import Amount, Currency
from protocol.rejections import SENTENCES, Rejection
from protocol.transactions.accounts import AccountKind
from protocol.transactions.products import Segment

INSTALMENTS: Final = 26
CREDENTIAL_DAYS: Final = 3_650
POCKET_MONEY: Final = Amount(500_000)
"""What each borrower has of their own: 5,000.00."""
PULSE_EVERY_S: Final = 0.1
FAR_TOO_MUCH: Final = Amount(10_000_000)
"""More than any loan of the story owes: only the payoff is taken."""


class StoryError(Exception):
    """The story could not go on; the sentence says at which point."""


def read_clock_ms() -> TimeMs:
    """Wall-clock milliseconds."""
    return TimeMs(time.time_ns() // 1_000_000)


class Player:
    """A borrower on their own device: wallet, conversation with one node, loans."""

    def __init__(self, character: Character, node: str, client: NodeClient, wallet: Wallet, seed: bytes) -> None:
        self.character = character
        self.node = node
        self.wallet = wallet
        self.seed = seed
        self.enc = PrivateKey(random(32))
        self.device = Borrower(client, wallet, now_ms=read_clock_ms)
        self.loans: list[ObjectId] = []


class Stage:
    """The running network, everybody's wallets, and what has happened so far."""

    def __init__(self, network: LocalNetwork, console: Console, *, time_warp: bool) -> None:
        self.network = network
        self.console = console
        self.time_warp = time_warp
        self.genesis = network.testnet.genesis
        self.clients: dict[str, NodeClient] = {}
        self.wallets: dict[str, Wallet] = {}
        self.issuer = self._signer("identity")
        self.players: list[Player] = []
        self.alive: list[str] = list(network.names)
        self.killed: list[str] = []
        self.finality_ms: list[float] = []
        self.to_money_ms: list[float] = []
        self.receipts: list[TransactionId] = []
        self.declines: list[Decline] = []
        self.refused_by_cap: list[str] = []
        self.problems: list[str] = []

    @classmethod
    async def enter(cls, stack: AsyncExitStack, network: LocalNetwork, console: Console, *, time_warp: bool) -> "Stage":
        """Open a client per node and a wallet per authority and lender."""
        stage = cls(network, console, time_warp=time_warp)
        for name in network.names:
            stage.clients[name] = await stack.enter_async_context(NodeClient(network.get_url(name)))
        for name in ("clearing", *(lender.name for lender in LENDERS)):
            stage.wallets[name] = stage._make_wallet(stage._signer(name))
        return stage

    def _directory(self, name: str) -> Path:
        return dict(self.network.testnet.authorities).get(name, self.network.testnet.directory / name)

    def _signer(self, name: str) -> KeySigner:
        seed = read_seed(self._directory(name), "officer")
        assert seed is not None, "the testnet was laid out a moment ago"
        return KeySigner(seed)

    def _make_wallet(self, signer: KeySigner) -> Wallet:
        return Wallet(signer, self.genesis.calculate_chain_id(), nonce_next=0, now_ms=read_clock_ms)

    def say(self, words: str) -> None:
        """One line of the story."""
        self.console.print(words)

    def get_today(self) -> Day:
        """The contract day of the products, by the local clock."""
        return Day(self.genesis.calculate_day(read_clock_ms(), 480))

    async def submit(self, node: str, intents: Sequence[Intent]) -> list[Rejection | None]:
        """Submit a group at a node and wait until it is final; the time it took counts once per group."""
        began = time.perf_counter()
        results = await self.clients[node].submit([one.item for one in intents], wait_final=True)
        self.finality_ms.append((time.perf_counter() - began) * 1000)
        for result in results:
            if result.status in ("accepted", "busy"):
                raise StoryError(f"a transaction sent to {node} was not final in time")
        return [None if one.rejection is None else Rejection(one.rejection.number) for one in results]

    async def must(self, node: str, intents: Sequence[Intent], what: str) -> None:
        """Submit what has to succeed."""
        for refused in await self.submit(node, intents):
            if refused is not None:
                raise StoryError(f"{what} was refused: {refused.code}")

    # ------------------------------------------------------------------ the acts

    async def play(self, *, kill: int) -> None:
        """The whole story, in order."""
        await self.fund_lenders()
        await self.open_accounts()
        repays, late, declined, capped = self.players
        await self.borrow(repays)
        victim = LENDERS[-1].name if kill else None
        if victim is not None:
            self.say(f"[bold]SIGKILL[/bold] {victim}: the network goes on with {len(LENDERS) - 1} of {len(LENDERS)}")
            await self.network.kill(victim)
            self.alive.remove(victim)
            self.killed.append(victim)
        await self.borrow(late)
        await self.borrow(declined)
        await self.borrow_twice(capped)
        if victim is not None:
            await self.network.start([victim])
            self.alive.append(victim)
            self.say(f"{victim} is back")
        if self.time_warp:
            await self.let_time_pass(late, (repays, capped))
            await self.pay_off(repays)
        else:
            self.say("Days are real days here: no instalment falls due while you watch.")
            await self.pay_off(repays)
        await self.settle_down()

    async def fund_lenders(self) -> None:
        """Cash comes in through the settlement agent; each lender opens a pool and publishes two products."""
        clearing = self.wallets["clearing"]
        cash = [
            clearing.mint(
                to=self.wallets[one.name].account,
                currency=Currency(CURRENCY),
                amount=POOL_CASH,
                ext_ref=calculate_hash("demo-ref", one.name.encode()),
            )
            for one in LENDERS
        ]
        await self.must(LENDERS[0].name, cash, "the lenders' cash")
        model = next(iter(load_models(self.genesis)))
        expires_on = Day(self.get_today() + 365)

        async def set_up(index: int) -> None:
            lender, wallet = LENDERS[index], self.wallets[LENDERS[index].name]
            pool = wallet.open_pool(currency=Currency(CURRENCY), borrower_max=Amount(15_000_000))
            group = [pool, wallet.deposit(pool=pool.made, amount=POOL_CASH)]
            group += [
                wallet.publish_product(make_product(lender, segment, pool.made, model, expires_on))
                for segment in (Segment.PERSONAL, Segment.SMALL_BUSINESS)
            ]
            await self.must(lender.name, group, f"{lender.title}'s pool and products")

        await asyncio.gather(*(set_up(index) for index in range(len(LENDERS))))
        self.say(f"{len(LENDERS)} lenders funded their pools and published {2 * len(LENDERS)} products")

    async def open_accounts(self) -> None:
        """Each borrower's key gets an account, vouched for by the credential issuer, and a little cash."""
        nodes = [LENDERS[0].name, OBSERVER, LENDERS[1].name, LENDERS[2].name]
        group: list[Intent] = []
        for character, node in zip(BORROWERS, nodes, strict=True):
            seed = random(32)
            wallet = self._make_wallet(KeySigner(seed))
            player = Player(character, node, self.clients[node], wallet, seed)
            self.players.append(player)
            group.append(
                wallet.open_account(
                    issuer=self.issuer,
                    kind=AccountKind.PERSON if character.segment is Segment.PERSONAL else AccountKind.BUSINESS,
                    enc_key=BoxKey(bytes(player.enc.public_key)),
                    subject_tag=calculate_hash("demo-subject", self.issuer.public_key, character.name.encode()),
                    level=2,
                    expires_on=Day(self.get_today() + CREDENTIAL_DAYS),
                )
            )
        await self.must(OBSERVER, group, "the borrowers' accounts")
        clearing = self.wallets["clearing"]
        pocket = [
            clearing.mint(
                to=player.wallet.account,
                currency=Currency(CURRENCY),
                amount=POCKET_MONEY,
                ext_ref=calculate_hash("demo-ref", player.character.name.encode()),
            )
            for player in self.players
        ]
        await self.must(LENDERS[1].name, pocket, "the borrowers' cash")
        self.say(f"{len(self.players)} borrowers opened accounts, one of them at the regulator's node")

    def prepare(self, player: Player, *, features_to: tuple[str, ...] = ()) -> Application:
        """Make the statement file of today, read it, seal it and sign the application, all on the borrower's device.

        Lenders named in `features_to` are granted its features alone, all others its rows.
        """
        who, today = player.character, self.get_today()
        data = make_statement(
            who.profile,
            format=who.format,
            end=date.fromordinal(today) - timedelta(days=1),
            seed=who.seed,
            currency=CURRENCY,
            holder=who.name,
        )
        folder = self.network.testnet.directory / "statements"
        folder.mkdir(exist_ok=True)
        (folder / who.file).write_bytes(data)
        lenders = list_lenders(self.genesis)
        return make_application(
            player.wallet,
            prepare_statement(data, name=who.file, secret=player.seed),
            Wish(
                segment=who.segment,
                currency=Currency(CURRENCY),
                amount=who.amount,
                instalments=INSTALMENTS,
                period_unit=PeriodUnit.WEEK,
                period_every=1,
                purpose=who.purpose,
                as_of=self.get_today(),
            ),
            enc_key=BoxKey(bytes(player.enc.public_key)),
            lenders=[one for one in lenders if one.name not in features_to],
            features_to=[one for one in lenders if one.name in features_to],
            models=list(load_models(self.genesis).values()),
            now_ms=read_clock_ms(),
        )

    async def ask(self, player: Player) -> Any:
        """Apply, and wait for the answers of all lenders that are up."""
        lenders_up = sum(1 for one in LENDERS if one.name in self.alive)
        for last in (False, True):
            application = self.prepare(player)
            try:
                await player.device.apply(application)
            except BorrowError as error:
                # A short ledger day can end between signing and execution; a person would sign again as well.
                if last or error.code != "application_terms_invalid":
                    raise StoryError(f"{player.character.name}'s application was refused: {error.code}") from error
                continue
            self.receipts.append(application.id)
            found = await player.device.wait_decisions(application.application, count=lenders_up)
            if len(found["decisions"]) < lenders_up:
                self.problems.append(
                    f"{player.character.name}: {len(found['decisions'])} of {lenders_up} lenders decided in time"
                )
            return found
        raise AssertionError("the loop returns or raises")

    async def take(self, player: Player, offer: Any) -> ObjectId:
        """Sign the whole disclosure of an offer; the money moves in the block that executes it."""
        intent = player.wallet.accept(
            offer=ObjectId(bytes.fromhex(offer["id"])), terms_hash=Digest(bytes.fromhex(offer["terms_hash"]))
        )
        (refused,) = await self.submit(player.node, [intent])
        self.receipts.append(intent.id)
        if refused is not None:
            raise BorrowError(refused.code, SENTENCES[refused])
        player.loans.append(intent.made)
        return intent.made

    def note_declines(self, player: Player, found: Any) -> None:
        """Remember every refusal with its reasons in words."""
        for decision in found["decisions"]:
            if decision["outcome"] == "decline":
                reasons = [one["text"] for one in decision["reasons"]]
                if decision["rule"] is not None:
                    reasons.append(decision["rule"]["sentence"])
                self.declines.append(
                    Decline(borrower=player.character.name, lender=decision["lender_name"], reasons=tuple(reasons))
                )

    async def borrow(self, player: Player) -> None:
        """One application, and the cheapest of its offers if there is one."""
        began = time.perf_counter()
        found = await self.ask(player)
        self.note_declines(player, found)
        if not found["offers"]:
            first = found["decisions"][0]["reasons"] if found["decisions"] else []
            self.say(f"{player.character.name}: declined by all, first reason: {first[0]['text'] if first else 'none'}")
            return
        best = found["offers"][0]
        try:
            await self.take(player, best)
        except BorrowError as error:
            raise StoryError(f"{player.character.name} could not take the loan: {error.code}") from error
        elapsed = (time.perf_counter() - began) * 1000
        self.to_money_ms.append(elapsed)
        self.say(
            f"{player.character.name}: {len(found['offers'])} offers, took {best['lender_name']} at"
            f" {best['rate_ppm'] / 10_000:.2f} % (APR {best['apr_ppm'] / 10_000:.2f} %), money after {elapsed:.0f} ms"
        )

    async def borrow_twice(self, player: Player) -> None:
        """Two applications at once; the second lender's loan would pass the debt cap, and the ledger refuses it."""
        began = time.perf_counter()
        first = await self.ask(player)
        second = await self.ask(player)
        self.note_declines(player, first)
        if not first["offers"] or len(second["offers"]) < 2:
            self.problems.append(f"{player.character.name} got no two offers to take")
            return
        best = first["offers"][0]
        await self.take(player, best)
        self.to_money_ms.append((time.perf_counter() - began) * 1000)
        self.say(f"{player.character.name}: took {best['lender_name']} for {best['principal'] / 100:,.2f}")
        other = next(one for one in second["offers"] if one["lender"] != best["lender"])
        try:
            await self.take(player, other)
        except BorrowError as error:
            self.refused_by_cap.append(f"{player.character.name} at {other['lender_name']}: {error.sentence}")
            self.say(f"{player.character.name}: second loan at {other['lender_name']} refused ({error.code})")
            if error.code != Rejection.CAP_DEBT.code:
                self.problems.append(f"the second loan was refused for {error.code}, not for the debt cap")
        else:
            self.problems.append(f"{player.character.name} got two loans past the debt cap")

    async def let_time_pass(self, late: Player, punctual: Sequence[Player]) -> None:
        """A week passes in moments: some pay the instalment that falls due, one pays nothing."""
        for player in (late, *punctual):
            if not player.loans:
                raise StoryError(f"{player.character.name} has no loan to go on with")
        self.say("A week passes ...")
        due_days = {player: _find_due_day(await self.get_loan(player)) for player in (late, *punctual)}
        for player, due_on in sorted(due_days.items(), key=lambda pair: pair[1]):
            await self.wait_for_day(due_on)
            if player is not late:
                due = (await self.get_loan(player))["loan"]["next_due"]
                await self.pay(player, Amount(due))
                self.say(f"{player.character.name}: paid the instalment due today, {due / 100:,.2f}")
        await self.wait_for_day(Day(due_days[late] + 2))
        found = (await self.get_loan(late))["loan"]
        self.say(f"{late.character.name}: paid nothing, {found['overdue'] / 100:,.2f} overdue")
        if found["days_past_due"] < 1:
            self.problems.append(f"{late.character.name} pays nothing and is not late")

    async def wait_for_day(self, day: Day) -> None:
        """Let the ledger's days pass while small transfers keep the network busy and measured."""
        clearing, node = self.wallets["clearing"], 0
        while self.get_today() < day:
            name = self.alive[node % len(self.alive)]
            node += 1
            gift = clearing.mint(
                to=self.players[0].wallet.account,
                currency=Currency(CURRENCY),
                amount=Amount(1),
                ext_ref=Digest(random(32)),
            )
            await self.must(name, [gift], "a cent")
            await asyncio.sleep(PULSE_EVERY_S)

    async def get_loan(self, player: Player) -> Any:
        """A borrower's loan as their node shows it."""
        return await self.clients[player.node].get(f"/v1/loans/{player.loans[0].hex()}")

    async def pay(self, player: Player, amount: Amount, excess: ExcessRule = ExcessRule.NEXT) -> None:
        """Pay on the borrower's first loan."""
        intent = player.wallet.pay(loan=player.loans[0], amount=amount, excess=excess)
        await self.must(player.node, [intent], f"{player.character.name}'s payment")
        self.receipts.append(intent.id)

    async def pay_off(self, player: Player) -> None:
        """Pay everything early: the lender's interest ends with the day."""
        clearing = self.wallets["clearing"]
        cash = clearing.mint(
            to=player.wallet.account,
            currency=Currency(CURRENCY),
            amount=FAR_TOO_MUCH,
            ext_ref=Digest(random(32)),
        )
        await self.must(player.node, [cash], "a borrower's income")
        await self.pay(player, FAR_TOO_MUCH, ExcessRule.LAST)
        found = await self.get_loan(player)
        self.say(f"{player.character.name}: paid off early, the loan is {found['loan']['state']}")
        if found["loan"]["state"] != "repaid":
            self.problems.append(f"{player.character.name} paid everything and the loan is {found['loan']['state']}")

    async def settle_down(self) -> None:
        """Wait until every node has executed the same height; a node that was down catches up."""
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            heights = {name: (await self.clients[name].get("/v1/status"))["exec_height"] for name in self.alive}
            if min(heights.values()) >= max(heights.values()) - 1 and set(self.alive) == set(self.network.names):
                return
            await asyncio.sleep(0.1)
        self.problems.append(f"not all nodes reached the same height: {heights}")


def _find_due_day(loan: Any) -> Day:
    """When the first instalment of a loan falls due."""
    return Day(date.fromisoformat(loan["schedule"][0]["due_on"]).toordinal())
