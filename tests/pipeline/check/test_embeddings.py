"""A token of a prompt, a label or a text that has no row in the model's table of embeddings."""

from collections.abc import Callable
from typing import Any

import pytest
from tokenizers import AddedToken, Tokenizer
from transformers import AutoTokenizer

from pipeline.check.model import check_tokenizer
from pipeline.check.weights import check_embeddings
from pipeline.errors import UsageError
from tests.pipeline.check.conftest import LABEL, look, make_config


def test_a_template_with_a_token_that_has_no_embedding_is_refused(copy: Callable) -> None:
    folder = copy("qwen2")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens([AddedToken("<|new|>", special=True)], special_tokens=True)
    tokenizer.save_pretrained(folder)
    line = r"'<\|new\|>' of the prompt has the id 603, and the model has 603 embeddings"
    with pytest.raises(UsageError, match=line):
        look(folder, "label", **LABEL | {"prompt": "<|new|>{query} {doc}"})
    assert look(folder, "label", **LABEL) is None


@pytest.mark.parametrize(
    ("name", "kind", "reranker", "token", "what"),
    [
        ("bert", "cross_encoder", {}, "a", "the prompt"),
        ("llama3", "rank1", {}, "<think>", "the prompt"),
        ("llama3", "label", LABEL | {"prompt": "{query} {doc}<think>"}, "<think>", "the prompt"),
        ("qwen2", "label", LABEL, "no", "reranker.labels"),
        ("llama2", "rankinggpt", {}, None, "a text"),
        ("bert", "bi_encoder", {}, None, "a text"),
    ],
)
def test_a_token_needs_an_embedding(
    name: str, kind: str, reranker: dict[str, Any], token: str | None, what: str, built: Callable
) -> None:
    """token: the one with the largest id of those that are asked for; None for the last of the vocabulary."""
    folder = built(name)
    vocabulary = Tokenizer.from_file(str(folder / "tokenizer.json")).get_vocab()
    config = make_config(folder, kind, **reranker)
    rows = max(vocabulary.values()) if token is None else vocabulary[token]
    if what == "reranker.labels":  # whose ids are below those of a prompt in most vocabularies
        config = make_config(folder, kind, **reranker | {"prompt": "{query}{doc}"})
    tokenizer = check_tokenizer(config)
    with pytest.raises(UsageError, match=f"of {what} has the id {rows}, and the model has {rows} embeddings"):
        check_embeddings(config.reranker, tokenizer, rows)
    check_embeddings(config.reranker, tokenizer, len(vocabulary))


@pytest.mark.parametrize(
    ("name", "kind", "added", "refused"),
    [
        ("qwen2", "lb", "pembrolizumab", True),
        ("bert", "cross_encoder", "<br>", True),
        ("llama2", "rankinggpt", "\n\n\n", True),
        ("xlm_roberta", "cross_encoder", "🍎", True),
        ("qwen2", "lb", "<|tool|>", False),  # no text gets it
        ("bert", "cross_encoder", AddedToken("[NEW]", special=True), False),
    ],
)
def test_an_added_token_that_texts_may_have_needs_an_embedding(
    name: str, kind: str, added: str | AddedToken, refused: bool, copy: Callable
) -> None:
    folder = copy(name)
    file = Tokenizer.from_file(str(folder / "tokenizer.json"))
    rows = file.get_vocab_size()
    file.add_special_tokens([added]) if isinstance(added, AddedToken) else file.add_tokens([AddedToken(added)])
    file.save(str(folder / "tokenizer.json"))
    if not refused:
        assert look(folder, kind) is None
        return
    with pytest.raises(UsageError, match=f"of a text has the id {rows}, and the model has {rows} embeddings; resize"):
        look(folder, kind)
