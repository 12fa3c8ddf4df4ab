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


def test_a_file_without_columns_or_row_groups_has_a_footer(tmp_path: Path) -> None:
    for name, table in (("columns", pa.table({})), ("rows", pa.table({"doc": pa.array([], pa.string())}))):
        path, size = write(tmp_path / f"no {name}.parquet", table)
        assert read_footer(path, size)[0].num_rows == 0
