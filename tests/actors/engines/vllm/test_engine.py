"""A real vLLM on the CPU: whose replies are whose, and what happens when something goes wrong."""

import asyncio
import queue
import re
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import numpy as np
import pytest

from actors.engines.contract import EngineDied
from actors.engines.vllm.engine import Engine, EngineRequest
from actors.rerankers import RERANKERS
from actors.rerankers.bi_encoder import BiEncoder
from actors.rerankers.contract import Reply, Request, Unscored
from actors.rerankers.lb import LB
from actors.rerankers.tokenizer import Tokenizer
from actors.worker.inbox import Inbox
from actors.worker.watchdog import Watchdog
from tests.actors.conftest import ENGINE, run
from tests.conftest import ROOT

SECONDS = 60  # longer than anything here takes: a future that is not done by then hangs


def sequences(length: int, count: int = 5) -> list[list[int]]:
    """Token ids that no two of them share, so that every reply tells its sequence."""
    return [[(length * 31 + i * 7 + j) % 600 for j in range(length + i)] for i in range(count)]


def logprobs(replies: list[Reply | Unscored]) -> np.ndarray:
    return np.array([reply.label_logprobs for reply in replies if isinstance(reply, Reply)])


def vectors(replies: list[Reply | Unscored]) -> np.ndarray:
    return np.array([reply.vector for reply in replies if isinstance(reply, Reply)])


def test_each_caller_gets_its_own_replies_in_order(lb_engine: Engine) -> None:
    batches = [sequences(length) for length in range(10, 200, 10)]
    futures: dict[int, Future] = {}

    def call(first: int) -> None:
        for i in range(first, len(batches), 4):
            futures[i] = run(lb_engine, batches[i])

    threads = [threading.Thread(target=call, args=(first,)) for first in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for i, batch in enumerate(batches):
        replies = futures[i].result(SECONDS)
        assert [len(reply.prompt) for reply in replies] == [len(tokens) for tokens in batch]
        alone = [run(lb_engine, [tokens]).result(SECONDS)[0] for tokens in batch]
        np.testing.assert_allclose(logprobs(replies), logprobs(alone), rtol=1e-4)


def test_replies_say_what_they_took(lb_engine: Engine) -> None:
    tokens = [[*range(300), 5]]
    (first,), (second,) = run(lb_engine, tokens).result(SECONDS), run(lb_engine, tokens).result(SECONDS)
    assert isinstance(first, Reply) and isinstance(second, Reply)
    assert (len(first.prompt), first.cached_tokens, len(first.tokens)) == (301, 0, 1)
    assert 0 < second.cached_tokens < 301
    np.testing.assert_allclose(logprobs([first]), logprobs([second]), rtol=1e-4)


def test_embeddings_are_vectors_of_float32(minilm_engine: Engine) -> None:
    (reply,) = run(minilm_engine, [[101, 7592, 102]]).result(SECONDS)
    assert isinstance(reply, Reply) and reply.vector is not None and reply.label_logprobs is None
    assert (reply.vector.shape, reply.vector.dtype) == ((384,), np.float32)
    assert (len(reply.prompt), len(reply.tokens)) == (3, 0)


def test_a_sequence_vllm_refuses_is_unscored_and_the_others_are_not(new_lb_engine: Callable[..., Engine]) -> None:
    engine = new_lb_engine(max_model_len=64)
    short, long, empty, again = run(engine, [[1, 2, 3], [1] * 65, [], [1, 2, 3]]).result(SECONDS)
    assert isinstance(short, Reply) and isinstance(again, Reply)
    assert isinstance(long, Unscored) and re.match("vLLM refused the prompt: .*65.*64", long.reason)
    assert isinstance(empty, Unscored) and "empty" in empty.reason
    assert isinstance(run(engine, [[1, 2, 3]]).result(SECONDS)[0], Reply), "the engine goes on"


def test_a_deterministic_engine_gives_the_same_bits_in_any_company(minilm: str, minilm_engine: Engine) -> None:
    settings = BiEncoder(type="bi_encoder", model=minilm)
    exact = Engine(
        settings, ENGINE, RERANKERS["bi_encoder"].request(settings), [], 1800, watchdog=Watchdog(), deterministic=True
    )
    batch = [tokens for length in (1, 17, 60) for tokens in sequences(length)]  # few are computed otherwise
    order = np.random.default_rng(5).permutation(len(batch))

    def depends_on_company(engine: Engine) -> bool:
        together = vectors(run(engine, batch).result(SECONDS))
        shuffled = vectors(run(engine, [batch[i] for i in order]).result(SECONDS))
        alone = np.concatenate([vectors(run(engine, [tokens]).result(SECONDS)) for tokens in batch])
        np.testing.assert_allclose(alone, together, atol=1e-5)
        return not (np.array_equal(shuffled, together[order]) and np.array_equal(alone, together))

    assert depends_on_company(minilm_engine), "of an engine that is not, or this test shows nothing"
    assert not depends_on_company(exact)


def test_a_deterministic_engine_also_writes(lb_settings: LB) -> None:
    engine = Engine(
        lb_settings, ENGINE, Request("generate", max_tokens=5), [], 1800, watchdog=Watchdog(), deterministic=True
    )
    asks = [EngineRequest(number, tokens, None, 5) for number, tokens in enumerate(sequences(20))]
    assert sorted(arrivals(engine, asks, lambda number, reply: [])) == [0, 1, 2, 3, 4]


def test_the_encoders_limit_is_the_engines(lb_engine: Engine, lb_tokenizer: Tokenizer) -> None:
    longest = lb_tokenizer.limit - 1  # and one token for the answer
    fits, over = run(lb_engine, [[1] * longest, [1] * (longest + 1)]).result(SECONDS)
    assert isinstance(fits, Reply) and isinstance(over, Unscored)


def test_the_encoders_limit_is_the_engines_for_an_embedder(minilm_engine: Engine, minilm: str) -> None:
    longest = Tokenizer(BiEncoder(type="bi_encoder", model=minilm)).limit
    fits, over = run(minilm_engine, [[1] * longest, [1] * (longest + 1)]).result(SECONDS)
    assert isinstance(fits, Reply) and isinstance(over, Unscored)


@pytest.fixture(scope="module")
def writer(lb_settings: LB, lb_tokenizer: Tokenizer) -> Engine:
    """An engine that writes up to 200 tokens, two sequences at a time, and reads two labels."""
    request = Request("generate", max_tokens=200, labels=("1", "2"))
    return Engine(
        lb_settings,
        ENGINE | {"max_num_seqs": 2},
        request,
        lb_tokenizer.label_ids(request.labels),
        1800,
        watchdog=Watchdog(),
    )


def arrivals(engine: Engine, asks: list[EngineRequest], then: Callable[[int, Reply], list[EngineRequest]]) -> list[int]:
    """The numbers of the replies as they come; `then` says what to ask because of one."""
    order: list[int] = []
    inbox: queue.SimpleQueue = queue.SimpleQueue()
    engine.ask(asks, inbox.put)
    left = len(asks)
    while left:
        for number, reply in inbox.get(timeout=SECONDS):
            order.append(number)
            more = then(number, reply)
            engine.ask(more, inbox.put)
            left += len(more) - 1
    return order


def test_a_long_answer_holds_up_nobody_else(writer: Engine) -> None:
    asks = [EngineRequest(i, tokens, None, 200 if i == 0 else 2) for i, tokens in enumerate(sequences(20, count=30))]
    order = arrivals(writer, asks, lambda number, reply: [])
    assert order[-1] == 0 and sorted(order) == list(range(30))


def test_what_follows_comes_before_what_waits(writer: Engine) -> None:
    def then(number: int, reply: Reply) -> list[EngineRequest]:
        assert reply.token_logprobs is None
        assert (reply.label_logprobs is None) == (number < 100), "probabilities come with the reading alone"
        if number >= 100:
            return []
        return [EngineRequest(100 + number, [*reply.prompt, *reply.tokens], None, 1, follows=True)]

    asks = [EngineRequest(i, tokens, None, 40) for i, tokens in enumerate(sequences(20, count=12))]
    order = arrivals(writer, asks, then)
    assert len(order) == 24
    for number in range(10):  # each is read while at most two others are written
        assert order.index(100 + number) < order.index(number + 2)


def test_the_text_ends_with_the_first_stop_text(lb_settings: LB, lb_tokenizer: Tokenizer, writer: Engine) -> None:
    (whole,) = run(writer, [[5, 6, 7]], max_tokens=50).result(SECONDS)
    assert isinstance(whole, Reply) and whole.stopped is None and not whole.finished and len(whole.tokens) == 50
    stop = lb_tokenizer.decode(whole.tokens[10:13])
    engine = Engine(
        lb_settings, ENGINE, Request("generate", max_tokens=50, stop=(stop,)), [], 1800, watchdog=Watchdog()
    )
    (ended,) = run(engine, [[5, 6, 7]], max_tokens=50).result(SECONDS)
    assert isinstance(ended, Reply) and ended.finished and ended.stopped == stop
    assert ended.text == whole.text[: whole.text.index(stop)] + stop
    assert ended.tokens == whole.tokens[: len(ended.tokens)]


def test_a_generation_leaves_room_for_what_follows(lb_settings: LB) -> None:
    engine = Engine(
        lb_settings, ENGINE | {"max_model_len": 64}, Request("generate", 50, spare=16), [], 1800, watchdog=Watchdog()
    )
    (reply,) = run(engine, [[5] * 30], max_tokens=50).result(SECONDS)
    assert isinstance(reply, Reply) and len(reply.tokens) == 64 - 30 - 16


@pytest.mark.parametrize("what", ["step", "add_request"])
def test_a_broken_engine_fails_the_batch_it_holds_and_every_later_one(
    what: str, new_lb_engine: Callable[..., Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = new_lb_engine(max_model_len=64)

    def fail(*unused: Any, **more: Any) -> None:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(engine._engine, what, fail)
    for batch in ([[1, 2, 3], [4, 5]], [[1, 2, 3]]):
        with pytest.raises(EngineDied, match="RuntimeError: out of memory"):
            run(engine, batch).result(SECONDS)


def test_an_output_that_cannot_be_read_fails_its_batch(
    new_lb_engine: Callable[..., Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = new_lb_engine(max_model_len=64)
    monkeypatch.setattr(engine, "_read", lambda output: dict[str, Any]()["logprobs"])
    with pytest.raises(EngineDied, match="KeyError: 'logprobs'"):
        run(engine, [[1, 2, 3]]).result(SECONDS)


def test_batches_that_wait_while_the_engine_breaks_fail_too(
    new_lb_engine: Callable[..., Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = new_lb_engine(max_model_len=64)
    inside, go = threading.Event(), threading.Event()

    def fail() -> None:
        inside.set()
        go.wait(SECONDS)
        raise RuntimeError("out of memory")

    monkeypatch.setattr(engine._engine, "step", fail)
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


def test_the_watchdog_ends_a_process_without_progress_and_takes_no_pause_for_one(
    lb_tokenizer: Tokenizer, tiny_qwen2: str
) -> None:
    program = textwrap.dedent(f"""
        import time
        from actors.worker.watchdog import Watchdog
        from actors.engines.vllm.engine import Engine
        from actors.rerankers import RERANKERS
        from actors.rerankers.lb import LB
        from tests.actors.conftest import ENGINE, run

        settings = LB(type="lb", model={tiny_qwen2!r})
        request = RERANKERS["lb"].request(settings)
        engine = Engine(settings, ENGINE, request, {lb_tokenizer.label_ids(("1", "2"))}, stall_seconds=10, watchdog=Watchdog())

        time.sleep(11)  # without work for longer than it may be stuck; then work that is slow to come in
        add = engine._engine.add_request
        engine._engine.add_request = lambda *request, **more: (time.sleep(0.7), add(*request, **more))
        run(engine, [[1, 2, 3]] * 3).result(30)
        print("worked", flush=True)

        engine._engine.step = lambda: time.sleep(60)
        run(engine, [[1, 2, 3]]).result(60)
    """)
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=180)
    assert done.returncode == 70 and done.stdout.endswith("worked\n"), done.stdout + done.stderr
    assert done.stderr.endswith("rayrank: the engine made no progress for 10 s; ending its process\n")
