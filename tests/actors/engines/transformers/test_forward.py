"""Batches give what each sequence gives alone: labels, likelihoods and classifiers."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoModelForCausalLM, AutoModelForSequenceClassification

from actors.engines.contract import EngineRequest
from actors.rerankers.contract import Request, Task
from tests.actors.engines.transformers.conftest import (
    CAUSAL,
    LABELS,
    ask,
    build,
    labels_of,
    logits_alone,
    replies,
    sequences,
)


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


# Architectures to which the mask is not all: what their batches give depends on the longest of them
MIXING: list[tuple[str, Task, dict[str, Any]]] = [
    ("convbert", "classify", {}),
    ("nystromformer", "classify", {}),
    ("yoso", "classify", {}),
    ("fnet", "embed", {}),
    ("rwkv", "generate", {"attention_hidden_size": 64, "initializer_range": 0.3}),
    ("recurrent_gemma", "generate", {"num_key_value_heads": 1, "lru_width": 64, "head_dim": 32}),
]
AUTO: dict[Task, Any] = {
    "classify": AutoModelForSequenceClassification,
    "embed": AutoModel,
    "generate": AutoModelForCausalLM,
}


@pytest.mark.parametrize(("kind", "task", "config"), MIXING, ids=[kind for kind, _, _ in MIXING])
def test_a_model_that_sees_padding_gets_none(
    kind: str, task: Task, config: dict[str, Any], save: Callable, capfd: pytest.CaptureFixture
) -> None:
    asked = [tokens for n in (5, 6, 7, 7) for tokens in ([*range(n, 2 * n)], [*range(2 * n, n, -1)])]
    request = Request(task, labels=LABELS if task == "generate" else ())
    folder = save(kind, AUTO[task], **config)
    together = replies(build(folder, request), asked)
    alone = [reply for tokens in asked for reply in replies(build(folder, request), [tokens])]
    for found, expected in zip(together, alone, strict=True):
        a, b = (reply.label_logprobs if task == "generate" else reply.vector for reply in (found, expected))
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
    assert "only sequences of the same length share a batch" in capfd.readouterr().err


def test_no_other_model_is_slowed_down(save: Callable, capfd: pytest.CaptureFixture) -> None:
    for kind in ("gpt2", "mamba", "falcon_h1"):
        build(save(kind), Request("generate", labels=LABELS))
    assert "padding" not in capfd.readouterr().err
