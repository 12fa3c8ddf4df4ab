"""Who may use an engine at the same time: many, or one alone."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Gate:
    """Those who come alone wait until all others are out, and none comes in before them."""

    def __init__(self) -> None:
        self._changed = asyncio.Condition()
        self._inside = 0
        self._alone = 0  # inside, or next

    @asynccontextmanager
    async def enter(self, alone: bool) -> AsyncIterator[None]:
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
