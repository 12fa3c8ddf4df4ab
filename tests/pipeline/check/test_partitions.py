"""Columns that are in the names of folders, as Hive and Spark write partitions: refused where they are in use."""

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
# What the files are partitioned by, sections of the config, and the start of the line; None where the input is fine.
CASES: list[tuple[list[str], dict[str, Any], str | None]] = [
    (["query_id"], {}, "column 'query_id' (input.columns.query_id)"),
    (["doc_id"], {}, "column 'doc_id' (input.columns.doc_id)"),
    (["lang", "doc_id"], {}, "column 'doc_id' (input.columns.doc_id)"),
    (["query"], {}, "column 'query' (input.columns.query)"),
    (["score"], {}, "column 'score' (input.columns.score)"),
    (["lang"], {"output": {"columns": ["lang"]}}, "column 'lang' (output.columns)"),
    (["lang"], {"input": MAPPED}, "column 'lang' (input.columns.title)"),
    (["day"], {"input": MAPPED}, "column 'day' (input.columns.query_id)"),
    (["lang"], {}, None),
    (["lang", "day"], {"output": {"columns": ["doc"]}}, None),
    (["query_id"], {"input": MAPPED}, None),
]


@pytest.mark.parametrize("below", ["", "/*/*", "/**/*.parquet"])
@pytest.mark.parametrize(("by", "sections", "line"), CASES)
def test_a_column_in_use_that_folders_name_is_refused(
    by: list[str], sections: dict, line: str | None, below: str, tmp_path: Path, make_config: Callable[..., Config]
) -> None:
    FRAME.to_parquet(tmp_path / "in", partition_cols=by)
    sections = {name: {**section} for name, section in sections.items()}
    config = make_config(f"{tmp_path}/in{below if len(by) == 1 else ''}", **sections)
    if line is None:
        assert check(config).files
        return
    for look in (check, survey):
        with pytest.raises(UsageError) as error:
            look(config)
        first = sorted((tmp_path / "in").rglob("*.parquet"))[0]
        assert str(error.value).startswith(f"{first}: {line} is in the name of a folder and not in the file")


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
