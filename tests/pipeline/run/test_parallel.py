"""An engine of two ranks: vLLM's tensor parallelism on CPU, where each rank is a process beside the actor's."""

import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import psutil
import pytest

from actors.rerankers.contract import Prompt
from actors.worker.actor import Scorer
from actors.worker.failures import Result
from tests import tiny
from tests.pipeline.conftest import Run, pairs, ranked, write

ENGINE = {"dtype": "float32", "enforce_eager": True, "max_model_len": 512}


class TwoRanks(Scorer):
    """Tells the processes of its ranks, and is killed in the midst of its second unit."""

    FOLDER: ClassVar[Path]

    def __init__(self, **settings: Any):
        os.environ["VLLM_CPU_OMP_THREADS_BIND"] = "nobind"  # its own choice is a NUMA node for each rank
        super().__init__(**settings)
        ranks = [child.pid for child in psutil.Process().children(recursive=True)]
        (self.FOLDER / f"{os.getpid()}").write_text(" ".join(map(str, ranks)))

    async def score_prompts(self, prompts: Sequence[Prompt]) -> Result:
        result = await super().score_prompts(prompts)
        if len(list(self.FOLDER.iterdir())) == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return result


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_two_ranks_score_as_one_does_and_die_with_their_actor(run_on_ray: Run, tmp_path: Path) -> None:
    reranker = {"type": "lb", "model": tiny.qwen2(tmp_path / "model")}
    path = write(pairs(60), tmp_path / "in", 1)
    shared: dict[str, Any] = {"reranker": reranker, "run": {"unit_rows": 20}}
    run_on_ray(path, "one", Scorer, engine=ENGINE, **shared)

    class TwoRanksHere(TwoRanks):
        FOLDER = tmp_path / "ranks"

    TwoRanksHere.FOLDER.mkdir()
    run_on_ray(path, "two", TwoRanksHere, engine=ENGINE | {"tensor_parallel_size": 2}, **shared)
    first, second = ([int(rank) for rank in file.read_text().split()] for file in TwoRanksHere.FOLDER.iterdir())
    assert len(first) >= 2 and len(second) >= 2
    until = time.monotonic() + 60
    while any(map(psutil.pid_exists, first + second)) and time.monotonic() < until:
        time.sleep(0.1)
    assert not [rank for rank in first + second if psutil.pid_exists(rank)]

    keys = [("query_id", "ascending"), ("doc_id", "ascending")]
    one, two = (ranked(str(tmp_path / name)).sort_by(keys) for name in ("one", "two"))
    scores = [np.array(table["rerank_score"].to_pylist(), dtype=float) for table in (one, two)]
    np.testing.assert_allclose(scores[1], scores[0], rtol=0, atol=1e-4)
    assert np.nanstd(scores[0]) > 0.01
