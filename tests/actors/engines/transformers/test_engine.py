"""The engine of transformers: answers, follow-ups, what is refused, memory, and its end."""

import json
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from actors.engines.contract import EngineDied, EngineRequest
from actors.engines.transformers.engine import Engine
from actors.engines.transformers.model import Model
from actors.rerankers.contract import Reply, Request, Unscored
from actors.rerankers.settings import Settings
from actors.rerankers.tokenizer import Tokenizer
from tests.actors.conftest import run
from tests.actors.engines.transformers.conftest import (
    LABELS,
    SECONDS,
    Quiet,
    ask,
    build,
    logits_alone,
    replies,
    sequences,
)


@torch.no_grad()
def write_alone(folder: str, prompt: list[int], count: int, ends: set[int] = set()) -> list[int]:
    """The likeliest tokens, one by one, each from the whole sequence before it."""
    tokens = list(prompt)
    while len(tokens) < len(prompt) + count:
        tokens.append(int(logits_alone(folder, tokens)[-1].argmax()))
        if tokens[-1] in ends:
            break
    return tokens[len(prompt) :]


@pytest.mark.parametrize("kind", ["qwen2", "bloom", "gemma3_text", "mamba"])
def test_answers_are_greedy_whatever_the_models_generation_config_says(
    kind: str, save: Callable, tmp_path: Path
) -> None:
    folder = shutil.copytree(save(kind), tmp_path / "model")
    ends = Tokenizer(Settings(type="", model=str(folder)))
    end = set(ends.pretrained.convert_tokens_to_ids(ends.end_tokens()))
    loud = {"do_sample": True, "temperature": 5.0, "repetition_penalty": 3.0, "max_length": 4, "min_new_tokens": 30}
    (folder / "generation_config.json").write_text(json.dumps(loud))
    engine = build(str(folder), Request("generate", max_tokens=12))
    got = replies(engine, sequences(6), max_tokens=12)
    for reply, prompt in zip(got, sequences(6), strict=True):
        expected = write_alone(str(folder), prompt, 12, end)
        assert list(reply.tokens) == [token for token in expected if token not in end]
        assert reply.finished == (expected[-1] in end) and reply.stopped is None


def test_an_answer_ends_before_an_end_token_and_is_finished(save: Callable, tmp_path: Path) -> None:
    folder = shutil.copytree(save("qwen2"), tmp_path / "model")
    written = write_alone(str(folder), [5, 6, 7], 20)
    end = written[9]
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [end, 1]}))
    (reply,) = replies(build(str(folder), Request("generate", max_tokens=20)), [[5, 6, 7]], max_tokens=20)
    assert list(reply.tokens) == written[: written.index(end)] and reply.finished and reply.stopped is None


def test_the_text_ends_with_the_first_stop_text_each_row_with_its_own(save: Callable) -> None:
    folder, prompts = save("qwen2"), sequences(5)
    whole = replies(build(folder, Request("generate", max_tokens=30)), prompts, max_tokens=30)
    decode = Tokenizer(Settings(type="", model=folder)).decode
    pieces = [decode([token]) for reply in whole for token in reply.tokens]
    stop, never = next(piece[:2] for piece in pieces if len(piece) > 2 and piece.isascii()), "\x00never"
    got = replies(build(folder, Request("generate", max_tokens=30, stop=(never, stop))), prompts, max_tokens=30)
    assert [reply.stopped for reply in got] == [stop if stop in reply.text else None for reply in whole]
    assert any(reply.stopped for reply in got) and not all(reply.stopped for reply in got)
    assert any(len(decode(reply.tokens)) > len(reply.text) for reply in got if reply.stopped), "it ends inside a token"
    for reply, full in zip(got, whole, strict=True):
        assert reply.text == (full.text.partition(stop)[0] + stop if reply.stopped else full.text)
        assert reply.tokens == full.tokens[: len(reply.tokens)] and reply.finished == bool(reply.stopped)


def test_a_generation_leaves_room_for_what_follows(save: Callable) -> None:
    engine = build(save("qwen2"), Request("generate", 50, spare=16), max_model_len=64)
    got = replies(engine, [[5] * 30, [6] * 10, [7] * 60], max_tokens=50)
    assert [len(reply.tokens) for reply in got] == [64 - 30 - 16, 64 - 10 - 16, 1]


def test_follow_ups_go_before_sequences_that_are_queued(save: Callable) -> None:
    engine = build(save("qwen2"), Request("generate", max_tokens=40, labels=LABELS), max_num_seqs=2)

    def then(number: int, reply: Reply) -> list[EngineRequest]:
        if number < 100:
            assert reply.label_logprobs is None and len(reply.tokens) == 10
            return [EngineRequest(100 + number, [*reply.prompt, *reply.tokens], None, 1, follows=True)]
        assert reply.label_logprobs is not None
        return []

    asked = [EngineRequest(i, [5 + i] * 20, None, 10) for i in range(12)]
    order = [*ask(engine, asked, then)]
    assert len(order) == 24 and order.index(100) < order.index(11)
    assert sum(number >= 100 for number in order[:12]) >= 4, "they do not wait for the window"


@pytest.mark.parametrize(
    ("request_", "limit", "asked", "refused"),
    [
        (Request("generate", labels=LABELS), 64, {"a": [1] * 63, "b": [1] * 64, "c": [], "d": [1, 2]}, "bc"),
        (Request("embed"), 64, {"a": [1] * 64, "b": [1] * 65, "c": [2]}, "b"),
        (Request("classify", labels=LABELS), 30, {"a": [1] * 30, "b": [1] * 31, "c": [2]}, "b"),
    ],
)
def test_a_sequence_that_does_not_fit_fails_alone(
    request_: Request, limit: int, asked: dict[str, list[int]], refused: str, save: Callable
) -> None:
    got = replies(build(save("qwen2"), request_, max_model_len=limit), [*asked.values()])
    assert "".join(name for name, reply in zip(asked, got, strict=True) if isinstance(reply, Unscored)) == refused
    for reply in got:
        if isinstance(reply, Unscored):
            assert reply.reason.startswith("transformers refused the prompt: it ") and not reply.transient


def test_a_likelihood_of_nothing_or_behind_nothing_is_refused(save: Callable) -> None:
    engine = build(save("qwen2"), Request("likelihood"))
    got = ask(engine, [EngineRequest(i, [1, 2, 3], i, 1) for i in range(4)])
    assert {i for i, reply in got.items() if isinstance(reply, Reply)} == {1, 2}


class Full:
    """Has a model run out of memory above a number of tokens in a batch."""

    def __init__(self, most: int):
        self.most = most
        self.batches: list[int] = []

    def __call__(self, compute: Callable) -> Callable:
        def limited(model: Model, rows: list[list[int]], *more: Any) -> Any:
            self.batches.append(len(rows))
            if sum(map(len, rows)) > self.most:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")
            return compute(model, rows, *more)

        return limited


def test_out_of_memory_a_batch_is_halved_and_one_that_is_too_large_alone_has_a_reason(
    save: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = Full(most=100)
    monkeypatch.setattr(Model, "read_labels", full(Model.read_labels))
    engine = build(save("qwen2"), Request("generate", labels=LABELS))
    asked = [[i + 1] * 30 for i in range(8)]
    got = replies(engine, asked)
    assert full.batches == [8, 4, 2, 2, 4, 2, 2] and all(isinstance(reply, Reply) for reply in got)
    full.batches.clear()
    long, short = replies(engine, [[3] * 101, [4] * 99])
    assert long == Unscored("the sequence alone does not fit into memory: 101 tokens") and isinstance(short, Reply)
    assert full.batches == [2, 1, 1]


def test_a_deterministic_engine_gives_the_same_bits_in_any_company(save: Callable, monkeypatch: Any) -> None:
    full = Full(most=10**9)
    monkeypatch.setattr(Model, "read_labels", full(Model.read_labels))
    engine = build(save("qwen2"), Request("generate", labels=LABELS), deterministic=True)
    asked = sequences()
    together = [reply.label_logprobs for reply in replies(engine, asked)]
    alone = [replies(engine, [tokens])[0].label_logprobs for tokens in asked]
    np.testing.assert_array_equal(together, alone)
    assert set(full.batches) == {1}


def test_a_broken_engine_fails_the_batch_it_holds_those_that_wait_and_every_later_one(
    save: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside, go = threading.Event(), threading.Event()

    def fail(*unused: Any) -> None:
        inside.set()
        go.wait(SECONDS)
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr(Model, "read_labels", fail)
    engine = build(save("qwen2"), Request("generate", labels=LABELS))
    first = run(engine, [[1, 2, 3]])
    inside.wait(SECONDS)
    waiting = [run(engine, [[1, 2, 3]]) for _ in range(3)]
    go.set()
    for future in (first, *waiting, run(engine, [[1]])):
        with pytest.raises(EngineDied, match="RuntimeError: CUDA error: an illegal memory access"):
            future.result(SECONDS)


def test_each_token_of_an_answer_is_progress_for_the_watchdog(save: Callable) -> None:
    class Counted(Quiet):
        calls = 0

        def expect(self, seconds: float) -> None:
            self.calls += 1

    watchdog, request = Counted(), Request("generate", max_tokens=25)
    settings = Settings(type="", model=save("qwen2"))
    engine = Engine(settings, {"dtype": "float32"}, request, [], 1800, watchdog)
    replies(engine, [[5, 6, 7]], max_tokens=25)
    assert watchdog.calls > 20


def test_load_counts_what_has_no_reply_yet(save: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    inside, go = threading.Event(), threading.Event()
    compute = Model.read_labels

    def wait(*given: Any) -> Any:
        inside.set()
        go.wait(SECONDS)
        return compute(*given)

    monkeypatch.setattr(Model, "read_labels", wait)
    engine = build(save("qwen2"), Request("generate", labels=LABELS))
    future = run(engine, sequences())
    inside.wait(SECONDS)
    assert engine.load().queued == 9
    go.set()
    future.result(SECONDS)
    assert engine.load().queued == 0 and engine.load().busy > 0


@pytest.mark.parametrize(
    ("kind", "request_", "arguments", "message"),
    [
        ("qwen2", Request("classify"), {}, "lack the tensor score.weight, which Qwen2ForSequenceClassification needs"),
        ("qwen2", Request("embed"), {"max_model_len": 5000}, "max_model_len = 5000: the model has a context of 4096"),
        ("qwen2", Request("embed"), {"hf_overrides": {"headdim": 3}}, r"hf_overrides\.headdim: .* has no such key"),
    ],
)
def test_an_engine_that_would_compute_something_else_is_not_built(
    kind: str, request_: Request, arguments: dict[str, Any], message: str, save: Callable
) -> None:
    with pytest.raises(ValueError, match=message):
        build(save(kind), request_, **arguments)


def test_overrides_change_the_model(save: Callable) -> None:
    folder, request = save("gemma2"), Request("generate", labels=LABELS, logits=True)
    (capped,) = replies(build(folder, request), [[5, 6, 7]])
    (free,) = replies(build(folder, request, hf_overrides={"final_logit_softcapping": None}), [[5, 6, 7]])
    np.testing.assert_allclose(capped.label_logprobs, 2 * np.tanh(free.label_logprobs / 2), rtol=1e-4)
