"""All strangers at once against running nodes, as a process of its own: `python -m tests.strangers.swarm < task.json`.

The task names the victims (hex for bytes), the seconds and the attacks. Prints one JSON object: what each was told.
Only loopback ports are ever named in it, by the tests and the bench that start it.
"""

import asyncio
import json
import sys
import time
from collections import Counter
from typing import Any

from protocol.ids import ChainId
from tests.strangers.attacks import ATTACKS, Stranger, Victim


def encode_task(victims: list[Victim], seconds: float, names: list[str]) -> str:
    """The task as the process reads it."""
    told = [
        [one.gossip_port, one.api_port, one.chain_id.hex(), one.replayed.hex(), one.duplicate.hex()] for one in victims
    ]
    return json.dumps({"victims": told, "seconds": seconds, "attacks": names})


async def run(task: dict[str, Any]) -> dict[str, Any]:
    """Attack every victim in every way, and then say what was heard."""
    victims = [
        Victim(gossip, api, ChainId(bytes.fromhex(chain)), bytes.fromhex(seed), bytes.fromhex(body))
        for gossip, api, chain, seed, body in task["victims"]
    ]
    strangers: list[tuple[str, Stranger]] = []
    running: list[asyncio.Task[None]] = []
    for i, victim in enumerate(victims):
        for j, name in enumerate(task["attacks"]):
            stranger = Stranger(f"127.1.{i + 1}.{j + 1}", seed=100 * i + j)
            strangers.append((name, stranger))
            running.append(asyncio.create_task(stranger.run(victim, ATTACKS[name])))
    await asyncio.sleep(task["seconds"])
    for one in running:
        one.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    said: dict[str, Counter[str]] = {}
    for name, stranger in strangers:
        said.setdefault(name, Counter()).update(stranger.said)
    return {"said": said, "processor_s": round(time.process_time(), 2)}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(run(json.load(sys.stdin)))))
