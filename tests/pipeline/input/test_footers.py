"""pipeline/input/parquet.py: footers, read in few requests; and what is no Parquet file is said to be none."""

import random
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.input.parquet import read_footer

RANDOM = random.Random(11)


def write(path: Path, table: pa.Table, **options: Any) -> tuple[str, int]:
    """Writes a file and gives its path and size."""
    pq.write_table(table, path, **options)
    return str(path), path.stat().st_size


def test_a_small_footer_is_read_in_one_request_and_a_large_one_in_two(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, int]] = []
    local: Any = fsspec.filesystem("file")
    cat = type(local).cat_file

    def counted(fs: Any, name: str, start: int, end: int) -> bytes:
        asked.append((start, end))
        return cat(fs, name, start=start, end=end)

    monkeypatch.setattr(type(local), "cat_file", counted)
    small, small_size = write(tmp_path / "small.parquet", pa.table({"doc": ["x" * 50] * 9}))
    large, large_size = write(tmp_path / "large.parquet", pa.table({f"column {i}": [i] for i in range(500)}))
    for path, size in ((small, small_size), (large, large_size)):
        asked.clear()
        footer, begin = read_footer(path, size)
        assert footer.equals(pq.read_metadata(path))
        # The format: ..., footer, its length in 4 bytes, PAR1.
        assert begin == size - 8 - int.from_bytes(Path(path).read_bytes()[-8:-4], "little")
        assert asked[0] == (max(0, size - 16 * 1024), size)
        assert asked[1:] == ([(begin, size - 16 * 1024)] if path == large else [])
    assert large_size - begin > 16 * 1024


def broken(whole: bytes) -> dict[str, tuple[bytes, str]]:
    middle = len(whole) // 2
    return {
        "no bytes": (b"", r"cut short \(0 bytes\)"),
        "four bytes": (b"PAR1", r"cut short \(4 bytes\)"),
        "text": (b"query,doc,score\n" * 99, r"not a Parquet file, or one cut short \(1584 bytes\)"),
        "cut at the middle": (whole[:middle], "not a Parquet file, or one cut short"),
        "without its last byte": (whole[:-1], "not a Parquet file, or one cut short"),
        "cut out of the middle": (whole[:middle] + whole[middle + 2000 :], "bytes are missing from the middle"),
        "encrypted": (whole[:-4] + b"PARE", "encrypted"),
        "a footer longer than the file": (whole[:-8] + b"\xff\xff\xff\x7fPAR1", "footer is longer than the file"),
        "a footer of noise": (b"PAR1" + b"\xa7" * 100 + b"\x64\x00\x00\x00PAR1", "not a Parquet file"),
    }


@pytest.mark.parametrize("what", broken(b"x" * 9999))
def test_what_is_not_a_whole_parquet_file_is_said_to_be_none(tmp_path: Path, what: str) -> None:
    table = pa.table({"doc": [f"{RANDOM.random()}" for _ in range(1000)], "score": [0.5] * 1000})
    path, _ = write(tmp_path / "whole.parquet", table, compression="none", use_dictionary=False)
    data, says = broken(Path(path).read_bytes())[what]
    Path(path).write_bytes(data)
    with pytest.raises(pa.ArrowInvalid, match=says):
        read_footer(path, len(data))


def test_a_file_without_columns_or_row_groups_has_a_footer(tmp_path: Path) -> None:
    for name, table in (("columns", pa.table({})), ("rows", pa.table({"doc": pa.array([], pa.string())}))):
        path, size = write(tmp_path / f"no {name}.parquet", table)
        assert read_footer(path, size)[0].num_rows == 0
