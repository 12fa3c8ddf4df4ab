"""A reranker as a cross-encoder of MTEB, so that `mteb.evaluate` scores its tasks by the job's own code.

MTEB (2.26) hands over all pairs of a task in one call, so a task is one run, and one start of the engine.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from actors.engines import get_engine
from actors.rerankers import RERANKERS
from pipeline.check.fingerprint import describe_engine, read_minor_version
from pipeline.config import load
from pipeline.errors import UsageError
from pipeline.table import rerank

Batches = Iterable[Mapping[str, Any]]  # what MTEB's loaders yield: column -> list of values


class Reranker:
    """Fulfils mteb.models.CrossEncoderProtocol.

    config: the path of a YAML file; overrides: `dotted.key=value`. Its input, output and fusion are ignored: MTEB
    brings the pairs, and ranks by the reranker's score alone. Raises UsageError as the job does.
    """

    def __init__(self, config: str, *overrides: str):
        self._config = load(config, [*overrides, "input.path=unused", "input.table=null", "output.path=unused"])
        if self._config.stages:
            raise UsageError(f"stages = {[stage.name for stage in self._config.stages]}: MTEB measures one reranker")
        if RERANKERS[self._config.reranker.type].whole_query:
            raise UsageError(
                f"reranker.type = {self._config.reranker.type!r}: starts from a ranking of each query's candidates, "
                "and MTEB hands over pairs without one"
            )

    @property
    def mteb_model_meta(self) -> Any:
        """The keys of MTEB's results: the model's name and revision, and `experiment_kwargs`."""
        from mteb.models import ModelMeta

        reranker = self._config.reranker
        name = reranker.model if "/" in reranker.model else f"local/{reranker.model}"
        return ModelMeta.create_empty(
            {
                "name": name,
                "revision": reranker.revision or "no_revision_available",
                "model_type": ["cross-encoder"],
                "use_instructions": reranker.takes_instruction,
                "experiment_kwargs": self.experiment_kwargs,
            }
        )

    @property
    def experiment_kwargs(self) -> dict[str, Any]:
        """The reranker's settings, and the engine's arguments that change a score: MTEB takes a result from its
        cache if these and the model's name and revision are the same."""
        return (
            self._config.reranker.model_dump(mode="json", exclude={"model", "revision"})
            | describe_engine(self._config)
            | {"engine_version": read_minor_version(get_engine(self._config.engine).installed().version)}
        )

    def predict(self, inputs1: Batches, inputs2: Batches, **about: Any) -> np.ndarray:
        """The reranker's score of each pair, as float64 in the pairs' order; -inf where it has none, and so last.

        inputs1: queries in batches, with `text`, and `query` and `instruction` where the task has instructions;
        inputs2: as many documents, with `text` (title in front). about: the task, which is ignored.
        Raises TooManyFailed where more pairs than `run.max_failed` have no score, and RunError as the job does.
        """
        instructed = self._config.reranker.takes_instruction
        queries: dict[str, list[str | None]] = {"query": [], "instruction": []}
        for batch in inputs1:
            apart = instructed and "instruction" in batch
            queries["query"] += batch["query" if apart else "text"]  # `text` is both in one
            given = batch["instruction"] if apart else [None] * len(batch["text"])
            queries["instruction"] += [text or None for text in given]  # where there is none, the config's is taken
        docs = [text for batch in inputs2 for text in batch["text"]]
        if not docs:
            return np.empty(0)
        pairs = {
            "query": queries["query"],
            "doc_id": [str(row) for row in range(len(docs))],  # equal texts are pairs of their own here
            "doc": docs,
            "score": np.zeros(len(docs)),
        }
        columns = {"doc_id": "doc_id"}
        if any(queries["instruction"]):
            pairs["instruction"] = queries["instruction"]
            columns["instruction"] = "instruction"
        ranked = rerank(pa.table(pairs), self._run(columns))
        scores = np.full(len(docs), -np.inf)
        rows = np.array(ranked["doc_id"].to_pylist(), dtype=np.int64)
        scores[rows] = ranked["rerank_score"].fill_null(-np.inf).to_numpy()
        return scores

    def _run(self, columns: dict[str, str]) -> dict[str, Any]:
        """The config of one task's run: all pairs are ranked, by the reranker alone."""
        config = self._config.model_dump(mode="json")
        return config | {"input": {"columns": columns}, "fusion": {"method": "none"}, "output": {}}
