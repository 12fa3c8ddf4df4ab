"""Files that end a job (tests/pipeline/bad_files.py), and paths that lead to no file.

Each bad file is the second of three, of which the others are good, and the error line starts with its name.
"""

import datetime
import decimal
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipeline.cluster.in_process import InProcess
from pipeline.errors import UsageError
from pipeline.input.columns import as_ids, as_text
from pipeline.input.footers import count_rows, read_first_file
from pipeline.input.listing import list_inputs
from pipeline.input.parquet import read_batches
from pipeline.run import rerank
from pipeline.sizes import Sizes
from tests.fakes import KnownScorer
from tests.pipeline.bad_files import DAMAGED, STOPS, WORDS, flip, write_damaged
from tests.pipeline.kinds import Kind, make_config, make_row, make_table, write
from tests.pipeline.plan.cut import cut_input


def read(path: Path, minilm: str) -> pa.Table:
    """All rows of a path, read as a job reads them: every footer first, then the splits. Ids and texts as strings."""
    config = make_config(str(path), Path("unused"), minilm)
    files = list_inputs(config.input.path)
    count_rows(config, files, read_first_file(config, files))
    splits, first = cut_input(config)
    rows, names = [], list(first.columns.values())
    for split in splits:
        for batch in read_batches(split.path, split.size, split.ranges, split.row_groups, names, 100, split.version):
            ids = [as_ids(batch[name]) for name in ("query_id", "doc_id")]
            rows.append(pa.table([*ids, as_text(batch["doc"])[0]], ["query_id", "doc_id", "doc"]))
    return pa.concat_tables(rows)


def put_between_good_files(name: str, folder: Path) -> None:
    write(folder / "a.parquet", make_table(Kind()))
    STOPS[name][0](folder / "b.parquet")
    write(folder / "c.parquet", make_table(Kind()))


@pytest.mark.parametrize("name", STOPS)
def test_a_bad_file_is_named_before_anything_is_read(name: str, tmp_path: Path, minilm: str) -> None:
    put_between_good_files(name, tmp_path)
    with pytest.raises(UsageError) as error:
        read(tmp_path, minilm)
    assert str(error.value).startswith(f"{tmp_path}/b.parquet: ") and STOPS[name][1] in str(error.value)
    assert "\n" not in str(error.value)


class NoEngine(InProcess):
    """This process, in which nothing can be scored."""

    def stream(self, *unused: Any) -> Any:
        raise AssertionError("an engine would start")


# Where there are many files their footers are read while the engine starts; in this process that comes first, too.
CLUSTERS: dict[str, tuple[Any, Sizes]] = {
    "few": (object(), Sizes()),  # nothing works
    "many": (NoEngine(), Sizes(first_footers=1, sampled_footers=1)),
}


@pytest.mark.parametrize("name", ["footer gone", "a missing column", "float ids", "a link to a folder"])
@pytest.mark.parametrize("files", CLUSTERS)
def test_a_job_stops_before_anything_is_started(files: str, name: str, tmp_path: Path, minilm: str) -> None:
    put_between_good_files(name, tmp_path / "in")
    with pytest.raises(UsageError, match=f"^{tmp_path}/in/b.parquet: "):
        rerank(make_config(str(tmp_path / "in"), tmp_path / "out", minilm), KnownScorer, *CLUSTERS[files])
    assert not (tmp_path / "out" / "_SUCCESS").exists()


@pytest.mark.parametrize(
    "value, text",
    [
        (True, "true"),
        (1.5, "1.5"),
        (decimal.Decimal("1.5"), "1.5"),
        (datetime.date(2026, 11, 21), "2026-11-21"),
        (datetime.datetime(2026, 11, 21), "2026-11-21 00:00:00.000000"),
        (b"\xff", "0xff"),
    ],
)
def test_ids_may_be_of_any_kind_that_all_files_share(value: Any, text: str, tmp_path: Path, minilm: str) -> None:
    for name in ("a", "b"):
        write(tmp_path / f"{name}.parquet", make_table(Kind({"query_id": value})))
    assert read(tmp_path, minilm)["query_id"].to_pylist() == [text, text]


@pytest.mark.parametrize(
    "name, line",
    [
        ("a link to nowhere", "no such file"),
        ("a link to itself", "leads to itself"),
        ("an empty folder", "no Parquet file there"),
        ("a name that is not UTF-8", "no file can be opened by this name"),
    ],
)
def test_a_path_that_leads_nowhere_is_named(name: str, line: str, tmp_path: Path) -> None:
    path = os.fsencode(tmp_path / "x.parquet")
    match name:
        case "a link to nowhere":
            os.symlink("nowhere", path)
        case "a link to itself":
            os.symlink("x.parquet", path)
        case "an empty folder":
            os.mkdir(path)
        case _:
            path = os.fsencode(tmp_path) + b"/\xff.parquet"
            write(tmp_path / "a.parquet", make_table(Kind())).rename(os.fsdecode(path))
    with pytest.raises(UsageError, match=line) as error:
        list_inputs([os.fsdecode(path)])
    assert repr(os.fsdecode(path)) in str(error.value)


@contextmanager
def become_nobody() -> Iterator[None]:
    """The block runs as a user whom permissions bind, as they do not bind root."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(before)


@pytest.mark.parametrize("closed", ["a.parquet", "sub", "sub/b.parquet"])
@pytest.mark.parametrize("asked", ["", "*", "*/*.parquet"])
def test_a_file_that_may_not_be_read_is_named_and_never_skipped(asked: str, closed: str, minilm: str) -> None:
    folder = Path("/tmp") / f"rayrank-closed-{os.getpid()}"  # tmp_path itself may be closed to others
    try:
        write(folder / "a.parquet", make_table(Kind()))
        write(folder / "sub" / "b.parquet", make_table(Kind()))
        os.chmod(folder / closed, 0)
        unasked = closed == "a.parquet" and asked == "*/*.parquet"
        refused = pytest.raises(UsageError, match=f"{folder}.*/{closed}.*no permission.*Permission denied")
        with become_nobody(), nullcontext() if unasked else refused:
            read(folder / asked, minilm)
    finally:
        os.chmod(folder / closed, 0o700)
        shutil.rmtree(folder)


@pytest.mark.parametrize("name", DAMAGED)
def test_damage_is_named_by_file_column_and_row_group(name: str, tmp_path: Path, minilm: str) -> None:
    change, options = DAMAGED[name]
    path = write_damaged(tmp_path / "a.parquet", change, **options)
    with pytest.raises(UsageError) as error:
        read(tmp_path, minilm)
    assert str(error.value).startswith(f"{path}: column 'doc' cannot be decoded in row group 1: ")
    assert "\n" not in str(error.value)


def test_a_flipped_bit_without_a_checksum_goes_unseen(tmp_path: Path, minilm: str) -> None:
    write_damaged(tmp_path / "a.parquet", flip, compression="none")
    docs = read(tmp_path, minilm)["doc"].to_pylist()
    assert sum(doc != expected for doc, expected in zip(docs, WORDS, strict=True)) == 1


@pytest.mark.parametrize("count", [50, pytest.param(1000, marks=pytest.mark.slow)])
def test_many_tiny_files_and_row_groups_of_one_row(count: int, tmp_path: Path, minilm: str) -> None:
    first = write(tmp_path / "in" / "0000.parquet", make_table(Kind()))
    for i in range(1, count):
        (tmp_path / "in" / f"{i:04d}.parquet").write_bytes(first.read_bytes())
    rows = pa.Table.from_pylist([make_row(f"d{i}", i) for i in range(count)])
    write(tmp_path / "in" / "groups.parquet", rows, row_group_size=1)
    docs = read(tmp_path / "in", minilm)["doc_id"].to_pylist()
    assert len(docs) == 2 * count
    assert docs[count:] == [f"d{i}" for i in range(count)]
