"""The prompts of every family, token by token, for awkward texts: against those that the families' tests write out.

Texts that spell special tokens are among them, so this also shows that no text becomes more than text.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from actors.rerankers import RERANKERS
from actors.rerankers.contract import Pair, Prompt
from actors.rerankers.tokenizer import Tokenizer
from tests.actors.rerankers import (
    test_bge_gemma,
    test_cross_encoder,
    test_erank,
    test_lb,
    test_mxbai,
    test_pairwise,
    test_qwen3,
    test_rank1,
    test_rankinggpt,
    test_setwise,
    test_t5,
    test_windows,
)
from tests.awkward import SPELT, TEXTS, pair_up
from tests.file_tokenizer import FileTokenizer

Ids = list[int]
YES_NO = {"labels": {"yes": 1.0, "no": 0.0}, "score": "probability"}

JUDGED = {"answer": r"grade: (\d)", "values": {"0": 0.0, "1": 1.0}, "max_new_tokens": 8}


class Case(NamedTuple):
    """model: a function of tests/tiny.py. settings: the family's own. expected: the ids of a query, a document and an
    instruction; for a prompt with a boundary, the ids and that. spare: tokens of the limit that no prompt gets."""

    model: str
    settings: dict[str, Any]
    expected: Callable[[FileTokenizer, str, str, Any], Any]
    spare: int = 1


def fill(*frames: str) -> Callable[[FileTokenizer, str, str, str], Ids]:
    """Frames that are encoded separately, as one sequence."""
    return lambda tokenizer, query, doc, instruction: [
        i for frame in frames for i in tokenizer.fill(frame, query=query, doc=doc, instruction=instruction)
    ]


def typed(*frames: str) -> Callable[[FileTokenizer, str, str, str], tuple[Ids, int]]:
    """The same, for a model with types of tokens, which knows where the second begins."""
    return lambda tokenizer, query, doc, _: (
        fill(*frames)(tokenizer, query, doc, ""),
        len(tokenizer.fill(frames[0], query=query)),
    )


def both(query: str, doc: str) -> Callable[[FileTokenizer, str, str, str], list[Ids]]:
    """Two sequences."""
    return lambda tokenizer, q, d, _: [tokenizer.fill(query, query=q), tokenizer.fill(doc, doc=d)]


def rank1(ask: str = "{query}") -> Callable[[FileTokenizer, str, str, str], Ids]:
    """The instruction stands behind the query, unless it repeats that."""

    def prompt(tokenizer: FileTokenizer, query: str, doc: str, instruction: str) -> Ids:
        same = query.strip() == instruction.strip()
        return test_rank1.prompt(tokenizer, query.strip() if same else f"{query} {instruction}".strip(), doc, ask=ask)

    return prompt


def window(name: str, max_new_tokens: int | None = None) -> Case:
    """A window of one passage."""
    case = test_windows.CASES[name]
    more = {"max_new_tokens": max_new_tokens} if max_new_tokens else {}
    expected = lambda tokenizer, query, doc, _: test_windows.expect(case, tokenizer, query, [doc])  # noqa: E731
    return Case(case.model, case.settings | more, expected, max_new_tokens or 1)


CHATML = (
    "<|im_start|>system\n{query}<|im_end|>\n<|im_start|>user\n{instruction}{doc}<|im_end|>\n<|im_start|>assistant\n"
)
MESSAGES = [{"role": "system", "content": "{query}"}, {"role": "user", "content": "{instruction}{doc}"}]
UNCUT = {"max_query_tokens": None, "max_passage_tokens": None}
QWEN = {
    "query_template": "<|im_start|>system\nJudge.<|im_end|>\n<|im_start|>user\n<Query>: {query}\n",
    "doc_template": "<Document>: {doc}<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n",
}

CASES = {
    "lb": Case("qwen2", {}, lambda t, q, d, i: test_lb.prompt(t, q, d)),
    "lb reversed": Case(
        "qwen2", {"order": "context_first"}, lambda t, q, d, i: test_lb.prompt(t, q, d, "context_first")
    ),
    "qwen3": Case("qwen3", {}, lambda t, q, d, i: test_qwen3.prompt(t, q, d, i)),
    "mxbai": Case("qwen2", {}, lambda t, q, d, i: test_mxbai.prompt(t, q, d, i)),
    "bge_gemma": Case("gemma", {}, lambda t, q, d, i: test_bge_gemma.prompt(t, q, d)),
    "erank": Case("qwen3", {"max_new_tokens": 8}, lambda t, q, d, i: test_erank.prompt(t, q, d, i, 2048), 2),
    "rank1": Case("rank1_qwen2", {"max_new_tokens": 8}, rank1(), 16 + 2),
    "rank1 of Llama 3": Case("llama3", {"max_new_tokens": 8}, rank1(), 16 + 2),
    "rank1 of Mistral": Case("mistral", {"max_new_tokens": 8}, rank1(), 16 + 2),
    "rank1 with a template": Case(
        "rank1_qwen2",
        {"max_new_tokens": 8, "query_template": "<|im_start|>FILL: FILL_QUERY_HERE<|im_end|>"},
        rank1("<|im_start|>FILL: {query}<|im_end|>"),
        16 + 2,
    ),
    "rankinggpt": Case("bloom", {}, lambda t, q, d, i: test_rankinggpt.card_prompt(t, q, d), 0),
    "rankinggpt of Llama 2": Case("llama2", {}, lambda t, q, d, i: test_rankinggpt.card_prompt(t, q, d), 0),
    "rankinggpt eval": Case("bloom", {"mode": "eval"}, lambda t, q, d, i: test_rankinggpt.eval_prompt(t, q, d)),
    "rankinggpt eval of Llama 2": Case(
        "llama2", {"mode": "eval"}, lambda t, q, d, i: test_rankinggpt.eval_prompt(t, q, d, begin="<s>")
    ),
    "rankinggpt arguana": Case(
        "llama2",
        {"mode": "eval", "arguana": True},
        lambda t, q, d, i: test_rankinggpt.eval_prompt(t, q, d, True, "<s>"),
    ),
    "t5": Case("t5", {}, lambda t, q, d, i: test_t5.monot5(t, q, d), 0),
    "t5 rankt5": Case("t5", {"mode": "rankt5"}, lambda t, q, d, i: test_t5.rankt5(t, q, d), 0),
    "t5 likelihood": Case("flan_t5", {"mode": "likelihood"}, lambda t, q, d, i: test_t5.likelihood(t, q, d), 0),
    "label": Case("qwen2", {"messages": MESSAGES, **YES_NO}, fill(CHATML)),
    "label of a raw prompt": Case(
        "mistral",
        {"prompt": "[INST]{instruction} {doc}[/INST]\n{query}?", **YES_NO},
        fill("<s>[INST]{instruction} {doc}[/INST]\n{query}?"),
    ),
    "written": Case("qwen2", {"messages": MESSAGES, **JUDGED}, fill(CHATML), 2),
    "written of a raw prompt": Case(
        "mistral",
        {"prompt": "[INST]{instruction} {doc}[/INST]\n{query}?", **JUDGED},
        fill("<s>[INST]{instruction} {doc}[/INST]\n{query}?"),
        2,
    ),
    "cross_encoder xlm_roberta": Case("xlm_roberta", {}, fill(*test_cross_encoder.FRAMES["xlm_roberta"]), 0),
    "cross_encoder modernbert": Case("modernbert", {}, fill(*test_cross_encoder.FRAMES["modernbert"]), 0),
    "cross_encoder bert": Case("bert", {}, typed(*test_cross_encoder.FRAMES["bert"]), 0),
    "cross_encoder deberta_v3": Case("deberta_v3", {}, fill(*test_cross_encoder.FRAMES["deberta_v3"]), 0),
    "cross_encoder llama": Case(
        "llama_classifier", test_cross_encoder.RANKLLAMA, fill(*test_cross_encoder.FRAMES["llama_classifier"]), 0
    ),
    "cross_encoder bert, special": Case(
        "bert",
        {"query_template": "about [SEP] {query}", "doc_template": "{doc} [MASK] end"},
        typed("[CLS]about [SEP] {query}[SEP]", "{doc} [MASK] end", "[SEP]"),
        0,
    ),
    "cross_encoder xlm_roberta, special": Case(
        "xlm_roberta",
        {"query_template": "about <mask> {query}", "doc_template": "{doc} <mask> end"},
        fill("<s>about <mask> {query}</s></s>", "{doc} <mask> end", "</s>"),
        0,
    ),
    "cross_encoder qwen3": Case("qwen3", QWEN, fill(QWEN["query_template"], QWEN["doc_template"], ""), 0),
    **{
        f"cross_encoder {name}, prompt": Case(
            name,
            {"prompt": "question:{query} \n \n passage:{doc}"},
            fill(begin + "question:{query} \n \n passage:{doc}"),
            0,
        )
        for name, begin in (("llama3", "<|begin_of_text|>"), ("mistral", "<s>"), ("llama2", "<s>"), ("qwen3", ""))
    },
    "cross_encoder messages": Case("qwen2", {"messages": MESSAGES}, fill(CHATML), 0),
    "bi_encoder": Case("bert", {}, both("[CLS]{query}[SEP]", "[CLS]{doc}[SEP]"), 0),
    "bi_encoder of Llama 3": Case(
        "llama3",
        {"query_template": "query: {query}", "doc_template": "passage: {doc}"},
        both("<|begin_of_text|>query: {query}", "<|begin_of_text|>passage: {doc}"),
        0,
    ),
    "bi_encoder bert, special": Case(
        "bert",
        {"query_template": "[MASK]query: {query}", "doc_template": "{doc}[MASK]"},
        both("[CLS][MASK]query: {query}[SEP]", "[CLS]{doc}[MASK][SEP]"),
        0,
    ),
    "bi_encoder qwen3, special": Case(
        "qwen3",
        {"query_template": "<|im_start|>{query}", "doc_template": "<|im_start|>{doc}<|im_end|>"},
        both("<|im_start|>{query}", "<|im_start|>{doc}<|im_end|>"),
        0,
    ),
    **{name: window(name, 8) for name in ("listwise", "listwise turns", "listwise no thinking", "listwise raw")},
    **{name: window(name) for name in ("first", "first raw")},
    "setwise": Case("qwen3", UNCUT, lambda t, q, d, i: test_setwise.prompt(t, q, [d])),
    "setwise raw": Case(
        "llama3",
        UNCUT | {"prompt": "{query}: {passages}", "passage": "<{i}>{passage}"},
        fill("<|begin_of_text|>{query}: <A>{doc} Passage:"),
    ),
    "setwise of Rank-R1": Case(
        "qwen2", UNCUT | test_setwise.RANK_R1, lambda t, q, d, i: test_setwise.rank_r1_prompt(t, q, [d]), 8
    ),
    "pairwise": Case("qwen3", UNCUT, lambda t, q, d, i: test_pairwise.prompt(t, q, [d])),
    "pairwise raw": Case(
        "mistral",
        UNCUT | {"prompt": "[INST]{query}: {passages}[/INST]"},
        fill('<s>[INST]{query}: Passage A: "{doc}"[/INST] Passage:'),
    ),
}
# Those whose limit is the engine's, for all of their tokens
BY_ENGINE = [name for name, case in CASES.items() if case.settings.get("mode") not in ("eval", "likelihood")]
CUT = {
    "qwen3 cut": Case("qwen3", {"max_length": 140}, lambda t, q, d, i: test_qwen3.prompt(t, q, d, i, 140)),
    "mxbai cut": Case("qwen2", {"max_length": 40}, lambda t, q, d, i: test_mxbai.prompt(t, q, d, i, 40)),
    "bge_gemma cut": Case("gemma", {"max_length": 12}, lambda t, q, d, i: test_bge_gemma.prompt(t, q, d, 12)),
    "erank cut": Case(
        "qwen3",
        {"max_new_tokens": 8, "max_query_tokens": 7, "max_doc_tokens": 9},
        lambda t, q, d, i: test_erank.prompt(t, t.decode(t.ids(q)[:7]), t.decode(t.ids(d)[:9]), i),
        2,
    ),
}


def make(name: str, case: Case, model: str, pairs: list[Pair], limit: int | None = None) -> list[Any]:
    reranker = RERANKERS[name.split()[0]]
    settings = reranker.settings(type=name.split()[0], model=model, **case.settings)
    return reranker.prompt(Tokenizer(settings, limit), settings, pairs)


def expect(case: Case, tokenizer: FileTokenizer, pair: Pair) -> Prompt:
    found = case.expected(tokenizer, pair.query, pair.doc, pair.instruction)
    ids, boundary = found if isinstance(found, tuple) else (found, None)
    return Prompt(ids if isinstance(ids[0], list) else [ids], boundary=boundary)


def show_difference(tokenizer: FileTokenizer, made: Any, expected: Prompt) -> str:
    """Both as text, from a little before they part."""
    lines = []
    for ours, theirs in zip(made.sequences, expected.sequences, strict=True):
        same = next((i for i, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), 0)
        around = slice(max(0, same - 10), same + 30)
        lines.append(f"made {tokenizer.decode(ours[around])!r}, expected {tokenizer.decode(theirs[around])!r}")
    return "; ".join(lines)


@pytest.mark.parametrize("name", CASES)
def test_awkward_texts_have_the_ids_of_the_prompt_written_out(name: str, tiny_model: Callable) -> None:
    model = tiny_model(CASES[name].model)
    tokenizer = FileTokenizer(model)
    pairs = [Pair(query, doc, TEXTS[i % len(TEXTS)]) for i, (query, doc) in enumerate(pair_up(TEXTS))]
    for pair, made in zip(pairs, make(name, CASES[name], model, pairs), strict=True):
        expected = expect(CASES[name], tokenizer, pair)
        assert made == expected, f"{pair}: {show_difference(tokenizer, made, expected)}"


# A document of which every prefix has a token less
LADDER = [Pair("it", "7,8,9,1,2,3,4,5,6"[:n], "Judge.") for n in range(18)]


@pytest.mark.parametrize("beyond", [0, 1, 4])
@pytest.mark.parametrize("name", BY_ENGINE)
def test_a_prompt_at_the_limit_is_whole_and_one_beyond_loses_the_end_of_its_document(
    name: str, beyond: int, tiny_model: Callable
) -> None:
    model = tiny_model(CASES[name].model)
    prompts = [expect(CASES[name], FileTokenizer(model), pair) for pair in LADDER]
    room = max(map(len, prompts[-1].sequences)) - beyond
    (made,) = make(name, CASES[name], model, LADDER[-1:], room + CASES[name].spare)
    assert made == prompts[-1 - beyond]._replace(truncated=beyond > 0)


@pytest.mark.parametrize("name", CUT)
def test_a_document_at_a_familys_own_limit_is_whole_and_one_beyond_is_cut(name: str, tiny_model: Callable) -> None:
    model = tiny_model(CUT[name].model)
    tokenizer, whole = FileTokenizer(model), CASES[name.removesuffix(" cut")]
    cut = [expect(CUT[name], tokenizer, pair) for pair in LADDER]
    lost = [prompt != expect(whole, tokenizer, pair) for prompt, pair in zip(cut, LADDER, strict=True)]
    assert {*lost[:3]} == {False} and {*lost[-3:]} == {True}
    assert make(name, CUT[name], model, LADDER) == [
        prompt._replace(truncated=t) for prompt, t in zip(cut, lost, strict=True)
    ]


@pytest.mark.parametrize("name", [name for name in CASES if name != "t5 likelihood"])  # has two limits: test_t5.py
def test_a_long_document_is_cut_to_fit(name: str, tiny_model: Callable) -> None:
    """One of each kind of tokenizer (byte-level BPE, Unigram, WordPiece) gets a megabyte."""
    size = 1_000_000 if name in ("lb", "cross_encoder xlm_roberta", "cross_encoder bert") else 64_000
    model, pair = tiny_model(CASES[name].model), Pair("a query", (SPELT[0] + " words" * size)[:size], "Judge.")
    begin = expect(CASES[name], FileTokenizer(model), pair._replace(doc=pair.doc[:5000]))
    (made,) = make(name, CASES[name], model, [pair], limit=8192)
    assert made.truncated and 250 < len(made.sequences[-1]) <= 8192
    assert made.sequences[-1][:250] == begin.sequences[-1][:250]
