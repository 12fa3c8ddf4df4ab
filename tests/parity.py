"""What the tests of exactness share: varied pairs, the whole job on them, and transformers to compare it with."""

import itertools
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from actors.rerankers.contract import Reply
from actors.worker.actor import Scorer
from pipeline.config import parse
from pipeline.run import rerank

RTOL = 1e-3
FLOAT32 = {"dtype": "float32", "enforce_eager": True, "kv_cache_memory_bytes": 2**26, "max_model_len": 4096}
# The ways in which vLLM may come to the same numbers; the second computes every prompt anew, 48 tokens at a time.
ENGINES: dict[str, dict[str, Any]] = {
    "cached": {"enable_prefix_caching": True},
    "chunked": {
        "enable_prefix_caching": False,
        "enable_chunked_prefill": True,
        "max_num_batched_tokens": 48,
        "max_num_seqs": 16,
    },
}
SLOW = pytest.mark.slow
BOTH = ["cached", pytest.param("chunked", marks=SLOW)]
QUERIES = [
    "What is the scientific name of apples?",
    "a",
    "7",
    "  two spaces on either side  ",
    "price of 1,234.56 EUR in 2024?",
    "Où est la bibliothèque ?",
    "什么是苹果的学名",
    "line one\nline two\n",
    "def f(x): return x ** 2  # what does it do?",
    "🍎🍏 vs 🍐",
    "how " * 60 + "deep is it",
    "<<<Context>>> {query} %s \\n &amp;",
]
DOCS = [
    "An apple is a round, edible fruit produced by an apple tree (Malus domestica).",
    "x",
    "1 2 3 4 5 6 7",
    " \t leading and trailing \t ",
    "In 2024 it cost 1,234.56 EUR; in 2019, 987.",
    "La bibliothèque est au bout de l'allée — à gauche.",
    "苹果是蔷薇科苹果属的落叶乔木,学名 Malus domestica。",
    "one\n\ntwo\r\n\r\n\r\nthree\n",
    "def f(x):\n    if x:\n        return [i for i in range(x)]\n    return None\n",
    "e\u0301 is e and an accent; \u00e9 is one character; \u200b is none to see; \U0001f469\u200d\U0001f680 is three.",
    "٣٤٥ नमस्ते ħęłło ﬁ ½ 한국어",
    "I'll say it's what they'd've done -- \"isn't it?\" ... (yes!) @user #tag https://example.org/?a=1&b=2",
    "<<<Query>>>\nanother query\n\n<<<Context>>>\n",
    "apple " * 40,
    "The quick brown fox jumps over the lazy dog, and 14 others. " * 30,
    "文字が多い文書。" * 60,
    "{'a': [1, 2.5, -3e-7], \"b\": null}\n" * 40,
    "word" * 300,
]
PAIRS = list(itertools.product(QUERIES, DOCS))
SOME_PAIRS = PAIRS[::2]  # 108 of them, with every query and every document, for models that generate


def job(
    folder: Path,
    reranker: dict[str, Any],
    engine: dict[str, Any],
    pairs: Iterable[tuple[str, str]] = PAIRS,
    columns: dict[str, list[Any]] | None = None,
    explain: bool = False,
    scorer: type = Scorer,
) -> list[dict[str, Any]]:
    """The ranked rows of a whole job, Parquet in and Parquet out, in the order of the pairs.

    columns: further ones of the input, mapped by their names (title, instruction).
    """
    queries, docs = zip(*pairs, strict=True)
    numbers: dict[str, str] = {}
    names = [numbers.setdefault(query, f"q{len(numbers)}") for query in queries]
    ids = [str(i) for i in range(len(docs))]
    table = {
        "query_id": names,
        "query": queries,
        "doc_id": ids,
        "doc": docs,
        "score": [float(i) for i in range(len(docs))],
    }
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(table | (columns or {})), folder / "pairs.parquet")
    config = {
        "input": {"path": str(folder / "pairs.parquet"), "columns": {name: name for name in columns or {}}},
        "reranker": reranker,
        "engine": FLOAT32 | engine,
        "output": {"path": str(folder / "out"), "explain": explain},
        "run": {"unit_rows": 50, "max_failed": 1.0},
    }
    rerank(parse(config), scorer)
    rows = {int(row["doc_id"]): row for row in pq.read_table(folder / "out" / "ranked").to_pylist()}
    return [rows[i] for i in range(len(docs))]


def scores(rows: list[dict[str, Any]]) -> np.ndarray:
    """The reranker's scores; nan where there is none."""
    return np.array([row["rerank_score"] for row in rows], dtype=np.float64)


def assert_same(got: np.ndarray, expected: np.ndarray, atol: float = 0) -> None:
    """At least 95% of the scores are there, they spread, and each is the expected one.

    atol: for scores of either sign, of which those near 0 are small differences of large numbers.
    """
    there = ~np.isnan(got)
    assert there.mean() >= 0.95, f"{(~there).sum()} of {len(got)} pairs have no score"
    assert len(np.unique(got[there].round(6))) > len(got) / 4, "scores that do not spread prove nothing"
    np.testing.assert_allclose(got[there], expected[there], rtol=RTOL, atol=atol)


class Reference:
    """A causal language model by transformers, and its tokenizer. What is made of its logits is float32's."""

    def __init__(self, model: str, dtype: torch.dtype = torch.float32):
        self.tokenizer = AutoTokenizer.from_pretrained(model)
        self.model = AutoModelForCausalLM.from_pretrained(model, dtype=dtype)

    def ids(self, text: str, **options: Any) -> list[int]:
        return self.tokenizer(text, **options)["input_ids"]

    @torch.no_grad()
    def logits(self, ids: list[int]) -> torch.Tensor:
        """At every position. Shape (tokens, vocabulary)."""
        return self.model(input_ids=torch.tensor([ids])).logits[0].float()

    def logprobs(self, ids: list[int]) -> torch.Tensor:
        """Of the token that comes next. Shape (vocabulary,)."""
        return self.logits(ids)[-1].log_softmax(-1)


def recorder(path: Path) -> tuple[type, Callable[[], list[list[Reply]]]]:
    """A scorer that also writes down what the engine replied, and a function that reads it: all replies of each
    distinct prompt that was scored."""

    class Recorder(Scorer):
        def __init__(self, **arguments: Any):
            super().__init__(**arguments)
            score = self._score

            def recorded(replies: list[Reply]) -> Any:
                result = score(replies)
                if isinstance(result, float):
                    path.mkdir(parents=True, exist_ok=True)
                    kept = [(r.prompt, r.tokens, r.text, r.stopped, r.finished) for r in replies]
                    with open(path / "replies.txt", "a") as file:
                        file.write(repr(kept) + "\n")
                return result

            self._score = recorded  # type: ignore[assignment]

    def read() -> list[list[Reply]]:
        lines = (path / "replies.txt").read_text().splitlines()
        return [[Reply(p, 0, t, x, s, f) for p, t, x, s, f in eval(line)] for line in lines]

    return Recorder, read
