"""Input from a web server: files, folders and globs; and servers that say or send less than is needed."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.check.preflight import check
from pipeline.check.survey import survey
from pipeline.config import Config
from pipeline.errors import UsageError
from pipeline.input.footers import count_rows, read_first_file
from pipeline.input.listing import list_inputs, read_listing
from tests.http_server import serve_folder

FILES = ["in/a.parquet", "in/b.parquet", "in/sub/c.parquet", "in/d.parq", "in/e"]
ROWS = 3000  # of texts that do not compress: more than the end of a file in which a footer is looked for


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[[str], str]]:
    """Starts a server of FILES and gives its URL."""
    rng = np.random.default_rng(17)
    for number, name in enumerate(FILES):
        (tmp_path / "www" / name).parent.mkdir(parents=True, exist_ok=True)
        docs = [rng.bytes(20).hex() for _ in range(ROWS)]
        table = pa.table({"query": [f"q{number}"] * ROWS, "doc": docs, "score": rng.random(ROWS)})
        pq.write_table(table, tmp_path / "www" / name)
    with serve_folder(tmp_path / "www") as start:
        yield start


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("in/a.parquet", FILES[:1]),
        ("in/d.parq", ["in/d.parq"]),
        ("in/e", ["in/e"]),
        ("in", FILES[:3]),
        ("in/", FILES[:3]),
        ("in/*.parquet", FILES[:2]),
        ("in/**/*.parquet", FILES[:3]),
        ("in/*/*.parquet", FILES[2:3]),
        ("in/s*", FILES[2:3]),
        ("in/*.parq", ["in/d.parq"]),
    ],
)
def test_a_path_means_these_files(asked: str, found: list[str], serve: Callable[[str], str], tmp_path: Path) -> None:
    url = serve("ranges")
    files = list_inputs([f"{url}/{asked}"])
    assert [file.path for file in files] == [f"{url}/{name}" for name in found]
    assert [file.size for file in files] == [(tmp_path / "www" / name).stat().st_size for name in found]


def test_a_query_behind_a_name_is_no_glob(serve: Callable[[str], str]) -> None:
    url = f"{serve('ranges')}/in/a.parquet?part=1"
    assert [file.path for file in list_inputs([url])] == [url]


def test_what_is_passed_over_is_counted(serve: Callable[[str], str]) -> None:
    url = serve("ranges")
    assert read_listing([f"{url}/in"]).passed_over == {f"{url}/in/*.parq": 1, f"{url}/in/*": 1}


def test_a_server_that_sends_ranges_is_read(serve: Callable[[str], str], make_config: Callable[..., Config]) -> None:
    checked = check(make_config(f"{serve('ranges')}/in/*.parquet"))
    first = read_first_file(checked.config, checked.files)
    assert count_rows(checked.config, checked.files, first) == [ROWS, ROWS]


@pytest.mark.parametrize("look", [check, survey])
@pytest.mark.parametrize("asked", ["in", "in/*.parquet", "in/sub/c.parquet"])
def test_a_server_that_ignores_ranges_is_found_out_at_once(
    asked: str, look: Callable, serve: Callable[[str], str], make_config: Callable[..., Config]
) -> None:
    with pytest.raises(UsageError, match=r"^http://\S+\.parquet: the server sends the whole file where a"):
        look(make_config(f"{serve('whole')}/{asked}"))


@pytest.mark.parametrize("asked", ["in", "in/*.parquet", "in/a.parquet"])
def test_a_server_that_says_no_size_is_named(asked: str, serve: Callable[[str], str]) -> None:
    with pytest.raises(UsageError, match=r"^http://\S+/in/a\.parquet: the server does not say how large it is"):
        list_inputs([f"{serve('sizeless')}/{asked}"])
