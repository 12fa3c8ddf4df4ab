"""Whole runs over tables whose rows are deleted, and come back."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from pipeline.config.sections import DeltaTable
from pipeline.errors import RunError
from pipeline.input.table import list_table
from pipeline.plan.queries import QueryBorders
from tests.fakes import KnownQueries
from tests.pipeline.conftest import SMALL, Interrupted, Run
from tests.pipeline.input.table.by_hand import DeltaLog, make_vector
from tests.pipeline.run.stores import A, say_otherwise
from tests.pipeline.run.tables import ANY, BACK, COLUMNS, GONE, RETRY, B, Deleted, remove, without
from tests.pipeline.run.test_deaths import NeverStarts
from tests.pipeline.run.test_queries import ENGINE


@pytest.fixture
def deleted(tmp_path: Path, run: Run) -> Deleted:
    return Deleted(tmp_path, run)


@pytest.mark.parametrize("sizes", [SMALL, None], ids=["many buckets", "one bucket"])
def test_rows_that_are_deleted_later_are_dropped_without_scoring(deleted: Deleted, sizes: Any) -> None:
    more: dict[str, Any] = {"more": {"sizes": sizes} if sizes else {}}
    deleted.run(**more)
    before = deleted.manifest()
    deleted.delete(GONE)
    figures = deleted.run(**more)
    assert (figures["scored_now"], figures["rows"], figures["deleted"]) == (0, 177, 3)
    assert deleted.ranked().equals(deleted.run_plain(without(GONE)))
    now = deleted.manifest()
    assert now["tag"] != before["tag"]
    assert [(file["rows"], file.get("deleted")) for file in now["input"]] == [(100, 3), (80, None)]
    assert now["changes"] == {"came": 0, "changed": 0, "gone": 0}
    deleted.delete(GONE[:1])
    assert deleted.run(**more)["transient"] == 0, "their scores were kept"
    assert deleted.ranked().equals(deleted.run_plain(without(GONE[:1])))


def test_deleted_rows_are_not_scored_and_do_not_count_as_failed(
    deleted: Deleted, capsys: pytest.CaptureFixture
) -> None:
    deleted.delete([*range(90)])
    figures = deleted.run(run={"unit_rows": 30, "max_failed": 0.03})
    assert f"Delta table {deleted.path}, version 2 has 2 files and 90 rows, 0 of them scored" in capsys.readouterr().err
    empty = 1  # of B
    assert (figures["rows"], figures["scored_now"], figures["deleted"]) == (90, 90 - empty, 90)
    assert (figures["unscored"], figures["transient"]) == (empty, 0)
    assert deleted.ranked().equals(deleted.run_plain(without([*range(90)])))
    assert deleted.run()["scored_now"] == 0


def test_a_file_that_changes_while_it_is_read_ends_the_run(deleted: Deleted) -> None:
    change = partial(pq.write_table, say_otherwise(B), deleted.log.root / "b.parquet", row_group_size=4)
    with pytest.raises(RunError, match=r"b\.parquet: has changed while the run read it"):
        deleted.run(cluster=Interrupted(before_writing=change))


def test_units_that_are_taken_over_say_that_rows_were_deleted(deleted: Deleted) -> None:
    deleted.run_plain(without([]))
    deleted.delete(GONE)
    reuse = ANY | {"reuse": [str(next(deleted.root.glob("plain-*-out")))]}
    figures = deleted.run(run=reuse, scorer=NeverStarts)
    assert (figures["scored_now"], figures["deleted"]) == (0, 3)
    deleted.delete([])
    assert deleted.run()["transient"] == 3
    assert deleted.run(run=RETRY)["scored_now"] == 3
    assert deleted.ranked().equals(deleted.run_plain(without([])))


def test_a_query_whose_rows_are_deleted_does_not_begin_there(deleted: Deleted) -> None:
    ids = ["q1", "q1", "q2", "q2", "q1", "q3"]
    rows = A.slice(0, 6).set_column(0, "query_id", pa.array(ids))
    log = DeltaLog(deleted.root / "grouped", COLUMNS)
    log.commit(log.add("a.parquet", rows, make_vector(log.root, [0, 1, 3], "i")))
    _, (file,) = list_table(DeltaTable(format="delta", path=str(log.root)))
    found = [*QueryBorders(file, {"query_id": "query_id"}).list_all()]
    assert found == [(2, "q2"), (4, "q1"), (5, "q3")]
    found = [*QueryBorders(replace(file, shown=None), {"query_id": "query_id"}).list_all()]
    assert found == [(0, "q1"), (2, "q2"), (4, "q1"), (5, "q3")]


def test_rows_that_come_back_are_transient_until_they_are_scored(
    deleted: Deleted, capsys: pytest.CaptureFixture
) -> None:
    deleted.delete(GONE)
    deleted.run()
    capsys.readouterr()
    deleted.delete([GONE[0]])  # as RESTORE does
    figures = deleted.run()
    assert (figures["scored_now"], figures["transient"], figures["rows"]) == (0, 2, 179)
    assert (
        "2 rows have no score for a reason that may pass; run.retry_failed=true scores them" in capsys.readouterr().err
    )
    ranked = deleted.ranked()
    assert ranked.filter(pc.is_null(ranked["rerank_score"]))["reason"].to_pylist().count(BACK) == 2
    figures = deleted.run(run=RETRY)
    assert (figures["scored_now"], figures["transient"]) == (2, 0), "the row that is deleted still is not tried"
    assert deleted.ranked().equals(deleted.run_plain(without([GONE[0]])))
    deleted.delete([GONE[0], 50])
    assert deleted.run(run=RETRY, scorer=NeverStarts)["rows"] == 178, "no engine starts where none is left"
    deleted.delete([])
    assert deleted.run(run=RETRY)["scored_now"] == 1
    assert deleted.ranked().equals(deleted.run_plain(without([])))


def test_a_row_that_comes_back_is_not_shown_alone_to_a_model_of_whole_queries(
    deleted: Deleted, model: dict[str, Any]
) -> None:
    log = DeltaLog(deleted.root / "grouped", COLUMNS)
    rows = A.sort_by([("query_id", "ascending"), ("doc_id", "ascending")]).slice(0, 40)
    added = log.add("a.parquet", rows, make_vector(log.root, [3], "i"))
    log.commit(added)
    deleted.path = str(log.root)
    sections: dict[str, Any] = {"reranker": model, "engine": ENGINE, "scorer": KnownQueries}
    assert deleted.run(**sections)["deleted"] == 1
    log.commit(remove(added), log.add("a.parquet", rows))
    for keys, scorer in ((ANY, KnownQueries), (RETRY, NeverStarts)):
        figures = deleted.run(**sections | {"run": keys, "scorer": scorer})
        assert (figures["scored_now"], figures["transient"], figures["deleted"]) == (0, 0, 0)
        assert deleted.manifest()["reasons"][BACK] == 1
    deleted.run(**sections | {"run": ANY | {"on_existing": "restart"}})
    assert BACK not in deleted.manifest()["reasons"]


def test_a_row_that_comes_back_without_an_id_is_a_reject(tmp_path: Path, run: Run) -> None:
    table = Deleted(tmp_path, run)
    nameless = A.slice(0, 10).set_column(0, "query_id", pa.array([None, *A["query_id"].to_pylist()[1:10]]))
    added = table.log.add("n.parquet", nameless, make_vector(table.log.root, [0, 1], "i"))
    table.log.commit(added)
    twice = 8  # rows of A again
    assert table.run()["rejected"] == twice
    table.log.commit(remove(added), table.log.add("n.parquet", nameless))
    figures = table.run()
    assert (figures["rejected"], figures["transient"]) == (twice + 2, 2)
    assert table.run(run=RETRY)["transient"] == 0
    assert table.manifest()["reasons"]["query_id is null"] == 1
