"""What is not real in a simulated node, all of it put in place from outside and taken back after the run.

The clock, the signatures (a keyed hash instead of Ed25519) and, so that bounds are reached, a few sizes of the pool.
The product has no switch for any of it. Never replace a rule here.
"""

import contextlib
import logging
import sys
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import structlog

import protocol.crypto
import protocol.transactions.envelope
from protocol.ids import PublicKey, Signature
from tests.sim.keys import Scheme
from tests.sim.ledger.loop import VirtualLoop, VirtualTime

Verify = Callable[[PublicKey, bytes, Signature], bool]
TIMED = ("node.driver", "node.executor", "node.verifier", "node.turns", "node.core", "node.opening")
"""Modules that look at `time`."""


@contextlib.contextmanager
def unreal(loop: VirtualLoop, scheme: Scheme, rng: Random, begin_ms: int, sizes: dict[str, int]) -> Iterator[None]:
    """Within it, nodes live in virtual time and believe the simulator's signatures; `sizes` by `module.NAME`."""
    held: list[tuple[Any, str, Any]] = []

    def put(module: Any, name: str, value: Any) -> None:
        held.append((module, name, getattr(module, name)))
        setattr(module, name, value)

    def check_signed(key: PublicKey, signed: bytes) -> bool:
        return scheme.verify(key, signed[64:], Signature(signed[:64]))

    real_signature, real_signed = protocol.crypto.check_signature, protocol.crypto.check_signed
    time = VirtualTime(loop, rng, begin_ms)
    config = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    try:
        for name, module in sorted(sys.modules.items()):
            if name.partition(".")[0] not in ("node", "protocol", "consensus"):
                continue
            if getattr(module, "check_signature", None) is real_signature:
                put(module, "check_signature", scheme.verify)
            if getattr(module, "check_signed", None) is real_signed:
                put(module, "check_signed", check_signed)
            if name in TIMED and hasattr(module, "time"):
                put(module, "time", time)
        for place, size in sorted(sizes.items()):
            module_name, _, name = place.rpartition(".")
            put(sys.modules[module_name], name, size)
        yield
    finally:
        for module, name, value in reversed(held):
            setattr(module, name, value)
        structlog.configure(**config)
