"""Input from a web server: files, folders and globs; and servers that say or send less than is needed."""

import re
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.check.preflight import check, survey
from pipeline.config import Config
from pipeline.errors import UsageError
from pipeline.input.footers import count_rows, read_first_file
from pipeline.input.listing import list_inputs, read_listing

FILES = ["in/a.parquet", "in/b.parquet", "in/sub/c.parquet", "in/d.parq", "in/e"]
ROWS = 3000  # of texts that do not compress: more than the end of a file in which a footer is looked for


class Server(SimpleHTTPRequestHandler):
    """Lists folders and sends files. kind: `ranges`, `whole` (ignores Range), or `sizeless` (nor says a length)."""

    def __init__(self, *more: object, kind: str, directory: str):
        self.kind = kind
        super().__init__(*more, directory=directory)  # type: ignore[arg-type]

    def log_message(self, *unused: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET() if self.kind == "sizeless" else super().do_HEAD()

    def do_GET(self) -> None:
        path = Path(self.translate_path(self.path))
        wanted = re.match(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        if not path.is_file() or self.kind == "whole" or (self.kind == "ranges" and not wanted):
            super().do_GET()
            return
        data = path.read_bytes()
        if wanted and self.kind == "ranges":
            start, stop = int(wanted[1]), int(wanted[2]) + 1
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{len(data)}")
            data = data[start:stop]
            self.send_header("Content-Length", str(len(data)))
        else:
            self.send_response(200)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data)


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[[str], str]]:
    """Starts a server of FILES and gives its URL."""
    rng = np.random.default_rng(17)
    for number, name in enumerate(FILES):
        (tmp_path / "www" / name).parent.mkdir(parents=True, exist_ok=True)
        docs = [rng.bytes(20).hex() for _ in range(ROWS)]
        table = pa.table({"query": [f"q{number}"] * ROWS, "doc": docs, "score": rng.random(ROWS)})
        pq.write_table(table, tmp_path / "www" / name)
    servers = []

    def start(kind: str) -> str:
        handler = partial(Server, kind=kind, directory=str(tmp_path / "www"))
        servers.append(ThreadingHTTPServer(("127.0.0.1", 0), handler))
        threading.Thread(target=servers[-1].serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{servers[-1].server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


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
