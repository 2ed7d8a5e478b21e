"""What a bench is asked for, checked and completed: how many nodes, which load, how much disk. No IO here.

Every bound has its reason beside it; a wish beyond one is refused in a sentence before anything is started.
"""

from enum import StrEnum
from typing import Final, NamedTuple

from protocol.limits import BATCH_TRANSACTIONS_MAX, VALIDATORS_MAX

GROUP_EVERY_S: Final = 0.05  # what a lender's gateway collects before it submits
RATE_MAX: Final = 20_000
SECONDS_MAX: Final = 3_600
TRANSACTIONS_MAX: Final = 5_000_000
PAYMENTS_MAX: Final = 600_000  # beyond it the bench's loans would be paid off
SECONDS_DEFAULT: Final = 15
ATTESTERS_MIN: Final = 2
KEPT_BYTES_PER_TRANSACTION: Final = 2_500
"""Disk of one node, generously: about 1,150 bytes are measured, and the database may need half as much again."""
SPOOL_BYTES_PER_TRANSACTION: Final = 300
NODE_BYTES: Final = 160 * 2**20
"""Disk of a node beside its transactions: two logs, and a write-ahead log before it is folded in."""


class Kind(StrEnum):
    """What is submitted."""

    TRANSFER = "transfer"
    PAY = "pay"


class PlanError(Exception):
    """A wish that cannot be met; `code` is stable and the sentence names the fix."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code
        self.sentence = sentence


class Plan(NamedTuple):
    """One bench."""

    validators: int
    dead: tuple[int, ...]
    """The load is measured once for each: with so many validators killed, in rising order."""
    rate: int
    """Transactions per second, all nodes together."""
    transactions: int
    """Of each measurement of the load."""
    kind: Kind
    group: int | None
    """Transactions per request; None for what a gateway collects in 50 ms."""
    observer: bool
    sync: bool
    load_only: bool

    @property
    def seconds(self) -> float:
        """How long one load is submitted."""
        return self.transactions / self.rate

    @property
    def nodes(self) -> int:
        """All that keep a ledger."""
        return self.validators + self.observer + self.sync

    @property
    def disk_bytes(self) -> int:
        """What the whole bench may need at its end."""
        total = self.transactions * len(self.dead)
        each = NODE_BYTES + total * KEPT_BYTES_PER_TRANSACTION
        return self.nodes * each + self.transactions * SPOOL_BYTES_PER_TRANSACTION

    def pick_group(self, lanes: int) -> int:
        """Transactions per request when `lanes` nodes take turns."""
        if self.group is not None:
            return self.group
        return min(BATCH_TRANSACTIONS_MAX, max(1, round(self.rate * GROUP_EVERY_S / lanes)))


def make_plan(
    *,
    validators: int,
    rate: int,
    seconds: int | None,
    transactions: int | None,
    dead: int | None,
    kind: Kind,
    group: int | None,
    observer: bool,
    sync: bool,
    load_only: bool,
) -> Plan:
    """A plan of what was asked for. Raises PlanError."""
    _check_range("--validators", validators, 1, VALIDATORS_MAX)
    _check_range("--rate", rate, 1, RATE_MAX)
    _check_range("--groups-of", group, 1, BATCH_TRANSACTIONS_MAX)
    _check_range("--seconds", seconds, 1, SECONDS_MAX)
    _check_range("--transactions", transactions, 1, TRANSACTIONS_MAX)
    if seconds is not None and transactions is not None:
        raise PlanError("flags_contradict", "Give --seconds or --transactions: with --rate one follows from the other.")
    if transactions is not None and transactions > rate * SECONDS_MAX:
        raise PlanError("too_long", f"{transactions} at {rate} a second take over an hour: give a higher --rate.")
    dead_max = (validators - 1) // 3
    if dead is not None and not 0 <= dead <= dead_max:
        raise PlanError(
            "dead_too_many",
            f"Of {validators} validators at most {dead_max} may be dead: with more, no block becomes final.",
        )
    if kind is Kind.PAY and validators < ATTESTERS_MIN:
        raise PlanError("attesters_missing", f"Payments need at least {ATTESTERS_MIN} validators to attest the loans.")
    deaths = (dead,) if dead is not None else (0,) if transactions is not None else tuple(sorted({0, dead_max}))
    total = transactions if transactions is not None else rate * (seconds or SECONDS_DEFAULT)
    if kind is Kind.PAY and total * len(deaths) > PAYMENTS_MAX:
        raise PlanError("payments_too_many", f"At most {PAYMENTS_MAX} payments: the loans would be paid off.")
    return Plan(
        validators=validators,
        dead=deaths,
        rate=rate,
        transactions=total,
        kind=kind,
        group=group,
        observer=observer,
        sync=sync,
        load_only=load_only,
    )


def _check_range(flag: str, value: int | None, lowest: int, highest: int) -> None:
    if value is not None and not lowest <= value <= highest:
        raise PlanError("out_of_range", f"{flag} must be from {lowest} to {highest}, not {value}.")
