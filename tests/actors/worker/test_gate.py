"""Which units may use an engine at the same time."""

import asyncio

from actors.worker.gate import Gate


async def visit(gate: Gate, name: str, alone: bool, inside: set[str], seen: list[tuple[str, set[str]]]) -> None:
    async with gate.enter(alone):
        seen.append((name, set(inside)))
        inside.add(name)
        await asyncio.sleep(0.01)
        inside.discard(name)


def test_many_are_inside_at_once_and_one_that_must_be_alone_is() -> None:
    async def run() -> list[tuple[str, set[str]]]:
        gate, inside, seen = Gate(), set[str](), list[tuple[str, set[str]]]()
        visits = [("a", False), ("b", False), ("x", True), ("c", False), ("y", True), ("d", False)]
        await asyncio.gather(*(visit(gate, name, alone, inside, seen) for name, alone in visits))
        return seen

    seen = asyncio.run(run())
    assert [name for name, _ in seen] == [
        "a",
        "b",
        "x",
        "y",
        "c",
        "d",
    ]  # x and y go before c
    assert dict(seen) == {"a": set(), "b": {"a"}, "x": set(), "y": set(), "c": set(), "d": {"c"}}


def test_one_that_stops_waiting_holds_up_no_other() -> None:
    async def run() -> bool:
        gate = Gate()
        async with gate.enter(alone=False):
            alone = asyncio.create_task(visit(gate, "x", True, set(), []))
            await asyncio.sleep(0.01)
            alone.cancel()
            await asyncio.gather(alone, return_exceptions=True)
            async with gate.enter(alone=False):
                return True

    assert asyncio.run(asyncio.wait_for(run(), 1))


def test_after_an_error_inside_the_next_is_let_in() -> None:
    async def run() -> bool:
        gate = Gate()
        try:
            async with gate.enter(alone=True):
                raise ValueError
        except ValueError:
            pass
        async with gate.enter(alone=False):
            return True

    assert asyncio.run(asyncio.wait_for(run(), 1))
