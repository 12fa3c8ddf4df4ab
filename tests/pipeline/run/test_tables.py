"""Whole runs over Delta and Iceberg tables: what is scored, what is ranked, what is said."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from pipeline.check.survey import survey
from pipeline.config import Config
from pipeline.config.sections import Input
from pipeline.errors import UsageError
from pipeline.estimate.dry_run import dry_run
from pipeline.input.result import read_result
from pipeline.sizes import Sizes
from pipeline.storage.folder import Folder
from tests.pipeline.conftest import SMALL, Interrupted, Run, pairs, write
from tests.pipeline.input.table.by_hand import DeltaLog, delete_positions, make_vector
from tests.pipeline.run.by_hand import Stages, assert_same, draw_pairs, get_result
from tests.pipeline.run.by_hand import run as run_stages
from tests.pipeline.run.stores import A, C
from tests.pipeline.run.tables import ANY, BACK, COLUMNS, GONE, B, Deleted, Table, without

deltalake = pytest.importorskip("deltalake")


@pytest.fixture
def table(tmp_path: Path, run: Run) -> Table:
    return Table(tmp_path, run)


@pytest.fixture
def deleted(tmp_path: Path, run: Run) -> Deleted:
    return Deleted(tmp_path, run)


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


@pytest.mark.slow
def test_on_a_cluster(tmp_path: Path, run_on_ray: Run) -> None:
    """Parts that came and rows that went, by tasks and actors of other processes."""
    table = Table(tmp_path, run_on_ray)
    table.write(A, B)
    table.run()
    table.write(C)
    table.open().delete("doc_id = 'd7'")
    figures = table.run()
    left = pa.concat_tables([A, B, C])
    left = left.filter(pc.not_equal(left["doc_id"], "d7"))
    assert figures["rows"] == len(left)
    assert table.ranked().equals(table.run_plain(left))


@pytest.mark.slow
def test_deletion_vectors_on_a_cluster(tmp_path: Path, run_on_ray: Run) -> None:
    deleted = Deleted(tmp_path, run_on_ray)
    deleted.delete(GONE)
    assert deleted.run()["deleted"] == len(GONE)
    assert deleted.ranked().equals(deleted.run_plain(without(GONE)))


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


def test_an_iceberg_table_on_s3(bucket: str, catalog: Any, tmp_path: Path, run: Run) -> None:
    """Its files have the names that Spark gives them (s3a), in the metadata and in the files of deletes."""
    iceberg = catalog.create_table("shop.pairs", A.schema, location=f"{bucket.replace('s3:', 's3a:')}/lake")
    iceberg.append(A)
    (file,) = iceberg.scan().plan_files()
    delete_positions(iceberg, {file.file.file_path: GONE}, "gone")
    catalog.load_table("shop.pairs").append(B)
    table = Table(tmp_path, run)
    about = {"format": "iceberg", "catalog": "lake", "name": "shop.pairs"}
    assert run("", input={"table": about}, run=ANY, more={"sizes": SMALL})["rows"] == 177
    assert table.ranked().equals(table.run_plain(without(GONE)))


def test_an_iceberg_table(catalog: Any, tmp_path: Path, run: Run) -> None:
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


def test_a_delete_that_writes_files_again(table: Table) -> None:
    """The library writes their texts as views, which Arrow cannot filter."""
    table.write(A, B)
    table.open().delete("doc_id = 'd7'")
    rows = pa.concat_tables([A, B])
    left = rows.filter(pc.not_equal(rows["doc_id"], "d7"))
    assert table.run(output={"columns": ["doc"]})["rows"] == len(left) < len(rows)
    docs = {row["doc_id"]: row["doc"] for row in left.to_pylist()}
    ranked = table.ranked().to_pylist()
    assert [row["doc"] for row in ranked] == [docs[row["doc_id"]] for row in ranked]
    table.run()
    assert table.ranked().equals(table.run_plain(left))
