"""Files that end a job: before anything is started where their footer or name tells, else when they are read.

Each is the second of three files, of which the others are good. The line says its name.
"""

import datetime
import decimal
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet.encryption as pe
import pytest

from pipeline.errors import UsageError
from pipeline.input.listing import list_inputs
from pipeline.plan.plan import make_plan, splits_of
from pipeline.run import rerank
from pipeline.score.read import read_units
from tests.fakes import KnownScorer
from tests.pipeline.kinds import WORDS, Kind, config, damaged, flipped, plain, table, write, zeroed


def badly(change: Callable[[bytes], bytes]) -> Callable[[Path], Any]:
    """A file whose bytes are changed after it was written."""

    def make(path: Path) -> None:
        write(path, table(Kind()))
        path.write_bytes(change(path.read_bytes()))

    return make


def having(**columns: Any) -> Callable[[Path], Any]:
    return lambda path: write(path, table(Kind(columns)))


def without(column: str) -> Callable[[Path], Any]:
    return lambda path: write(path, table(Kind()).drop_columns([column]))


def renamed(names: Callable[[str], str]) -> Callable[[Path], Any]:
    return lambda path: write(path, table(Kind()).rename_columns([names(name) for name in table(Kind()).column_names]))


def encrypted(plaintext_footer: bool) -> Callable[[Path], Any]:
    """Parquet's own encryption of one column, with keys that go nowhere."""

    class Keys(pe.KmsClient):
        def __init__(self, _: Any):
            super().__init__()

        def wrap_key(self, key: bytes, _: str) -> bytes:
            return key.hex().encode()

    def make(path: Path) -> None:
        how = pe.EncryptionConfiguration("footer", column_keys={"column": ["doc"]}, plaintext_footer=plaintext_footer)
        properties = pe.CryptoFactory(Keys).file_encryption_properties(pe.KmsConnectionConfig(), how)
        write(path, table(Kind()), encryption_properties=properties)

    return make


def twice(path: Path) -> None:
    rows = table(Kind())
    write(path, rows.append_column("doc", rows["doc"]))


def linked(target: str) -> Callable[[Path], Any]:
    return lambda path: path.symlink_to(target)


STOPS: dict[str, tuple[Callable[[Path], Any], str]] = {
    # bytes
    "zero bytes": (badly(lambda data: b""), "not a Parquet file, or one cut short (0 bytes)"),
    "no Parquet": (badly(lambda data: b"query,doc,score\n" * 9), "not a Parquet file, or one cut short (144 bytes)"),
    "footer gone": (badly(lambda data: data[: len(data) // 2]), "not a Parquet file, or one cut short"),
    "a hole in its middle": (badly(lambda data: data[:50] + data[90:]), "bytes are missing from the middle"),
    "encrypted": (encrypted(False), "encrypted"),
    "encrypted columns under a plain footer": (encrypted(True), "encrypted"),
    # schema
    "no columns": (lambda path: write(path, pa.table({})), "(input.columns.query_id); it has none"),
    "a missing column": (without("doc"), "has no column 'doc' (input.columns.doc); it has query_id, query, doc_id"),
    "a missing id": (without("doc_id"), "has no column 'doc_id' (input.columns.doc_id); it has query_id, query"),
    "names in capitals": (renamed(str.upper), "has no column 'query_id' (input.columns.query_id); it has QUERY_ID"),
    "a column twice": (twice, "has 2 columns named 'doc' (input.columns.doc)"),
    "columns inside a struct": (
        lambda path: write(path, pa.table({"pair": table(Kind()).to_pylist()})),
        "has no column 'query_id' (input.columns.query_id); it has pair",
    ),
    "numbers as texts": (having(doc=5), "column 'doc' (input.columns.doc) is int64, not a text"),
    "lists as texts": (having(query=[["a", "b"]]), "column 'query' (input.columns.query) is list<"),
    "structs as texts": (having(doc=[{"text": "a"}]), "column 'doc' (input.columns.doc) is struct<text: string>"),
    "strings as scores": (having(score="0.5"), "column 'score' (input.columns.score) is string, not a number"),
    "bools as scores": (having(score=True), "column 'score' (input.columns.score) is bool, not a number"),
    "timestamps as scores": (
        having(score=datetime.datetime(2026, 11, 21)),
        "column 'score' (input.columns.score) is timestamp[us], not a number",
    ),
    "lists as ids": (having(doc_id=[["a"]]), "column 'doc_id' (input.columns.doc_id) is list<"),
    # ids that are strings in the first file
    "float ids": (having(doc_id=1.0), "(input.columns.doc_id) is double, and string in "),
    "bool ids": (having(doc_id=True), "(input.columns.doc_id) is bool, and string in "),
    "date ids": (having(doc_id=datetime.date(2026, 11, 21)), "doc_id) is date32[day], and string in "),
    "timestamp ids": (having(query_id=datetime.datetime(2026, 1, 1)), "(input.columns.query_id) is timestamp[us], and"),
    "decimal ids": (having(doc_id=decimal.Decimal("1.5")), "doc_id) is decimal128(2, 1), and string in "),
    "UUIDs as ids": (
        having(doc_id=pa.array([uuid.UUID(int=1).bytes], pa.uuid())),
        "(input.columns.doc_id) is extension<arrow.uuid>, and string in ",
    ),
    "fixed-size binary ids": (having(doc_id=pa.array([b"a"], pa.binary(1))), "is fixed_size_binary[1], and string in "),
    # what a name leads to
    "a link to nowhere": (linked("nowhere.parquet"), "a link that leads to no file"),
    "a link to itself": (linked("b.parquet"), "a link that leads to no file"),
    "a link to a folder": (linked("."), "a link to a folder, which is not followed"),
}  # fmt: skip


@pytest.mark.parametrize("name", STOPS)
def test_a_job_stops_before_anything_is_started(
    name: str, tmp_path: Path, minilm: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, line = STOPS[name]
    monkeypatch.setattr("pipeline.run.cluster", pytest.fail)
    write(tmp_path / "in" / "a.parquet", table(Kind()))
    make(tmp_path / "in" / "b.parquet")
    write(tmp_path / "in" / "c.parquet", table(Kind()))
    with pytest.raises(UsageError) as error:
        rerank(config(str(tmp_path / "in"), tmp_path / "out", minilm), KnownScorer)
    assert str(error.value).startswith(f"{tmp_path}/in/b.parquet: ") and line in str(error.value)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out" / "_SUCCESS").exists()


@pytest.mark.parametrize(
    "ids", [True, 1.5, decimal.Decimal("1.5"), datetime.date(2026, 11, 21), datetime.datetime(2026, 11, 21), b"\xff"]
)
def test_ids_of_any_one_kind_will_do_in_all_files(ids: Any, tmp_path: Path, minilm: str) -> None:
    for name in ("a", "b"):
        write(tmp_path / f"{name}.parquet", table(Kind({"query_id": ids})))
    assert {row["query_id"] for row in read(tmp_path, minilm)} == {
        {True: "true", b"\xff": "0xff", datetime.datetime(2026, 11, 21): "2026-11-21 00:00:00.000000"}.get(
            ids, str(ids)
        )
    }


@pytest.mark.parametrize(
    "name", ["a link to nowhere", "a link to itself", "an empty folder", "a name that is not UTF-8"]
)
def test_a_path_that_leads_nowhere_is_named(name: str, tmp_path: Path) -> None:
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
            write(tmp_path / "a.parquet", table(Kind())).rename(os.fsdecode(path))
    says = "no such file|leads to itself|no Parquet file there|no file can be opened by this name"
    with pytest.raises(UsageError, match=says) as error:
        list_inputs([os.fsdecode(path)])
    assert repr(os.fsdecode(path)) in str(error.value)


@contextmanager
def as_nobody() -> Iterator[None]:
    """As a user whom permissions bind: root is not."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(before)


@pytest.mark.parametrize("closed", ["a.parquet", "sub", "sub/b.parquet"])
@pytest.mark.parametrize("asked", ["", "*", "*/*.parquet"])
def test_what_may_not_be_read_is_named_and_never_left_out(asked: str, closed: str, minilm: str) -> None:
    folder = Path("/tmp") / f"rayrank-closed-{os.getpid()}"  # tmp_path itself may be closed to others
    try:
        write(folder / "a.parquet", table(Kind()))
        write(folder / "sub" / "b.parquet", table(Kind()))
        os.chmod(folder / closed, 0)
        unasked = closed == "a.parquet" and asked == "*/*.parquet"
        refused = pytest.raises(UsageError, match=f"{folder}.*/{closed}.*no permission.*Permission denied")
        with as_nobody(), nullcontext() if unasked else refused:
            read(folder / asked, minilm)
    finally:
        os.chmod(folder / closed, 0o700)
        shutil.rmtree(folder)


# Damage that no footer tells of


def read(folder: Path, minilm: str) -> list[dict[str, Any]]:
    """All rows of a folder, as a job's tasks read them."""
    given = config(str(folder), folder / "out", minilm)
    plan = make_plan(given, list_inputs(given.input.path), 100)
    units = (unit for split in splits_of(plan.units) for unit in read_units(split, plan.columns))
    return [row for _, rows in units for row in rows.to_pylist()]


DAMAGED: dict[str, tuple[Callable[[bytearray, int, int], Any], dict[str, Any]]] = {
    "data gone, footer intact": (zeroed, {"compression": "zstd"}),
    "data gone, uncompressed": (zeroed, {"compression": "none"}),
    "a bit flipped, gzip": (flipped, {"compression": "gzip"}),
    "a bit flipped, with page checksums": (flipped, {"compression": "none", "write_page_checksum": True}),
    "a bit flipped, snappy with page checksums": (flipped, {"compression": "snappy", "write_page_checksum": True}),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damage_is_named_by_file_column_and_row_group(name: str, tmp_path: Path, minilm: str) -> None:
    change, options = DAMAGED[name]
    path = damaged(tmp_path / "a.parquet", change, **options)
    with pytest.raises(UsageError) as error:
        read(tmp_path, minilm)
    assert str(error.value).startswith(f"{path}: column 'doc' cannot be decoded in row group 1: ")
    assert "\n" not in str(error.value)


def test_a_bit_that_nothing_guards_goes_unseen(tmp_path: Path, minilm: str) -> None:
    damaged(tmp_path / "a.parquet", flipped, compression="none")
    different = [row["doc"] for row, doc in zip(read(tmp_path, minilm), WORDS, strict=True) if row["doc"] != doc]
    assert len(different) == 1


def test_a_thousand_tiny_files_and_row_groups_of_one_row(tmp_path: Path, minilm: str) -> None:
    first = write(tmp_path / "in" / "0000.parquet", table(Kind()))
    for i in range(1, 1000):
        (tmp_path / "in" / f"{i:04d}.parquet").write_bytes(first.read_bytes())
    rows = pa.Table.from_pylist([plain(f"d{i}", i) for i in range(1000)])
    write(tmp_path / "in" / "groups.parquet", rows, row_group_size=1)
    found = read(tmp_path / "in", minilm)
    assert len(found) == 2000
    assert [row["doc_id"] for row in found[1000:]] == [f"d{i}" for i in range(1000)]
