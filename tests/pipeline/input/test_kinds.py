"""One job over rows and files of every kind (tests/pipeline/kinds.py), among a hundred times as many plain rows."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from pipeline.cluster.in_process import InProcess
from pipeline.config import Config, Fusion
from pipeline.errors import TooManyFailed, UsageError
from pipeline.rank.rank import rank
from pipeline.run import rerank
from pipeline.score.files import get_schema
from tests.fakes import KnownScorer, known_score
from tests.pipeline.bad_files import flip, write_damaged
from tests.pipeline.conftest import ranked
from tests.pipeline.kinds import (
    BAD,
    CONTEXT,
    JUNK,
    KINDS,
    SCORED,
    Kind,
    list_files,
    make_config,
    make_row,
    make_table,
    write,
)


def run(config: Config) -> dict[str, Any]:
    return rerank(config, KnownScorer, cluster=InProcess())


def fill(folder: Path, kinds: bool) -> str:
    """A folder with plain rows, a hundred for each bad kind, and maybe the rows and files of all kinds."""
    goods = [make_row(f"good {i}", i) for i in range(100 * len(BAD))]
    write(folder / "000 good.parquet", pa.Table.from_pylist(goods), row_group_size=700)
    for file, (names, rows) in list_files().items() if kinds else ():
        write(folder / file, rows, **KINDS[names[0]].write)
    return str(folder)


@dataclass(frozen=True)
class Outcome:
    """Two jobs: one over all kinds, and one over the plain rows alone. rejects: file and row -> reason."""

    folder: Path
    figures: dict[str, Any]
    all: pa.Table
    without: pa.Table
    rejects: dict[tuple[str, int], str]

    def row(self, doc_id: str) -> dict[str, Any]:
        (row,) = self.all.filter(pc.equal(self.all["doc_id"], doc_id)).to_pylist()
        return row


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory, minilm: str) -> Outcome:
    folder = tmp_path_factory.mktemp("kinds")
    titles = {"columns": {"title": "title"}}
    for name in JUNK:
        (folder / "all" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "all" / name).write_bytes(b"junk")
    (folder / "all" / "folder.parquet").mkdir()
    write(folder / "all" / "no rows.parquet", make_table(Kind()).slice(0, 0))
    figures = run(make_config(fill(folder / "all", kinds=True), folder / "out", minilm, input=titles))
    run(make_config(fill(folder / "plain", kinds=False), folder / "plain-out", minilm, input=titles))
    parts = (folder / "out" / "rejects").iterdir()
    rejects = {(row["file"], row["row"]): row["reason"] for part in parts for row in pq.read_table(part).to_pylist()}
    return Outcome(folder / "all", figures, ranked(f"{folder}/out"), ranked(f"{folder}/plain-out"), rejects)


PLACES = {name: (file, number) for file, (names, _) in list_files().items() for number, name in enumerate(names)}


@pytest.mark.parametrize("name", KINDS)
def test_a_row_has_the_fate_of_its_kind(name: str, outcome: Outcome) -> None:
    kind, (file, number) = KINDS[name], PLACES[name]
    place = (f"{outcome.folder}/{file}", number)
    if kind.becomes.startswith("reject: "):
        assert f"reject: {outcome.rejects[place]}" == kind.becomes
        return
    row = outcome.row(name if kind.doc_id is None else kind.doc_id)
    assert place not in outcome.rejects
    if kind.becomes == SCORED:
        assert row["reason"] is None and None not in (row["score"], row["rerank_score"], row["first_stage_score"])
    else:
        assert (f"no score: {row['reason']}", row["score"], row["rerank_score"]) == (kind.becomes, None, None)


def test_one_bad_row_in_a_hundred_changes_nothing_for_the_others(outcome: Outcome) -> None:
    """The job ends well with the default run.max_failed, and ranks, fused scores and all are the same to the bit."""
    theirs = pc.and_(pc.starts_with(outcome.all["doc_id"], "good "), outcome.all["score"].is_valid())
    assert outcome.all.filter(theirs).equals(outcome.without)
    assert outcome.figures["unscored"] + outcome.figures["rejected"] == len(BAD)
    assert outcome.figures["rows"] == 100 * len(BAD) + len(KINDS)


def test_each_pair_is_scored_by_its_own_texts(outcome: Outcome, minilm: str) -> None:
    """As transformers' own tokenizer encodes them."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(minilm)
    for number, (name, kind) in enumerate(KINDS.items()):
        if kind.becomes == SCORED and "special tokens" not in name:
            row = make_table(kind, name, number).select(["query", "title", "doc"]).to_pylist()[0]
            query, doc = row["query"], row["doc"] if row["title"] is None else f"{row['title']} {row['doc']}"
            ids = tokenizer(query, doc, truncation="only_second", max_length=CONTEXT)["input_ids"]
            assert outcome.row(name if kind.doc_id is None else kind.doc_id)["rerank_score"] == known_score([ids]), name
    assert outcome.figures["truncated"] == 1  # the document of 1 MB


def test_a_hundred_thousand_candidates_of_one_query() -> None:
    count = 100_000
    numbers = pa.array(range(count))
    rows = {"query_id": pa.repeat("q", count), "doc_id": numbers.cast(pa.string()), "row": numbers}
    rows |= {"file": pa.repeat(0, count), "first_stage_score": numbers.cast(pa.float64())}
    rows |= {"rerank_score": numbers.cast(pa.float64()), "kind": pa.repeat("ok", count)}
    rows |= {"reason": pa.nulls(count, pa.string()), "truncated": pa.repeat(False, count)}
    rows |= {"texts": pa.array([bytes(16)] * count, pa.binary(16)), "query_text": pa.repeat(7, count)}
    table = pa.table({field.name: rows[field.name].cast(field.type) for field in get_schema(explain=False)})
    result, rejects = rank(table, Fusion())
    assert len(rejects) == 0
    assert result["rank"].to_pylist() == list(range(1, count + 1))
    assert result["doc_id"].to_pylist() == [str(i) for i in reversed(range(count))]


def test_a_job_over_a_damaged_file_ends_with_one_line(tmp_path: Path, minilm: str) -> None:
    write(tmp_path / "in" / "a.parquet", make_table(Kind()))
    path = write_damaged(tmp_path / "in" / "b.parquet", flip, compression="gzip")
    with pytest.raises(UsageError, match=f"^{path}: column 'doc' cannot be decoded in row group 1: [^\n]*$"):
        run(make_config(str(tmp_path / "in"), tmp_path / "out", minilm))


def test_an_input_that_is_broken_all_through_stops_early(tmp_path: Path, minilm: str) -> None:
    rows = pa.Table.from_pylist([make_row(f"d{i}", i) | {"doc": ""} for i in range(3000)])
    write(tmp_path / "in" / "a.parquet", rows)
    config = make_config(str(tmp_path / "in"), tmp_path / "out", minilm, run={"unit_rows": 5})
    with pytest.raises(TooManyFailed, match=r"of 3,000 rows have no reranker score, .* x document is empty"):
        run(config)
    units = list((tmp_path / "out" / "scores").glob("*/*.parquet"))
    assert 6 <= len(units) < 300  # of 600: the bound is reached with the seventh
