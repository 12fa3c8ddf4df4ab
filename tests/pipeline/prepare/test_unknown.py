"""pipeline/prepare/unknown.py: unknown ids in a table that any tool reads."""

import csv
from pathlib import Path

import pyarrow as pa

from pipeline.prepare.unknown import put_unknown
from pipeline.storage.folder import Folder


def test_each_id_stands_once_with_its_rows(tmp_path: Path) -> None:
    ids = pa.chunked_array([["b", "é", "b"], ["a\tb", "B", "b"]])
    assert put_unknown(Folder(str(tmp_path)), "docs", 7, ids) == 4
    with (tmp_path / "_unknown/docs-00007.tsv").open(encoding="utf-8", newline="") as file:
        assert list(csv.reader(file, delimiter="\t")) == [
            ["doc_id", "rows"],
            ["B", "1"],
            ["a\tb", "1"],
            ["b", "3"],
            ["é", "1"],
        ]


def test_where_all_are_known_there_is_no_file(tmp_path: Path) -> None:
    assert put_unknown(Folder(str(tmp_path)), "queries", 0, pa.chunked_array([], pa.string())) == 0
    assert not list(tmp_path.iterdir())
