"""Runs, queries and a corpus from a web server: files, folders, globs, and a server that ignores Range."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pipeline.cluster.in_process import InProcess
from pipeline.errors import UsageError
from pipeline.prepare.run import Arguments, prepare
from tests.http_server import serve_folder

FILES = {
    "runs/a.trec": "q1 Q0 d1 1 2 t\nq2 Q0 d2 1 2 t\n",
    "runs/b.trec.gz": "q1 Q0 d2 2 1 t\n",
    "queries.tsv": "q1\tone\nq2\ttwo\n",
    "beir/queries.jsonl": '{"_id": "q1", "text": "one"}\n{"_id": "q2", "text": "two"}\n',
    "beir/corpus.jsonl": "".join(f'{{"_id": "d{i}", "text": "text {i}"}}\n' for i in range(3000)),
    "beir/corpus.parquet": "",
}


@pytest.fixture
def serve(write: Callable[..., str], write_pairs: Callable[..., str], tmp_path: Path) -> Iterator[Callable[[str], str]]:
    for name, text in FILES.items():
        write(f"www/{name}", text)
    write_pairs("www/beir/corpus.parquet", doc_id=["d1", "d2"], doc=["text 1", "text 2"])
    with serve_folder(tmp_path / "www") as start:
        yield start


PATHS = {
    "files": ("runs/a.trec", "queries.tsv", "beir/corpus.jsonl", 2),
    "a folder": ("runs/", "queries.tsv", "beir/corpus.jsonl", 3),
    "globs": ("runs/*.trec", "beir/q*.jsonl", "beir/c*.jsonl", 2),
    "compressed": ("runs/b.trec.gz", "queries.tsv", "beir/corpus.jsonl", 1),
    "Parquet": ("runs", "queries.tsv", "beir/corpus.parquet", 3),
}


def made(url: str, case: str, output: Path) -> dict:
    *paths, _ = PATHS[case]
    run, queries, corpus = ([f"{url}/{path}"] for path in paths)
    return prepare(Arguments(run, queries, corpus, str(output)), cluster=InProcess())


@pytest.mark.parametrize("case", PATHS)
def test_what_a_web_server_has_is_read(case: str, serve: Callable[[str], str], tmp_path: Path) -> None:
    figures = made(serve("ranges"), case, tmp_path / "pairs")
    assert (figures["pairs"], figures["unknown_docs"]) == (PATHS[case][-1], 0)
    rows = pq.read_table(tmp_path / "pairs").to_pylist()
    assert {row["doc"] for row in rows} <= {"text 1", "text 2"}


@pytest.mark.parametrize("case", PATHS)
@pytest.mark.parametrize(
    "kind, says", [("whole", "sends the whole file where a part"), ("sizeless", "does not say how large it is")]
)
def test_a_server_that_cannot_be_used_is_named_before_anything_is_written(
    kind: str, says: str, case: str, serve: Callable[[str], str], tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=rf"^http://\S+: the server {says}"):
        made(serve(kind), case, tmp_path / "pairs")
    assert not (tmp_path / "pairs").exists()
