"""A result of three stages, as status, evaluate, fuse, to_trec and other runs see it."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import jobs.evaluate
from jobs.status import describe_status
from pipeline.check.preflight import check
from pipeline.check.survey import survey
from pipeline.cluster.in_process import InProcess
from pipeline.config import Config
from pipeline.ensemble.part import Arguments
from pipeline.ensemble.run import fuse
from pipeline.errors import UsageError
from pipeline.estimate.stages import dry_run_stages
from pipeline.evaluate.result import leave_out, read_judged_pairs
from pipeline.evaluate.runs import FIRST_STAGE, FUSION, fuse_again, list_docs, make_rankings
from pipeline.evaluate.stages import read_stages
from pipeline.input.excluded import LeftOut
from pipeline.input.result import read_result
from pipeline.output.status import read_status
from pipeline.output.trec import write_trec
from pipeline.storage.folder import Folder
from tests.conftest import minilm_folder
from tests.pipeline.conftest import ranked, write
from tests.pipeline.run.by_hand import NAMES, Stages, draw_pairs, get_result, run


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """That of a run which was made. Each query's rows stand together."""
    folder = tmp_path_factory.mktemp("stages")
    table = draw_pairs(0).sort_by("query_id")
    config = Stages(folder, minilm_folder()).make_config(write(table, folder / "in", 1))
    run(config)
    return config


@pytest.fixture
def found(config: Config) -> pd.DataFrame:
    return get_result(config)


def test_trec_has_its_order(config: Config, found: pd.DataFrame, tmp_path: Path) -> None:
    write_trec(config.output.path, str(tmp_path / "run"), "tag")
    run_file = pd.read_csv(tmp_path / "run", sep=" ", names=["query_id", "Q0", "doc_id", "rank", "score", "tag"])
    run_file = run_file.sort_values(["query_id", "rank"]).reset_index(drop=True)
    assert run_file[["query_id", "doc_id", "rank"]].equals(found[["query_id", "doc_id", "rank"]].astype({"rank": int}))
    size = found.groupby("query_id")["rank"].transform("size")
    assert run_file["score"].tolist() == (size - found["rank"]).tolist()


def test_it_is_judged_by_its_order(config: Config, found: pd.DataFrame) -> None:
    result = read_judged_pairs(config.output.path, ["q1", "q2", "q3"])
    judged = found[found["query_id"].isin(["q1", "q2", "q3"])]
    size = judged.groupby("query_id")["rank"].transform("size")
    expected = judged.assign(n=size - judged["rank"]).sort_values(["query_id", "doc_id"])
    for scores in (result.score, result.rerank):
        assert scores.tolist() == expected["n"].tolist()
    assert result.scored.all()
    rankings = make_rankings(result)
    assert list_docs(result, rankings[FUSION])["q2"] == judged[judged["query_id"] == "q2"]["doc_id"].tolist()
    by_first = judged[judged["query_id"] == "q2"].sort_values(["first_stage_score", "doc_id"], ascending=[False, True])
    assert list_docs(result, rankings[FIRST_STAGE])["q2"] == by_first["doc_id"].tolist()


def test_each_stage_is_judged_by_what_it_was_given_and_made(tmp_path: Path) -> None:
    """Against the three runs by hand, of which each has the ranking of its candidates."""
    table, stages = draw_pairs(5), Stages(tmp_path, minilm_folder())
    config = stages.make_config(write(table, tmp_path / "in", 1))
    run(config)
    whole, _ = stages.rank_by_hand(table)
    queries = sorted({*whole["query_id"]})
    found = read_stages(config.output.path, queries)
    assert [*found] == NAMES
    given: dict[str, list[str]] = {}
    for number, result in enumerate(found.values()):
        rankings = {ranking: list_docs(result, order) for ranking, order in make_rankings(result).items()}
        hand = ranked(str(tmp_path / f"hand-{number}" / "out")).to_pandas()
        by_hand = hand.sort_values(["query_id", "rank"]).groupby("query_id")["doc_id"].apply(list).to_dict()
        if number:
            assert rankings[FIRST_STAGE] == given
            by_hand = {
                query: docs + [doc for doc in given[query] if doc not in docs] for query, docs in by_hand.items()
            }
        assert rankings[FUSION] == by_hand
        assert list_docs(result, fuse_again(result, result.fusion)) == rankings[FUSION]
        scores = hand.sort_values(["query_id", "doc_id"])["rerank_score"].dropna().tolist()
        assert result.rerank[result.scored].tolist() == scores
        assert result.top_k is None and result.manifest["config"]["reranker"]["max_doc_tokens"] == 100 + number
        query, (left, *_) = next(iter(rankings[FUSION].items()))
        kept = leave_out(result, LeftOut(False, {query: frozenset({left})}))
        order = list_docs(kept, make_rankings(kept)[FIRST_STAGE])
        assert order.get(query, []) == [doc for doc in rankings[FIRST_STAGE][query] if doc != left]
        given = rankings[FUSION]
    assert given == whole.groupby("query_id")["doc_id"].apply(list).to_dict()


def test_alone_it_is_judged_by_stages_and_beside_others_as_a_whole(
    config: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output, qrels = config.output.path, tmp_path / "qrels"
    qrels.write_text("q1 0 d0 1\nq2 0 d1 1\nq3 0 d0 1\n")
    report = ["--qrels", str(qrels), "--report", str(tmp_path / "report.html")]
    assert jobs.evaluate.main([output, *report]) == 0
    said = capsys.readouterr().out
    assert [found["name"] for found in json.loads(said.splitlines()[-1])["results"]] == [
        f"{Path(output).parent.name}/out: {name}" for name in NAMES
    ]
    assert "The fusion of each stage" in said and "Warning" not in said
    assert "The first stage here is the ranking that the stage better made." in (tmp_path / "report.html").read_text()
    assert jobs.evaluate.main([output, f"{output}/stages/fast", *report]) == 0
    assert len(json.loads(capsys.readouterr().out.splitlines()[-1])["results"]) == 2


def test_a_stage_that_was_made_again_since_is_not_judged(tmp_path: Path) -> None:
    """As after a run with another alpha that was killed in its second stage."""
    stages = Stages(tmp_path, minilm_folder())
    path = write(draw_pairs(6), tmp_path / "in", 1)
    run(stages.make_config(path))
    run(stages.make_config(path, name="later", fusion={"alpha": 0.9}))
    shutil.rmtree(tmp_path / "out" / "stages" / "fast")
    with pytest.raises(UsageError, match="stages/fast: no committed result"):
        read_stages(str(tmp_path / "out"), ["q1"])
    shutil.copytree(tmp_path / "later" / "stages" / "fast", tmp_path / "out" / "stages" / "fast")
    with pytest.raises(UsageError, match="stages/fast: was made again since"):
        read_stages(str(tmp_path / "out"), ["q1"])


@pytest.mark.parametrize("method", ["rrf", "minmax"])
def test_it_is_mixed_by_its_order(method: str, config: Config, found: pd.DataFrame, tmp_path: Path) -> None:
    """A ranking is mixed with its reverse, and weighs more: the order is its own."""
    lines = found.assign(score=found["rank"])[["query_id", "doc_id", "score"]].to_numpy().tolist()
    (tmp_path / "reverse.trec").write_text("".join(f"{q} Q0 {d} 1 {score} r\n" for q, d, score in lines))
    runs = [str(tmp_path / "reverse.trec")]
    fuse(Arguments([config.output.path], str(tmp_path / "out"), runs, weights=[3, 1], method=method), InProcess())
    mixed = ranked(str(tmp_path / "out")).to_pandas().sort_values(["query_id", "rank"])
    assert mixed["doc_id"].tolist() == found["doc_id"].tolist()
    assert mixed["score"].notna().all()


def test_status_shows_each_stage(config: Config) -> None:
    lines = describe_status(read_status(Folder(config.output.path)))
    rows = len(get_result(config))
    assert [line.partition(":")[0] for line in lines if ": result" in line] == NAMES[:2]
    assert sum(line.startswith("result ") for line in lines) == 1
    assert any(line.startswith("fast: scores ") and f"{rows} of {rows} rows (100.0%)" in line for line in lines)


def test_the_manifest_has_the_whole_config_and_figures_by_stage(config: Config, found: pd.DataFrame) -> None:
    manifest: Any = read_result(Folder(config.output.path))
    dumped = manifest["config"]
    assert [stage["name"] for stage in dumped["stages"]] == [about["name"] for about in manifest["stages"]] == NAMES
    assert dumped["input"]["path"] == config.input.path and dumped["output"]["columns"] == ["lang"]
    assert {"name", "tag", "fingerprint", "model", "parts"} == {*manifest["stages"][0]}
    figures = manifest["figures"]
    sizes = found.groupby("query_id").size()
    expected = [int(np.minimum(sizes, most).sum()) for most in (10**6, 6, 3)]
    assert [figures["stages"][name]["rows"] for name in NAMES[:2]] + [figures["rows"]] == expected


def test_its_score_is_refused_as_the_first_stage_of_another_run(config: Config, make_config: Callable) -> None:
    source = f"{config.output.path}/ranked"
    columns = {"query": "query_id", "doc": "doc_id"}
    with pytest.raises(UsageError, match="is of a result with stages, whose column 'score'"):
        check(make_config(source, input={"columns": columns}))
    check(make_config(source, input={"columns": columns | {"score": "rank"}, "lower_is_better": True}))


def test_a_dry_run_counts_what_goes_on(config: Config, found: pd.DataFrame, tmp_path: Path) -> None:
    """Where the rows of a query stand together, and the run has not begun, or all of it was made."""
    output = config.output.model_copy(update={"path": str(tmp_path / "none")})
    run = config.run.model_copy(update={"unit_rows": 1000})  # the file is one unit
    before = dry_run_stages(config.model_copy(update={"output": output, "run": run}))["stages"]
    sizes = found.groupby("query_id").size()
    expected = [int(np.minimum(sizes, most).sum()) for most in (10**6, 6, 3)]
    assert [about["pairs"] for about in before.values()] == expected
    assert [about["ahead"] for about in before.values()] == [False, True, True]
    assert not (tmp_path / "none").exists()
    after = dry_run_stages(config)["stages"].values()
    assert [(about["pairs"], about["pairs_scored"], about["ahead"]) for about in after] == [
        (0, rows, False) for rows in expected
    ]


def test_check_looks_at_each_model(config: Config) -> None:
    good, _ = survey(config)
    for name in NAMES:
        assert any(line.startswith(f"stage {name}: the model's architecture") for line in good)
