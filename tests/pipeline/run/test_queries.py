"""Whole runs of a reranker that sees all candidates of a query together, against pandas.

A score depends on the place of a candidate, so it is another one wherever a query is split or in another order.
"""

import math
import random
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from actors.rerankers.contract import Unscored
from actors.worker.failures import KILLED, Result
from pipeline.errors import UsageError
from pipeline.input.result import read_result
from pipeline.plan.units import parse_score_file
from pipeline.sizes import Sizes
from pipeline.storage.folder import Folder
from tests.fakes import KnownQueries, score_at
from tests.pipeline.conftest import Run, ranked, score_files

SCHEMA = pa.schema([(name, pa.string()) for name in ("query_id", "query", "doc_id", "doc")] + [("score", pa.float64())])
COLUMNS = ["query_id", "doc_id", "rank", "first_stage_score", "rerank_score", "reason"]
MANY_PARTS = Sizes(bucket_rows=30, carried_bucket_rows=30, explained_bucket_rows=30, merged_rows=30)
MANY_SPLITS = replace(MANY_PARTS, part_bytes=8000, split_bytes=1)
ENGINE = {"dtype": "float32", "enforce_eager": True, "max_model_len": 256, "load_format": "dummy"}
FUSION = {"method": "zscore", "alpha": 0.5}
Table = list[dict[str, Any]]
ODD: Table = [{"doc": ""}, {"doc": None}, {"score": math.nan}, {"score": None}]


class Asked(KnownQueries):
    """Notes the queries whose candidates it scores, and the rerankers whose engine was started."""

    asked: ClassVar[list[str]] = []
    built: ClassVar[list[str]] = []

    def build_engine(self, settings: Any, *unused: Any) -> None:
        self.built.append(settings.type)

    async def score_prompts(self, prompts: Sequence[Any]) -> Result:
        self.asked.extend(query[0].query for query in prompts if isinstance(query, list))
        return await super().score_prompts(prompts)


@pytest.fixture
def rank(run: Run, model: dict[str, Any], tmp_path: Path) -> Run:
    """A run of the files in tmp_path/in."""
    Asked.asked.clear()

    def rank(name: str = "out", scorer: type = Asked, **sections: Any) -> dict[str, Any]:
        sections["run"] = {"max_failed": 1} | sections.get("run", {})
        sections["fusion"] = {"method": "none"}
        return run(str(tmp_path / "in"), name, scorer, reranker=model, **sections)

    return rank


def draw_rows(seed: int, queries: Iterable[int] = range(12), most: int = 9) -> Table:
    """Queries whose candidates stand together, with equal first-stage scores, and documents that are there twice, are
    empty or null; and some rows that can have no place in the result."""
    draw = random.Random(seed)
    rows = []
    for query in queries:
        for doc in range(draw.randint(1, most)):
            row: dict[str, Any] = {"query_id": f"q{query}", "query": f"query number {query}", "doc_id": f"d{doc}"}
            row |= {"doc": f"document {draw.randrange(20)}", "score": float(draw.randrange(4))}
            rows.append(row | draw.choice([*[{}] * 29, *ODD * 3, {"doc_id": None}]))
    return rows


def write(folder: Path, **files: Table) -> None:
    """Files in tmp_path/in, of small row groups."""
    (folder / "in").mkdir(exist_ok=True)
    for name, rows in files.items():
        pq.write_table(pa.Table.from_pylist(rows, SCHEMA), folder / "in" / f"{name}.parquet", row_group_size=5)


def cut_files(rows: Table, files: int = 3) -> dict[str, Table]:
    """The rows as files, each of whole queries."""
    ids = [*dict.fromkeys(row["query_id"] for row in rows)]
    number = {id: i * files // len(ids) for i, id in enumerate(ids)}
    return {f"f{i}": [row for row in rows if number[row["query_id"]] == i] for i in range(files)}


def rank_by_hand(rows: Table, lower: bool = False, kept: str = "first", dead: str = "") -> pd.DataFrame:
    """lower: scores are distances, which the result has with the other sign. dead: a query whose candidates have no
    score."""
    frame = pd.DataFrame(rows, columns=SCHEMA.names)
    frame = frame[frame["score"].notna() & frame["doc_id"].notna()]
    ready = frame[frame["doc"].fillna("") != ""].sort_values(
        ["query_id", "score", "doc_id"], ascending=[True, lower, True], kind="stable"
    )
    place = ready.groupby("query_id").cumcount()
    frame["rerank_score"] = pd.Series([*map(score_at, ready["query"], ready["doc"], place)], ready.index)
    frame["reason"] = frame["doc"].map(lambda doc: "document is null" if pd.isna(doc) else "document is empty")
    frame.loc[ready.index, "reason"] = None
    killed = ready.index[ready["query_id"] == dead]
    frame.loc[killed, "rerank_score"] = math.nan
    frame.loc[killed, "reason"] = f"the worker that scored it alone died: {KILLED}"
    frame = frame.drop_duplicates(["query_id", "doc_id"], keep=kept)  # type: ignore[call-overload]
    frame = frame.sort_values(
        ["query_id", "rerank_score", "score", "doc_id"], ascending=[True, False, lower, True], na_position="last"
    )
    frame["rank"] = frame.groupby("query_id").cumcount() + 1
    frame["score"] *= -1 if lower else 1
    return frame.rename(columns={"score": "first_stage_score"})[COLUMNS].reset_index(drop=True)


def list_asked(rows: Table) -> list[str]:
    """The texts of the queries that have candidates, each once."""
    ready = [row for row in rows if row["doc"] and row["doc_id"] and row["score"] is not None and row["score"] >= 0]
    return sorted({row["query"] for row in ready})


def take_asked() -> list[str]:
    """The queries that were scored since this was called last."""
    asked = sorted(Asked.asked)
    Asked.asked.clear()
    return asked


def assert_result(output: Path, expected: pd.DataFrame) -> None:
    """To the bit."""
    found = ranked(str(output)).to_pandas().sort_values(["query_id", "rank"])[COLUMNS].reset_index(drop=True)
    pd.testing.assert_frame_equal(found, expected, check_exact=True, check_dtype=False)


@pytest.mark.parametrize("sizes", [Sizes(), MANY_SPLITS], ids=["large", "small"])
@pytest.mark.parametrize("unit_rows", [1, 3, 1000])
def test_every_query_is_scored_once_and_whole(unit_rows: int, sizes: Sizes, rank: Run, tmp_path: Path) -> None:
    rows = draw_rows(unit_rows)
    write(tmp_path, **cut_files(rows))
    figures = rank(run={"unit_rows": unit_rows}, more={"sizes": sizes})
    expected = rank_by_hand(rows)
    assert_result(tmp_path / "out", expected)
    assert take_asked() == list_asked(rows)
    assert (figures["ranked"], figures["rejected"]) == (len(expected), len(rows) - len(expected))
    assert figures["unscored"] == expected["rerank_score"].isna().sum() > 0
    for file in score_files(tmp_path / "out"):
        unit = parse_score_file(file.name)
        assert unit and (unit.unit.size < unit_rows + 9)


@pytest.mark.parametrize("unit_rows", [1, 1000])
def test_what_is_left_of_a_run_is_scored_and_no_more(unit_rows: int, rank: Run, tmp_path: Path) -> None:
    """Also in units of another size."""
    rows = draw_rows(4)
    write(tmp_path, **cut_files(rows))
    rank(run={"unit_rows": 3})
    take_asked()
    gone = score_files(tmp_path / "out")[::3]
    queries = {id for file in gone for id in pq.read_table(file)["query_id"].to_pylist()}
    for file in gone:
        file.unlink()
    rank(run={"unit_rows": unit_rows})
    assert take_asked() == list_asked([row for row in rows if row["query_id"] in queries])
    assert 0 < len(queries) < 12
    assert_result(tmp_path / "out", rank_by_hand(rows))


def test_an_input_that_grows(rank: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file of new queries, and one that is written again, whose queries are all scored again."""
    files = cut_files(draw_rows(5), 2)
    write(tmp_path, **files)
    rank()
    take_asked()
    files["new"] = draw_rows(6, queries=range(20, 24))
    files["f1"] = [row | {"doc": f"other {number}"} for number, row in enumerate(files["f1"])]
    write(tmp_path, new=files["new"], f1=files["f1"])
    rank()
    assert take_asked() == list_asked(files["new"] + files["f1"])
    assert "1 came, 1 changed" in capsys.readouterr().err
    assert_result(tmp_path / "out", rank_by_hand([row for rows in files.values() for row in rows]))
    rank()
    assert take_asked() == []


def test_a_query_with_the_same_candidates_takes_its_scores_from_another_output(rank: Run, tmp_path: Path) -> None:
    rows = draw_rows(7)
    write(tmp_path, **cut_files(rows))
    rank("yesterday")
    take_asked()
    changed = next(row for row in rows if row["query_id"] == "q3" and row["doc"] and row["score"] is not None)
    changed["doc"] = "another document"
    write(tmp_path, **dict(zip(["f2", "f1", "f0"], cut_files(rows).values(), strict=True)))
    rank("today", run={"reuse": [str(tmp_path / "yesterday")], "unit_rows": 5})
    assert take_asked() == [changed["query"]]
    assert_result(tmp_path / "today", rank_by_hand(rows))


def test_a_query_with_a_candidate_that_no_window_showed_is_scored_again_whole(rank: Run, tmp_path: Path) -> None:
    """The scores of some of its candidates would be places in another ranking."""

    class Overlooking(Asked):
        async def score_prompts(self, prompts: Sequence[Any]) -> Result:
            found = await super().score_prompts(prompts)
            scores: list[Any] = [*found.scores]
            for query, of in enumerate(prompts):
                if of[0].query == "query number 3":
                    scores[query] = [Unscored("no window showed it"), *scores[query][1:]]
            return found._replace(scores=scores)

    rows = draw_rows(7)
    assert sum(row["query_id"] == "q3" and bool(row["doc"]) for row in rows) > 2
    write(tmp_path, **cut_files(rows))
    rank("yesterday", Overlooking)
    take_asked()
    write(tmp_path, **dict(zip(["f2", "f1", "f0"], cut_files(rows).values(), strict=True)))
    rank("today", run={"reuse": [str(tmp_path / "yesterday")]})
    assert take_asked() == ["query number 3"]
    assert_result(tmp_path / "today", rank_by_hand(rows))


@pytest.mark.parametrize("kept", ["first", "last"])
def test_rows_that_are_there_twice(kept: str, rank: Run, tmp_path: Path) -> None:
    """All are candidates, for each query is ranked later than it is scored; one of them stands in the result."""
    rows = [row for row in draw_rows(7) if row["doc_id"]]
    good = [number for number, row in enumerate(rows) if row["doc"] and (row["score"] or 0) > 0]
    for number, change in ((good[20], {}), (good[11], {"doc": "another document"}), (good[3], {})):
        rows.insert(number, rows[number] | change)
    write(tmp_path, **cut_files(rows))
    figures = rank(input={"duplicates": kept})
    assert_result(tmp_path / "out", rank_by_hand(rows, kept=kept))
    bad = sum(row["score"] is None or math.isnan(row["score"]) for row in rows)
    assert (figures["rejected"], figures["equal"]) == (bad + 3, 2)


@pytest.mark.parametrize("unit_rows", [1, 1000])
def test_queries_that_do_not_stand_together_are_refused(unit_rows: int, rank: Run, tmp_path: Path) -> None:
    rows = draw_rows(8)
    write(tmp_path, a=rows)
    rank(run={"unit_rows": unit_rows})
    take_asked()
    standing, names = read_result(Folder(f"{tmp_path}/out")), score_files(tmp_path / "out")
    write(tmp_path, b=[*draw_rows(9, queries=[30]), rows[-1] | {"doc_id": "new"}])
    at = next(i for i, row in enumerate(rows) if row["query_id"] == "q11")
    said = f"the rows of query 'q11' do not stand together: they begin in {tmp_path}/in/a.parquet, row {at}, and again"
    with pytest.raises(UsageError) as raised:
        rank(run={"unit_rows": unit_rows})
    assert str(raised.value).startswith(said) and raised.value.exit_code == 2
    assert not take_asked() and score_files(tmp_path / "out") == names
    assert read_result(Folder(f"{tmp_path}/out")) == standing is not None


def test_distances_make_another_order_and_other_scores(rank: Run, tmp_path: Path) -> None:
    rows = draw_rows(10)
    write(tmp_path, a=rows)
    rank("up")
    rank("down", input={"lower_is_better": True})
    assert_result(tmp_path / "up", rank_by_hand(rows))
    assert_result(tmp_path / "down", rank_by_hand(rows, lower=True))
    up, down = (read_result(Folder(f"{tmp_path}/{name}")) for name in ("up", "down"))
    assert up and down and up["fingerprint"] != down["fingerprint"]
    with pytest.raises(UsageError, match="holds scores of another model"):
        rank("up", input={"lower_is_better": True})


def test_what_the_model_wrote_stands_with_each_candidate(rank: Run, tmp_path: Path) -> None:
    rows = draw_rows(11)
    write(tmp_path, **cut_files(rows))
    rank(output={"explain": True}, run={"unit_rows": 3})
    found = ranked(str(tmp_path / "out")).to_pylist()
    queries = {row["query_id"]: row["query"] for row in rows}
    for row in found:
        if row["rerank_score"] is None:
            assert row["explanation"] is None
        else:
            place, doc = row["explanation"].split(" ", 1)
            assert row["rerank_score"] == score_at(queries[row["query_id"]], doc, int(place))
    assert len([row for row in found if row["explanation"]]) > 30
