"""Facts of the transformers engine: what is known of it before it is imported."""

import importlib.metadata
import subprocess
import sys
from typing import Any

import pytest

from actors.engines import ENGINES, get_engine
from actors.engines.transformers import facts
from tests.conftest import ROOT

pytestmark = pytest.mark.usefixtures("other_builds")


@pytest.mark.parametrize(
    ("section", "name"), [({}, "vLLM"), ({"type": "vllm"}, "vLLM"), ({"type": "transformers"}, "transformers")]
)
def test_the_engine_is_the_one_of_its_type(section: dict[str, Any], name: str) -> None:
    assert get_engine(section).name == name


@pytest.mark.parametrize("kind", ["sglang", "", 5, None, ["vllm"]])
def test_an_unknown_engine_is_refused(kind: Any) -> None:
    with pytest.raises(ValueError, match=r"^engine\.type = .*: unknown; known engines are vllm, transformers$"):
        get_engine({"type": kind})


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ({"dtype": "fp8"}, "engine.dtype = 'fp8': should be one of auto, float32"),
        ({"dtype": 32}, "engine.dtype = 32: should be one of"),
        ({"max_model_len": 0}, "engine.max_model_len = 0: should be a whole number above 0"),
        ({"max_num_seqs": True}, "engine.max_num_seqs = True: should be"),
        ({"max_num_batched_tokens": "4k"}, "engine.max_num_batched_tokens = '4k': should be"),
        ({"kv_cache_memory_bytes": 1e9}, "engine.kv_cache_memory_bytes = 1000000000.0: should be"),
        ({"hf_overrides": "x"}, "engine.hf_overrides = 'x': should be a mapping"),
        ({"hf_overrides": {"classifier_from_token": ["no", "yes"]}}, "makes no classifier of a language model"),
        ({"attn_implementation": 2}, "engine.attn_implementation = 2: should be a name"),
        ({"pooler_config": {"pooling_type": "MAX"}}, "should be {pooling_type: CLS or MEAN or LAST}"),
        ({"pooler_config": {"pooling_type": "CLS", "dimensions": 8}}, "should be {pooling_type: CLS or MEAN or LAST}"),
        ({"pooler_config": "CLS"}, "engine.pooler_config = 'CLS': should be"),
    ],
)
def test_values_that_are_wrong_are_refused(arguments: dict[str, Any], line: str) -> None:
    with pytest.raises(ValueError) as refused:
        facts.check_arguments(arguments, "generate", "lb")
    assert line in str(refused.value)


def test_all_arguments_together_are_taken() -> None:
    good = {
        "dtype": "half", "max_model_len": 8, "max_num_seqs": 1, "max_num_batched_tokens": 1, "kv_cache_memory_bytes": 1,
        "hf_overrides": {"num_labels": 1}, "attn_implementation": "eager", "pooler_config": {"pooling_type": "MEAN"},
    }  # fmt: skip
    facts.check_arguments(good, "embed", "bi_encoder")
    assert {*good} == facts.argument_names()


@pytest.mark.parametrize(
    ("torch", "platform", "cpu"),
    [
        ("2.13.0+cpu", "linux", True),
        ("2.13.0", "linux", False),
        ("2.13.0+cu130", "linux", False),
        ("2.13.0", "darwin", True),
    ],
)
def test_torchs_build_says_whether_it_computes_on_cpus(torch: str, platform: str, cpu: bool, monkeypatch: Any) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(importlib.metadata, "version", {"torch": torch, "transformers": "5.1.2"}.__getitem__)
    assert facts.installed() == ("5.1.2", cpu)


@pytest.mark.parametrize(
    ("dtype", "stored", "cpu", "loaded"),
    [
        ("auto", "float32", True, "float32"),
        ("auto", "bfloat16", True, "float32"),
        ("auto", "float32", False, "bfloat16"),
        ("auto", "float16", False, "float16"),
        ("half", "float32", True, "float16"),
        ("bfloat16", "float16", True, "bfloat16"),
        ("float", "bfloat16", False, "float32"),
    ],
)
def test_the_loaded_type(dtype: str, stored: str, cpu: bool, loaded: str, monkeypatch: Any) -> None:
    build = "2.13.0+cpu" if cpu else "2.13.0+cu130"
    monkeypatch.setattr(importlib.metadata, "version", lambda name: build)
    assert facts.loaded_dtype({"dtype": dtype}, stored) == loaded


@pytest.mark.parametrize("kind", ENGINES)
def test_of_the_arguments_those_that_change_a_score_are_known(kind: str) -> None:
    given = {"type": kind, "dtype": "float32", "max_num_seqs": 3, "max_num_batched_tokens": 99}
    assert get_engine(given).scoring_arguments(given, exact=False) == {"dtype": "float32"}
    assert get_engine(given).scoring_arguments(given, exact=True) == {
        "dtype": "float32", "max_num_seqs": 3, "max_num_batched_tokens": 99,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("architecture", "does", "runs"),
    [
        ("Qwen3ForCausalLM", "generate", True),
        ("GPT2LMHeadModel", "generate", True),
        ("T5ForConditionalGeneration", "generate", True),
        ("DebertaV2ForSequenceClassification", "classify", True),
        ("BertForMaskedLM", "embed", True),
        ("T5EncoderModel", "embed", True),
        ("QWenLMHeadModel", "generate", False),
        ("GritLM", None, False),
    ],
)
def test_architectures_by_their_names(architecture: str, does: str | None, runs: bool) -> None:
    assert (facts.read_task(architecture), facts.runs_architecture(architecture)) == (does, runs)


def test_none_of_it_imports_torch_or_vllm() -> None:
    code = (
        "import sys; from actors.engines import get_engine; facts = get_engine({'type': 'transformers'}); "
        "facts.installed(); facts.check_arguments({}, 'embed', 'bi_encoder'); print('transformers' in sys.modules); "
        "facts.runs_architecture('BertModel'); print({'torch', 'vllm'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "False\nset()\n"
