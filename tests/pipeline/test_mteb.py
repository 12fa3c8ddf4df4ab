"""A reranker as MTEB's cross-encoder: what it is given, what it gives back, and a whole task in MTEB itself."""

import json
import os
import random
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path
from typing import Any

import ir_measures
import numpy as np
import pyarrow as pa
import pytest
import yaml
from ir_measures import Qrel, ScoredDoc, nDCG

import pipeline.mteb
from actors.engines import ENGINES
from actors.engines.contract import Installed
from jobs.demo import corpus, prepare
from pipeline import rerank
from pipeline.errors import UsageError
from pipeline.mteb import Reranker
from tests.conftest import ROOT

MTEB = "mteb==2.26.24"
DEMO = str(ROOT / "configs" / "demo.yaml")


def batches(size: int, **columns: list[str]) -> list[dict[str, Any]]:
    """Rows as MTEB's loaders bring them."""
    rows = len(columns["text"])
    return [{name: c[i : i + size] for name, c in columns.items()} for i in range(0, rows, size)]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[pa.Table, dict[str, Any]]]:
    """The pairs that `predict` has re-ranked. In place of an engine's, a pair's score is the length of its texts, and
    none without a text."""
    seen = []

    def stand_in(table: pa.Table, config: dict[str, Any]) -> pa.Table:
        seen.append((table, config))
        rows = [
            {"doc_id": row["doc_id"], "rerank_score": float(len(row["query"] + row["doc"])) if row["doc"] else None}
            for row in table.to_pylist()
        ]
        return pa.Table.from_pylist(rows[::-1])  # a ranking has an order of its own

    monkeypatch.setattr(pipeline.mteb, "rerank", stand_in)
    return seen


def test_scores_come_in_the_pairs_order_and_a_pair_without_one_is_last(
    asked: list[tuple[pa.Table, dict[str, Any]]],
) -> None:
    queries = ["copy", "sleep", "copy", "sleep", "copy"]
    docs = ["copies it", "waits", "copies it", "", "a"]  # a pair that is there twice, and one without a text
    scores = Reranker(DEMO).predict(batches(2, text=queries), batches(3, text=docs), task_metadata=None, batch_size=2)
    assert scores.tolist() == [4 + 9, 5 + 5, 4 + 9, -np.inf, 4 + 1]
    ((table, _),) = asked  # all pairs at once: one start of the engine
    assert table["query"].to_pylist() == queries and table["doc"].to_pylist() == docs
    assert len(set(table["doc_id"].to_pylist())) == 5  # else the second of two equal pairs were a reject


QUERIES = batches(1, text=["what? In law.", "who?"], query=["what?", "who?"], instruction=["In law.", ""])
DOCS_TEXT = ["Title Body", "Text"]
DOCS = batches(2, text=DOCS_TEXT, body=["Body", "Text"])


@pytest.mark.parametrize(
    ("kind", "query", "instruction"),
    [
        ("qwen3", ["what?", "who?"], ["In law.", None]),  # has a place for an instruction
        ("lb", ["what? In law.", "who?"], None),  # has none: it reads both in one, as MTEB puts them together
    ],
)
def test_a_task_s_instructions_go_where_the_reranker_takes_them(
    asked: list[tuple[pa.Table, dict[str, Any]]],
    tmp_path: Path,
    kind: str,
    query: list[str],
    instruction: list[str | None] | None,
) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump({"reranker": {"type": kind, "model": "a/b"}, "fusion": {"alpha": 0.9}}))
    assert Reranker(str(path), "output.top_k=1").predict(QUERIES, DOCS).tolist() == [
        len(q) + len(d) for q, d in zip(query, DOCS_TEXT, strict=True)
    ]
    ((table, config),) = asked
    assert table["query"].to_pylist() == query and table["doc"].to_pylist() == DOCS_TEXT
    assert (table["instruction"].to_pylist() if instruction else None) == instruction
    assert ("instruction" in table.column_names) == ("instruction" in config["input"]["columns"]) == bool(instruction)
    assert config["fusion"] == {"method": "none"} and config["output"] == {}


def test_a_task_without_pairs_has_no_scores(asked: list[tuple[pa.Table, dict[str, Any]]]) -> None:
    assert Reranker(DEMO).predict([], []).tolist() == [] and asked == []


def test_mteb_s_cache_knows_what_changes_a_score_from_what_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """MTEB makes a folder's name of the kwargs, by a rule that looks into dicts, so they are compared as they are."""
    plain = Reranker(DEMO).experiment_kwargs
    assert Reranker(DEMO, "engine.gpu_memory_utilization=0.5", "workers.count=2").experiment_kwargs == plain
    others = ["engine.quantization=fp8", "engine.dtype=bfloat16", "run.deterministic=true", "reranker.max_doc_tokens=8"]
    for other in others:
        assert Reranker(DEMO, other).experiment_kwargs != plain
    json.dumps(plain)
    monkeypatch.setattr(ENGINES["vllm"], "installed", lambda: Installed("99.1.2", True))
    assert Reranker(DEMO).experiment_kwargs == plain | {"engine_version": "99.1"} != plain


def test_a_wrong_config_is_said_at_once() -> None:
    with pytest.raises(UsageError, match=r"reranker\.max_doc_tokens = 0"):
        Reranker(DEMO, "reranker.max_doc_tokens=0")
    with pytest.raises(UsageError, match=r"reranker\.type = 'first': starts from a ranking"):
        Reranker(str(ROOT / "configs" / "first-mistral.yaml"))


@pytest.fixture(scope="module")
def with_mteb() -> str:
    """A Python that has MTEB over what this one has; made once, in build/mteb."""
    folder = ROOT / "build" / "mteb"
    python = folder / "bin" / "python"
    if not (folder / "installed").exists():
        venv.create(folder, clear=True, with_pip=True)
        site = folder / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
        (site / "ours.pth").write_text(sysconfig.get_path("purelib"))
        subprocess.run([python, "-m", "pip", "install", "-q", MTEB], check=True)
        (folder / "installed").touch()
    return str(python)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_mteb_s_main_score_is_that_of_the_job_s_own_ranking(with_mteb: str, minilm: str, tmp_path: Path) -> None:
    """Twelve of the demo's questions, their answers and sixteen docstrings drawn at random; the real MiniLM."""
    questions = yaml.safe_load(prepare.QUESTIONS.read_text())[:12]
    texts = corpus.collect_documents()
    qrels: dict[str, dict[str, int]] = {}
    for query, doc, grade in prepare.list_judgements(questions, texts):
        qrels.setdefault(query, {})[doc] = grade
    draw = random.Random(7)
    ranked = {q["id"]: sorted({*qrels[q["id"]], *draw.sample(sorted(texts), 16)}) for q in questions}
    used = {doc: texts[doc] for docs in ranked.values() for doc in docs}
    used[ranked[questions[0]["id"]][0]] = ""  # has no score, and comes last
    queries = {q["id"]: q["query"] for q in questions}
    task = {"queries": queries, "corpus": used, "qrels": qrels, "top_ranked": ranked}
    (tmp_path / "task.json").write_text(json.dumps(task))

    command = [with_mteb, "-m", "tests.pipeline.mteb_task", str(tmp_path / "task.json"), minilm]
    subprocess.run([*command, str(tmp_path / "result.json")], check=True, cwd=ROOT, env=os.environ | _offline(tmp_path))
    result = json.loads((tmp_path / "result.json").read_text())

    pairs = [
        {"query_id": q, "query": queries[q], "doc_id": doc, "doc": used[doc], "score": 0.0}
        for q, docs in ranked.items()
        for doc in docs
    ]
    overrides = [f"reranker.model={minilm}", "run.max_failed=0.1", "fusion.method=none"]
    own = rerank(pa.Table.from_pylist(pairs), DEMO, *overrides)
    run = [ScoredDoc(row["query_id"], row["doc_id"], -row["rank"]) for row in own.to_pylist()]
    judged = [Qrel(query, doc, grade) for query, docs in qrels.items() for doc, grade in docs.items()]
    expected = ir_measures.calc_aggregate([nDCG @ 10], judged, run)[nDCG @ 10]
    assert 0.3 < expected < 0.99  # neither luck nor a task without a wrong answer
    assert result["scores"]["main_score"] == pytest.approx(expected, abs=1e-5)  # MTEB rounds to five digits
    assert result["name"] == minilm


def _offline(place: Path) -> dict[str, str]:
    return {"HF_HUB_OFFLINE": "1", "HF_HOME": str(place), "MTEB_CACHE": str(place)}
