"""Lengths that a model has no positions for, and that vLLM 0.32 refuses (in config/model.py)."""

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.check.positions import check_positions
from pipeline.config import parse
from pipeline.errors import UsageError

YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 512}


def look(folder: Path, declared: dict[str, Any], saved: int | None, **engine: Any) -> None:
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": saved}))
    reranker = {"type": "bi_encoder", "model": str(folder)}
    config = {"input": {"path": "p"}, "reranker": reranker, "engine": engine, "output": {"path": "o"}}
    check_positions(parse(config), declared)


@pytest.mark.parametrize(
    ("declared", "saved", "limit", "line"),
    [
        (
            {"max_position_embeddings": 512},
            2048,
            None,
            "max_seq_length in its sentence_bert_config.json is 2048, and it",
        ),
        ({"model_type": "xlm-roberta", "max_position_embeddings": 514}, 8192, None, "max_position_embeddings = 514"),
        ({"max_position_embeddings": 512}, 513, None, "is 513, and it has max_position_embeddings = 512"),
        (
            {"max_position_embeddings": 4096, "rope_theta": 5e5},
            None,
            8192,
            "takes 4096 tokens, and vLLM refuses",
        ),
        ({"max_position_embeddings": 4096, "rope_parameters": {"rope_type": "default"}}, None, 4097, "takes 4096"),
        ({"n_positions": 1024}, None, 2048, "takes 1024"),
        ({"max_position_embeddings": 8192, "model_max_length": 4096}, None, 5000, "takes 4096"),
        ({"max_position_embeddings": 512}, 256, 512, "takes 256"),
    ],
)
def test_a_length_beyond_the_models_is_refused(
    declared: dict[str, Any], saved: int | None, limit: int | None, line: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=line):
        look(tmp_path, declared, saved, **({"max_model_len": limit} if limit else {}))


@pytest.mark.parametrize(
    ("declared", "saved", "engine"),
    [
        ({"max_position_embeddings": 512}, 512, {}),
        ({"max_position_embeddings": 512}, 2048, {"max_model_len": 512}),
        ({"max_position_embeddings": 2048, "rope_theta": 1e4}, 8192, {}),
        ({"max_position_embeddings": 2048, "position_embedding_type": "alibi"}, 8192, {}),
        ({"max_position_embeddings": 512, "rope_parameters": YARN}, None, {"max_model_len": 2048}),
        ({"max_position_embeddings": 512, "rope_parameters": {"full": YARN}}, None, {"max_model_len": 2048}),
        ({"max_position_embeddings": 512, "rope_scaling": YARN}, None, {"max_model_len": 2048}),
        ({"max_position_embeddings": 512}, 1024, {"hf_overrides": {"max_position_embeddings": 1024}}),
        ({}, None, {"max_model_len": 8192}),
    ],
)
def test_a_length_that_may_be_right_is_taken(
    declared: dict[str, Any], saved: int | None, engine: dict[str, Any], tmp_path: Path
) -> None:
    look(tmp_path, declared, saved, **engine)
