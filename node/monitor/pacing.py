"""Slices of work between which everything else on the loop has its turn."""

import asyncio
from typing import Final

SLICE_S: Final = 0.002


class Pacer:
    """Lets others run after each slice of time."""

    def __init__(self) -> None:
        self._clock = asyncio.get_running_loop().time
        self._until_s = self._clock() + SLICE_S

    async def rest(self) -> None:
        """Give way if the slice is over."""
        if self._clock() > self._until_s:
            await asyncio.sleep(0)
            self._until_s = self._clock() + SLICE_S
