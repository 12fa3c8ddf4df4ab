"""The tiny models are as their users expect: labels are single tokens, and outputs depend on the prompt."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

from tests import tiny

DIGITS = list("0123456789")
GENERATORS: dict[Callable[[Path], str], list[str]] = {
    tiny.qwen2: ["yes", "no", *DIGITS],
    tiny.qwen3: ["yes", "no", *DIGITS],
    tiny.rank1_qwen2: [" true", " false", *DIGITS],
    tiny.llama3: [" true", " false", *DIGITS],
    tiny.mistral: [" true", " false", *DIGITS],
    tiny.bloom: DIGITS,
    tiny.llama2: [],  # where a label at the start of a text has a space before it
    tiny.gemma: ["Yes", "No", "yes", "no", *DIGITS],
}
# A pair of texts, as each tokenizer joins them.
CLASSIFIERS: dict[Callable[[Path], str], str] = {
    tiny.xlm_roberta: "<s>▁yes</s></s>▁no</s>",
    tiny.modernbert: "[CLS]yes[SEP]no[SEP]",
    tiny.bert: "[CLS]yes[SEP]no[SEP]",
    tiny.llama_classifier: "<s>▁yes<s>▁no",
}


def name(make: Callable[[Path], str]) -> str:
    return make.__name__


@pytest.mark.parametrize("make", GENERATORS, ids=name)
def test_labels_are_single_tokens_that_no_one_added(make: Callable[[Path], str], tmp_path: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(make(tmp_path))
    assert set(DIGITS) <= set(tokenizer.get_vocab())
    for label in GENERATORS[make]:
        (token,) = tokenizer.encode(label, add_special_tokens=False)
        assert tokenizer.decode([token]) == label
        assert token not in tokenizer.added_tokens_decoder


@pytest.mark.parametrize("make", GENERATORS, ids=name)
def test_the_next_token_depends_on_the_first_word(make: Callable[[Path], str], tmp_path: Path) -> None:
    folder = make(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    prompts = [f"{word} is the first of some forty words, and the others are the same. " * 3 for word in ("True", "No")]
    with torch.no_grad():
        one, two = (model(**tokenizer(text, return_tensors="pt")).logits[0, -1].log_softmax(-1) for text in prompts)
    assert (one - two).abs().max() > 0.1


@pytest.mark.parametrize("make", CLASSIFIERS, ids=name)
def test_a_classifiers_score_depends_on_both_texts(make: Callable[[Path], str], tmp_path: Path) -> None:
    folder = make(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32)
    assert "".join(tokenizer.convert_ids_to_tokens(tokenizer("yes", "no").input_ids)) == CLASSIFIERS[make]
    with torch.no_grad():
        pairs = [("a query", "a document"), ("another query", "a document"), ("a query", "another document")]
        one, query, document = (model(**tokenizer(*pair, return_tensors="pt")).logits.item() for pair in pairs)
    assert abs(one - query) > 0.01 and abs(one - document) > 0.01


def test_qwen3s_template_has_no_system_message_of_its_own(tmp_path: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny.qwen3(tmp_path))
    messages = [{"role": "user", "content": "Hello"}]
    rendered = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert rendered == "<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n"
    assert not {"<think>", "</think>"} & set(tokenizer.all_special_tokens)
    assert len(tokenizer.encode("<think></think>")) == 2
