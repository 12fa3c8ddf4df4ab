"""The engine of transformers: batches give what each sequence gives alone, by transformers called by hand."""

import json
import queue
import shutil
import threading
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoModelForSequenceClassification

from actors.engines.contract import EngineDied, EngineRequest
from actors.engines.transformers.engine import Engine
from actors.engines.transformers.model import Model
from actors.rerankers.contract import Reply, Request, Unscored
from actors.rerankers.settings import Settings
from actors.rerankers.tokenizer import Tokenizer
from tests import tiny
from tests.actors.conftest import run

SECONDS = 60
LABELS = ("yes", "no", "1")
# Architectures that treat positions, masks or logits in ways of their own -> what their config has beside tiny.save's.
CAUSAL: dict[str, dict[str, Any]] = {
    "qwen2": {"num_key_value_heads": 1},  # rotary positions
    "bloom": {},  # ALiBi, by the mask
    "mpt": {"d_model": 64, "n_heads": 2, "n_layers": 2},  # ALiBi, by the places
    "gpt2": {"n_positions": 512},  # learned positions
    "opt": {"ffn_dim": 64, "word_embed_proj_dim": 64},  # learned positions, by the mask
    "gemma2": {"head_dim": 32, "num_key_value_heads": 1, "final_logit_softcapping": 2.0, "sliding_window": 8},
    "gemma3_text": {"head_dim": 32, "num_key_value_heads": 1, "sliding_window": 8},
    "cohere": {"num_key_value_heads": 1, "logit_scale": 0.1},
    "granite": {"num_key_value_heads": 1, "logits_scaling": 4.0},
    "phi": {},  # a head with a bias
    "mamba": {"state_size": 8},  # no attention
    "falcon_h1": {"num_key_value_heads": 1, "mamba_d_ssm": 64, "mamba_n_heads": 2, "mamba_d_head": 32},
    "qwen3_moe": {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32, "num_key_value_heads": 1},
}


def sequences(count: int = 9) -> list[list[int]]:
    """Sequences of different tokens, and lengths from 2 to some 80."""
    return [[(i * 31 + j * 7) % 500 + 5 for j in range(2 + i * i)] for i in range(count)]


@pytest.fixture(scope="module")
def save(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """An architecture -> the folder of a tiny model of it, with a tokenizer like Qwen2's; made once."""
    made: dict[str, str] = {}

    def make(kind: str, auto: Any = AutoModelForCausalLM, **config: Any) -> str:
        key = f"{kind} {auto} {config}"
        if key not in made:
            folder = tmp_path_factory.mktemp(kind)
            made[key] = tiny.save(folder, tiny.qwen2_tokenizer(), kind, auto, **CAUSAL.get(kind, {}) | config)
        return made[key]

    return make


@pytest.fixture(scope="module")
def t5(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("t5")
    tokenizer = tiny.qwen2_tokenizer()
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    about = {"vocab_size": len(tokenizer), "d_model": 64, "d_kv": 32, "d_ff": 64, "num_layers": 2, "num_heads": 2}
    config = AutoConfig.for_model("t5", **about, decoder_start_token_id=0, pad_token_id=0, eos_token_id=1)
    AutoModelForSeq2SeqLM.from_config(config).save_pretrained(folder)
    return str(folder)


class Quiet:
    """In the place of a watchdog."""

    def expect(self, seconds: float) -> None: ...

    def rest(self) -> None: ...


def build(model: str, request: Request, deterministic: bool = False, **arguments: Any) -> Engine:
    settings = Settings(type="", model=model)
    label_ids = Tokenizer(settings).label_ids(request.labels)
    return Engine(settings, {"dtype": "float32"} | arguments, request, label_ids, 1800, Quiet(), deterministic)


def replies(engine: Engine, asked: list[list[int]], **how: Any) -> list[Any]:
    return run(engine, asked, **how).result(SECONDS)


@cache
def load(auto: Any, folder: str) -> Any:
    """A model of transformers."""
    return auto.from_pretrained(folder, dtype=torch.float32).eval()


@torch.no_grad()
def logits_alone(folder: str, tokens: list[int]) -> torch.Tensor:
    """Shape (tokens, vocabulary)."""
    return load(AutoModelForCausalLM, folder)(input_ids=torch.tensor([tokens])).logits[0]


def labels_of(folder: str) -> list[int]:
    return Tokenizer(Settings(type="", model=folder)).label_ids(LABELS)


@pytest.mark.parametrize("kind", CAUSAL)
def test_labels_of_a_batch_are_those_of_each_sequence_alone(kind: str, save: Callable) -> None:
    folder = save(kind)
    expected = [logits_alone(folder, tokens)[-1] for tokens in sequences()]
    got = replies(build(folder, Request("generate", labels=LABELS)), sequences())
    for reply, logits in zip(got, expected, strict=True):
        np.testing.assert_allclose(
            reply.label_logprobs, logits.log_softmax(-1)[labels_of(folder)], rtol=1e-4, atol=1e-4
        )
        assert reply.tokens == (int(logits.argmax()),)


@pytest.mark.parametrize("kind", ["gemma2", "phi", "cohere"])
@pytest.mark.parametrize("task", ["generate", "classify"])
def test_logits_are_the_models_own_with_all_that_is_done_to_them(kind: str, task: Any, save: Callable) -> None:
    folder, request_ = save(kind), Request(task, labels=LABELS, logits=True)
    for reply, tokens in zip(replies(build(folder, request_), sequences()), sequences(), strict=True):
        found = reply.vector if request_.task == "classify" else reply.label_logprobs
        np.testing.assert_allclose(found, logits_alone(folder, tokens)[-1][labels_of(folder)], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", ["bloom", "qwen2", "mpt", "gemma3_text"])
def test_likelihoods_of_texts_of_different_lengths(kind: str, save: Callable) -> None:
    folder = save(kind)
    engine = build(folder, Request("likelihood"))
    asked = [
        EngineRequest(i, tokens, boundary, 1)
        for i, (tokens, boundary) in enumerate(zip(sequences()[1:], (1, 2, 10, 4, 25, 30, 1, 60), strict=True))
    ]
    got = ask(engine, asked)
    for request in asked:
        logprobs = logits_alone(folder, request.tokens).log_softmax(-1)
        at = range((request.boundary or 0) - 1, len(request.tokens) - 1)
        expected = [float(logprobs[place, request.tokens[place + 1]]) for place in at]
        np.testing.assert_allclose(got[request.number].token_logprobs, expected, rtol=1e-4, atol=1e-5)


def ask(
    engine: Engine, asked: list[EngineRequest], then: Callable[[int, Any], list[EngineRequest]] | None = None
) -> dict[int, Any]:
    """The replies by their numbers, in the order in which they came. then: (number, reply) -> follow-ups."""
    inbox: queue.SimpleQueue = queue.SimpleQueue()
    engine.ask(asked, inbox.put)
    left, found = len(asked), {}
    while left:
        delivered = inbox.get(timeout=SECONDS)
        if isinstance(delivered, BaseException):
            raise delivered
        for number, reply in delivered:
            found[number] = reply
            more = then(number, reply) if then else []
            engine.ask(more, inbox.put)
            left += len(more) - 1
    return found


@pytest.mark.parametrize("kind", ["llama", "qwen2", "gpt2", "gemma2"])
def test_a_classifier_reads_the_last_token_even_of_a_text_that_ends_with_the_padding_token(
    kind: str, save: Callable
) -> None:
    folder = save(kind, AutoModelForSequenceClassification, num_labels=2)
    padding = json.loads((Path(folder) / "config.json").read_text())["pad_token_id"]
    asked = [*sequences(), [7, 8, padding], [0], [1, 2]]
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    model.config.pad_token_id = None  # a single sequence has none
    got = replies(build(folder, Request("classify")), asked)
    for reply, tokens in zip(got, asked, strict=True):
        with torch.no_grad():
            expected = model(torch.tensor([tokens])).logits[0]
        np.testing.assert_allclose(reply.vector, expected, rtol=1e-4, atol=1e-5)
        assert reply.vector.dtype == np.float32


def test_each_pair_has_its_own_token_types(tiny_model: Callable) -> None:
    folder = tiny_model("bert")
    asked = [EngineRequest(i, tokens, 1 + i if i % 3 else None, 1) for i, tokens in enumerate(sequences())]
    got = ask(build(folder, Request("classify")), asked)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    for request in asked:
        n = len(request.tokens)
        types = torch.tensor([[int(request.boundary is not None and i >= request.boundary) for i in range(n)]])
        with torch.no_grad():
            expected = model(torch.tensor([request.tokens]), token_type_ids=types).logits[0]
        np.testing.assert_allclose(got[request.number].vector, expected, rtol=1e-4, atol=1e-5)


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
    """Has a model run out of memory above so many tokens in a batch."""

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


# Models with an encoder and a decoder


@torch.no_grad()
def decoder_logits(folder: str, source: list[int], before: list[int]) -> torch.Tensor:
    return load(AutoModelForSeq2SeqLM, folder)(
        input_ids=torch.tensor([source]), decoder_input_ids=torch.tensor([[0, *before]])
    ).logits[0]


def test_labels_are_read_where_a_decoder_begins(t5: str) -> None:
    got = replies(build(t5, Request("generate", labels=LABELS)), sequences(6))
    for reply, tokens in zip(got, sequences(6), strict=True):
        expected = decoder_logits(t5, tokens, []).log_softmax(-1)[0, labels_of(t5)]
        np.testing.assert_allclose(reply.label_logprobs, expected, rtol=1e-4, atol=1e-5)


def test_a_decoder_writes_what_stands_behind_the_boundary(t5: str) -> None:
    asked = [EngineRequest(i, tokens, 1 + i, 1) for i, tokens in enumerate(sequences(6))]
    got = ask(build(t5, Request("likelihood")), asked)
    for i, tokens, boundary, *_ in asked:
        target = tokens[boundary:]
        logprobs = decoder_logits(t5, tokens[:boundary], target[:-1]).log_softmax(-1)
        expected = logprobs[range(len(target)), target]
        np.testing.assert_allclose(got[i].token_logprobs, expected, rtol=1e-4, atol=1e-5)


def test_a_decoder_answers(t5: str) -> None:
    got = replies(build(t5, Request("generate", max_tokens=6)), sequences(4), max_tokens=6)
    for reply, tokens in zip(got, sequences(4), strict=True):
        written: list[int] = []
        while len(written) < 6:
            written.append(int(decoder_logits(t5, tokens, written)[-1].argmax()))
        assert list(reply.tokens) == written


def test_an_encoder_and_a_decoder_make_no_embeddings(t5: str) -> None:
    with pytest.raises(ValueError, match="T5ForConditionalGeneration has an encoder and a decoder, and makes no embed"):
        build(t5, Request("embed"))
