"""A reranking task of MTEB made of a local file, and our reranker on it. Runs where MTEB is installed:

python -m tests.pipeline.mteb_task TASK.json MODEL RESULT.json
"""

import json
import sys
from pathlib import Path
from typing import Any

import mteb
from datasets import Dataset
from mteb.abstasks.retrieval import AbsTaskRetrieval
from mteb.abstasks.retrieval_dataset_loaders import RetrievalSplitData
from mteb.abstasks.task_metadata import TaskMetadata

from pipeline.mteb import Reranker
from tests.conftest import ROOT


class LocalReranking(AbsTaskRetrieval):
    """The content of TASK.json: queries and corpus (id -> text), qrels (query -> document -> grade), top_ranked."""

    metadata = TaskMetadata(
        type="Reranking",
        name="LocalReranking",
        main_score="ndcg_at_10",
        description="Questions about Python's standard library, and docstrings.",
        dataset={"path": "local", "revision": "1"},
        eval_splits=["test"],
        eval_langs=["eng-Latn"],
    )

    def load_data(self, *unused: Any, **also_unused: Any) -> None:
        task = json.loads(Path(sys.argv[1]).read_text())
        split = RetrievalSplitData(
            queries=_texts(task["queries"]),
            corpus=_texts(task["corpus"]),
            relevant_docs=task["qrels"],
            top_ranked=task["top_ranked"],
        )
        self.dataset = {"default": {"test": split}}
        self.data_loaded = True


def _texts(texts: dict[str, str]) -> Dataset:
    return Dataset.from_list([{"id": name, "text": text} for name, text in texts.items()])


if __name__ == "__main__":
    model = Reranker(str(ROOT / "configs" / "demo.yaml"), f"reranker.model={sys.argv[2]}", "run.max_failed=0.1")
    (result,) = mteb.evaluate(model, LocalReranking(), cache=None, co2_tracker=False).task_results
    Path(sys.argv[3]).write_text(json.dumps({"name": model.mteb_model_meta.name, "scores": result.scores["test"][0]}))
