"""Chains of stages of which the last one sees all candidates of a query together, against two runs by hand."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from pipeline.cluster.in_process import InProcess
from pipeline.config import parse
from pipeline.run import rerank
from tests.pipeline.conftest import Run, hold_nothing, ranked

# ruff: noqa: F811  (fixtures that tests take by name)
from tests.pipeline.run.test_queries import (  # noqa: F401
    ENGINE,
    FUSION,
    MANY_PARTS,
    Asked,
    Table,
    cut_files,
    draw_rows,
    list_asked,
    rank,
    take_asked,
    write,
)


@pytest.fixture
def chain(tmp_path: Path, minilm: str, model: dict[str, Any]) -> Callable[..., dict[str, Any]]:
    """A run of two stages over the files in tmp_path/in."""
    Asked.asked.clear()
    fast = {"name": "fast", "reranker": {"type": "bi_encoder", "model": minilm}, "engine": ENGINE, "fusion": FUSION}
    whole = {"name": "whole", "reranker": model, "engine": ENGINE, "fusion": {"method": "none"}}

    def chain(name: str = "out", top_k: int = 4, **fusion: Any) -> dict[str, Any]:
        stages = [fast | {"top_k": top_k, "fusion": FUSION | fusion}, whole]
        output = {"path": str(tmp_path / name), "explain": True}
        about = {"max_failed": 1, "unit_rows": 10}
        config = parse({"input": {"path": str(tmp_path / "in")}, "stages": stages, "output": output, "run": about})
        return rerank(config, Asked, InProcess(), MANY_PARTS, hold_nothing)

    return chain


def read_candidates(output: Path) -> dict[str, list[tuple[str, str]]]:
    """Query -> what the second stage is asked about it: the ids and texts of candidates, in their order."""
    frame = ranked(str(output / "stages" / "fast")).to_pandas()
    frame = frame[frame["doc"].fillna("") != ""].sort_values("rank")
    return {query: [*zip(of["doc_id"], of["doc"], strict=True)] for query, of in frame.groupby("query")}


@pytest.mark.parametrize("seed, top_k", [(13, 4), (14, 1), (15, 100)])
def test_a_stage_of_whole_queries_is_two_runs_by_hand(
    seed: int, top_k: int, chain: Callable[..., Any], run: Run, rank: Run, tmp_path: Path
) -> None:
    rows = draw_rows(seed)
    write(tmp_path, **cut_files(rows))
    chain(top_k=top_k)
    asked = take_asked()
    run(str(tmp_path / "in"), "first", Asked, fusion=FUSION, run={"max_failed": 1})
    first = ranked(str(tmp_path / "first")).to_pandas()
    goes_on = first["rank"] <= top_k
    pairs = {(row["query_id"], row["doc_id"]): row for row in rows}
    order = (100.0 - first["rank"]).where(first["score"].notna())  # ties of the first stage's score are broken already
    order = order.fillna(order.groupby(first["query_id"]).transform("min")).fillna(0)
    given = first.assign(score=order)[goes_on][["query_id", "doc_id", "score"]]
    (tmp_path / "in").rename(tmp_path / "in-first")
    handed = [pairs[query, doc] | {"score": score} for query, doc, score in given.itertuples(index=False)]
    write(tmp_path, a=handed)
    rank("second")
    assert asked == take_asked() == list_asked(handed)
    second = ranked(str(tmp_path / "second")).to_pandas()
    expected = pd.concat([second.assign(stage="whole"), first[~goes_on].assign(stage="fast")])
    expected["rank"] = expected.groupby("query_id").cumcount() + 1
    found = ranked(str(tmp_path / "out")).to_pandas()
    columns = ["query_id", "doc_id", "rank", "score", "rerank_score", "reason", "stage"]
    found, expected = (table.sort_values(["query_id", "rank"])[columns] for table in (found, expected))
    pd.testing.assert_frame_equal(
        found.reset_index(drop=True), expected.reset_index(drop=True), check_exact=True, check_dtype=False
    )


def change_one(rows: Table) -> Table:
    """Another document in one row."""
    at = next(i for i, row in enumerate(rows) if row["doc"] and i > len(rows) // 2)
    return [*rows[:at], rows[at] | {"doc": "quite another document"}, *rows[at + 1 :]]


CHANGES: list[tuple[str, Callable[[Table], Table], dict[str, Any]]] = [
    ("one document in a hundred", change_one, {}),
    ("more go on", list, {"top_k": 6}),
    ("fewer go on", list, {"top_k": 3}),
    ("another fusion of the first stage", list, {"alpha": 0.9}),
    ("a file less", lambda rows: [row for row in rows if int(row["query_id"][1:]) > 3], {}),
]


@pytest.mark.parametrize("change, settings", [case[1:] for case in CHANGES], ids=[case[0] for case in CHANGES])
def test_after_a_change_only_queries_whose_candidates_changed_are_scored_again(
    change: Callable[[Table], Table], settings: dict[str, Any], chain: Callable[..., Any], tmp_path: Path
) -> None:
    """Whatever else of the first stage's result is another: files, parts, scores. The result is that of a new run."""
    rows = [row for row in draw_rows(16, range(15)) if row["doc_id"]]
    write(tmp_path, **cut_files(rows, 4))
    chain()
    before = read_candidates(tmp_path / "out")
    assert take_asked() == sorted(before)
    rows = change(rows)
    shutil.rmtree(tmp_path / "in")
    write(tmp_path, **cut_files(rows, 4))
    Asked.built.clear()
    chain(**settings)
    after = read_candidates(tmp_path / "out")
    changed = sorted(query for query, candidates in after.items() if before.get(query) != candidates)
    assert take_asked() == changed and len(changed) < len(after)
    assert ("listwise" in Asked.built) == bool(changed), "no engine starts for nothing"
    chain("fresh", **settings)
    assert take_asked() == sorted(after)
    found, fresh = (ranked(str(tmp_path / name)).to_pandas() for name in ("out", "fresh"))
    found, fresh = (table.sort_values(["query_id", "rank"]).reset_index(drop=True) for table in (found, fresh))
    assert found["explanation"].notna().sum() > 20
    pd.testing.assert_frame_equal(found, fresh, check_exact=True)


# Workers that die
