"""The commands of README.md and docs/, run as they stand there, in a folder like their reader's."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.conftest import ROOT

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(?:\w*)\n(.*?)^```", re.M | re.S)
TOOLS = r"(?:[A-Z]+=\S+ )?(?:\.venv/bin/)?(?:make|python|pip|ray|apt-get|kubectl|helm|docker|airflow|npm)"
COMMAND = re.compile(rf"(?:\$ )?({TOOLS} .*)")
# Those that are not run here, and the test that runs them, or why none does.
ELSEWHERE = {
    "make demo": "tests/jobs/test_demo_main.py",
    "make test": "this is it",
    "ray job submit": "tests/jobs/test_rerank_submit.py",
    "python -m venv": "needs a GPU machine's packages",
    "apt-get": "changes the machine",
    "SCREENSHOTS=": "tests/pipeline/evaluate/test_report_browser.py",
    ".venv/bin/python -m pytest": "they are tests",
    ".venv/bin/pip install 'mteb": "tests/pipeline/test_mteb.py",
    "helm": "there is no Kubernetes here; tests/test_clusters.py checks the files",
    "kubectl": "there is no Kubernetes here; tests/test_clusters.py checks the files",
    "docker": "there is no Docker here",
    "airflow": "there is no Airflow in .venv; tests/jobs/dags/ has one of its own",
}
QUERIES = {"q1": "how long do I bake bread", "q2": "what is the capital of France", "q3": "where do rivers end"}
DOCS = {"d1": "Bake it for an hour.", "d2": "The capital of France is Paris.", "d3": "Rivers flow to the sea."}
RELEVANT = {"q1": "d1", "q2": "d2", "q3": "d3"}


def commands(page: Path) -> list[str]:
    """The commands in a page's blocks of code, without what a comment says of them."""
    blocks = (block[1].replace("\\\n", " ") for block in BLOCK.finditer(page.read_text()))
    lines = (re.split(r"\s+#\s", line)[0].strip() for block in blocks for line in block.splitlines())
    return [" ".join(found[1].split()) for line in lines if (found := COMMAND.fullmatch(line))]


def elsewhere(command: str) -> str | None:
    return next((where for start, where in ELSEWHERE.items() if command.startswith(start)), None)


def test_what_is_run_elsewhere_stands_in_the_docs_and_there_is_such_a_test() -> None:
    everything = [command for page in PAGES for command in commands(page)]
    for start, where in ELSEWHERE.items():
        assert any(command.startswith(start) for command in everything), start
        assert " " in where or (ROOT / where).exists(), where


def test_files_that_the_docs_lead_to_are_there() -> None:
    for page in PAGES:
        for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
            assert (page.parent / link).exists(), f"{page.name}: {link}"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, minilm: str, s3_server: str) -> Iterator[Path]:
    """A checkout that was set up, with a BEIR folder, a run, pairs, what `make demo` leaves, and results on S3."""
    place = tmp_path_factory.mktemp("reader")
    for name in (".venv", "actors", "pipeline", "jobs", "tests"):
        (place / name).symlink_to(ROOT / name)
    shutil.copytree(ROOT / "configs", place / "configs")
    pairs = [
        {"qid": q, "query": query, "docid": d, "doc": doc, "score": float(i)}
        for q, query in QUERIES.items()
        for i, (d, doc) in enumerate(DOCS.items())
    ]
    table = pa.Table.from_pylist(pairs)
    (place / "data").mkdir()
    (place / "demo").mkdir()
    pq.write_table(table, place / "data" / "pairs")
    pq.write_table(table.rename_columns(["query_id", "query", "doc_id", "doc", "score"]), place / "demo/pairs.parquet")
    (place / "demo" / "model").symlink_to(minilm)
    beir = place / "scifact"
    (beir / "qrels").mkdir(parents=True)
    corpus = [{"_id": d, "title": f"About {d}", "text": doc} for d, doc in DOCS.items()]
    queries = [{"_id": q, "text": query} for q, query in QUERIES.items()]
    for name, rows in (("corpus", corpus), ("queries", queries)):
        (beir / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    qrels = "query-id\tcorpus-id\tscore\n" + "".join(f"{q}\t{d}\t1\n" for q, d in RELEVANT.items())
    for name in ("scifact/qrels/test.tsv", "demo/qrels.tsv", "qrels.tsv"):
        (place / name).write_text(qrels)
    lines = (f"{q} Q0 {d} {3 - i} {i} bm25\n" for q in QUERIES for i, d in enumerate(DOCS))
    (place / "bm25.trec").write_text("".join(lines))
    run(place, "python jobs/rerank.py configs/demo.yaml")
    for name in ("minilm", "lb", "erank", "ranked"):
        fsspec.filesystem("s3").put(f"{place}/demo/output/", f"bucket/{name}/", recursive=True)
    yield place


def run(place: Path, command: str) -> None:
    """Runs a command in the reader's folder, whose /data is its own."""
    command = command.replace("/data/", f"{place}/data/")
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-c", command], cwd=place, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_commands_of_a_page_run_one_after_the_other(page: Path, place: Path, tmp_path: Path) -> None:
    own = shutil.copytree(place, tmp_path / "reader", symlinks=True)
    for command in commands(page):
        if not elsewhere(command):
            run(own, command)
