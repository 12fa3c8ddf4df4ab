"""A run of three stages against three runs by hand, which pandas hands on and joins; in this process."""

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from actors.rerankers.contract import Prompt, Unscored
from actors.worker.failures import Result
from pipeline.cluster.in_process import InProcess
from pipeline.config import Config, parse
from pipeline.run import rerank
from pipeline.sizes import Sizes
from tests.fakes import KnownScorer
from tests.pipeline.conftest import ranked, write

BUCKETS = Sizes(bucket_rows=60, carried_bucket_rows=60, merged_rows=60)
FUSIONS = [
    {"method": "zscore", "alpha": 0.5},
    {"method": "minmax", "alpha": 0.3},
    {"method": "rrf", "alpha": 0.4},
]
COLUMNS = ["query_id", "doc_id", "rank", "score", "first_stage_score", "rerank_score", "reason", "stage", "lang"]


class Rough(KnownScorer):
    """Scores of which many are equal; none for about a seventh of all pairs."""

    async def score_prompts(self, prompts: Sequence[Prompt]) -> Result:
        found = await super().score_prompts(prompts)
        return found._replace(scores=[self._roughen(score) for score in found.scores])

    def _roughen(self, score: float | Unscored) -> float | Unscored:
        assert isinstance(score, float)
        return Unscored("too odd") if score < 1 / 7 else round(score * 5) / 5


def draw_pairs(seed: int, queries: int = 30, most: int = 14) -> pa.Table:
    """Queries of 1 to `most` candidates, in any order, with equal first-stage scores, and some empty documents."""
    draw = random.Random(seed)
    rows = [
        {
            "query_id": f"q{query}",
            "query": f"query number {query}",
            "doc_id": f"d{doc}",
            "doc": "" if draw.random() < 0.05 else f"document {doc} about {draw.randrange(10**6)}",
            "score": float(draw.randrange(4)),
            "lang": draw.choice(["en", "de", None]),
        }
        for query in range(queries)
        for doc in range(draw.randint(1, most))
    ]
    draw.shuffle(rows)
    return pa.Table.from_pylist(rows)


@pytest.fixture
def make_stages(tmp_path: Path, minilm: str) -> Callable[..., Config]:
    """A config of three stages, whose prompts differ. top_k: of the first two. sections: replace whole ones."""

    def make(path: str, top_k: Sequence[int] = (6, 3), name: str = "out", **sections: Any) -> Config:
        stages = [
            {"name": f"s{number}", "fusion": FUSIONS[number], **make_model(minilm, number)} for number in range(3)
        ]
        for stage, most in zip(stages, top_k, strict=False):
            stage["top_k"] = most
        values: dict[str, Any] = {"input": {"path": path}, "run": {"max_failed": 1, "unit_rows": 20}}
        values["output"] = {"path": str(tmp_path / name), "columns": ["lang"]} | sections.pop("output", {})
        return parse(values | {"stages": stages} | sections)

    return make


def make_model(minilm: str, number: int) -> dict[str, Any]:
    template = f"stage {number}: {{query}}"
    return {
        "reranker": {"type": "bi_encoder", "model": minilm, "query_template": template},
        "engine": {"dtype": "float32", "enforce_eager": True, "max_model_len": 256},
    }


def run(config: Config, scorer: type = Rough, sizes: Sizes = BUCKETS, **more: Any) -> dict[str, Any]:
    return rerank(config, scorer, InProcess(), sizes, **more)


def rank_by_hand(
    table: pa.Table, top_k: Sequence[int], tmp_path: Path, minilm: str, name: str, scorer: type = Rough
) -> pd.DataFrame:
    """The result of three stages, by three runs without stages."""
    texts = table.to_pandas().drop(columns="score")
    candidates, behind = table.to_pandas(), list[pd.DataFrame]()
    first = candidates.set_index(["query_id", "doc_id"])["score"]
    for number, most in enumerate([*top_k, None]):
        path = write(pa.Table.from_pandas(candidates, preserve_index=False), tmp_path / f"{name}-in{number}", 3)
        values = {
            "input": {"path": path},
            "fusion": FUSIONS[number],
            "output": {"path": str(tmp_path / f"{name}-out{number}")},
            "run": {"max_failed": 1},
        }
        run(parse(values | make_model(minilm, number)), scorer)
        found = ranked(str(tmp_path / f"{name}-out{number}")).to_pandas().assign(stage=f"s{number}")
        goes_on = found["rank"] <= (most or len(found))
        behind.insert(0, found[~goes_on] if most else found)
        lowest = found.groupby("query_id")["score"].transform("min").fillna(0)
        given = found.assign(score=found["score"].fillna(lowest))[goes_on]
        candidates = given[["query_id", "doc_id", "score"]].merge(texts, on=["query_id", "doc_id"], validate="1:1")
    joined = pd.concat(behind)
    joined["rank"] = joined.groupby("query_id").cumcount() + 1
    joined["first_stage_score"] = first.loc[pd.MultiIndex.from_frame(joined[["query_id", "doc_id"]])].to_numpy()
    joined = joined.merge(texts[["query_id", "doc_id", "lang"]], on=["query_id", "doc_id"])
    return in_order(joined)


def in_order(found: pd.DataFrame) -> pd.DataFrame:
    return found.sort_values(["query_id", "rank"])[COLUMNS].reset_index(drop=True)


def get_result(config: Config) -> pd.DataFrame:
    return in_order(ranked(config.output.path).to_pandas())


@pytest.mark.parametrize("sizes", [BUCKETS, Sizes()], ids=["many parts", "one part"])
@pytest.mark.parametrize("seed, top_k", [(0, (6, 3)), (1, (3, 6)), (2, (1, 1)), (3, (50, 2)), (4, (10, 5))])
def test_three_stages_are_three_runs_by_hand(
    seed: int, top_k: tuple[int, int], sizes: Sizes, make_stages: Callable[..., Config], tmp_path: Path, minilm: str
) -> None:
    table = draw_pairs(seed)
    config = make_stages(write(table, tmp_path / "in", 3), top_k)
    figures = run(config, sizes=sizes)
    pd.testing.assert_frame_equal(
        get_result(config), rank_by_hand(table, top_k, tmp_path, minilm, "hand"), check_exact=True, check_dtype=False
    )
    assert figures["ranked"] == len(table)
    assert [*figures["stages"]] == ["s0", "s1"]
