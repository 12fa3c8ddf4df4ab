"""How vLLM is asked for each kind of request and how its outputs are read, recorded in numbers.json by version.

    python -m tests.actors.engines.vllm.numbers

records what the file lacks; what it holds stays. vLLM itself is not imported. So these are not seen: our own models in
actors/engines/vllm/models/, which are code of vLLM's, and which of them is registered.
"""

import json
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import numpy as np

from actors.engines import ENGINES
from actors.engines.contract import EngineRequest, Installed
from actors.engines.vllm.engine import Engine
from actors.rerankers.contract import Request
from actors.rerankers.settings import Settings
from tests.actors.rerankers.byte_tokenizer import save_byte_tokenizer

FILE = Path(__file__).with_name("numbers.json")
COMMAND = "python -m tests.actors.engines.vllm.numbers"
LABELS, LABEL_IDS = ("1", "0"), [16, 15]
KINDS = {
    "one token": Request("generate", labels=LABELS),
    "one token, logits": Request("generate", labels=LABELS, logits=True),
    "label head": Request("classify", labels=LABELS, logits=True),
    "writing": Request("generate", max_tokens=100, labels=LABELS, stop=("</answer>",), spare=16),
    "likelihood": Request("likelihood"),
    "embed": Request("embed"),
    "classify": Request("classify"),
}
GIVEN = {"dtype": "float32", "max_model_len": 256, "hf_overrides": {"rope": 1}}  # the config's section `engine`


def compute_numbers(kind: str, model: str) -> dict[str, Any]:
    """The settings that decide the numbers of a kind of request. model: a folder with a config and a tokenizer."""
    request = KINDS[kind]
    label_ids = LABEL_IDS if request.labels else []
    record = {
        "CUDA": compute_arguments(model, request, label_ids, cpu=False, one_by_one=False),
        "CPU": compute_arguments(model, request, label_ids, cpu=True, one_by_one=False),
        "CPU, one by one": compute_arguments(model, request, label_ids, cpu=True, one_by_one=True),
        "asked": [ask(request, label_ids, max_tokens) for max_tokens in sorted({1, request.max_tokens})],
        "read": [read(request, label_ids, max_tokens) for max_tokens in sorted({1, request.max_tokens})],
    }
    return json.loads(json.dumps(record))


def compute_arguments(model: str, request: Request, label_ids: list[int], cpu: bool, one_by_one: bool) -> Any:
    """The engine's arguments that change a score: all of them where the last digit counts."""
    from actors.engines.vllm import arguments

    with (
        patch.object(arguments, "installed", lambda: Installed("1.2.3", cpu)),
        patch.object(arguments, "register", lambda *given: None),
    ):
        settings = Settings(type="any", model=model)
        made = arguments.engine_arguments(settings, GIVEN, request, label_ids, one_by_one)
    del made["model"]
    return ENGINES["vllm"].scoring_arguments(made, one_by_one)


def ask(request: Request, label_ids: list[int], max_tokens: int) -> Any:
    """The parameters of one request, with stand-ins for vLLM's classes."""
    classes = SimpleNamespace(PoolingParams=dict, SamplingParams=dict)
    stand_ins: dict[str, Any] = {
        "vllm": classes,
        "vllm.sampling_params": SimpleNamespace(RequestOutputKind=SimpleNamespace(FINAL_ONLY="final")),
        "actors.engines.vllm.models.likelihood": SimpleNamespace(TASK="likelihood"),
    }
    engine: Any = SimpleNamespace(_request=request, _label_ids=label_ids)
    with patch.dict(sys.modules, stand_ins):
        return Engine._make_params(engine, 3, False, max_tokens == 1, max_tokens)


def read(request: Request, label_ids: list[int], max_tokens: int) -> Any:
    """The reply that is made of an output of vLLM's."""
    tensor = SimpleNamespace(numpy=lambda: np.array([-0.5, 2.25], dtype=np.float32))
    outputs: Any = SimpleNamespace(data=SimpleNamespace(float=lambda: tensor, numpy=tensor.numpy))
    if request.task == "generate":
        logprobs = [{token: SimpleNamespace(logprob=-token / 8) for token in (15, 16, 17)}]
        completion = {"token_ids": [7, 8, 9], "text": "so", "stop_reason": None, "finish_reason": "stop"}
        outputs = [SimpleNamespace(logprobs=logprobs, **completion)]
    asked = EngineRequest(0, [1, 2], None, max_tokens)
    parts = {"_running": {"0": (asked, None)}, "_model_config": SimpleNamespace(model_type="any")}
    engine: Any = SimpleNamespace(_request=request, _label_ids=label_ids, **parts)
    reply = Engine._read(engine, SimpleNamespace(request_id="0", num_cached_tokens=1, outputs=outputs))
    assert reply
    made = {name: getattr(reply, name) for name in type(reply).__slots__}
    return {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in made.items()}


def read_numbers() -> dict[str, dict[str, dict[str, Any]]]:
    """Version -> kind of request -> what compute_numbers gave."""
    return json.loads(FILE.read_text()) if FILE.exists() else {}


def record_missing() -> None:
    versions = read_numbers()
    recorded = versions.setdefault(str(ENGINES["vllm"].numbers_version), {})
    with tempfile.TemporaryDirectory() as folder:
        save_byte_tokenizer(Path(folder))
        for kind in KINDS:
            recorded.setdefault(kind, compute_numbers(kind, folder))
    FILE.write_text(json.dumps(versions, indent=1) + "\n")


if __name__ == "__main__":
    record_missing()
