"""Random models and pairs, from those whose pairs cost less than what surrounds them to those that keep a GPU busy."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

HEAD = 64


class Size(NamedTuple):
    """A Qwen2 with heads of HEAD for its keys and values (`heads`), and the pairs it is measured on."""

    hidden: int
    layers: int
    heads: int
    width: int
    vocabulary: int
    rows: int
    words: int


SIZES = {
    "overhead": Size(128, 2, 1, 256, 2048, rows=12_000, words=8),
    "small": Size(256, 4, 2, 1024, 32_768, rows=3000, words=40),
    "compute": Size(512, 8, 4, 2048, 32_768, rows=600, words=60),
    "0.5B": Size(896, 24, 2, 4864, 151_936, rows=20_000, words=110),
    "4B": Size(2560, 36, 8, 9728, 151_936, rows=4000, words=110),
    "7B": Size(3584, 28, 4, 18_944, 152_064, rows=3000, words=110),
}
ENGINE: dict[str, Any] = {"max_model_len": 1024, "max_num_seqs": 256, "max_num_batched_tokens": 2048}
ON_CPU: dict[str, Any] = {"dtype": "float32", "enforce_eager": True, "kv_cache_memory_bytes": 2**30}
ON_GPU = {"dtype": "bfloat16", "load_format": "dummy", "max_num_seqs": 1024, "max_num_batched_tokens": 16_384}
NO_ENGINE = {"max_model_len": 256, "load_format": "dummy"}  # of a job that starts none, on a model without weights
RERANKER: dict[str, Any] = {
    "type": "label",
    "prompt": "{query}\n{doc}\nIs it about that?",
    "labels": {" yes": 1.0, " no": 0.0},
    "score": "probability",
}


def save_model(size: Size, folder: Path, weights: bool = True) -> None:
    """A random model with a tokenizer; without weights, for an engine that makes up its own."""
    from transformers import Qwen2Config, Qwen2ForCausalLM

    from tests import tiny

    config = Qwen2Config(
        vocab_size=size.vocabulary,
        hidden_size=size.hidden,
        intermediate_size=size.width,
        num_hidden_layers=size.layers,
        num_attention_heads=size.hidden // HEAD,
        num_key_value_heads=size.heads,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
        architectures=["Qwen2ForCausalLM"],
    )
    (Qwen2ForCausalLM(config) if weights else config).save_pretrained(folder)
    tiny.qwen2_tokenizer().save_pretrained(folder)


def save_tokenizer(folder: Path) -> None:
    """Saves the parts of a model that a job without an engine needs: its tokenizer and its config."""
    from transformers import Qwen2Config

    from tests import tiny  # loads torch, which actors need not

    Qwen2Config(architectures=["Qwen2ForCausalLM"]).save_pretrained(folder)
    tiny.qwen2_tokenizer().save_pretrained(folder)


def pairs(rows: int, doc_words: int, query_words: int = 6, docs_a_query: int = 100) -> dict[str, list[Any]]:
    """Columns query, doc and score of random words, the rows of a query side by side."""
    from tests import tiny

    rng = np.random.default_rng(0)
    known = [word for word in tiny.qwen2_tokenizer().get_vocab() if word.isascii() and word.isalpha()]
    docs = [" ".join(rng.choice(known, doc_words)) for _ in range(rows)]
    queries = [" ".join(rng.choice(known, query_words)) for _ in range(-(-rows // docs_a_query))]
    return {"query": [queries[i // docs_a_query] for i in range(rows)], "doc": docs, "score": [0.0] * rows}


def save_pairs(columns: dict[str, list[Any]], path: Path, unit_rows: int) -> None:
    """One Parquet file, a row group a unit."""
    pq.write_table(pa.table(columns), path, row_group_size=unit_rows)


def flops(size: Size, lengths: np.ndarray) -> float:
    """The operations for prompts of these lengths in tokens, and the head on their last rows: anchors.md 3.2, exactly.

    2 N P of the body's N weights, 2 L d P^2 of causal attention, 2 V h of the head.
    """
    attention = 2 * size.hidden * size.hidden + 2 * size.hidden * size.heads * HEAD
    body = size.layers * (attention + 3 * size.hidden * size.width)
    prompts = lengths.astype(float)
    one = 2 * body * prompts + 2 * size.layers * size.hidden * prompts**2
    return float(one.sum() + 2 * size.vocabulary * size.hidden * len(prompts))
