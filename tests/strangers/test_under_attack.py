"""Real processes under every attack at once: honest clients are served, and no node outgrows its bounds."""

import asyncio
from pathlib import Path
from typing import Final

import pytest

from tests.strangers.attacks import ATTACKS
from tests.strangers.field import open_field, swarm

pytestmark = [pytest.mark.process, pytest.mark.long]

SECONDS: Final = 12.0
PER_S: Final = 10
DESCRIPTORS_MAX: Final = 512 + 1_024 + 64
"""Both ports' bounds (gossip 512, API 1,024) and a node's own files."""
MEMORY_MAX_MB: Final = 400
GROWN_MAX_MB: Final = 200


async def test_honest_clients_are_served_while_strangers_attack_every_port(tmp_path: Path) -> None:
    """Each transfer becomes final, each stranger hears what fits, and afterwards all nodes agree."""
    async with open_field(tmp_path, seed=81) as field:
        victims = await field.make_victims()
        calm = await field.measure(3.0, PER_S)
        attacking = asyncio.create_task(swarm(victims, SECONDS))
        attacked = await field.measure(SECONDS, PER_S)
        told = await attacking
        assert len(attacked.waits_s) >= PER_S * SECONDS / 2, "every honest client was served"
        assert attacked.heaviest.descriptors <= DESCRIPTORS_MAX
        assert attacked.heaviest.memory_mb <= min(MEMORY_MAX_MB, calm.heaviest.memory_mb + GROWN_MAX_MB)
        for name, said in told["said"].items():
            assert set(said) <= ATTACKS[name].expected, (name, said)
        print(f"p99 calm {calm.pick(0.99):.2f} s, attacked {attacked.pick(0.99):.2f} s, heaviest {attacked.heaviest}")
        names = field.processes.names
        assert await field.load.wait_level(names, within_s=30.0) >= 0
        codes = await field.processes.stop(names)
        assert set(codes.values()) == {0}, codes
