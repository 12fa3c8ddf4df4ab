"""Models that a config alone describes, by the `reranker` sections of configs/, in whole jobs on tiny models of their
architectures, against transformers with the prompts of their cards written out."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer, LlamaForSequenceClassification

from pipeline.config import load
from tests import tiny
from tests.actors.rerankers.test_whole_job import run, scores
from tests.conftest import ROOT
from tests.parity import SOME_PAIRS, Reference, assert_same

TASK = "Given a web search query, retrieve relevant passages that answer the query"


def section(name: str, model: str, **more: Any) -> dict[str, Any]:
    """The `reranker` section of a config, for another model."""
    return load(str(ROOT / f"configs/{name}.yaml")).reranker.model_dump() | {"model": model} | more


def qwen3_classifier(folder: Path) -> str:
    tokenizer = tiny.qwen3_tokenizer()
    kind = AutoModelForSequenceClassification
    return tiny.save(folder, tokenizer, "qwen3", kind, num_labels=1, head_dim=64, num_key_value_heads=1)


def llama_bidirectional(folder: Path) -> str:
    """llama-nemotron's architecture, under the name by which vLLM knows it; its tokenizer puts <s> before a text."""
    folder.mkdir()
    about = json.loads((Path(tiny.llama_classifier(folder)) / "config.json").read_text())
    about |= {"architectures": ["LlamaBidirectionalForSequenceClassification"], "pooling": "avg"}
    (folder / "config.json").write_text(json.dumps(about))
    return str(folder)


@pytest.mark.parametrize("scoring", ["exact", "head"])
def test_zerank_2(scoring: str, tiny_model: Callable, tmp_path: Path) -> None:
    model = tiny_model("qwen3")
    reference = Reference(model)
    expected = []
    frame = "<|im_start|>system\n{query}<|im_end|>\n<|im_start|>user\n{doc}<|im_end|>\n<|im_start|>assistant\n"
    for query, doc in SOME_PAIRS:
        ids = reference.tokenizer.fill(frame, query=query, doc=doc)
        expected.append(float(reference.logits(ids)[-1][reference.tokenizer.id("Yes")]))
    got = run(tmp_path, section("zerank-2", model, scoring=scoring), SOME_PAIRS)
    assert_same(scores(got), np.array(expected), atol=1e-5)


@pytest.mark.parametrize(("name", "instruction"), [("qwen3", ""), ("qwen3", " prefer the newest"), ("mistral", "")])
def test_ctxl_rerank_v2(name: str, instruction: str, tiny_model: Callable, tmp_path: Path) -> None:
    model = tiny_model(name)
    reference = Reference(model)
    asked = "Check whether a given document contains information helpful to answer the query."
    begin = "<s>" if name == "mistral" else ""
    frame = f"{begin}{asked}\n<Document> {{doc}}\n<Query> {{query}}{instruction} ??"
    prompts = (reference.tokenizer.fill(frame, query=query, doc=doc) for query, doc in SOME_PAIRS)
    expected = [float(reference.logits(ids)[-1][0]) for ids in prompts]
    settings = section("ctxl-rerank-v2-1b", model)
    if instruction:
        settings["prompt"] = settings["prompt"].replace("{query}", "{query} {instruction}")
        settings["instruction"] = instruction.strip()
    assert_same(scores(run(tmp_path, settings, SOME_PAIRS)), np.array(expected), atol=1e-5)


@torch.no_grad()
def test_qwen3_reranker_as_a_classifier(tmp_path: Path) -> None:
    model = qwen3_classifier(tmp_path / "model")
    tokenizer = AutoTokenizer.from_pretrained(model)
    classifier = AutoModelForSequenceClassification.from_pretrained(model).eval()
    expected = []
    for query, doc in SOME_PAIRS:
        text = (
            "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and the Instruct "
            'provided. Note that the answer can only be "yes" or "no".<|im_end|>\n<|im_start|>user\n'
            f"<Instruct>: {TASK}\n<Query>: {query}\n<Document>: {doc}"
            "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
        )
        expected.append(float(classifier(**tokenizer(text, return_tensors="pt")).logits[0, 0]))
    got = run(tmp_path, section("qwen3-reranker-0.6b-seq-cls", model), SOME_PAIRS)
    assert_same(scores(got), np.array(expected), atol=1e-5)


@torch.no_grad()
def test_llama_nemotron_rerank(tmp_path: Path) -> None:
    """Every token sees all others, and the head reads the mean of the last hidden states."""
    model = llama_bidirectional(tmp_path / "model")
    tokenizer = AutoTokenizer.from_pretrained(model)
    llama = LlamaForSequenceClassification.from_pretrained(model).eval()
    expected = []
    for query, doc in SOME_PAIRS:
        ids = tokenizer(f"question:{query} \n \n passage:{doc}", return_tensors="pt")["input_ids"]
        all_seen = torch.zeros(1, 1, ids.shape[1], ids.shape[1])
        hidden = llama.model(input_ids=ids, attention_mask=all_seen).last_hidden_state
        expected.append(float(llama.score(hidden.mean(1))[0, 0]))
    settings = section("llama-nemotron-rerank-1b-v2", model, trust_remote_code=False)
    assert_same(scores(run(tmp_path, settings, SOME_PAIRS)), np.array(expected), atol=1e-5)
