"""An evaluated result: 12 queries with texts, ties in both stages, pairs without a score, a judged query it lacks."""

from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest

from pipeline.evaluate.evaluation import Evaluation, evaluate
from pipeline.evaluate.measures import DEFAULT_MEASURES, parse_measures
from pipeline.evaluate.qrels import Qrels
from pipeline.evaluate.result import read_judged_pairs
from tests.results import ranked, some_qrels, some_scores, write_result

QUERIES, DOCS = 12, 20
TEXTS = {"query": pa.large_string(), "doc": pa.large_string()}
HOSTILE = "<script>alert(\"1\")</script>\n<img src=x onerror=alert(2)> & 'quoted' "

Evaluated = Callable[..., Evaluation]


@pytest.fixture(scope="session")
def qrels() -> Qrels:
    return some_qrels(QUERIES + 1, DOCS + 5)


@pytest.fixture(scope="session")
def evaluated(tmp_path_factory: pytest.TempPathFactory, qrels: Qrels) -> Evaluated:
    """Commits a result and judges it; keyword arguments are those of `ranked` and sections of the config."""

    def evaluated(
        name: str = "one", method: str = "zscore", alpha: float = 0.2, seed: int = 0, **how: Any
    ) -> Evaluation:
        rows = ranked(some_scores(QUERIES, DOCS, seed), method, alpha)
        rows = [
            row | {"query": f"{HOSTILE} in {row['query_id']}", "doc": f"{HOSTILE} {row['doc_id']} " + "word " * 200}
            for row in rows
        ]
        folder = tmp_path_factory.mktemp("evaluated") / name
        fusion = {"method": method, "alpha": alpha}
        result = read_judged_pairs(write_result(folder, rows, texts=TEXTS, fusion=fusion, **how), qrels)
        return evaluate(name, result, qrels, parse_measures(DEFAULT_MEASURES))

    return evaluated


@pytest.fixture(scope="session")
def one(evaluated: Evaluated) -> Evaluation:
    return evaluated()
