"""Models that several files of this folder use."""

import pytest

from tests import tiny, tiny_trained


@pytest.fixture(scope="session")
def trained_erank(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of a tiny model that answers ERank's prompt (tests/tiny_trained.py)."""
    return tiny_trained.erank(tmp_path_factory.mktemp("erank"))


@pytest.fixture(scope="session")
def lettered_qwen3(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A tiny random Qwen3 in whose vocabulary ` A` to ` T` are tokens, as in those of real models."""
    texts = [f"Passage {letter}: Passage: {letter}\n" for letter in "ABCDEFGHIJKLMNOPQRST"] * 200
    tokenizer = tiny.qwen3_tokenizer(texts=texts)
    config = {"head_dim": 64, "num_key_value_heads": 1, "tie_word_embeddings": True}
    return tiny.save(tmp_path_factory.mktemp("lettered"), tokenizer, "qwen3", **config)
