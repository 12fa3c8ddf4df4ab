"""Runs of three stages, and the same by three runs without stages, which pandas hands on and joins."""

import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import pandas as pd
import pyarrow as pa

from actors.rerankers.contract import Prompt, Unscored
from actors.worker.failures import Result
from pipeline.cluster.in_process import InProcess
from pipeline.config import Config, parse
from pipeline.run import rerank
from pipeline.sizes import Sizes
from tests.fakes import KnownScorer, known_score
from tests.pipeline.conftest import hold_nothing, ranked, write

MANY_PARTS = Sizes(bucket_rows=40, carried_bucket_rows=40, merged_rows=40)
NAMES = ["fast", "better", "best"]
FUSIONS: list[dict[str, Any]] = [
    {"method": "zscore", "alpha": 0.5},
    {"method": "minmax", "alpha": 0.3},
    {"method": "rrf", "alpha": 0.4},
]
COLUMNS = ["query_id", "doc_id", "rank", "score", "first_stage_score", "rerank_score", "reason", "stage", "lang"]


class Rough(KnownScorer):
    """Scores of which many are equal, and which differ by stage (by max_doc_tokens); none for about a seventh of all
    pairs. asked: stage -> how many pairs it was asked for. built: the stages whose engine was started."""

    asked: ClassVar[Counter[str]] = Counter()
    built: ClassVar[list[str]] = []

    def build_engine(self, settings: Any, *unused: Any) -> None:
        self._number = settings.max_doc_tokens - 100
        self.built.append(NAMES[self._number])

    async def score_prompts(self, prompts: Sequence[Prompt]) -> Result:
        self.asked[NAMES[self._number]] += len(prompts)
        found = await super().score_prompts(prompts)
        return found._replace(scores=[self._roughen(prompt) for prompt in prompts])

    def _roughen(self, prompt: Prompt) -> float | Unscored:
        score = known_score([*(tokens.tolist() for tokens in prompt.sequences), [self._number]])
        return Unscored("too odd") if score < 1 / 7 else round(score * 5) / 5


def draw_pairs(seed: int, queries: int = 16, most: int = 14) -> pa.Table:
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


class Stages(NamedTuple):
    """Makes configs of three stages, and runs them. folder: for their output."""

    folder: Path
    model: str

    def make_config(self, path: str, top_k: Sequence[int] = (6, 3), name: str = "out", **sections: Any) -> Config:
        """top_k: of the first two stages. alpha: of the first one's fusion."""
        stages = [{"name": NAMES[n], "fusion": FUSIONS[n], **self._describe_model(n)} for n in range(3)]
        stages[0]["fusion"] = FUSIONS[0] | sections.pop("fusion", {})
        for stage, most in zip(stages, top_k, strict=False):
            stage["top_k"] = most
        values: dict[str, Any] = {"input": {"path": path}, "stages": stages}
        values["output"] = {"path": str(self.folder / name), "columns": ["lang"]} | sections.pop("output", {})
        return parse(values | {"run": {"max_failed": 1, "unit_rows": 20} | sections.pop("run", {})} | sections)

    def rank_by_hand(
        self, table: pa.Table, top_k: Sequence[int] = (6, 3), name: str = "hand", fusion: dict[str, Any] = {}
    ) -> tuple[pd.DataFrame, dict[str, set[tuple[str, str]]]]:
        """The result; and for each stage the pairs that its model is asked for."""
        texts = table.to_pandas().drop(columns="score")
        candidates, behind, asked = table.to_pandas(), list[pd.DataFrame](), dict[str, set[tuple[str, str]]]()
        first = candidates.set_index(["query_id", "doc_id"])["score"]
        for number, most in enumerate([*top_k, None]):
            ready = candidates[candidates["doc"] != ""]
            asked[NAMES[number]] = {*zip(ready["query"], ready["doc"], strict=True)}
            place = self.folder / f"{name}-{number}"
            path = write(pa.Table.from_pandas(candidates, preserve_index=False), place / "in", 1)
            values: dict[str, Any] = {"input": {"path": path}, "run": {"max_failed": 1}}
            values["fusion"] = FUSIONS[number] | (fusion if not number else {})
            run(parse(values | {"output": {"path": str(place / "out")}} | self._describe_model(number)), Sizes())
            found = ranked(str(place / "out")).to_pandas().assign(stage=NAMES[number])
            goes_on = found["rank"] <= (most or len(found))
            behind.insert(0, found[~goes_on] if most else found)
            lowest = found.groupby("query_id")["score"].transform("min").fillna(0)
            given = found.assign(score=found["score"].fillna(lowest))[goes_on]
            candidates = given[["query_id", "doc_id", "score"]].merge(texts, on=["query_id", "doc_id"], validate="1:1")
        joined = pd.concat(behind)
        joined["rank"] = joined.groupby("query_id").cumcount() + 1
        joined["first_stage_score"] = first.loc[pd.MultiIndex.from_frame(joined[["query_id", "doc_id"]])].to_numpy()
        return in_order(joined.merge(texts[["query_id", "doc_id", "lang"]], on=["query_id", "doc_id"])), asked

    def _describe_model(self, number: int) -> dict[str, Any]:
        reranker = {"type": "bi_encoder", "model": self.model, "max_doc_tokens": 100 + number}
        engine = {"dtype": "float32", "enforce_eager": True, "max_model_len": 256, "load_format": "dummy"}
        return {"reranker": reranker, "engine": engine}


def run(config: Config, sizes: Sizes = MANY_PARTS, scorer: type = Rough) -> dict[str, Any]:
    """Runs a config in this process, and counts what its scorer is asked for."""
    Rough.asked.clear()
    Rough.built.clear()
    return rerank(config, scorer, InProcess(), sizes, hold_nothing)


def in_order(found: pd.DataFrame) -> pd.DataFrame:
    return found.sort_values(["query_id", "rank"])[COLUMNS].reset_index(drop=True)


def get_result(config: Config) -> pd.DataFrame:
    return in_order(ranked(config.output.path).to_pandas())


def assert_same(found: pd.DataFrame, expected: pd.DataFrame) -> None:
    """To the bit."""
    pd.testing.assert_frame_equal(found, expected, check_exact=True, check_dtype=False)
