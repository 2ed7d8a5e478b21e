"""What the people of one run are going to do: random lives, lived once on a ledger of their own, and some mischief.

The lives decide who signs what and when; the simulated network then gets the same signed transactions from many hands,
late, twice, in another order or never, so their outcomes differ from the script's. Never a check of a law here.
"""

from random import Random
from typing import Any, NamedTuple

import msgspec

from protocol.batch import BatchItem, Sidecar
from protocol.crypto import calculate_account_id, calculate_hash
from protocol.genesis import Genesis, Member
from protocol.ids import BoxKey, TimeMs
from protocol.ledger.records import Receipt
from protocol.money import Amount
from protocol.transactions.envelope import (
    TRANSACTION_VERSION,
    Payload,
    Transaction,
    TransactionBody,
    decode_transaction,
    sign_transaction,
)
from protocol.transactions.money import Mint, Transfer
from tests.protocol.ledger.lives import loans, money, trouble
from tests.protocol.ledger.lives.core import PEOPLE, Actions, Lives
from tests.protocol.ledger.world import CNY, DAY_MS, TIME_MS, World, make_genesis, make_signer
from tests.sim.keys import Scheme, SimSigner

LIVED_MS = 5
"""Between two deeds of the script."""
EXPIRING_PERMILLE = 60
TWIN_PERMILLE = 120
WILD_PERMILLE = 120
LATE = "late"
"""An agent who does nothing before the heal."""


class Deed(NamedTuple):
    """One signed transaction that somebody will submit."""

    at_ms: int
    """Since the beginning, not before."""
    item: BatchItem
    transaction: Transaction
    what: str
    """plain; or twin (another of the same nonce), far, expired or stranger: made to fail."""


class Keys:
    """Signers of all names, known to the scheme."""

    def __init__(self, scheme: Scheme) -> None:
        self._scheme = scheme
        self._signers: dict[str, SimSigner] = {}

    def get(self, name: str) -> SimSigner:
        """The key that follows from a name, as the ledger's tests have it, with the simulator's signatures."""
        signer = self._signers.get(name)
        if signer is None:
            signer = self._signers[name] = self._scheme.adopt(make_signer(name).public_key, name)
        return signer


def make_network(size: int, day_ms: int, **policy: Any) -> Genesis:
    """The ledger tests' founding members, as many of them validators as wanted, more beside them where needed."""
    genesis = make_genesis(**policy)
    members = list(genesis.members)
    while sum(one.validator_key is not None for one in members) < size:
        members.append(_make_validator(f"v{len(members)}"))
    spare = sum(one.validator_key is not None for one in members) - size
    for place, one in enumerate(members):
        if one.validator_key is not None and spare:
            members[place] = msgspec.structs.replace(one, validator_key=None)
            spare -= 1
    late = Member(
        name=LATE,
        officer_key=make_signer(LATE).public_key,
        node_key=make_signer(f"{LATE}/node").public_key,
        enc_key=BoxKey(calculate_hash("box", LATE.encode())),
        settlement_agent=True,
    )
    return msgspec.structs.replace(genesis, members=(*members, late), day_ms=day_ms)


def _make_validator(name: str) -> Member:
    return Member(
        name=name,
        officer_key=make_signer(name).public_key,
        node_key=make_signer(f"{name}/node").public_key,
        validator_key=make_signer(f"{name}/validator").public_key,
        attester_key=make_signer(f"{name}/attester").public_key,
        enc_key=BoxKey(calculate_hash("box", name.encode())),
        lender=True,
    )


class ScriptWorld(World):
    """The world of the script: days are short, and what is executed is signed and written down."""

    def __init__(self, genesis: Genesis, keys: Keys, rng: Random) -> None:
        self._given = genesis
        self._keys = keys
        self._rng = rng
        self.deeds: list[Deed] = []
        super().__init__()

    def make_genesis(self, **_policy: Any) -> Genesis:
        """The network's."""
        return self._given

    def transaction(
        self,
        who: str,
        payload: Payload,
        *,
        nonce: int | None = None,
        valid_for_ms: int = 600_000,
        cosigners: tuple[str, ...] = (),
    ) -> Transaction:
        """A transaction that is really signed."""
        if nonce is None:
            nonce = self.nonces.get(who, -1) + 1
            self.nonces[who] = nonce
        if self._rng.random() * 1000 < EXPIRING_PERMILLE:
            valid_for_ms = self._rng.choice((500, 2_000, 5_000))
        return self.sign_body(who, payload, nonce, self.now_ms + valid_for_ms, cosigners)

    def sign_body(
        self, who: str, payload: Payload, nonce: int, valid_to_ms: int, cosigners: tuple[str, ...] = ()
    ) -> Transaction:
        """Anything, signed by a name."""
        others = tuple(self._keys.get(one) for one in cosigners)
        signer = self._keys.get(who)
        body = TransactionBody(
            version=TRANSACTION_VERSION,
            chain_id=self.ledger.chain_id,
            sender=signer.public_key,
            nonce=nonce,
            valid_to_ms=TimeMs(valid_to_ms),
            payload=payload,
            cosigners=tuple(sorted(one.public_key for one in others)),
        )
        made = decode_transaction(sign_transaction(body, signer, others))
        assert isinstance(made, Transaction), made
        return made

    def block(
        self, *transactions: tuple[Transaction, tuple[Sidecar, ...]], ms: int = 1_000, epoch: int | None = None
    ) -> list[Receipt | None]:
        """As in the ledger's tests, with a day as long as the network has it."""
        for transaction, sidecars in transactions:
            self.write(transaction, sidecars, "plain")
        return super().block(*transactions, ms=LIVED_MS + ms * self.genesis.day_ms // DAY_MS, epoch=epoch)

    def write(self, transaction: Transaction, sidecars: tuple[Sidecar, ...], what: str) -> None:
        """Note a deed, to be done not before now."""
        item = BatchItem(transaction=transaction.raw, sidecars=sidecars)
        self.deeds.append(Deed(self.now_ms - TIME_MS, item, transaction, what))


def _let_hours_pass(lives: Lives) -> Receipt | None:
    lives.world.block(ms=lives.random.choice((0, 0, 1, 1, 2, 4)) * DAY_MS + lives.random.randint(0, DAY_MS // 2))


HURRIED: Actions = [
    (_let_hours_pass, 40),
    *((deed, weight) for deed, weight in money.ACTIONS if deed is not money.let_time_pass),
    *loans.ACTIONS,
    *((deed, weight) for deed, weight in trouble.ACTIONS if deed is not trouble.neglect),
]
"""What can happen in the lives of people who have little time."""


class ScriptLives(Lives):
    """Lives in the network's own world."""

    def __init__(self, seed: int, genesis: Genesis, keys: Keys) -> None:
        self._make = lambda: ScriptWorld(genesis, keys, Random(f"script {seed}"))
        super().__init__(seed, HURRIED)

    def make_world(self, **_policy: Any) -> World:
        """The network's."""
        return self._make()


def make_script(seed: int, genesis: Genesis, keys: Keys, steps: int) -> list[Deed]:
    """What people do in the run that `seed` stands for, by time."""
    lives = ScriptLives(seed, genesis, keys)
    world = lives.world
    assert isinstance(world, ScriptWorld)
    rng = Random(f"mischief {seed}")
    for _ in range(steps):
        lives.step()
        _make_mischief(world, rng)
    return world.deeds


def _make_mischief(world: ScriptWorld, rng: Random) -> None:
    """Beside what somebody just did: the same nonce again for something else, and what can never be."""
    who = rng.choice(PEOPLE)
    to = world.account(rng.choice([one for one in PEOPLE if one != who]))
    payload = Transfer(to=to, currency=CNY, amount=Amount(rng.randint(1, 9)), memo_commit=calculate_hash("memo"))
    nonce, now_ms = world.nonces.get(who, 0), world.now_ms
    if rng.random() * 1000 < TWIN_PERMILLE:
        world.write(world.sign_body(who, payload, nonce, now_ms + 600_000), (), "twin")
    if rng.random() * 1000 < WILD_PERMILLE:
        what = rng.choice(("far", "expired", "stranger"))
        name = f"stranger {rng.randrange(1000)}" if what == "stranger" else who
        wild = nonce + rng.choice((250, 257, 400)) if what == "far" else nonce + 1 + rng.randrange(3)
        until_ms = now_ms - 1 if what == "expired" else now_ms + 600_000
        world.write(world.sign_body(name, payload, wild, until_ms), (), what)


def make_late(genesis: Genesis, keys: Keys, number: int, at_ms: int) -> Deed:
    """What nobody can refuse, of somebody who did nothing before: its nonces are free."""
    signer = keys.get(LATE)
    payload = Mint(
        to=calculate_account_id(signer.public_key),
        currency=CNY,
        amount=Amount(1 + number),
        ext_ref=calculate_hash("late", number.to_bytes(4, "big")),
    )
    body = TransactionBody(
        version=TRANSACTION_VERSION,
        chain_id=genesis.calculate_chain_id(),
        sender=signer.public_key,
        nonce=number,
        valid_to_ms=TimeMs(TIME_MS + at_ms + 600_000),
        payload=payload,
        cosigners=(),
    )
    made = decode_transaction(sign_transaction(body, signer, ()))
    assert isinstance(made, Transaction), made
    return Deed(at_ms, BatchItem(transaction=made.raw, sidecars=()), made, "late")
