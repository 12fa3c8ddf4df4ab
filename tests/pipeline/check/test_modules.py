"""Files of sentence-transformers: what is computed is taken, what is not is refused or said by its name."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.check.model import check_model_files
from pipeline.check.modules import check_modules, note_modules
from pipeline.config import Config, parse
from pipeline.errors import UsageError

ST = "sentence_transformers.models."
POOLING, ABOUT = "1_Pooling/config.json", "config_sentence_transformers.json"


def modules(*names: str) -> list[dict[str, Any]]:
    return [{"idx": i, "path": f"{i}_{name}" if i else "", "type": ST + name} for i, name in enumerate(names)]


def pooled(**pooling: Any) -> dict[str, Any]:
    return {"modules.json": modules("Transformer", "Pooling"), POOLING: pooling}


@pytest.fixture
def make(minilm: str, tmp_path: Path) -> Callable[..., Config]:
    """A config for all-MiniLM-L6-v2 with other files of sentence-transformers; None takes a file away."""

    def make(files: dict[str, Any], engine: dict[str, Any] | None = None, **reranker: Any) -> Config:
        folder = tmp_path / "model"
        shutil.copytree(minilm, folder, ignore=shutil.ignore_patterns("*.safetensors", "*.bin", "onnx"))
        for name, written in files.items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text(json.dumps(written)) if written is not None else (folder / name).unlink()
        section = {"type": "bi_encoder", "model": str(folder)} | reranker
        return parse({"input": {"path": "p"}, "reranker": section, "engine": engine or {}, "output": {"path": "o"}})

    return make


@pytest.mark.parametrize(
    ("files", "line"),
    [
        (pooled(pooling_mode_max_tokens=True), "1_Pooling/config.json asks for the pooling max_tokens"),
        (pooled(pooling_mode="weightedmean"), "the pooling weightedmean"),
        (pooled(pooling_mode_cls_token=True, pooling_mode_mean_tokens=True), "cls_token and mean_tokens"),
        (pooled(pooling_mode=["mean", "max"]), "mean and max"),
        ({"modules.json": modules("Transformer", "Pooling", "LSTM")}, "has a module LSTM, which vLLM does not run"),
        ({"modules.json": modules("StaticEmbedding")}, "has a module StaticEmbedding"),
        ({"modules.json": modules("Transformer", "WordWeights", "Pooling")}, "has a module WordWeights"),
        (pooled(pooling_mode="mean") | {ABOUT: {"similarity_fn_name": "dot"}}, "similarity 'dot', and .* cosines"),
        ({ABOUT: {"similarity_fn_name": "euclidean"}}, "similarity 'euclidean'"),
        ({ABOUT: {"similarity_fn_name": "manhattan"}}, "similarity 'manhattan'"),
    ],
)
def test_what_is_not_computed_is_refused(files: dict[str, Any], line: str, make: Callable[..., Config]) -> None:
    with pytest.raises(UsageError, match=f"^reranker.model = '.*/model': .*{line}"):
        check_model_files(make(files), weights=False)


@pytest.mark.parametrize(
    ("files", "engine"),
    [
        ({}, {}),
        (pooled(pooling_mode_mean_tokens=True, include_prompt=True, word_embedding_dimension=384), {}),
        (pooled(pooling_mode="cls"), {}),
        (pooled(pooling_mode_lasttoken=True), {}),
        ({"modules.json": modules("Transformer", "Pooling", "Dense", "Normalize")}, {}),
        ({ABOUT: {"similarity_fn_name": "cosine"}}, {}),
        ({ABOUT: {"similarity_fn_name": None}}, {}),
        ({"modules.json": modules("Transformer", "Pooling", "Normalize"), ABOUT: {"similarity_fn_name": "dot"}}, {}),
        (pooled(pooling_mode="max"), {"pooler_config": {"seq_pooling_type": "MEAN"}}),
    ],
)
def test_what_is_computed_is_taken(files: dict[str, Any], engine: dict, make: Callable[..., Config]) -> None:
    check_modules(make(files, engine))


@pytest.mark.parametrize(
    ("names", "heads"),
    [
        (["Transformer", "Pooling", "Dense", "Dense"], True),
        (["Transformer", "LogitScore"], True),
        (["Transformer"], False),
    ],
)
def test_a_cross_encoder_of_modules_is_refused_by_their_names(
    names: list[str], heads: bool, make: Callable[..., Config]
) -> None:
    config = make({"modules.json": modules(*names)}, type="cross_encoder")
    if heads:
        with pytest.raises(UsageError, match=f"its modules.json is a stack of {', '.join(names)}, whose head vLLM"):
            check_model_files(config, weights=False)
    else:
        check_modules(config)


@pytest.mark.parametrize(
    ("files", "reranker", "notes"),
    [
        ({}, {}, []),
        ({"modules.json": None}, {}, ["has no modules.json, so vLLM pools by its default"]),
        ({ABOUT: {"prompts": {"query": "Find: ", "document": ""}}}, {}, ["has prompts (query), which are not put"]),
        ({ABOUT: {"prompts": {"query": "", "document": ""}}}, {}, []),
        ({ABOUT: {"prompts": {"query": "Find: "}}}, {"query_template": "Find: {query}"}, []),
        ({"sentence_bert_config.json": {"do_lower_case": True}}, {}, ["has do_lower_case"]),
    ],
)
def test_what_is_not_used_is_said(
    files: dict[str, Any], reranker: dict[str, str], notes: list[str], make: Callable[..., Config]
) -> None:
    said = note_modules(make(files, **reranker))
    assert len(said) == len(notes) and all(note in line for note, line in zip(notes, said, strict=True))
