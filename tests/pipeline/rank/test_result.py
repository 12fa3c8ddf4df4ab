"""The id of a result: the same where the result is the same, and another one where anything of it may differ."""

from pathlib import Path
from typing import Any

import pytest

from pipeline.config import Config, parse
from pipeline.errors import RunError
from pipeline.input.listing import InputFile
from pipeline.output.commit import PART_NAME
from pipeline.plan.units import Coverage, hash_version
from pipeline.rank.result import compute_result_id, count_parts
from pipeline.sizes import Sizes
from tests.pipeline.conftest import Interrupted, Run, pairs, write

A, B = (InputFile(f"s3://bucket/{name}.parquet", 1000, f"etag of {name}") for name in "ab")
WRITTEN_AGAIN = InputFile(A.path, 1000, "another etag")
MINE, OTHER = "0123456789abcdef-vllm-0.32", "0123456789abcdef-vllm-0.31"


def score_file(file: InputFile, rows: int, first: int, stop: int, more: str = "", fingerprint: str = MINE) -> str:
    of = hash_version(file)
    return f"{fingerprint}/{of.file}-{of.version}-{rows}-{first:010d}-{stop:010d}{more}.parquet"


STORED = [score_file(A, 20, 0, 10), score_file(A, 20, 10, 20), score_file(B, 5, 0, 5)]


def make_config(**sections: dict[str, Any]) -> Config:
    values: dict[str, dict[str, Any]] = {
        "input": {"path": ["s3://bucket"]},
        "reranker": {"type": "bi_encoder", "model": "a/model"},
        "output": {"path": "/out", "columns": ["doc"]},
    }
    return parse({name: values.get(name, {}) | sections.get(name, {}) for name in values | sections})


def result_id(files: list[InputFile] = [A, B], stored: list[str] = STORED, **sections: dict[str, Any]) -> str:
    return compute_result_id(make_config(**sections), files, Coverage(stored))


DIFFERENT: dict[str, dict[str, Any]] = {
    "fusion.method": {"fusion": {"method": "rrf"}},
    "fusion.alpha": {"fusion": {"alpha": 0.3}},
    "fusion.k": {"fusion": {"k": 61}},
    "input.duplicates": {"input": {"duplicates": "last"}},
    "output.top_k": {"output": {"top_k": 10}},
    "output.columns": {"output": {"columns": ["doc", "query"]}},
    "output.columns in another order": {"output": {"columns": ["query", "doc"]}},
    "no carried columns": {"output": {"columns": []}},
    "the column that is carried": {"input": {"columns": {"doc": "text"}}},
    "output.explain": {"output": {"explain": True}},
    "files in another order": {"files": [B, A]},
    "a file less": {"files": [A]},
    "a file that was written again": {
        "files": [WRITTEN_AGAIN, B],
        "stored": [*STORED, score_file(WRITTEN_AGAIN, 20, 0, 20)],
    },
    "other units": {"stored": [score_file(A, 20, 0, 20), STORED[2]]},
    "a further try": {"stored": [*STORED, score_file(A, 20, 3, 4, "-1")]},
    "another further try": {"stored": [*STORED, score_file(A, 20, 3, 4, "-2")]},
    "one that has rows that failed": {"stored": [*STORED, score_file(A, 20, 3, 4, "-1.transient")]},
    "scores beside those of another engine": {"stored": [*STORED, score_file(B, 5, 0, 5, fingerprint=OTHER)]},
    "scores of another engine": {"stored": [*STORED[:2], score_file(B, 5, 0, 5, fingerprint=OTHER)]},
}


def test_anything_that_may_change_a_result_changes_its_id() -> None:
    found = {what: result_id(**changes) for what, changes in DIFFERENT.items()} | {"as it was": result_id()}
    by_id: dict[str, list[str]] = {}
    for what, value in found.items():
        by_id.setdefault(value, []).append(what)
    assert [names for names in by_id.values() if len(names) > 1] == []


@pytest.mark.parametrize(
    "changes",
    [
        {"output": {"path": "/elsewhere"}},
        {"input": {"path": ["s3://bucket/a.parquet", "s3://bucket/b.parquet"]}},
        {"input": {"columns": {"query": "question"}}},
        {"run": {"max_failed": 1.0, "unit_rows": 7, "on_existing": "restart", "retry_failed": True}},
        {"run": {"on_gone": "drop", "accept": ["engine"], "stall_seconds": 5, "shared_filesystem": True}},
        {"workers": {"count": [2, 8], "num_gpus": 1}},
        {"stored": STORED[::-1]},
        {"stored": [*STORED, score_file(WRITTEN_AGAIN, 30, 0, 10)]},
        {"stored": [*STORED, score_file(InputFile("s3://bucket/c.parquet", 1, "of c"), 1, 0, 1)]},
        {"stored": [*STORED, f"{MINE}/merged/0123456789abcdef.arrow"]},
    ],
    ids=[
        "another output",
        "the same files by name",
        "a column that is in the fingerprint and not carried",
        "how a run goes",
        "what a run may do",
        "workers",
        "score files that come in another order",
        "scores of another version of a file",
        "scores of a file that is not in the input",
        "merged files",
    ],
)
def test_what_changes_no_result_keeps_its_id(changes: dict[str, Any]) -> None:
    assert result_id(**changes) == result_id()


def test_parts_with_it_in_their_names_are_known_as_parts() -> None:
    """Else no run would ever delete them."""
    assert PART_NAME.fullmatch(f"ranked/part-00000-{result_id()}.parquet")


@pytest.mark.parametrize(
    ("output", "parts"),
    [({"columns": []}, 1), ({"columns": ["doc"]}, 3), ({"columns": [], "explain": True}, 6)],
    ids=["scores alone", "carried columns", "what the model wrote"],
)
def test_the_parts_follow_from_the_rows_of_all_files_and_what_they_hold(output: dict[str, Any], parts: int) -> None:
    sizes = Sizes(bucket_rows=60, carried_bucket_rows=20, explained_bucket_rows=10, most_carried_buckets=2000)
    assert count_parts(make_config(output=output), [30, 0, 30], sizes) == parts


def test_a_score_file_that_has_gone_is_named(run: Run, tmp_path: Path) -> None:
    gone: list[str] = []

    def steal() -> None:
        file = min((tmp_path / "out" / "scores").rglob("*.parquet"))
        file.unlink()
        gone.append(file.name)

    with pytest.raises(RunError) as error:
        run(write(pairs(), tmp_path / "in", 3), cluster=Interrupted(after_scoring=steal))
    assert f"{gone[0]}: has gone; does another run write to this output?" in str(error.value)
