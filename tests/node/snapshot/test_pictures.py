"""The executor stops at heights of which a picture is taken: nothing later is saved before it is taken."""

import asyncio
from typing import Any

from protocol.ids import Height
from tests.node.core.chaintools import until
from tests.node.core.test_executor import FINALIZATION, Bench


class Pictures:
    """Takes one of every height that three divides, slowly."""

    def __init__(self, here: Bench) -> None:
        self.here = here
        self.taken: list[Height] = []
        self.may_go_on = asyncio.Event()

    def is_due(self, height: Height) -> bool:
        return height % 3 == 0

    async def on_saved(self, height: Height) -> None:
        saved = [one.execution.height for save in self.here.saves for one in save]
        assert saved[-1] == height, "the last one saved"
        if self.is_due(height):
            self.taken.append(height)
            await self.may_go_on.wait()
            again: list[Any] = [one.execution.height for save in self.here.saves for one in save]
            assert again == saved, "nothing was saved meanwhile"


async def test_a_picture_is_taken_of_every_height_that_is_due_however_many_blocks_wait() -> None:
    """Eight blocks are ready at once; each save ends at the next height that is due, and waits for its picture."""
    here = Bench()
    here.may_save.set()
    pictures = Pictures(here)
    here.executor._pictures = pictures
    blocks = [here.block(1) for _ in range(8)]
    async with here.running() as executor:
        executor.enqueue(blocks, FINALIZATION)
        await until(lambda: bool(pictures.taken))
        await asyncio.sleep(0.05)
        assert len(pictures.taken) == 1
        assert here.told == [] or here.told[-1][0] < pictures.taken[0]
        pictures.may_go_on.set()
        await until(lambda: len(here.told) == 8)
    heights = [block.header.height for block in blocks]
    assert pictures.taken == [height for height in heights if height % 3 == 0]
    assert all(save[-1].execution.height % 3 == 0 or save is here.saves[-1] for save in here.saves if len(save) > 1)
