"""Adapters held against their base model, the engine and the config, before an engine starts."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.check.adapter import describe_adapter
from pipeline.check.fingerprint import compute_fingerprint
from pipeline.check.model import check_model_files
from pipeline.config import parse
from pipeline.errors import NotHere, UsageError
from tests import tiny
from tests.pipeline.check.conftest import look, make_config

CLASSIFIER = {"architectures": ["LlamaForSequenceClassification"], "num_labels": 1}
RANKLLAMA = {"hf_overrides": CLASSIFIER}


@pytest.fixture
def lora(built: Callable, tmp_path: Path) -> Callable[..., Path]:
    """The folder of a random adapter of a tiny model, by default of Llama 2, with the head of a classifier."""

    def make(base: str = "llama2", **more: Any) -> Path:
        (folder := tmp_path / "lora").mkdir()
        return Path(tiny.lora(folder, str(built(base)), "q_proj", "v_proj", **more))

    return make


@pytest.mark.parametrize("engine", [{}, {"type": "transformers"}], ids=["vllm", "transformers"])
def test_a_language_model_with_the_head_of_its_adapter_is_a_sound_classifier(
    engine: dict, lora: Callable, built: Callable, capsys: pytest.CaptureFixture
) -> None:
    adapter = lora()
    assert look(built("llama2"), "cross_encoder", RANKLLAMA | engine, adapter=str(adapter)) is None
    assert "makes no use of the tensor lm_head.weight" in capsys.readouterr().err
    with pytest.raises(UsageError, match=r"lack the tensor score\.weight"):
        look(built("llama2"), "cross_encoder", RANKLLAMA | engine)


def test_what_it_changes_is_named(lora: Callable, built: Callable) -> None:
    given = make_config(built("llama2"), "cross_encoder", adapter=str(lora()))
    assert describe_adapter(given.reranker) == "adapter (rank 4 on 4 tensors, score.weight replaced)"


@pytest.mark.parametrize(
    ("base", "kind", "engine", "more", "line"),
    [
        ("llama2", "cross_encoder", RANKLLAMA, {"use_dora": True}, "use_dora = True in its adapter_config.json"),
        ("llama2", "cross_encoder", RANKLLAMA, {"labels": 2}, r"score\.weight has the shape \[2, 64\]"),
        ("llama2", "cross_encoder", RANKLLAMA | {"tensor_parallel_size": 2}, {}, "engine.tensor_parallel_size = 2"),
        ("llama2", "cross_encoder", RANKLLAMA | {"load_format": "safetensors"}, {}, "load_format = 'safetensors'"),
        ("qwen2", "lb", {}, {"labels": 0}, r"v_proj\.weight has the shape \(32, 64\) in the base model"),
        ("bert", "cross_encoder", {}, {}, r"it changes the tensor model\.layers\..*, which the files of"),
    ],
)
def test_an_adapter_that_does_not_go_with_the_rest_is_refused(
    base: str, kind: str, engine: dict, more: dict, line: str, lora: Callable, built: Callable
) -> None:
    with pytest.raises(UsageError, match=line) as caught:
        look(built(base), kind, engine, adapter=str(lora(**more)))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("method", ["awq", "gptq", "fp8"])
def test_a_quantised_base_model_takes_none(method: str, lora: Callable, copy: Callable) -> None:
    model = copy("llama2", quantization_config={"quant_method": method})
    with pytest.raises(UsageError, match=rf"reranker\.model are quantised \({method}\)"):
        look(model, "rankinggpt", adapter=str(lora(labels=0)))


@pytest.mark.parametrize("place", ["/nowhere", "./nowhere", "~/nowhere"])
def test_a_folder_that_is_not_here_may_be_on_the_workers(place: str, built: Callable) -> None:
    with pytest.raises(NotHere, match=f"^reranker.adapter = '{place}': no such folder"):
        look(built("llama2"), "rankinggpt", adapter=place)


@pytest.mark.parametrize(
    ("base", "words"),
    [
        ("meta-llama/Llama-2-13b-hf", "it was trained on meta-llama/Llama-2-13b-hf, and reranker.model is"),
        ("/home/them/LLAMA2", ""),
        ("", ""),
    ],
)
def test_another_base_model_is_said(
    base: str, words: str, lora: Callable, built: Callable, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    model = Path(shutil.copytree(built("llama2"), tmp_path / "llama2"))
    check_model_files(make_config(model, "rankinggpt", adapter=str(lora(base_model_name_or_path=base))))
    said = capsys.readouterr().err
    assert words in said and said.count("rayrank:") == bool(words)


def test_a_tokenizer_of_its_own_is_said(lora: Callable, built: Callable, capsys: pytest.CaptureFixture) -> None:
    adapter = lora()
    for text, times in ((built("llama2") / "tokenizer.json").read_text(), 0), ("{}", 1):
        (adapter / "tokenizer.json").write_text(text)
        look(built("llama2"), "cross_encoder", RANKLLAMA, adapter=str(adapter))
        assert capsys.readouterr().err.count("its tokenizer.json is not reranker.model's") == times


def fingerprint(model: Path, **adapter: str) -> str:
    return compute_fingerprint(make_config(model, "rankinggpt", None, **adapter), {})


def test_its_contents_and_its_revision_are_part_of_the_fingerprint_and_its_path_is_not(
    lora: Callable, built: Callable, tmp_path: Path
) -> None:
    model, adapter = built("llama2"), lora(labels=0)
    other = Path(shutil.copytree(adapter, tmp_path / "other"))
    whole = fingerprint(model, adapter=str(adapter))
    assert fingerprint(model, adapter=str(other)) == whole
    about = other / "adapter_config.json"
    about.write_text(json.dumps(json.loads(about.read_text()) | {"lora_alpha": 8}))
    found = {whole, fingerprint(model), fingerprint(model, adapter=str(other))}
    found |= {fingerprint(model, adapter="a/b"), fingerprint(model, adapter="a/b", adapter_revision="v1")}
    assert len(found) == 5


@pytest.mark.parametrize("revision", ["main", "v1", "0" * 40])
def test_a_revision_of_no_adapter_is_refused(revision: str) -> None:
    section = {"type": "lb", "model": "m", "adapter_revision": revision}
    with pytest.raises(UsageError, match=r"reranker\.adapter_revision = .*there is no reranker\.adapter"):
        parse({"input": {"path": "p"}, "reranker": section, "output": {"path": "o"}})
