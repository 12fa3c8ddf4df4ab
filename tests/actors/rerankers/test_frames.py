"""What stands around the texts: special tokens of a config's templates are special there, and in no text.

Expected ids are those of tokenizers.Tokenizer.from_file for the prompt written out, with the texts in it.
"""

from collections.abc import Callable
from typing import Any

import jinja2
import pytest
import tokenizers
from pydantic import ValidationError

from actors.rerankers import RERANKERS
from actors.rerankers.contract import Pair, Prompt
from actors.rerankers.cross_encoder import CrossEncoder
from actors.rerankers.tokenizer import Tokenizer
from tests import tiny

# Queries and documents with awkward ends, HTML, digits, three scripts, joined emoji, composed characters or not
TEXTS = [
    "a b",
    " a\n\n",
    "1,234.5 in 2024\r\n",
    "<b>&amp;</b> ",
    "Où 苹果 नमस्ते",
    "👩‍🚀🍎",
    "e\u0301 \u00e9",
    "\tx \u3000",
]
PAIRS = [Pair(query, doc) for query in TEXTS for doc in TEXTS]
QWEN: dict[str, Any] = {
    "query_template": "<|im_start|>system\nJudge.<|im_end|>\n<|im_start|>user\n<Query>: {query}\n",
    "doc_template": "<Document>: {doc}<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n",
}
ONE_TEXT: dict[str, Any] = {"prompt": "question:{query} \n \n passage:{doc}"}
CHAT: dict[str, Any] = {"messages": [{"role": "system", "content": "{query}"}, {"role": "user", "content": "{doc}"}]}


def ids_of(model: str, text: str, special: bool = True) -> list[int]:
    return tokenizers.Tokenizer.from_file(f"{model}/tokenizer.json").encode(text, add_special_tokens=special).ids


def fill(template: str, pair: Pair) -> str:
    return template.replace("{query}", pair.query).replace("{doc}", pair.doc)


def make(kind: str, model: str, limit: int = 4096, pairs: list[Pair] = PAIRS, **own: Any) -> list[Any]:
    settings: Any = RERANKERS[kind].settings(type=kind, model=model, **own)
    return RERANKERS[kind].prompt(Tokenizer(settings, limit), settings, pairs)


def test_a_pair_in_templates_with_special_tokens(tiny_model: Callable) -> None:
    """As Qwen3-Reranker saved as a classifier takes it; its tokenizer puts nothing around a pair."""
    model = tiny_model("qwen3")
    expected = [
        ids_of(model, fill(QWEN["query_template"], pair)) + ids_of(model, fill(QWEN["doc_template"], pair))
        for pair in PAIRS
    ]
    assert make("cross_encoder", model, **QWEN) == [Prompt([ids]) for ids in expected]


@pytest.mark.parametrize("name", ["llama3", "mistral", "llama2", "qwen3"])
def test_one_text_has_what_the_tokenizer_puts_around_a_text_once(name: str, tiny_model: Callable) -> None:
    model = tiny_model(name)
    expected = [Prompt([ids_of(model, fill(ONE_TEXT["prompt"], pair))]) for pair in PAIRS]
    assert make("cross_encoder", model, **ONE_TEXT) == expected


def test_messages_are_in_the_models_own_chat_template(tiny_model: Callable) -> None:
    model = tiny_model("qwen2")
    template = jinja2.Environment().from_string(tiny.CHATML)
    expected = []
    for query, doc, *_ in PAIRS:
        messages = [{"role": "system", "content": query}, {"role": "user", "content": doc}]
        expected.append(Prompt([ids_of(model, template.render(messages=messages, add_generation_prompt=True), False)]))
    assert make("cross_encoder", model, **CHAT) == expected


@pytest.mark.parametrize(("name", "inner"), [("bert", "[SEP]"), ("xlm_roberta", "<mask>"), ("modernbert", "[MASK]")])
def test_pairs_keep_the_tokens_and_types_of_a_pair(name: str, inner: str, tiny_model: Callable) -> None:
    model = tiny_model(name)
    file = tokenizers.Tokenizer.from_file(f"{model}/tokenizer.json")
    made = make("cross_encoder", model, query_template=f"about {inner} {{query}}", doc_template="{doc} end")
    for pair, prompt in zip(PAIRS, made, strict=True):
        whole = file.encode(f"about {inner} {pair.query}", f"{pair.doc} end")
        assert prompt.sequences == [whole.ids]
        assert prompt.boundary == (whole.type_ids.index(1) if 1 in whole.type_ids else None)


@pytest.mark.parametrize("name", ["llama3", "bert", "qwen3"])
def test_vectors_of_templates_with_special_tokens(name: str, tiny_model: Callable) -> None:
    model = tiny_model(name)
    inner = {"llama3": "<think>", "bert": "[MASK]", "qwen3": "<|im_start|>"}[name]
    templates: dict[str, Any] = {"query_template": f"{inner}query: {{query}}", "doc_template": f"{{doc}}{inner}"}
    expected = [
        Prompt([ids_of(model, fill(templates[f"{side}_template"], pair)) for side in ("query", "doc")])
        for pair in PAIRS
    ]
    assert make("bi_encoder", model, **templates) == expected


def test_the_query_template_of_rank1_may_hold_special_tokens(tiny_model: Callable) -> None:
    model = tiny_model("rank1_qwen2")
    text = (
        "Determine if the following passage is relevant to the query. Answer only with 'true' or 'false'.\n"
        "Query: <|im_start|>FILL: {query}<|im_end|>\nPassage: {doc}\n<think>"
    )
    expected = [Prompt([ids_of(model, fill(text, pair))]) for pair in PAIRS]
    assert make("rank1", model, query_template="<|im_start|>FILL: FILL_QUERY_HERE<|im_end|>") == expected


FAMILIES: list[tuple[str, str, dict[str, Any]]] = [
    ("cross_encoder", "qwen3", QWEN),
    ("cross_encoder", "qwen3", ONE_TEXT),
    ("cross_encoder", "qwen2", CHAT),
    ("cross_encoder", "bert", {"doc_template": "{doc} [SEP] end"}),
    ("bi_encoder", "qwen3", {"query_template": "<|im_start|>{query}", "doc_template": "<|im_start|>{doc}<|im_end|>"}),
    ("rank1", "rank1_qwen2", {"query_template": "<|im_start|>{query}<|im_end|>", "max_new_tokens": 40}),
]


@pytest.mark.parametrize(("kind", "name", "own"), FAMILIES)
def test_no_text_gets_a_special_token_that_a_template_has(
    kind: str, name: str, own: dict[str, Any], tiny_model: Callable
) -> None:
    hostile = [Pair(text, text) for text in ("<|im_end|>\n<|im_start|>", "[SEP][CLS]", "<think></think>", "<s></s>")]
    plain, *made = make(kind, tiny_model(name), pairs=[Pair("a", "a"), *hostile], **own)
    control = Tokenizer(CrossEncoder(type="cross_encoder", model=tiny_model(name))).control
    for prompt in made:
        for ids, bare in zip(prompt.sequences, plain.sequences, strict=True):
            assert [i for i in ids if i in control] == [i for i in bare if i in control]


@pytest.mark.parametrize(("kind", "name", "own"), FAMILIES)
def test_at_the_limit_all_fits_and_one_beyond_only_the_document_is_cut(
    kind: str, name: str, own: dict[str, Any], tiny_model: Callable
) -> None:
    model, pair = tiny_model(name), Pair("what is it?", "it is 1 2 3 4 5 6 7 8 9 and so on")
    (whole,) = make(kind, model, pairs=[pair], **own)
    size = max(map(len, whole.sequences)) + (16 + 10 if kind == "rank1" else 0)  # its room to write
    assert make(kind, model, size, [pair], **own) == [whole]
    (cut,) = make(kind, model, size - 1, [pair], **own)
    shorter = [make(kind, model, pairs=[pair._replace(doc=pair.doc[:n])], **own)[0] for n in range(len(pair.doc))]
    assert cut.truncated and cut.sequences in [each.sequences for each in shorter]


@pytest.mark.parametrize(
    ("own", "words"),
    [
        ({"prompt": "{query} {doc}", "messages": [{"role": "user", "content": "{query} {doc}"}]}, "one of the two"),
        ({"prompt": "{query} {doc}", "doc_template": "passage: {doc}"}, "give one of the two"),
        ({"prompt": "{query}"}, r"reranker\.prompt: must contain \{doc\} once, not 0 times"),
        ({"messages": [{"role": "user", "content": "{doc}"}]}, r"reranker\.messages: must contain \{query\} once"),
        ({"prompt": "{query} {doc}", "instruction": "x"}, r"reranker\.prompt has no place for it"),
        ({"instruction": "x"}, "has no place for it"),
        ({"prompt": ""}, r"must contain \{query\} once"),
    ],
)
def test_a_prompt_that_cannot_be_meant_is_refused(own: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        CrossEncoder(type="cross_encoder", model="m", **own)


def test_the_side_that_comes_first_is_that_of_the_prompt() -> None:
    for text, side in (("{doc} {query}", "doc"), ("{query} {doc}", "query")):
        made = CrossEncoder(type="cross_encoder", model="m", prompt=text)
        assert RERANKERS["cross_encoder"].prefix_side(made) == side
    assert RERANKERS["cross_encoder"].prefix_side(CrossEncoder(type="cross_encoder", model="m")) == "query"
