"""Runs that cut documents into passages: the same as passages that are scored as pairs of their own, put together."""

from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from actors.rerankers import RERANKERS
from actors.rerankers.passages import cut_passages
from actors.rerankers.settings import Passages
from actors.rerankers.tokenizer import Tokenizer
from tests.pipeline.conftest import Run, ranked

PASSAGES: dict[str, Any] = {"tokens": 12, "overlap": 3}
ROWS = 60


@pytest.fixture
def docs() -> list[str]:
    """Documents of 2 to 24 words, in sentences of 7."""
    words = [f"word{i}{'.' if i % 7 == 6 else ''}" for i in range(23)]
    return [" ".join(words[: 1 + row % 23]) + f" {row}" for row in range(ROWS)]


def write(path: Path, ids: list[tuple[str, str]], docs: list[str]) -> str:
    columns = {
        "query_id": [query for query, _ in ids],
        "query": [f"question {query}" for query, _ in ids],
        "doc_id": [doc for _, doc in ids],
        "doc": docs,
        "score": [float(i) for i in range(len(ids))],
    }
    pq.write_table(pa.table(columns), path)
    return str(path)


@pytest.mark.parametrize(
    ("how", "formula"),
    [
        ("max", lambda scores: scores.max()),
        ("first", lambda scores: scores.iloc[0]),
        ("mean", lambda scores: scores.mean()),
        ("top3", lambda scores: scores.nlargest(3).mean()),
    ],
)
def test_scores_are_those_of_passages_put_together(
    how: str, formula: Any, docs: list[str], run: Run, tmp_path: Path, minilm: str
) -> None:
    ids = [(f"q{row % 7}", f"d{row:02}") for row in range(ROWS)]
    reranker: dict[str, Any] = {"type": "bi_encoder", "model": minilm}
    tokenizer = Tokenizer(RERANKERS["bi_encoder"].settings(**reranker))
    cut = [cut_passages(tokenizer, doc, Passages(**PASSAGES)) for doc in docs]
    alone = [
        ((query, f"{doc}-{number}"), passage)
        for (query, doc), passages in zip(ids, cut, strict=True)
        for number, passage in enumerate(passages)
    ]
    path = write(tmp_path / "passages.parquet", [pair for pair, _ in alone], [passage for _, passage in alone])
    run(path, "alone", reranker=reranker)
    scores = ranked(str(tmp_path / "alone")).to_pandas().sort_values(["query_id", "doc_id"])
    scores["pair"] = scores["doc_id"].str.split("-").str[0]
    expected = scores.groupby("pair")["rerank_score"].apply(formula)

    figures = run(
        write(tmp_path / "pairs.parquet", ids, docs),
        "out",
        reranker=reranker | {"passages": PASSAGES | {"score": how}},
        output={"explain": True},
        run={"unit_rows": 9},
    )
    found = ranked(str(tmp_path / "out")).to_pandas().set_index("doc_id")
    pd.testing.assert_series_equal(found["rerank_score"], expected, check_names=False, check_like=True, rtol=1e-12)
    assert figures["passages"] == len(alone) > ROWS and figures["scored_now"] == ROWS
    numbers = scores.groupby("pair")["rerank_score"].apply(lambda mine: f"passage {mine.argmax() + 1} of {len(mine)}")
    assert found["explanation"].sort_index().tolist() == numbers.sort_index().tolist()


def test_documents_that_fit_have_the_scores_they_have_without_the_key(
    docs: list[str], run: Run, tmp_path: Path, minilm: str
) -> None:
    path = write(tmp_path / "pairs.parquet", [("q", f"d{row}") for row in range(ROWS)], docs)
    reranker = {"type": "bi_encoder", "model": minilm}
    assert run(path, "whole", reranker=reranker)["passages"] is None
    run(path, "cut", reranker=reranker | {"passages": {"tokens": 254}})
    assert ranked(str(tmp_path / "cut")).equals(ranked(str(tmp_path / "whole")))
