"""The real vLLM on the CPU: each caller gets its own replies, in time. Its failures: test_engine_breaks.py."""

import json
import queue
import re
import shutil
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

import numpy as np
import pytest
import tokenizers

from actors.engines.contract import EngineRequest
from actors.engines.vllm.engine import Engine
from actors.rerankers import RERANKERS
from actors.rerankers.bi_encoder import BiEncoder
from actors.rerankers.contract import Reply, Request, Unscored
from actors.rerankers.lb import LB
from actors.rerankers.tokenizer import Tokenizer
from tests.actors.conftest import run
from tests.actors.engines.vllm.conftest import SECONDS, build, logprobs, sequences, vectors


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
