"""Ids that a float cannot hold, several texts under one id, and texts that are not UTF-8, from the command on."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs.prepare import main
from pipeline.cluster.in_process import InProcess
from pipeline.prepare.run import prepare

TREC = "".join(f"q{i} Q0 d{i} 1 {9 - i}.5 t\n" for i in range(1, 4))
QUERIES = [{"query_id": f"q{i}", "query": f"question {i}"} for i in range(1, 4)]
CORPUS = [{"doc_id": f"d{i}", "title": "T", "doc": f"téxt {i}"} for i in range(1, 4)]


def lines(rows: list[dict]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def tabs(rows: list[dict]) -> str:
    return "".join("\t".join(str(row[name]) for name in row if name != "title") + "\n" for row in rows)


@pytest.fixture
def job(
    write: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, dict, list[str]]]:
    """Runs the command on files, some of them given; gives code, figures and lines."""
    monkeypatch.setattr("jobs.prepare.prepare", lambda arguments: prepare(arguments, cluster=InProcess()))

    def job(*options: str, **given: str) -> tuple[int, dict, list[str]]:
        defaults = {
            "run": ("run.trec", TREC),
            "queries": ("q.jsonl", lines(QUERIES)),
            "corpus": ("c.jsonl", lines(CORPUS)),
        }
        files = {kind: given.get(kind) or write(*default) for kind, default in defaults.items()}
        inputs = [word for kind, path in files.items() for word in (f"--{kind}", path)]
        code = main([*inputs, "--output", f"{tmp_path}/pairs", *options])
        out, error = capsys.readouterr()
        told = [line.removeprefix("rayrank: ") for line in error.splitlines() if line.startswith("rayrank: ")]
        return code, json.loads(out.splitlines()[-1]) if out else {}, told

    return job


LOSSY = {
    "a query of a run": ("run", {"query_id": [1.0, 2.0**53], "doc_id": ["a", "b"], "score": [1.0, 2.0]}, 1),
    "a document of a run": ("run", {"query_id": ["q"] * 3, "doc_id": [1.0, 2.0, -(2.0**60)], "score": [1.0] * 3}, 2),
    "32 bits": ("corpus", {"doc_id": pa.array([7.0, 2.0**24], pa.float32()), "doc": ["x", "y"]}, 1),
    "no number": ("queries", {"query_id": [float("nan"), 1.0], "query": ["x", "y"]}, 0),
    "a corpus": ("corpus", {"doc_id": [None, 5.0, None, 1e300], "doc": ["x"] * 4}, 3),
}


@pytest.mark.parametrize("case", LOSSY)
@pytest.mark.parametrize("group", [1, 100])
def test_a_float_that_may_be_several_ids_ends_the_job(case: str, group: int, job: Callable, tmp_path: Path) -> None:
    kind, columns, row = LOSSY[case]
    table = pa.table(columns)
    pq.write_table(table, tmp_path / "x.parquet", row_group_size=group)
    code, _, told = job(**{kind: f"{tmp_path}/x.parquet"})
    (name,) = [name for name in table.column_names if pa.types.is_floating(table.schema.field(name).type)][:1]
    value, type = table[name][row].as_py(), table.schema.field(name).type
    assert code == 2 and told[-1].startswith(
        f"{tmp_path}/x.parquet: row {row}: column {name!r} (--column {kind}.{name}) is {type}, and has {value!r}: "
    )


def test_floats_that_are_exact_are_ids(job: Callable, tmp_path: Path) -> None:
    columns = {"query_id": [1.0, 2.0**53 - 1], "doc_id": [5.0, 5.0], "score": [1.0, 2.0]}
    pq.write_table(pa.table(columns), tmp_path / "r.parquet")
    pq.write_table(pa.table({"query_id": columns["query_id"], "query": ["x", "y"]}), tmp_path / "q.parquet")
    pq.write_table(pa.table({"doc_id": [5.0], "doc": ["x"]}), tmp_path / "c.parquet")
    code, figures, _ = job(**{k: f"{tmp_path}/{k[0]}.parquet" for k in ("run", "queries", "corpus")})
    assert (code, figures["pairs"]) == (0, 2)


AGAIN: dict[str, tuple[str, list[dict], int, int]] = {
    "another question": ("queries", [*QUERIES, {"query_id": "q1", "query": "how is honey sold"}], 1, 1),
    "the same question": ("queries", [*QUERIES, QUERIES[0]], 1, 0),
    "two of three": ("queries", [*QUERIES, *QUERIES[:1], *({"query_id": "q2", "query": text} for text in "ab")], 3, 2),
    "another text": ("corpus", [*CORPUS, CORPUS[1] | {"doc": "other"}, CORPUS[2]], 2, 1),
    "another title": ("corpus", [*CORPUS, CORPUS[1] | {"title": "other"}], 1, 1),
    "no title": ("corpus", [*CORPUS, CORPUS[1] | {"title": None}], 1, 1),
    "none twice": ("corpus", [CORPUS[0] | {"title": ""}, CORPUS[0] | {"title": None}, *CORPUS[1:]], 1, 0),
}


@pytest.mark.parametrize("case", AGAIN)
def test_repeats_with_another_text_are_counted_apart_and_told(case: str, job: Callable, write: Callable) -> None:
    kind, rows, repeated, conflicting = AGAIN[case]
    code, figures, told = job(**{kind: write("x.jsonl", lines(rows))})
    what, id = ("queries", "query_id") if kind == "queries" else ("docs", "doc_id")
    assert (code, figures[f"repeated_{what}"], figures[f"conflicting_{what}"]) == (0, repeated, conflicting)
    line = f"{conflicting} of {repeated} rows of the {kind} that repeat a {id} have another text; the first one is used"
    assert told == [line] * bool(conflicting)


FILES = {
    "r.trec": ("run", TREC),
    "r.tsv": ("run", "query_id\tdoc_id\tscore\nq1\td1\t1\n"),
    "q.jsonl": ("queries", lines(QUERIES)),
    "q.tsv": ("queries", tabs(QUERIES)),
    "c.jsonl": ("corpus", lines(CORPUS)),
    "c.tsv": ("corpus", tabs(CORPUS)),
}


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("packed", ["", ".gz"])
@pytest.mark.parametrize("name", FILES)
def test_utf_16_is_told_in_the_first_line(
    name: str, packed: str, encoding: str, job: Callable, write: Callable
) -> None:
    kind, text = FILES[name]
    path = write(name + packed, text.encode(encoding))
    code, _, told = job(**{kind: path})
    marked = {"utf-16": "UTF-16", "utf-32": "UTF-32"}.get(encoding, "UTF-16 or UTF-32")
    assert code == 2 and told[-1].startswith(f"{path}: line 1: is {marked}, not UTF-8; write it again")
    assert re.search(r"iconv -f UTF-(16|32) -t UTF-8$", told[-1])


@pytest.mark.parametrize("name", FILES)
def test_a_mark_of_utf_8_is_no_text(name: str, job: Callable, write: Callable) -> None:
    kind, text = FILES[name]
    plain = job(**{kind: write(f"plain-{name}", text)})
    marked = job("--overwrite", **{kind: write(name, text.encode("utf-8-sig"))})
    assert plain[0] == marked[0] == 0
    seconds = {"seconds": 0}
    assert plain[1] | seconds == marked[1] | seconds


HARDLY = {
    "queries": (
        TREC + "q1 Q0 d2 2 1 t\n" + "".join(f"Q{i} Q0 d1 1 1 t\n" for i in range(9)),
        *("9 of 13", "query_id", "queries"),
    ),
    "docs": (TREC + "".join(f"q1 Q0 D{i} 1 1 t\n" for i in range(7)), "7 of 10", "doc_id", "corpus"),
    "half": (TREC + "".join(f"q1 Q0 D{i} 1 1 t\n" for i in range(3)), "", "", ""),
}


@pytest.mark.parametrize("case", HARDLY)
def test_ids_that_hardly_meet_are_asked_about(case: str, job: Callable, write: Callable, tmp_path: Path) -> None:
    text, rows, id, table = HARDLY[case]
    code, _, told = job(run=write("x.trec", text))
    line = f"{rows} rows of the runs have a {id} that is not in the {table}; are the ids written alike? "
    assert code == 0 and told == [f"{line}{tmp_path}/pairs/_unknown lists them"] * bool(rows)
