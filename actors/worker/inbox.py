"""Passes the replies to one unit from the engine's thread to the event loop that waits for them."""

import asyncio
from typing import Any

from actors.engines.contract import EngineDied
from actors.rerankers.contract import Reply, Unscored


class Inbox:
    """A queue of replies, made and read in an event loop and filled by the engine's thread."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._filled = asyncio.Event()
        self._replies: list[tuple[int, Reply | Unscored]] = []
        self._error: EngineDied | None = None

    def put(self, replies: Any) -> None:
        """Adds numbered replies, or EngineDied. Called in the engine's thread."""
        try:
            self._loop.call_soon_threadsafe(self._take, replies)
        except RuntimeError:  # the loop is closed: nobody waits any more, and the engine must go on for other units
            return

    async def get(self) -> list[tuple[int, Reply | Unscored]]:
        """Waits for replies and returns all since the last call. Raises EngineDied."""
        await self._filled.wait()
        self._filled.clear()
        if self._error:
            raise self._error
        replies, self._replies = self._replies, []
        return replies

    def _take(self, replies: Any) -> None:
        if isinstance(replies, EngineDied):
            self._error = replies
        else:
            self._replies += replies
        self._filled.set()
