"""Whole runs over Delta and Iceberg tables: what is scored, what is ranked, what is said."""

import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from pipeline.check.survey import survey
from pipeline.config import Config
from pipeline.config.sections import DeltaTable, Input
from pipeline.errors import RunError, UsageError
from pipeline.estimate.dry_run import dry_run
from pipeline.input.result import read_result
from pipeline.input.table import list_table
from pipeline.plan.queries import QueryBorders
from pipeline.sizes import Sizes
from pipeline.storage.folder import Folder
from tests.pipeline.conftest import SMALL, Interrupted, Run, in_order, pairs, write
from tests.pipeline.input.table.by_hand import DeltaLog, delete_positions, make_vector
from tests.pipeline.input.table.conftest import catalog  # noqa: F401
from tests.pipeline.run.by_hand import Stages, assert_same, draw_pairs, get_result
from tests.pipeline.run.by_hand import run as run_stages
from tests.pipeline.run.stores import A, C, say_otherwise
from tests.pipeline.run.test_deaths import NeverStarts

deltalake = pytest.importorskip("deltalake")
# Of rows with the same ids the first file's counts, and the library names files at random: so here no row has those of
# another.
B = pairs(180).set_column(2, "doc_id", pa.array([f"d{i}" for i in range(180)])).slice(100)
COLUMNS = {name: "double" if name == "score" else "string" for name in A.column_names}
ANY = {"unit_rows": 30, "max_failed": 1}
RETRY = ANY | {"retry_failed": True}
GONE = [3, 4, 40]  # rows that are deleted: documents that are none of pairs()'s empty ones
BACK = "deleted from the table when its unit was scored"


class Table:
    """A Delta table in tmp_path, and runs over it."""

    def __init__(self, root: Path, run: Run):
        self.root, self._run = root, run
        self.path = str(root / "table")

    def write(self, *tables: pa.Table, mode: str = "append", **more: Any) -> None:
        for table in tables:
            deltalake.write_deltalake(self.path, table, mode=mode, **more)

    def open(self) -> Any:
        return deltalake.DeltaTable(self.path)

    def run(self, name: str = "out", version: int | None = None, **sections: Any) -> dict[str, Any]:
        about = {"format": "delta", "path": self.path} | ({} if version is None else {"version": version})
        given = {"table": about} | sections.pop("input", {})
        return self._run("", name, input=given, **{"run": ANY, "more": {"sizes": SMALL}} | sections)

    def run_plain(self, rows: pa.Table, **sections: Any) -> pa.Table:
        """The result of a run over these rows as a plain file, with the scores of no other."""
        folder = self.root / f"plain-{len(list(self.root.glob('plain*')))}"
        folder.mkdir()
        pq.write_table(rows, folder / "a.parquet")
        self._run(str(folder), f"{folder.name}-out", **{"run": ANY, "more": {"sizes": SMALL}} | sections)
        return in_order(self.root / f"{folder.name}-out")

    def ranked(self, name: str = "out") -> pa.Table:
        return in_order(self.root / name)

    def manifest(self, name: str = "out") -> dict[str, Any]:
        found = read_result(Folder(str(self.root / name)))
        assert found
        return found


@pytest.fixture
def table(tmp_path: Path, run: Run) -> Table:
    return Table(tmp_path, run)


def test_only_files_that_came_are_scored(table: Table, capsys: pytest.CaptureFixture) -> None:
    table.write(A, B)
    assert table.run()["rows"] == 180
    assert f"Delta table {table.path}, version 1 has 2 files and 180 rows" in capsys.readouterr().err
    assert table.manifest()["table"] == {"format": "delta", "path": table.path, "version": 1}
    table.write(C)
    figures = table.run()
    assert (figures["rows"], figures["scored_now"]) == (260, 79)  # a document of C is empty
    said = capsys.readouterr().err
    assert "since the result that stands was made: 1 came, 0 changed, 0 went" in said
    assert f"Delta table {table.path}, version 2" in said
    assert table.ranked().equals(table.run_plain(pa.concat_tables([A, B, C])))
    assert table.run()["scored_now"] == 0


def test_a_version_of_the_past(table: Table) -> None:
    table.write(A, B)
    table.write(C, mode="overwrite")
    table.run()
    assert table.ranked().equals(table.run_plain(C))
    table.run(version=1)
    assert table.ranked().equals(table.run_plain(pa.concat_tables([A, B])))
    assert table.manifest()["table"]["version"] == 1
    assert table.run(version=1)["scored_now"] == 0
    assert table.run()["scored_now"] == 0, "the scores of files that went stay"
    assert table.ranked().equals(table.run_plain(C))


def test_files_that_a_table_no_longer_names_are_gone_without_a_word_of_consent(
    table: Table, capsys: pytest.CaptureFixture
) -> None:
    table.write(A, B)
    table.run()
    capsys.readouterr()
    table.open().optimize.compact()
    figures = table.run(run=ANY | {"reuse": [str(table.root / "out")]})
    assert (figures["scored_now"], figures["reused"]) == (0, 180 - 2)  # two documents are empty
    assert "1 came, 0 changed, 2 went" in capsys.readouterr().err
    assert table.ranked().equals(table.run_plain(pa.concat_tables([A, B])))


def test_the_version_is_pinned_for_the_whole_run(table: Table, capsys: pytest.CaptureFixture) -> None:
    table.write(A)
    figures = table.run(cluster=Interrupted(after_scoring=lambda: table.write(B)))
    assert figures["rows"] == 100
    assert table.manifest()["table"]["version"] == 0
    assert "came while the run went on" not in capsys.readouterr().err


class Deleted(Table):
    """A table whose first file has deletion vectors, which its log gets by hand."""

    def __init__(self, root: Path, run: Run):
        super().__init__(root, run)
        self.log = DeltaLog(root / "table", COLUMNS)
        self._a = self.log.add("a.parquet", A)
        self.log.commit(self._a, self.log.add("b.parquet", B))

    def delete(self, rows: list[int]) -> None:
        """Makes a version in which these rows of A are deleted, and no others."""
        before, vector = self._a, make_vector(self.log.root, rows, "u") if rows else None
        self._a = self.log.add("a.parquet", A, vector)
        self.log.commit(remove(before), self._a)


def remove(added: dict[str, Any]) -> dict[str, Any]:
    """The action that takes back one that added a file: it names the file and its deletion vector."""
    named = {name: value for name, value in added["add"].items() if name in ("path", "deletionVector")}
    return {"remove": named | {"deletionTimestamp": 0, "dataChange": True}}


@pytest.fixture
def deleted(tmp_path: Path, run: Run) -> Deleted:
    return Deleted(tmp_path, run)


def without(rows: list[int]) -> pa.Table:
    """A and B without these rows of A."""
    return pa.concat_tables([A.filter(pa.array([i not in rows for i in range(len(A))])), B])


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


def test_a_column_of_the_partition_is_carried_and_may_be_the_id_of_queries(table: Table) -> None:
    rows = pairs(100).append_column("part", pc.cast(pairs(100)["score"], pa.int32()))
    table.write(rows, partition_by=["part", "query_id"])
    table.run(output={"columns": ["part", "doc"]})
    expected = table.run_plain(rows, output={"columns": ["part", "doc"]})
    assert table.ranked().drop_columns("reason").equals(expected.drop_columns("reason"))
    assert table.ranked().schema.field("part").type == pa.int32()


def test_another_name_of_a_column_scores_nothing(deleted: Deleted, tmp_path: Path, run: Run) -> None:
    root = tmp_path / "mapped"
    root.mkdir()
    table = Table(root, run)
    log = DeltaLog(root / "table", COLUMNS, {name: f"c-{name}" for name in COLUMNS}, "name")
    log.commit(log.add("a.parquet", A.rename_columns([f"c-{name}" for name in A.column_names])))
    table._run = lambda path, name, **more: run(path, f"mapped/{name}", **more)
    first = table.run(output={"columns": ["doc"]})
    assert first["scored_now"] == 99
    log.rename("doc", "body")
    figures = table.run(input={"columns": {"doc": "body"}}, output={"columns": ["doc"]})
    assert figures["scored_now"] == 0
    log.rename("body", "doc")
    log.rename("query", "x")
    log.rename("doc", "query")
    log.rename("x", "doc")
    with pytest.raises(UsageError, match="holds scores of another model, prompt, setting"):
        table.run(output={"columns": ["doc"]})


def test_a_dry_run_and_a_check_read_the_table(deleted: Deleted, make_config: Callable[..., Config]) -> None:
    deleted.delete(GONE)
    config = make_config("", input={"table": {"format": "delta", "path": deleted.path}})
    about = dry_run(config)
    assert (about["pairs"], about["exact"]) == (180, True)
    assert about["unusable"] == {BACK: pytest.approx(3 / 180), "document is empty": pytest.approx(2 / 180)}
    good, _ = survey(config)
    assert any(line.startswith("2 input file(s), by the schema of the first") for line in good)


def test_the_first_of_several_stages_reads_the_table(tmp_path: Path, minilm: str) -> None:
    stages, rows = Stages(tmp_path, minilm), draw_pairs(0)
    live = [i for i in range(len(rows)) if i % 5]
    plain = stages.make_config(write(rows.take(live), tmp_path / "plain", 1), name="plain-out")
    log = DeltaLog(tmp_path / "table", {**COLUMNS, "lang": "string"})
    vector = make_vector(log.root, [i for i in range(len(rows)) if not i % 5], "i")
    log.commit(log.add("a.parquet", rows, vector))
    table = {"format": "delta", "path": str(log.root)}
    config = plain.model_copy(
        update={
            "input": Input.model_validate({"table": table}),
            "output": plain.output.model_copy(update={"path": str(tmp_path / "out")}),
        }
    )
    run_stages(plain, Sizes())
    assert run_stages(config, Sizes())["ranked"] == len(live)
    assert_same(get_result(config), get_result(plain))
    manifest = read_result(Folder(str(tmp_path / "out")))
    assert manifest and manifest["table"] == table | {"version": 1}


def test_the_output_may_not_lie_in_the_table(table: Table) -> None:
    table.write(A)
    with pytest.raises(UsageError, match=r"output\.path = .* lies in input\.table\.path = "):
        table.run(output={"path": f"{table.path}/out"})


@pytest.fixture
def bucket(s3_server: str, tmp_path: Path) -> str:
    return f"s3://bucket/{tmp_path.name}"


def test_a_delta_table_on_s3(bucket: str, tmp_path: Path, run: Run) -> None:
    """Its credentials and its endpoint are those of s3fs."""
    options = {"AWS_ENDPOINT_URL": os.environ["AWS_ENDPOINT_URL"], "AWS_ALLOW_HTTP": "true", "AWS_REGION": "us-east-1"}
    table = Table(tmp_path, run)
    table.path = f"{bucket}/table"
    table.write(A, B, storage_options=options | {"AWS_S3_ALLOW_UNSAFE_RENAME": "true"})
    assert table.run()["rows"] == 180
    assert table.ranked().equals(table.run_plain(pa.concat_tables([A, B])))
    with pytest.raises(UsageError, match=r"is a Delta table.*input\.table: {format: delta, path: s3://"):
        run(f"{bucket}/table", "other")


def test_an_iceberg_table(catalog: Any, tmp_path: Path, run: Run) -> None:  # noqa: F811
    iceberg = catalog.create_table("shop.pairs", A.schema)
    iceberg.append(A)
    iceberg.append(B)
    about = {"format": "iceberg", "catalog": "lake", "name": "shop.pairs"}
    given: dict[str, Any] = {"input": {"table": about}, "run": ANY, "more": {"sizes": SMALL}}
    table = Table(tmp_path, run)
    assert run("", **given)["rows"] == 180
    first = iceberg.current_snapshot().snapshot_id
    assert table.manifest()["table"] == about | {"snapshot": first}
    path = next(task.file.file_path for task in iceberg.scan().plan_files() if task.file.record_count == 100)
    delete_positions(iceberg, {path: GONE}, "gone")
    catalog.load_table("shop.pairs").append(C)
    figures = run("", **given)
    assert (figures["rows"], figures["deleted"], figures["scored_now"]) == (257, 3, 79)
    assert table.ranked().equals(table.run_plain(pa.concat_tables([without(GONE), C])))
    assert run("", **given | {"input": {"table": about | {"snapshot": first}}})["rows"] == 180
    assert table.ranked().equals(table.run_plain(pa.concat_tables([A, B])))
