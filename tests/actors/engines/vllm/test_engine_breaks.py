"""The real vLLM on the CPU where something goes wrong: an engine that breaks, callers that go away, no progress."""

import asyncio
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from actors.engines.contract import EngineDied, EngineRequest
from actors.engines.vllm.engine import Engine
from actors.rerankers import RERANKERS
from actors.rerankers.lb import LB
from actors.rerankers.tokenizer import Tokenizer
from actors.worker.inbox import Inbox
from tests.actors.conftest import run
from tests.actors.engines.vllm.conftest import SECONDS, STALL_SECONDS, build, logprobs, sequences
from tests.conftest import ROOT


@pytest.fixture
def breakable(lb_settings: LB, lb_engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Engine]:
    """Makes an engine with a stub in the place of vLLM's, which finishes at once and gives outputs without content."""
    from vllm.v1.engine.llm_engine import LLMEngine

    class Stub:
        vllm_config = lb_engine._engine.vllm_config  # type: ignore[attr-defined]
        logger_manager = None

        def __init__(self) -> None:
            self.added: list[str] = []

        def add_request(self, name: str, *unused: Any, **more: Any) -> None:
            self.added.append(name)

        def step(self) -> list[Any]:
            outputs = [SimpleNamespace(request_id=name, finished=True) for name in self.added]
            self.added = []
            return outputs

    def make(watchdog: Any = None, **methods: Callable[..., Any]) -> Engine:
        stub = Stub()
        for name, method in methods.items():
            setattr(stub, name, method)
        monkeypatch.setattr(LLMEngine, "from_engine_args", lambda arguments, stat_loggers: stub)
        return build(lb_settings, RERANKERS["lb"].request(lb_settings), watchdog=watchdog)

    return make


@pytest.mark.parametrize("what", ["step", "add_request"])
def test_a_broken_engine_fails_the_batch_it_holds_and_every_later_one(
    what: str, breakable: Callable[..., Engine]
) -> None:
    def fail(*unused: Any, **more: Any) -> None:
        raise RuntimeError("out of memory")

    engine = breakable(**{what: fail})
    for batch in ([[1, 2, 3], [4, 5]], [[1, 2, 3]]):
        with pytest.raises(EngineDied, match="RuntimeError: out of memory"):
            run(engine, batch).result(SECONDS)


def test_an_output_that_cannot_be_read_fails_its_batch(breakable: Callable[..., Engine]) -> None:
    with pytest.raises(EngineDied, match=r"AttributeError: .*num_cached_tokens"):
        run(breakable(), [[1, 2, 3]]).result(SECONDS)


def test_batches_that_wait_while_the_engine_breaks_fail_too(breakable: Callable[..., Engine]) -> None:
    inside, go = threading.Event(), threading.Event()

    def fail() -> None:
        inside.set()
        go.wait(SECONDS)
        raise RuntimeError("out of memory")

    engine = breakable(step=fail)
    first = run(engine, [[1, 2, 3]])
    inside.wait(SECONDS)
    waiting = [run(engine, [[1, 2, 3]]) for _ in range(3)]
    go.set()
    for future in (first, *waiting):
        with pytest.raises(EngineDied, match="RuntimeError: out of memory"):
            future.result(SECONDS)


def test_a_caller_that_goes_away_leaves_the_others_their_replies(lb_engine: Engine) -> None:
    async def give_up() -> None:
        inbox = Inbox()
        lb_engine.ask(
            [EngineRequest(i, tokens, None, 1) for i, tokens in enumerate(sequences(150, count=50))], inbox.put
        )
        await asyncio.wait_for(inbox.get(), timeout=0)

    with pytest.raises(TimeoutError):
        asyncio.run(give_up())
    assert len(logprobs(run(lb_engine, sequences(20)).result(SECONDS))) == 5


class Noted:
    """In the place of a watchdog: notes the calls."""

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def expect(self, seconds: float) -> None:
        self.calls.append(seconds)

    def rest(self) -> None:
        self.calls.append("rest")


@pytest.mark.parametrize("idle_steps", [0, 2])
def test_sequences_that_are_taken_or_finished_are_progress_and_other_steps_are_none(
    idle_steps: int, breakable: Callable[..., Engine]
) -> None:
    steps: list[list[Any]] = [[] for _ in range(idle_steps)] + [[SimpleNamespace(request_id="?", finished=True)]]
    watchdog = Noted()
    with pytest.raises(EngineDied):  # that is no sequence of its own
        run(breakable(watchdog, step=lambda: steps.pop(0)), sequences(4, count=3)).result(SECONDS)
    came, submitted, finished = 1, 3, 1
    assert watchdog.calls == ["rest", *[STALL_SECONDS] * (came + submitted + finished), "rest"]


@pytest.mark.slow
def test_the_watchdog_ends_a_process_without_progress_and_takes_no_pause_for_one(
    lb_tokenizer: Tokenizer, tiny_qwen2: str
) -> None:
    program = textwrap.dedent(f"""
        import time
        from actors.worker.watchdog import Watchdog
        from actors.engines.vllm.engine import Engine
        from actors.rerankers import RERANKERS
        from actors.rerankers.lb import LB
        from tests.actors.conftest import run
        from tests.parity import FLOAT32

        settings = LB(type="lb", model={tiny_qwen2!r})
        request = RERANKERS["lb"].request(settings)
        labels = {lb_tokenizer.label_ids(("1", "2"))}
        engine = Engine(settings, FLOAT32, request, labels, stall_seconds=5, watchdog=Watchdog())

        engine._stall_seconds = 60  # the first step may take long
        run(engine, [[1, 2, 3]]).result(120)
        engine._stall_seconds = 5
        time.sleep(6)  # no work for longer than stall_seconds, then work that takes as long to be submitted
        add = engine._engine.add_request
        engine._engine.add_request = lambda *request, **more: (time.sleep(2), add(*request, **more))
        run(engine, [[1, 2, 3]] * 3).result(30)
        print("worked", flush=True)

        engine._engine.step = lambda: time.sleep(60)
        run(engine, [[1, 2, 3]]).result(60)
    """)
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=180)
    assert done.returncode == 70 and done.stdout.endswith("worked\n"), done.stdout + done.stderr
    assert done.stderr.endswith("rayrank: the engine made no progress for 5 s; ending its process\n")
