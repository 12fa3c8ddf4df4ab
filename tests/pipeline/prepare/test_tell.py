"""The lines of a preparation about the columns that it took, from the command to the line."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.cluster.in_process import InProcess
from pipeline.errors import UsageError
from pipeline.prepare.run import Arguments, prepare

Write = Callable[..., str]


def prepared(folder: Path, files: Sequence[str], columns: dict[str, str] = {}) -> None:
    run, queries, corpus = ([f"{folder}/{name}"] for name in files)
    prepare(Arguments(run, queries, corpus, f"{folder}/pairs", columns=columns), cluster=InProcess())


def lines(*rows: dict) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


FRAME = {"qid": ["q1"], "docno": ["d1"], "score": [1.0]}
TEXTS = {
    "run.trec": "q1 Q0 d1 1 1.0 t\n",
    "run.tsv": "qid\tdocno\tscore\nq1\td1\t1\n",
    "queries.tsv": "q1\tone\n",
    "named.tsv": "query\tqid\ttopic\none\tq1\tx\n",
    "titled.tsv": "docid\ttitle\ttext\turl\nd1\tTitle\tthe text\thttp://a\n",
    "msmarco.tsv": "d1\thttp://a\tTitle\tthe text\n",
    "queries.jsonl": lines({"query_id": "q1", "query": "one"}),
    "beir.jsonl": lines({"_id": "q1", "text": "one"}),
    "corpus.jsonl": lines({"doc_id": "d1", "doc": "text"}, {"doc_id": "d2", "doc": "text"}),
    "pyserini.jsonl": lines({"id": "d1", "contents": "text"}),
    "mixed.jsonl": lines({"_id": "d1", "text": "x"}, {"id": "d2", "text": "x"}, {"id": "d3", "text": "x"}),
}
# run, queries, corpus, columns that the user named, the line
TOLD: dict[str, tuple[str, str, str, dict[str, str], list[str]]] = {
    "no names": ("run.trec", "queries.tsv", "corpus.jsonl", {}, []),
    "names of their own": ("run.trec", "queries.jsonl", "corpus.jsonl", {}, []),
    "BEIR and Pyserini": (
        *("run.trec", "beir.jsonl", "pyserini.jsonl", {}),
        ["queries: query_id is '_id', query is 'text'", "corpus: doc_id is 'id', doc is 'contents'"],
    ),
    "a header": ("run.tsv", "queries.tsv", "corpus.jsonl", {}, ["run: query_id is 'qid', doc_id is 'docno'"]),
    "headers": (
        *("run.trec", "named.tsv", "titled.tsv", {}),
        ["queries: query_id is 'qid'", "corpus: doc_id is 'docid', doc is 'text'"],
    ),
    "MS MARCO": ("run.trec", "queries.tsv", "msmarco.tsv", {}, []),
    "Parquet": ("run.parquet", "queries.tsv", "corpus.jsonl", {}, ["run: query_id is 'qid', doc_id is 'docno'"]),
    "named": ("run.parquet", "queries.tsv", "corpus.jsonl", {"run.doc_id": "docno"}, ["run: query_id is 'qid'"]),
    "other keys on other lines": (
        *("run.trec", "queries.tsv", "mixed.jsonl", {}),
        ["corpus: doc_id is '_id' in 1 rows and 'id' in 2 rows, doc is 'text'"],
    ),
}


@pytest.mark.parametrize("case", TOLD)
def test_the_columns_that_were_taken_are_told(
    case: str, write: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pq.write_table(pa.table(FRAME), tmp_path / "run.parquet")
    for name, text in TEXTS.items():
        write(name, text)
    run, queries, corpus, columns, expected = TOLD[case]
    prepared(tmp_path, [run, queries, corpus], columns)
    said = [line.removeprefix("rayrank: ") for line in capsys.readouterr().err.splitlines() if "rayrank: " in line]
    assert said == expected


@pytest.mark.parametrize("corpus", ["titled.tsv", "msmarco.tsv"])
@pytest.mark.parametrize("queries", ["named.tsv", "queries.tsv"])
def test_a_header_says_which_column_is_which(queries: str, corpus: str, write: Write, tmp_path: Path) -> None:
    for name, text in TEXTS.items():
        write(name, text)
    prepared(tmp_path, ["run.trec", queries, corpus])
    (row,) = pq.read_table(tmp_path / "pairs").to_pylist()
    assert (row["query"], row["title"], row["doc"]) == ("one", "Title", "the text")


BOTH = {"qid": "q1", "docid": "1", "docno": "d1", "pid": "d1", "score": 1.0, "text": "x"}
GUESSES = {
    "run.jsonl": ("run", lines(BOTH), "line 1: has 'docid' and 'docno' and 'pid' for doc_id; choose one"),
    "run.tsv": ("run", "\t".join(BOTH) + "\n", "has 'docid' and 'docno' and 'pid' for doc_id; choose one"),
    "corpus.jsonl": ("corpus", lines({"pid": "d1", "text": "x"}, BOTH), "line 2: has 'docid' and 'docno' and 'pid'"),
    "queries.jsonl": ("queries", lines({"id": 1, "qid": 2, "text": ""}), "line 1: has 'qid' and 'id' for query_id"),
    "run.parquet": ("run", "", "has 'docid' and 'docno' and 'pid' for doc_id; choose one with --column run.doc_id=..."),
    "corpus.parquet": ("corpus", "", "'docid' and 'docno' and 'pid' for doc_id; choose one with --column corpus"),
}


@pytest.mark.parametrize("name", GUESSES)
def test_a_guess_between_two_columns_ends_the_job(name: str, write: Write, tmp_path: Path) -> None:
    kind, text, says = GUESSES[name]
    files = {"run": "run.trec", "queries": "queries.tsv", "corpus": "corpus.tsv"} | {kind: name}
    for other in files.values():
        write(other, "d1\ttext\n" if other == "corpus.tsv" else TEXTS.get(other, ""))
    write(name, text)
    if name.endswith(".parquet"):
        pq.write_table(pa.Table.from_pylist([BOTH]), tmp_path / name)
    with pytest.raises(UsageError) as error:
        prepared(tmp_path, [*files.values()])
    assert str(error.value).startswith(f"{tmp_path}/{name}: ") and says in str(error.value)
