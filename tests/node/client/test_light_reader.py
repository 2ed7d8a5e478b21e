"""A light reader goes on from epoch to epoch, and what it keeps grows only."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from node.api.reading import read_clock_ms
from node.client.http import ClientError
from node.client.light import LightError, LightReader
from node.client.lightstate import LightState
from protocol.codec import decode
from protocol.ids import Height
from protocol.rowproof import Trusted, make_trusted
from tests.protocol.finality import get_keys
from tests.protocol.ledger.world import make_genesis
from tests.protocol.test_row_proof import Made, prove, trust


@asynccontextmanager
async def answering(made: Made, asked: list[dict[str, str]]) -> AsyncIterator[str]:
    """A node that has one proof, for readers of whichever epoch."""

    async def serve(request: web.Request) -> web.Response:
        asked.append(dict(request.query))
        return web.Response(body=prove(made.world.ledger.epoch_row.epoch + 2, int(request.query["epoch"])).raw)

    app = web.Application()
    app.router.add_get("/v1/proofs", serve)
    server = TestServer(app)
    await server.start_server()
    try:
        yield str(server.make_url("")).rstrip("/")
    finally:
        await server.close()


async def test_changes_of_validators_are_followed_once(tmp_path: Path) -> None:
    """From the genesis it is shown two changes; from what it kept, none. A whole proof begins at the genesis again."""
    made, asked = prove(2), list[dict[str, str]]()
    genesis, state = made.world.genesis, LightState(tmp_path / "seen", made.world.genesis)
    async with answering(made, asked) as url:
        for whole in (False, False, True):
            reader = LightReader([url], genesis, state.load(), now_ms=read_clock_ms)
            found = await reader.read(made.places, whole=whole)
            assert tuple(found.rows.values()) == made.values
            state.save(reader.known)
    assert [one["epoch"] for one in asked] == ["0", "2", "0"]
    assert [one["height_min"] for one in asked] == ["0", *[str(found.height)] * 2]
    assert state.load().epoch == 2
    assert state.load().validators != make_trusted(genesis).validators


async def test_a_whole_proof_must_lead_through_the_validators_that_are_known() -> None:
    """From the genesis it holds, by keys of long ago; who has followed the chain further knows better."""
    made, asked = prove(2), list[dict[str, str]]()
    genesis = made.world.genesis
    known = msgspec.structs.replace(trust(made, 2), validators=get_keys(("iris", "jade", "lotus", "plum")))
    async with answering(made, asked) as url:
        reader = LightReader([url], genesis, known, now_ms=read_clock_ms)
        with pytest.raises(LightError) as caught:
            await reader.read(made.places, whole=True)
        assert caught.value.code == "rows_finalization"
        assert reader.known == known
        ahead = LightReader([url], genesis, msgspec.structs.replace(known, epoch=3), now_ms=read_clock_ms)
        with pytest.raises(ClientError) as behind:
            await ahead.read(made.places, whole=True)
        assert behind.value.code == "proof_not_ready"
        assert ahead.lies == []
    assert [one["epoch"] for one in asked] == ["0", "0"]


async def test_what_is_kept_never_shrinks(tmp_path: Path) -> None:
    """Whichever of many processes saves last, the furthest that any of them saw stands."""
    genesis = make_genesis()
    known = make_trusted(genesis)
    seen = [msgspec.structs.replace(known, height=Height(height)) for height in (5, 9, 2, 7, 1, 8)]
    states = [LightState(tmp_path / "seen", genesis) for _ in seen]
    saving = (asyncio.to_thread(state.save, one) for state, one in zip(states, seen, strict=True))
    await asyncio.gather(*saving)
    assert decode((tmp_path / "seen").read_bytes(), Trusted).height == 9
    states[0].save(seen[0])
    assert states[0].load().height == 9
