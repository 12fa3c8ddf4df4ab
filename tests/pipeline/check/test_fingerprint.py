"""Everything that changes a score changes the fingerprint, and nothing else does."""

import importlib.metadata
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from actors.engines import ENGINES
from actors.engines.contract import Installed
from actors.rerankers import RERANKERS
from pipeline.check.fingerprint import compute_fingerprint, differs_in_engine, read_minor_version
from pipeline.config import Config
from pipeline.plan.units import FINGERPRINT
from tests.conftest import ROOT

COLUMNS = {"query": "query", "doc": "doc", "score": "score"}
Fingerprint = Callable[..., str]


@pytest.fixture
def fingerprint(make_config: Callable[..., Config]) -> Fingerprint:
    """The fingerprint of a config whose sections' keys are given."""

    def fingerprint(columns: dict[str, str] = COLUMNS, **sections: dict) -> str:
        return compute_fingerprint(make_config("pairs", **sections), columns)

    return fingerprint


@pytest.fixture
def copy(minilm: str, tmp_path: Path) -> Path:
    """A copy of the model's folder, to change something in."""
    return Path(shutil.copytree(minilm, tmp_path / "copy"))


@pytest.mark.parametrize(
    "sections",
    [
        {"reranker": {"max_doc_tokens": 9}},
        {"reranker": {"doc_template": "passage: {doc}"}},
        {"reranker": {"revision": "main"}},
        {"reranker": {"model": "sentence-transformers/all-MiniLM-L6-v2"}},
        {"reranker": {"type": "cross_encoder"}},
        {"engine": {"dtype": "bfloat16"}},
        {"engine": {"max_model_len": 128}},
        {"engine": {"load_format": "dummy"}},
        {"engine": {"type": "transformers"}},
        {"output": {"explain": True}},
        {"run": {"deterministic": True}},
        {"columns": COLUMNS | {"doc": "body"}},
        {"columns": COLUMNS | {"title": "title"}},
    ],
    ids=json.dumps,
)
def test_what_changes_a_score_changes_it(sections: dict, fingerprint: Fingerprint) -> None:
    assert fingerprint(**sections) != fingerprint()


@pytest.mark.parametrize(
    "sections",
    [
        {"input": {"path": "others", "duplicates": "last"}},
        {"fusion": {"method": "rrf", "alpha": 0.7}},
        {"output": {"path": "elsewhere", "top_k": 3, "columns": ["doc"]}},
        {"run": {"unit_rows": 3, "on_gone": "drop", "retry_failed": True, "accept": ["engine"]}},
        {"workers": {"count": 5}},
        {"engine": {"max_num_seqs": 7, "gpu_memory_utilization": 0.5}},
        {"engine": {"type": "vllm"}},
    ],
    ids=json.dumps,
)
def test_nothing_else_does(sections: dict, fingerprint: Fingerprint) -> None:
    assert fingerprint(**sections) == fingerprint()


def test_where_the_last_digit_counts_every_engine_argument_does(fingerprint: Fingerprint) -> None:
    exact = {"run": {"deterministic": True}}
    assert fingerprint(engine={"max_num_seqs": 7}, **exact) != fingerprint(**exact)


# The content of a file in the model's folder, and whether the folder is another model with it
FILES = [
    ("config.json", "{}", True),
    ("tokenizer.json", "{}", True),
    ("tokenizer_config.json", "{}", True),
    ("special_tokens_map.json", "{}", True),
    ("vocab.txt", "a", True),
    ("chat_template.jinja", "{{ messages }}", True),
    ("additional_chat_templates/rag.jinja", "{{ messages }}", True),
    ("sentence_bert_config.json", '{"max_seq_length": 128}', True),
    ("1_Pooling/config.json", "{}", True),
    ("modeling_own.py", "x = 1", True),
    ("README.md", "Today's figures are better.", False),
    (".gitattributes", "*.bin filter=lfs", False),
    (".cache/huggingface/download/config.json.metadata", "today", False),
]


@pytest.mark.parametrize(("name", "text", "counts"), FILES, ids=[name for name, _, _ in FILES])
def test_a_model_folder_is_known_by_what_is_in_it(
    name: str, text: str, counts: bool, copy: Path, fingerprint: Fingerprint
) -> None:
    there = {"reranker": {"model": str(copy)}}
    before = fingerprint(**there)
    assert before == fingerprint(), "where a folder lies does not count"
    (copy / name).parent.mkdir(parents=True, exist_ok=True)
    (copy / name).write_text(text)
    assert (fingerprint(**there) != before) == counts


def test_a_file_counts_to_its_last_byte(copy: Path, fingerprint: Fingerprint) -> None:
    tokenizer = copy / "tokenizer.json"
    tokenizer.write_bytes(tokenizer.read_bytes()[:-1] + b" ")
    assert fingerprint(reranker={"model": str(copy)}) != fingerprint()


def test_weights_that_were_trained_further_are_others(copy: Path, fingerprint: Fingerprint) -> None:
    weights = copy / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[10_000:] = bytes(255 - byte for byte in data[10_000:])
    weights.write_bytes(data)
    assert fingerprint(reranker={"model": str(copy)}) != fingerprint()


def test_one_tensor_among_many_is_enough(copy: Path, fingerprint: Fingerprint) -> None:
    from safetensors.numpy import load_file, save_file

    tensors = load_file(copy / "model.safetensors")
    smallest = min(tensors, key=lambda name: tensors[name].nbytes if tensors[name].dtype.kind == "f" else 1 << 40)
    tensors[smallest] = tensors[smallest] + 1
    save_file(tensors, copy / "model.safetensors", {"format": "pt"})
    assert fingerprint(reranker={"model": str(copy)}) != fingerprint()


# Code: constants, and no source


def test_the_version_of_a_rerankers_code_counts(fingerprint: Fingerprint, monkeypatch: pytest.MonkeyPatch) -> None:
    before, other = fingerprint(), fingerprint(reranker={"type": "cross_encoder"})
    raised = replace(RERANKERS["bi_encoder"], version=RERANKERS["bi_encoder"].version + 1)
    monkeypatch.setitem(RERANKERS, "bi_encoder", raised)
    assert fingerprint() != before
    assert fingerprint(reranker={"type": "cross_encoder"}) == other


def test_the_version_of_the_engines_code_counts(fingerprint: Fingerprint, monkeypatch: pytest.MonkeyPatch) -> None:
    before = fingerprint()
    monkeypatch.setattr(ENGINES["vllm"], "numbers_version", ENGINES["vllm"].numbers_version + 1)
    assert fingerprint() != before


PROBE = """
import sys
from pathlib import Path
from pipeline.check.fingerprint import compute_fingerprint
from pipeline.config import parse
print(compute_fingerprint(parse({
    "input": {"path": "p"}, "reranker": {"type": "bi_encoder", "model": sys.argv[1]}, "output": {"path": "o"}
}), {"query": "query", "doc": "doc", "score": "score"}))
from actors.rerankers import bi_encoder
print(Path(bi_encoder.__file__).parents[2])
print(*sorted({"torch", "transformers", "vllm", "ray"} & set(sys.modules)))
"""


def compute_apart(checkout: Path, model: str) -> list[str]:
    """PROBE's findings about the code in a checkout: the fingerprint, the checkout, and the heavy modules imported."""
    command = [sys.executable, "-c", PROBE, model]
    done = subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def test_a_comment_in_our_code_changes_nothing_and_no_tokenizer_is_loaded(
    minilm: str, tmp_path: Path, make_config: Callable[..., Config]
) -> None:
    for folder in ("actors", "pipeline"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for path in tmp_path.rglob("*.py"):
        path.write_text(path.read_text() + "\n# A comment at the end of every file\n")
    here = compute_fingerprint(make_config("p").model_copy(update={"engine": {}}), COLUMNS)
    assert compute_apart(tmp_path, minilm) == [here, str(tmp_path), ""]


# Versions of packages


def test_its_end_names_the_engine_and_its_minor_version(
    fingerprint: Fingerprint, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = {}
    for version in ("0.32.0", "0.32.5+cpu", "0.33.0"):
        monkeypatch.setattr(ENGINES["vllm"], "installed", lambda version=version: Installed(version, False))
        found[version] = fingerprint()
        assert re.fullmatch(FINGERPRINT, found[version])
    digits = found["0.32.0"][:16]
    assert found == {
        "0.32.0": f"{digits}-vllm-0.32", "0.32.5+cpu": f"{digits}-vllm-0.32", "0.33.0": f"{digits}-vllm-0.33",
    }  # fmt: skip


@pytest.mark.parametrize(("version", "same"), [("0.23.99", True), ("0.24.0", False), ("1.23.3", False)])
def test_the_minor_version_of_tokenizers_counts(
    version: str, same: bool, fingerprint: Fingerprint, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = importlib.metadata.version

    def install(version: str) -> None:
        monkeypatch.setattr(importlib.metadata, "version", lambda name: version if name == "tokenizers" else real(name))

    install("0.23.3")
    before = fingerprint()
    install(version)
    after = fingerprint()
    assert (after[:16] == before[:16], after[16:]) == (same, before[16:])


@pytest.mark.parametrize(
    ("one", "other", "differs"),
    [
        ("0123456789abcdef-vllm-0.32", "0123456789abcdef-vllm-0.33", True),
        ("0123456789abcdef-vllm-0.32", "0123456789abcdef-vllm-0.32", False),
        ("0123456789abcdef-vllm-0.32", "0123456789abcdee-vllm-0.33", False),
        ("0123456789abcdef-vllm-0.32", "0123456789abcdef-transformers-5.19", False),
    ],
)
def test_two_that_differ_in_the_engines_minor_version_alone_are_told_apart(one: str, other: str, differs: bool) -> None:
    assert differs_in_engine(one, other) == differs


@pytest.mark.parametrize(("version", "minor"), [("0.32.0+cpu", "0.32"), ("5.19.0", "5.19"), ("2.0rc1", "2.0")])
def test_a_minor_version_is_its_first_two_numbers(version: str, minor: str) -> None:
    assert read_minor_version(version) == minor


def test_a_version_without_numbers_is_an_error() -> None:
    with pytest.raises(ValueError, match="'dev' is no version number"):
        read_minor_version("dev")
