"""Columns that are in the names of folders, as Hive and Spark write partitions."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from pipeline.check.preflight import check
from pipeline.check.survey import survey
from pipeline.config import Config
from pipeline.errors import UsageError

FRAME = pd.DataFrame(
    [(f"q{i % 2}", f"question {i % 2}", f"d{i}", f"text {i}", 1.0 - i / 9, "de", 7) for i in range(6)],
    columns=["query_id", "query", "doc_id", "doc", "score", "lang", "day"],
)
MAPPED: dict[str, Any] = {"columns": {"title": "lang", "query_id": "day"}}
# The partition of the files, sections of the config, and the columns that the folders give.
CASES: list[tuple[list[str], dict[str, Any], list[str]]] = [
    (["query_id"], {}, ["query_id"]),
    (["doc_id"], {}, ["doc_id"]),
    (["lang", "doc_id"], {}, ["doc_id"]),
    (["query"], {}, ["query"]),
    (["lang"], {"output": {"columns": ["lang"]}}, ["lang"]),
    (["lang"], {"input": MAPPED}, ["lang"]),
    (["day"], {"input": MAPPED}, ["day"]),
    (["lang", "day"], {"input": MAPPED}, ["day", "lang"]),
    (["lang"], {}, []),
    (["lang", "day"], {"output": {"columns": ["doc"]}}, []),
    (["query_id"], {"input": MAPPED}, []),
]


@pytest.mark.parametrize("below", ["", "/*/*", "/**/*.parquet"])
@pytest.mark.parametrize(("by", "sections", "given"), CASES)
def test_a_column_in_use_that_folders_name_is_read(
    by: list[str],
    sections: dict,
    given: list[str],
    below: str,
    tmp_path: Path,
    make_config: Callable[..., Config],
) -> None:
    FRAME.to_parquet(tmp_path / "in", partition_cols=by)
    sections = {name: {**section} for name, section in sections.items()}
    config = make_config(f"{tmp_path}/in{below if len(by) == 1 else ''}", **sections)
    found = [[*file.shown.constants] if file.shown else [] for file in check(config).files]
    assert found == [given] * len(found)
    assert any("input file(s)" in line for line in survey(config)[0])


def test_a_score_that_folders_name_is_no_number(tmp_path: Path, make_config: Callable[..., Config]) -> None:
    FRAME.to_parquet(tmp_path / "in", partition_cols=["score"])
    for look in (check, survey):
        with pytest.raises(UsageError, match=r"column 'score' \(input\.columns\.score\) is string, not a number"):
            look(make_config(f"{tmp_path}/in"))


def test_a_column_that_is_in_the_files_too_is_read(tmp_path: Path, make_config: Callable[..., Config]) -> None:
    (tmp_path / "in" / "query_id=7").mkdir(parents=True)
    FRAME.to_parquet(tmp_path / "in" / "query_id=7" / "a.parquet")
    good, _ = survey(make_config(f"{tmp_path}/in"))
    assert any("query_id is 'query_id', query is 'query'" in line for line in good)


@pytest.mark.parametrize(
    ("dropped", "words"),
    [
        (["query_id"], ["query_id is a hash of query,"]),
        (["doc_id"], ["doc_id is a hash of doc,"]),
        (["query_id", "doc_id"], ["query_id is a hash of query,", "doc_id is a hash of doc,"]),
    ],
)
def test_ids_that_are_made_of_texts_are_told_of(
    dropped: list[str], words: list[str], tmp_path: Path, make_config: Callable[..., Config]
) -> None:
    FRAME.drop(columns=dropped).to_parquet(tmp_path / "a.parquet")
    good, _ = survey(make_config(str(tmp_path / "a.parquet")))
    assert all(any(word in line for line in good) for word in words)
