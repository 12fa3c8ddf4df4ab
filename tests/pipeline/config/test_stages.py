"""Configs of several stages: the one line that a wrong one gets, and each stage as a config of its own."""

from pathlib import Path

import pytest

from pipeline.config import load
from pipeline.config.stages import list_positions, make_stage_config
from tests.pipeline.config.conftest import assert_refused

STAGES = """
input: {path: pairs.parquet}
output: {path: out}
stages:
- {name: fast, reranker: {type: bi_encoder, model: small/model}, top_k: 100}
- {name: best, reranker: {type: lb, model: large/model}, engine: {dtype: float32}, fusion: {alpha: 0.1}}
"""

# Overrides of that config, and what the line must contain.
WRONG_STAGES = [
    ("fusion.alpha=0.3", "fusion = {'alpha': 0.3}: stands beside `stages`, each of which has its own"),
    ("engine.dtype=float32", "engine = {'dtype': 'float32'}: stands beside `stages`"),
    ("stages.fast.top_k=", "stages.fast.top_k: missing; how many candidates go on"),
    ("stages.fast.top_k=0", "stages.fast.top_k = 0: Input should be greater than or equal to 1"),
    ("stages.best.top_k=10", "stages.best.top_k = 10: no stage follows; use output.top_k"),
    ("stages.best.name=fast", "stages: 'fast' is the name of two"),
    ("stages.best.name=a/b", "stages.a/b.name = 'a/b': String should match pattern"),
    ("stages.best.name=", "stages.1.name = None: Input should be a valid string"),
    ("stages.best.topk=3", "stages.best.topk = 3: unknown key; is stages.best.top_k meant?"),
    ("stages.best.fusion.alpa=3", "stages.best.fusion.alpa = 3: unknown key; is stages.best.fusion.alpha meant?"),
    ("stages.fast.fusion.alpha=3", "stages.fast.fusion.alpha = 3: Input should be less than or equal to 1"),
    ("stages.best.reranker.type=bm25", "stages.best.reranker.type = 'bm25': unknown; known rerankers are"),
    ("stages.best.engine.model=x", "stages.best.engine.model = 'x': is set by the reranker section"),
    (
        "stages.best.workers.num_gpus=0.5 stages.best.engine.tensor_parallel_size=2",
        "stages.best.workers.num_gpus = 0",
    ),
    ("stages.first.top_k=3", "stages.first: there is no such stage; stages are fast, best"),
    ("stages=3", "stages = 3: Input should be a valid list"),
    ("stages=[fast]", "stages.0 = 'fast': Input should be a valid dictionary"),
    ("stages=[]", "reranker: missing"),
    ("input.columns.instruction=i", "reranker.type = 'bi_encoder' of stage 'fast' takes no instruction"),
    ("output.columns=[stage]", "output.columns: 'stage' is a column that a result with stages has already"),
    ("stages.best.fusion.alpha=2 stages.fast.fusion.k=0", "(and 1 more)"),
]


@pytest.mark.parametrize("overrides, line", WRONG_STAGES, ids=[overrides for overrides, _ in WRONG_STAGES])
def test_a_wrong_stage_is_one_line_that_names_it(tmp_path: Path, overrides: str, line: str) -> None:
    path = tmp_path / "stages.yaml"
    path.write_text(STAGES)
    assert_refused(str(path), overrides, line)


def test_each_stage_is_a_run_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "stages.yaml"
    path.write_text(STAGES)
    config = load(str(path), ["stages.fast.fusion.alpha=0.7", "output.columns=[lang]", "input.columns.doc=text"])
    first, last = map(make_stage_config, list_positions(config))
    assert (first.reranker.model, first.fusion.alpha, first.engine) == ("small/model", 0.7, {})
    assert (last.reranker.model, last.fusion.alpha, last.engine) == ("large/model", 0.1, {"dtype": "float32"})
    assert (first.input, first.output.path, first.output.top_k) == (config.input, "out/stages/fast", 100)
    assert first.output.columns == ["lang", "query", "doc"]
    assert (last.input.path, last.output.path, last.output.top_k) == (["out/stages/fast/ranked"], "out", None)
    assert last.input.columns == {"query": "query", "doc": "doc", "score": "given_score"}
    assert last.output.columns == ["lang", "first_stage_score"]
