"""A model's files against the reranker that is to run them, without weights."""

import json
from pathlib import Path
from typing import Any

import pytest

from actors.rerankers.tokenizer import load_tokenizer
from pipeline.check.fingerprint import compute_fingerprint
from pipeline.check.model import Unreachable, check_model_files, check_tokenizer, describe_checked
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


@pytest.mark.parametrize(
    ("labels", "named"),
    [
        ({"labels": {" yes": 1.0}}, "labels ' yes'={}"),
        ({"label_ids": {0: 1.0}}, "labels '!'=0"),
        ({"label_ids": {16: 1.0, 15: 0.0}}, "labels '1'=16 '0'=15"),
    ],
)
def test_labels_by_text_or_id_are_named_with_both(labels: dict[str, Any], named: str, qwen2: str) -> None:
    given = config(qwen2, type="label", prompt="{query} {doc}", score="probability", **labels)
    tokenizer = check_tokenizer(given)
    assert named.format(*tokenizer.label_ids([" yes"])) in describe_checked(given, tokenizer)


def test_labels_and_end_token_are_named(qwen2: str) -> None:
    given = config(qwen2, type="erank", max_new_tokens=100)
    tokens = check_tokenizer(given)
    words = describe_checked(given, tokens)
    assert words[:3] == ["architecture", "tokenizer", "template"]
    ids = " ".join(f"'{digit}'={tokens.label_ids(digit)[0]}" for digit in "0123456789")
    assert words[3:] == [f"labels {ids}", "end token '<|im_end|>'"]


def test_a_run_needs_the_weights(qwen2: str) -> None:
    with pytest.raises(UsageError, match="the folder has no weights"):
        check_model_files(config(qwen2))


def test_a_label_that_is_no_token_is_refused(qwen2: str) -> None:
    given = config(qwen2, type="label", prompt="{query} {doc}", labels={"perhaps": 1.0, "no": 0.0}, score="logit")
    with pytest.raises(UsageError, match=r"'label' does not go with .*label 'perhaps' is \d tokens"):
        check_tokenizer(given)


def test_a_context_that_no_prompt_fits_is_refused(qwen2: str) -> None:
    given = config(qwen2, {"max_model_len": 50})
    with pytest.raises(UsageError, match=r"engine\.max_model_len = 50 is too small for any prompt"):
        check_tokenizer(given)


def test_a_model_whose_answers_would_never_end_is_refused(qwen2: str, tmp_path: Path) -> None:
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        text = (Path(qwen2) / name).read_text()
        if name.endswith("json") and name != "tokenizer.json":
            text = json.dumps({k: v for k, v in json.loads(text).items() if "eos" not in k})
        (tmp_path / name).write_text(text)
    given = config(str(tmp_path), type="erank", max_new_tokens=100)
    load_tokenizer(given.reranker).pretrained.eos_token = None  # transformers has one for every Qwen2; this is the copy
    with pytest.raises(UsageError, match="names no end token"):  # that the process keeps
        check_tokenizer(given)


@pytest.mark.parametrize(
    ("name", "mend"), [("QWenLMHeadModel", r"jobs/convert\.py"), ("BaichuanForCausalLM", "convert")]
)
def test_an_architecture_that_vllm_runs_no_more_is_refused(name: str, mend: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"architectures": [name], "model_type": "qwen"}))
    with pytest.raises(UsageError, match=rf"does not run {name} \(the last that did was [\d.]+\); .*{mend}"):
        check_model_files(config(str(tmp_path), type="rankinggpt"), weights=False)


def test_what_is_not_on_this_machine_is_told_apart_from_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(NotHere):
        check_model_files(config(str(tmp_path / "none")), weights=False)
    with pytest.raises(UsageError, match="no such folder"):
        check_model_files(config(str(tmp_path / "none")))


def test_a_hub_that_does_not_answer_is_no_error_of_the_configs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(
        Unreachable, match=r"reranker\.model = 'nobody/nothing': We couldn't connect to .*cached files$"
    ):
        check_model_files(config("nobody/nothing"), weights=False)


@pytest.fixture
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache that holds the model me/tiny, whose branch main is at COMMIT, and no way to the hub."""
    cache = tmp_path / "models--me--tiny"
    (cache / "refs").mkdir(parents=True)
    (cache / "refs" / "main").write_text(COMMIT)
    tiny.qwen2(cache / "snapshots" / COMMIT)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("transformers.utils.hub.constants.HF_HUB_CACHE", str(tmp_path))
    return cache


@pytest.mark.parametrize("revision", [None, "main", COMMIT])
def test_a_model_from_the_hub_is_pinned_to_the_commit_that_its_branch_is_at(
    revision: str | None, hub_cache: Path
) -> None:
    """Every worker takes that commit, and the fingerprint has it; a branch may move."""
    given = config("me/tiny", revision=revision)
    pinned = check_model_files(given, weights=False)
    assert pinned.reranker.revision == COMMIT
    assert compute_fingerprint(pinned, {}) == compute_fingerprint(config("me/tiny", revision=COMMIT), {})


@pytest.mark.parametrize("revision", [None, "main", COMMIT])
def test_an_adapter_from_the_hub_is_pinned_too(revision: str | None, hub_cache: Path) -> None:
    cache = hub_cache.with_name("models--me--lora")
    (folder := cache / "snapshots" / COMMIT).mkdir(parents=True)
    (cache / "refs").mkdir()
    (cache / "refs" / "main").write_text(COMMIT)
    tiny.lora(folder, str(hub_cache / "snapshots" / COMMIT), "q_proj", labels=0)
    pinned = check_model_files(config("me/tiny", adapter="me/lora", adapter_revision=revision), weights=False)
    assert (pinned.reranker.revision, pinned.reranker.adapter_revision) == (COMMIT, COMMIT)


def test_a_folder_has_no_commit_even_one_of_the_hubs_cache(hub_cache: Path) -> None:
    given = config(str(hub_cache / "snapshots" / COMMIT))
    assert check_model_files(given) == given


@pytest.mark.parametrize("limit", [0, -1, 1.5, "many", True])
def test_a_context_that_is_no_number_of_tokens_is_refused(limit: Any, qwen2: str) -> None:
    with pytest.raises(UsageError, match=r"engine\.max_model_len = .* should be a whole number of tokens above 0"):
        check_model_files(config(qwen2, {"max_model_len": limit}), weights=False)


@pytest.mark.parametrize(("kind", "padding", "most"), [("xlm-roberta", 1, 512), ("roberta", 1, 512), ("mpnet", 9, 504)])
def test_a_context_beyond_the_positions_that_can_be_used_is_refused(
    kind: str, padding: int, most: int, tmp_path: Path
) -> None:
    about = {"model_type": kind, "max_position_embeddings": 514, "pad_token_id": padding}
    about["architectures"] = ["Qwen2ForCausalLM"]  # which does what the reranker asks for
    (tmp_path / "config.json").write_text(json.dumps(about))
    check_model_files(config(str(tmp_path), {"max_model_len": most}), weights=False)
    with pytest.raises(
        UsageError, match=rf"engine\.max_model_len = {most + 1}: the model has positions for {most} tokens"
    ):
        check_model_files(config(str(tmp_path), {"max_model_len": most + 1}), weights=False)
