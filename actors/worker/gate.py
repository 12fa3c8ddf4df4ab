"""Lets many units use an engine at the same time, or one alone."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Gate:
    """Lets units in. One that must be alone waits until all others have left, and meanwhile no other is let in."""

    def __init__(self) -> None:
        self._changed = asyncio.Condition()
        self._inside = 0
        self._alone = 0  # units that must be alone: inside, or waiting

    @asynccontextmanager
    async def enter(self, alone: bool) -> AsyncIterator[None]:
        """Waits until a unit may use the engine, which it does in the block."""
        inside = False
        self._alone += alone
        try:
            async with self._changed:
                await self._changed.wait_for(lambda: self._inside == 0 if alone else self._alone == 0)
                self._inside += 1
                inside = True
            yield
        finally:
            async with self._changed:
                self._inside -= inside
                self._alone -= alone
                self._changed.notify_all()
