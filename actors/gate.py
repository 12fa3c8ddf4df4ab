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
        async with self._changed:
            if alone:
                self._alone += 1
                await self._changed.wait_for(lambda: self._inside == 0)
            else:
                await self._changed.wait_for(lambda: self._alone == 0)
            self._inside += 1
        try:
            yield
        finally:
            async with self._changed:
                self._inside -= 1
                self._alone -= alone
                self._changed.notify_all()
