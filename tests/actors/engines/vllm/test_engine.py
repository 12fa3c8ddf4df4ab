"""The real vLLM on the CPU: each caller gets its own replies, in time, whatever goes wrong."""

import asyncio
import json
import queue
import re
import shutil
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tokenizers

from actors.engines.contract import EngineDied, EngineRequest
from actors.engines.vllm.engine import Engine
from actors.rerankers import RERANKERS
from actors.rerankers.bi_encoder import BiEncoder
from actors.rerankers.contract import Reply, Request, Unscored
from actors.rerankers.lb import LB
from actors.rerankers.settings import Settings
from actors.rerankers.tokenizer import Tokenizer
from actors.worker.inbox import Inbox
from actors.worker.watchdog import Watchdog
from tests.actors.conftest import run
from tests.conftest import ROOT
from tests.parity import FLOAT32

SECONDS = 60  # longer than anything here takes


def build(
    settings: Settings, request: Request, arguments: dict[str, Any] | None = None, deterministic: bool = False
) -> Engine:
    """An engine of the test's own."""
    label_ids = Tokenizer(settings).label_ids(request.labels)
    return Engine(settings, FLOAT32 | (arguments or {}), request, label_ids, 1800, Watchdog(), deterministic)


def sequences(length: int, count: int = 5) -> list[list[int]]:
    """Sequences of different tokens and lengths, so that every reply shows which sequence it belongs to."""
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


def test_a_sequence_vllm_refuses_is_unscored_and_the_others_are_not(lb_settings: LB) -> None:
    engine = build(lb_settings, RERANKERS["lb"].request(lb_settings), {"max_model_len": 64})
    short, long, empty, again = run(engine, [[1, 2, 3], [1] * 65, [], [1, 2, 3]]).result(SECONDS)
    assert isinstance(short, Reply) and isinstance(again, Reply)
    assert isinstance(long, Unscored) and re.match("vLLM refused the prompt: .*65.*64", long.reason)
    assert isinstance(empty, Unscored) and "empty" in empty.reason
    assert isinstance(run(engine, [[1, 2, 3]]).result(SECONDS)[0], Reply), "the engine goes on"


def test_a_deterministic_engine_gives_the_same_bits_in_any_company(minilm: str, minilm_engine: Engine) -> None:
    settings = BiEncoder(type="bi_encoder", model=minilm)
    exact = build(settings, RERANKERS["bi_encoder"].request(settings), deterministic=True)
    config = exact._engine.vllm_config
    assert (config.scheduler_config.max_num_seqs, config.cache_config.enable_prefix_caching) == (1, False)
    batch = [tokens for length in (1, 17, 60) for tokens in sequences(length)]
    order = np.random.default_rng(5).permutation(len(batch))
    together = vectors(run(exact, batch).result(SECONDS))
    shuffled = vectors(run(exact, [batch[i] for i in order]).result(SECONDS))
    alone = np.concatenate([vectors(run(exact, [tokens]).result(SECONDS)) for tokens in batch])
    np.testing.assert_array_equal(shuffled, together[order])
    np.testing.assert_array_equal(alone, together)
    ordinary = vectors(run(minilm_engine, batch).result(SECONDS))
    np.testing.assert_allclose(ordinary, together, atol=1e-5)


def test_a_deterministic_engine_also_writes(lb_settings: LB) -> None:
    engine = build(lb_settings, Request("generate", max_tokens=5), deterministic=True)
    requests = [EngineRequest(number, tokens, None, 5) for number, tokens in enumerate(sequences(20))]
    assert sorted(arrivals(engine, requests, lambda number, reply: [])) == [0, 1, 2, 3, 4]


def test_the_tokenizers_limit_is_the_engines(lb_engine: Engine, lb_tokenizer: Tokenizer) -> None:
    longest = lb_tokenizer.limit - 1  # and one token for the answer
    fits, over = run(lb_engine, [[1] * longest, [1] * (longest + 1)]).result(SECONDS)
    assert isinstance(fits, Reply) and isinstance(over, Unscored)


def test_the_tokenizers_limit_is_the_engines_for_an_embedder(minilm_engine: Engine, minilm: str) -> None:
    longest = Tokenizer(BiEncoder(type="bi_encoder", model=minilm)).limit
    fits, over = run(minilm_engine, [[1] * longest, [1] * (longest + 1)]).result(SECONDS)
    assert isinstance(fits, Reply) and isinstance(over, Unscored)


@pytest.fixture(scope="module")
def writer(lb_settings: LB) -> Engine:
    """An engine that writes up to 200 tokens, two sequences at a time, and reads two labels."""
    return build(lb_settings, Request("generate", max_tokens=200, labels=("1", "2")), {"max_num_seqs": 2})


def arrivals(
    engine: Engine, requests: list[EngineRequest], then: Callable[[int, Reply], list[EngineRequest]]
) -> list[int]:
    """The numbers of the replies, in the order they arrive. then: (number, reply) -> follow-ups."""
    order: list[int] = []
    inbox: queue.SimpleQueue = queue.SimpleQueue()
    engine.ask(requests, inbox.put)
    left = len(requests)
    while left:
        for number, reply in inbox.get(timeout=SECONDS):
            order.append(number)
            more = then(number, reply)
            engine.ask(more, inbox.put)
            left += len(more) - 1
    return order


def test_a_long_answer_holds_up_nobody_else(writer: Engine) -> None:
    requests = [
        EngineRequest(i, tokens, None, 200 if i == 0 else 2) for i, tokens in enumerate(sequences(20, count=30))
    ]
    order = arrivals(writer, requests, lambda number, reply: [])
    assert order[-1] == 0 and sorted(order) == list(range(30))


def test_follow_ups_go_before_sequences_that_are_queued(writer: Engine) -> None:
    def then(number: int, reply: Reply) -> list[EngineRequest]:
        assert reply.token_logprobs is None
        assert (reply.label_logprobs is None) == (number < 100), "only one-token follow-ups have probabilities"
        if number >= 100:
            return []
        return [EngineRequest(100 + number, [*reply.prompt, *reply.tokens], None, 1, follows=True)]

    requests = [EngineRequest(i, tokens, None, 40) for i, tokens in enumerate(sequences(20, count=12))]
    order = arrivals(writer, requests, then)
    assert len(order) == 24
    for number in range(10):  # each follow-up comes while at most two other sequences are generated
        assert order.index(100 + number) < order.index(number + 2)


def test_the_text_ends_with_the_first_stop_text(lb_settings: LB, lb_tokenizer: Tokenizer, writer: Engine) -> None:
    (whole,) = run(writer, [[5, 6, 7]], max_tokens=50).result(SECONDS)
    assert isinstance(whole, Reply) and whole.stopped is None and not whole.finished and len(whole.tokens) == 50
    stop = lb_tokenizer.decode(whole.tokens[10:13])
    engine = build(lb_settings, Request("generate", max_tokens=50, stop=(stop,)))
    (ended,) = run(engine, [[5, 6, 7]], max_tokens=50).result(SECONDS)
    assert isinstance(ended, Reply) and ended.finished and ended.stopped == stop
    assert ended.text == whole.text[: whole.text.index(stop)] + stop
    assert ended.tokens == whole.tokens[: len(ended.tokens)]


def test_a_generation_leaves_room_for_what_follows(lb_settings: LB) -> None:
    engine = build(lb_settings, Request("generate", 50, spare=16), {"max_model_len": 64})
    (reply,) = run(engine, [[5] * 30], max_tokens=50).result(SECONDS)
    assert isinstance(reply, Reply) and len(reply.tokens) == 64 - 30 - 16


@pytest.fixture
def breakable(lb_settings: LB, lb_engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Engine]:
    """Makes an engine with a stub in the place of vLLM's, which finishes at once and gives outputs without content."""
    from vllm.v1.engine.llm_engine import LLMEngine

    class Stub:
        vllm_config = lb_engine._engine.vllm_config  # type: ignore[attr-defined]

        def __init__(self) -> None:
            self.added: list[str] = []

        def add_request(self, name: str, *unused: Any, **more: Any) -> None:
            self.added.append(name)

        def step(self) -> list[Any]:
            outputs = [SimpleNamespace(request_id=name, finished=True) for name in self.added]
            self.added = []
            return outputs

    def make(**methods: Callable[..., Any]) -> Engine:
        stub = Stub()
        for name, method in methods.items():
            setattr(stub, name, method)
        monkeypatch.setattr(LLMEngine, "from_engine_args", lambda arguments: stub)
        return build(lb_settings, RERANKERS["lb"].request(lb_settings))

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


def test_a_generation_is_decoded_by_tokenizer_json_whatever_class_the_config_names(
    tmp_path: Path, tiny_model: Callable
) -> None:
    shutil.copytree(tiny_model("llama3"), tmp_path / "model")
    about = json.loads((tmp_path / "model/tokenizer_config.json").read_text())
    (tmp_path / "model/tokenizer_config.json").write_text(json.dumps(about | {"tokenizer_class": "LlamaTokenizerFast"}))
    settings = LB(type="lb", model=str(tmp_path / "model"))
    engine = build(settings, Request("generate", max_tokens=40, labels=("1",)), {"max_model_len": 256})
    file = tokenizers.Tokenizer.from_file(str(tmp_path / "model/tokenizer.json"))
    asked = [file.encode(text).ids for text in ("Query: a", "def f(x):\n", "Où 苹果")]
    for reply in run(engine, asked, max_tokens=40).result(timeout=SECONDS):
        assert isinstance(reply, Reply) and len(reply.tokens) > 10
        decoded = file.decode(list(reply.tokens), skip_special_tokens=False)
        assert reply.text.rstrip("\ufffd") == decoded.rstrip("\ufffd")  # half a character may stand at the end
