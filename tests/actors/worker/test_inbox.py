"""Replies and errors pass from a thread to the event loop."""

import asyncio
import threading

import pytest

from actors.engines.contract import EngineDied
from actors.rerankers.contract import Reply
from actors.worker.inbox import Inbox


def test_replies_of_a_thread_arrive_in_order_and_once() -> None:
    async def read() -> list[int]:
        inbox = Inbox()
        steps = [[(i, Reply([i])) for i in range(step, step + 3)] for step in range(0, 300, 3)]

        def put() -> None:
            for step in steps:
                inbox.put(step)

        threading.Thread(target=put).start()
        numbers: list[int] = []
        while len(numbers) < 300:
            numbers += [number for number, _ in await inbox.get()]
        return numbers

    assert asyncio.run(asyncio.wait_for(read(), 30)) == list(range(300))


def test_the_engines_error_is_raised_where_replies_are_awaited() -> None:
    async def read() -> None:
        inbox = Inbox()
        inbox.put(EngineDied("out of memory"))
        await inbox.get()

    with pytest.raises(EngineDied, match="out of memory"):
        asyncio.run(read())


def test_replies_for_a_closed_loop_do_not_break_the_engine() -> None:
    async def make() -> Inbox:
        return Inbox()

    asyncio.run(make()).put([(0, Reply([1]))])
