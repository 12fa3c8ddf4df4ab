"""A model's files against the reranker that is to run them, without weights."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.check.model import Unreachable, check_model, describe_checked, load_checked_tokenizer
from pipeline.config import Config, parse
from pipeline.errors import NotHere, UsageError
from tests import tiny

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def config(model: str, engine: dict[str, Any] | None = None, **reranker: Any) -> Config:
    section = {"type": "lb", "model": model} | reranker
    return parse({"input": {"path": "p"}, "reranker": section, "engine": engine or {}, "output": {"path": "o"}})


@pytest.fixture(scope="module")
def qwen2(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A model folder without its weights."""
    folder = Path(tiny.qwen2(tmp_path_factory.mktemp("qwen2")))
    (folder / "model.safetensors").unlink()
    return str(folder)


def test_labels_and_end_token_are_named(qwen2: str) -> None:
    given = config(qwen2, type="erank", max_new_tokens=100)
    tokens = load_checked_tokenizer(given, weights=False)
    check_model(given, {}, tokens)
    words = describe_checked(given, tokens)
    assert words[:3] == ["architecture", "tokenizer", "template"]
    ids = " ".join(f"'{digit}'={tokens.label_ids(digit)[0]}" for digit in "0123456789")
    assert words[3:] == [f"labels {ids}", "end token '<|im_end|>'"]


def test_a_run_needs_the_weights(qwen2: str) -> None:
    with pytest.raises(UsageError, match="the folder has no weights"):
        load_checked_tokenizer(config(qwen2))


def test_a_label_that_is_no_token_is_refused(qwen2: str) -> None:
    given = config(qwen2, type="label", prompt="{query} {doc}", labels={"perhaps": 1.0, "no": 0.0}, score="log_odds")
    with pytest.raises(UsageError, match=r"'label' does not go with .*label 'perhaps' is \d tokens"):
        check_model(given, {}, load_checked_tokenizer(given, weights=False))


def test_a_context_that_no_prompt_fits_is_refused(qwen2: str) -> None:
    given = config(qwen2, {"max_model_len": 50})
    with pytest.raises(UsageError, match=r"engine\.max_model_len = 50 is too small for any prompt"):
        check_model(given, {}, load_checked_tokenizer(given, weights=False))


def test_a_model_whose_answers_would_never_end_is_refused(qwen2: str, tmp_path: Path) -> None:
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        text = (Path(qwen2) / name).read_text()
        if name.endswith("json") and name != "tokenizer.json":
            text = json.dumps({k: v for k, v in json.loads(text).items() if "eos" not in k})
        (tmp_path / name).write_text(text)
    given = config(str(tmp_path), type="erank", max_new_tokens=100)
    tokens = load_checked_tokenizer(given, weights=False)
    tokens.pretrained.eos_token = None
    with pytest.raises(UsageError, match="names no end token"):
        check_model(given, {}, tokens)


@pytest.mark.parametrize(
    ("name", "mend"), [("QWenLMHeadModel", r"jobs/convert\.py"), ("BaichuanForCausalLM", "convert")]
)
def test_an_architecture_that_vllm_runs_no_more_is_refused(name: str, mend: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"architectures": [name], "model_type": "qwen"}))
    with pytest.raises(UsageError, match=rf"does not run {name} \(the last that did was [\d.]+\); .*{mend}"):
        load_checked_tokenizer(config(str(tmp_path), type="rankinggpt"), weights=False)


def test_what_is_not_on_this_machine_is_told_apart_from_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(NotHere):
        load_checked_tokenizer(config(str(tmp_path / "none")), weights=False)
    with pytest.raises(UsageError, match="no such folder"):
        load_checked_tokenizer(config(str(tmp_path / "none")))


def test_a_hub_that_does_not_answer_is_no_error_of_the_configs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(
        Unreachable, match=r"reranker\.model = 'nobody/nothing': We couldn't connect to .*cached files$"
    ):
        load_checked_tokenizer(config("nobody/nothing"), weights=False)


def test_the_commit_of_a_model_from_the_hub_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, save_in: Callable[[Path], str]
) -> None:
    cache = tmp_path / "models--me--tiny"
    (cache / "refs").mkdir(parents=True)
    (cache / "refs" / "main").write_text(COMMIT)
    save_in(cache / "snapshots" / COMMIT)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("transformers.utils.hub.constants.HF_HUB_CACHE", str(tmp_path))
    assert load_checked_tokenizer(config("me/tiny"), weights=False).commit == COMMIT
    assert load_checked_tokenizer(config(str(cache / "snapshots" / COMMIT)), weights=False).commit is None


@pytest.fixture
def save_in() -> Callable[[Path], str]:
    return tiny.qwen2
