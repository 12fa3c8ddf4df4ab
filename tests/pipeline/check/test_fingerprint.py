"""What changes a score changes the fingerprint, and nothing else does."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from actors.rerankers.tokenizer import Tokenizer
from pipeline.check.fingerprint import compute_fingerprint, strip_comments
from pipeline.config import Config

COLUMNS = {"query": "query", "doc": "doc", "score": "score"}


@pytest.fixture
def of(make_config: Callable[..., Config]) -> Callable[..., str]:
    """The fingerprint of a config whose sections' keys are given."""

    def of(columns: dict[str, str] = COLUMNS, **sections: dict) -> str:
        config = make_config("pairs", **sections)
        return compute_fingerprint(config, columns, Tokenizer(config.reranker, config.engine.get("max_model_len")))

    return of


@pytest.mark.parametrize(
    "sections",
    [
        {"reranker": {"max_doc_tokens": 9}},
        {"reranker": {"doc_template": "passage: {doc}"}},
        {"reranker": {"revision": "main"}},
        {"engine": {"dtype": "bfloat16"}},
        {"engine": {"max_model_len": 128}},
        {"engine": {"load_format": "dummy"}},
        {"output": {"explain": True}},
        {"run": {"deterministic": True}},
        {"columns": COLUMNS | {"doc": "body"}},
    ],
)
def test_what_changes_a_score_changes_it(sections: dict, of: Callable[..., str]) -> None:
    assert of(**sections) != of()


@pytest.mark.parametrize(
    "sections",
    [
        {"fusion": {"method": "rrf", "alpha": 0.7}},
        {"output": {"top_k": 3, "columns": ["doc"]}},
        {"run": {"unit_rows": 3}},
        {"workers": {"count": 5}},
        {"engine": {"max_num_seqs": 7, "gpu_memory_utilization": 0.5}},
    ],
)
def test_nothing_else_does(sections: dict, of: Callable[..., str]) -> None:
    assert of(**sections) == of()


def test_where_the_last_digit_counts_every_engine_argument_does(of: Callable[..., str]) -> None:
    exact = {"run": {"deterministic": True}}
    assert of(engine={"max_num_seqs": 7}, **exact) != of(**exact)


def test_weights_that_were_trained_further_are_others(tmp_path: Path, minilm: str, of: Callable[..., str]) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(minilm, copy)
    before = of(reranker={"model": str(copy)})
    weights = copy / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[10_000:] = bytes(255 - byte for byte in data[10_000:])
    weights.write_bytes(data)
    assert of(reranker={"model": str(copy)}) != before


def test_one_tensor_among_many_is_enough(tmp_path: Path, minilm: str, of: Callable[..., str]) -> None:
    from safetensors.numpy import load_file, save_file

    copy = tmp_path / "copy"
    shutil.copytree(minilm, copy)
    before = of(reranker={"model": str(copy)})
    tensors = load_file(copy / "model.safetensors")
    smallest = min(tensors, key=lambda name: tensors[name].nbytes if tensors[name].dtype.kind == "f" else 1 << 40)
    tensors[smallest] = tensors[smallest] + 1
    save_file(tensors, copy / "model.safetensors", {"format": "pt"})
    assert of(reranker={"model": str(copy)}) != before


def test_how_the_engine_is_asked_and_read_counts(of: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    before = of()
    real = Path.read_text
    for name in ("engine.py", "arguments.py", "pending.py"):
        with monkeypatch.context() as patch:
            patch.setattr(
                Path,
                "read_text",
                lambda self, *how, name=name, **more: real(self, *how, **more) + "\nx = 1" * (self.name == name),
            )
            assert of() != before


def test_a_model_folder_is_known_by_what_is_in_it(tmp_path: Path, minilm: str, of: Callable[..., str]) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(minilm, copy)
    there = {"reranker": {"model": str(copy)}}
    assert of(**there) == of()
    (copy / ".cache").mkdir()
    (copy / ".cache" / "downloaded.metadata").write_text("today")
    assert of(**there) == of()
    (copy / "config.json").write_text((copy / "config.json").read_text() + " ")
    assert of(**there) != of()


def test_the_code_of_a_reranker_counts_and_its_comments_do_not() -> None:
    source = 'def score(replies):\n    """Doc."""\n    return replies[0]  # why\n'
    other = 'def score(replies):\n    """Another."""\n\n    return (replies[0])\n'
    assert strip_comments(source) == strip_comments(other)
    assert strip_comments(source) != strip_comments(source.replace("[0]", "[1]"))
