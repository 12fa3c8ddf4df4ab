"""A result of one bucket that needs no scores is made by the driver alone: no Ray, no tokenizer, no engine."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.conftest import ROOT
from tests.pipeline.run.stores import A, B, Place

COMMAND = """
import json, runpy, sys
sys.argv = ["jobs/rerank.py", *sys.argv[1:]]
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
except SystemExit as end:
    code = end.code
heavy = {"ray", "torch", "transformers", "vllm"}  # the third loads tokenizers
print(json.dumps([code, sorted(heavy & {name.partition(".")[0] for name in sys.modules})]))
"""


@pytest.mark.parametrize("overrides", [["fusion.alpha=0.9"], []], ids=["other fusion", "the same command"])
def test_it_starts_neither_ray_nor_a_tokenizer(overrides: list[str], local: Place, tmp_path: Path, minilm: str) -> None:
    config = {
        "input": {"path": local.input.url},
        "reranker": {"type": "bi_encoder", "model": minilm},
        "engine": {"dtype": "float32", "enforce_eager": True, "max_model_len": 256, "load_format": "dummy"},
        "output": {"path": f"{local.root}/out"},
        "run": {"max_failed": 0.1},
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    local.put(a=A, b=B)
    local.run()
    before = local.ranked()
    command = [sys.executable, "-c", COMMAND, str(tmp_path / "config.yaml"), *overrides]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[0, []]", done.stderr
    assert local.ranked().equals(before) == (not overrides)
    local.run("fresh", fusion={"alpha": 0.9 if overrides else 0.2})
    assert local.ranked().equals(local.ranked("fresh"))
