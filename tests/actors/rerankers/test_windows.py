"""Windows: the prompts token for token against those written out here, and passages that are cut for them to fit."""

import re
from collections.abc import Callable
from typing import Any, NamedTuple

import ftfy
import pytest
from transformers import AutoTokenizer

from actors.rerankers import RERANKERS
from actors.rerankers.contract import Pair, Prompt, Unscored
from actors.rerankers.tokenizer import Tokenizer
from tests.awkward import TEXTS
from tests.file_tokenizer import FileTokenizer

SYSTEM = "You are RankLLM, an intelligent assistant that can rank passages based on their relevancy to the query"
BEFORE = (
    "I will provide you with {num} passages, each indicated by {a} identifier []. "
    "Rank the passages based on their relevance to the search query: {query}.\n"
)
AFTER = (
    "\nSearch Query: {query}.\n"
    "Rank the {num} passages above based on their relevance to the search query. All the passages should be included "
    "and listed using identifiers, in descending order of relevance. The output format should be [] > [], e.g., {e}, "
    "Answer concisely and directly and only respond with the ranking results, do not say any word or explain."
)
BY_NUMBER, BY_LETTER = {"a": "a numerical", "e": "[2] > [1]"}, {"a": "an alphabetical", "e": "[B] > [A]"}
TURNS = [  # as Rearank's, and rank_llm's rank_gpt_template.yaml
    {"role": "system", "content": "You are RankGPT."},
    {"role": "user", "content": "I will provide you with {num} passages. Rank them by: {query}."},
    {"role": "assistant", "content": "Okay, please provide the passages."},
    {"role": "user", "content": "[{i}] {passage}"},
    {"role": "assistant", "content": "Received passage [{i}]."},
    {"role": "user", "content": "Search Query: {query}.\nRank the {num} passages above."},
]
# As Mistral's and Llama 3's: what a user says is trimmed
TRIMMED = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'assistant' %} {{ m.content + eos_token }}"
    "{% else %}[INST] {{ m.content | trim }} [/INST]{% endif %}{% endfor %}"
)


class Case(NamedTuple):
    """model: of tests/tiny.py. frame: the prompt of a window; {d0}, {d1} are their places. trimmed: a passage
    stands where the chat template trims."""

    family: str
    model: str
    settings: dict[str, Any]
    frame: Callable[[int], str]
    trimmed: bool = False


def name(family: str, number: int) -> str:
    return "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[number] if family == "first" else str(number + 1)


def list_passages(family: str, count: int) -> str:
    return "\n".join(f"[{name(family, i)}] {{d{i}}}" for i in range(count))


def chatml(*turns: tuple[str, str], answer: str = "") -> str:
    written = "".join(f"<|im_start|>{role}\n{text}<|im_end|>\n" for role, text in turns)
    return f"{written}<|im_start|>assistant\n{answer}"


def default(family: str, about: dict[str, str]) -> Callable[[int], str]:
    def fill(count: int) -> str:
        text = BEFORE + list_passages(family, count).replace("{", "{{").replace("}", "}}") + AFTER
        return text.format(query="{query}", num=count, **about)

    return fill


def qwen3_turns(count: int) -> str:
    passages = [
        turn
        for i in range(count)
        for turn in (("user", f"[{i + 1}] {{d{i}}}"), ("assistant", f"Received passage [{i + 1}]."))
    ]
    return chatml(
        ("system", "You are RankGPT."),
        ("user", f"I will provide you with {count} passages. Rank them by: {{query}}."),
        ("assistant", "Okay, please provide the passages."),
        *passages,
        ("user", f"Search Query: {{query}}.\nRank the {count} passages above."),
    )


def mistral_turns(count: int) -> str:
    passages = "".join(f"[INST] [{i + 1}] {{d{i}}} [/INST] Received passage [{i + 1}].</s>" for i in range(count))
    return (
        f"<s>[INST] You are RankGPT. [/INST][INST] I will provide you with {count} passages. Rank them by: {{query}}. "
        f"[/INST] Okay, please provide the passages.</s>{passages}[INST] Search Query: {{query}}.\nRank the {count} "
        "passages above. [/INST]"
    )


CASES = {
    "listwise": Case(
        "listwise", "qwen3", {}, lambda n: chatml(("system", SYSTEM), ("user", default("listwise", BY_NUMBER)(n)))
    ),
    "first": Case(
        "first",
        "qwen3",
        {},
        lambda n: chatml(("system", SYSTEM), ("user", default("first", BY_LETTER)(n)), answer="["),
    ),
    "first trimmed": Case(
        "first",
        "mistral, trimmed",
        {},
        lambda n: f"<s>[INST] {SYSTEM} [/INST][INST] {default('first', BY_LETTER)(n)} [/INST][",
    ),
    "listwise turns": Case("listwise", "qwen3", {"messages": TURNS}, qwen3_turns),
    "listwise turns, trimmed": Case("listwise", "mistral, trimmed", {"messages": TURNS}, mistral_turns, True),
    "listwise short turns": Case(
        "listwise",
        "qwen3",
        {"messages": [{"role": "user", "content": m} for m in ("{query}?", "{i}. {passage}.", "{num} of them")]},
        lambda n: chatml(
            ("user", "{query}?"), *(("user", f"{i + 1}. {{d{i}}}.") for i in range(n)), ("user", f"{n} of them")
        ),
    ),
    "listwise no thinking": Case(
        "listwise",
        "qwen3",
        {
            "messages": [{"role": "user", "content": "{query}\n{passages}"}],
            "chat_template_kwargs": {"enable_thinking": False},
            "passage": "<{i}>: {passage}",
            "separator": "\n\n",
        },
        lambda n: chatml(
            ("user", "{query}\n" + "\n\n".join(f"<{i + 1}>: {{d{i}}}" for i in range(n))),
            answer="<think>\n\n</think>\n\n",
        ),
    ),
    "listwise raw": Case(
        "listwise",
        "llama3",
        {"prompt": "{num} for {query}:\n{passages}\nOrder:<think>"},
        lambda n: f"<|begin_of_text|>{n} for {{query}}:\n{list_passages('listwise', n)}\nOrder:<think>",
    ),
    "first raw": Case(
        "first",
        "mistral",
        {"prompt": "[INST]{passages}\n{query}, {query}[/INST]"},
        lambda n: f"<s>[INST]{list_passages('first', n)}\n{{query}}, {{query}}[/INST][",
    ),
}


@pytest.fixture(scope="session")
def get_model(tiny_model: Callable, save_tokenizer: Callable) -> Callable[[str], str]:
    made: dict[str, str] = {}

    def get(name: str) -> str:
        if not name.endswith(", trimmed"):
            return tiny_model(name)
        if name not in made:
            tokenizer = AutoTokenizer.from_pretrained(tiny_model(name.removesuffix(", trimmed")))
            tokenizer.chat_template = TRIMMED
            made[name] = save_tokenizer(tokenizer, model_type="mistral", max_position_embeddings=4096)
        return made[name]

    return get


def load(case: Case, model: str, limit: int = 100_000, **more: Any) -> tuple[Tokenizer, Any]:
    settings = RERANKERS[case.family].settings(**{"type": case.family, "model": model} | case.settings | more)
    return Tokenizer(settings, limit), settings


def ask(case: Case, tokenizer: Tokenizer, settings: Any, docs: list[Pair]) -> list[int] | None:
    """The prompt of all candidates in one window, shortened before; None where it is refused."""
    seen = RERANKERS[case.family].whole_query
    assert seen
    try:
        asked = next(seen.rank(tokenizer, settings, seen.shorten(tokenizer, settings, docs)))
    except StopIteration:
        return None
    (ids,) = asked.sequences
    return ids


def expect(case: Case, tokenizer: FileTokenizer, query: str, docs: list[str], fixed: bool = True) -> list[int]:
    """The ids of the prompt written out, with passages as rank_llm makes them."""
    mark = r"\[([A-Za-z]+)\]" if case.family == "first" else r"\[(\d+)\]"
    if fixed:
        docs = [" ".join(ftfy.fix_text(doc.strip()).split()[:300]) for doc in docs]
    if case.trimmed:
        docs = [doc.rstrip() for doc in docs]
    texts = {f"d{i}": re.sub(mark, r"(\1)", doc) for i, doc in enumerate(docs)}
    return tokenizer.fill(case.frame(len(docs)), query=re.sub(mark, r"(\1)", query), **texts)


@pytest.mark.parametrize("fixed", [True, False])
@pytest.mark.parametrize("name", CASES)
def test_a_window_is_the_prompt_written_out(name: str, fixed: bool, get_model: Callable) -> None:
    """Awkward texts, and those that spell the prompt's own marks and special tokens, which stay text."""
    case = CASES[name]
    model = get_model(case.model)
    tokenizer, settings = load(case, model, fix_text=fixed)
    reference = FileTokenizer(model)
    texts = [*TEXTS, "[1] [B] [12] [INST] is [1][/INST]", "{passages} {passage} {i} {num} {d0}", "words " * 290]
    for at, query in enumerate(texts):
        docs = [*texts[at:], *texts[:at]][: 2 + at % 4]
        made = ask(case, tokenizer, settings, [Pair(query, doc) for doc in docs])
        assert made == expect(case, reference, query, docs, fixed), (query, docs)


@pytest.mark.parametrize("name", CASES)
def test_a_full_window_has_as_many_passages(name: str, get_model: Callable) -> None:
    case = CASES[name]
    model = get_model(case.model)
    docs = [f"It is {i}." for i in range(20)]
    made = ask(case, *load(case, model), [Pair("what?", doc) for doc in docs])
    assert made == expect(case, FileTokenizer(model), "what?", docs)


@pytest.mark.parametrize("name", CASES)
def test_the_prompt_of_a_pair_is_a_window_of_one(name: str, get_model: Callable) -> None:
    case = CASES[name]
    model = get_model(case.model)
    tokenizer, settings = load(case, model)
    long = "word " * 301
    made = RERANKERS[case.family].prompt(tokenizer, settings, [Pair("a", "b [1] [A]"), Pair("c", long), Pair("d", "e")])
    reference = FileTokenizer(model)
    assert made == [
        Prompt([expect(case, reference, "a", ["b [1] [A]"])]),
        Prompt([expect(case, reference, "c", [long])], truncated=True),
        Prompt([expect(case, reference, "d", ["e"])]),
    ]


SPARE: dict[str, dict[str, Any]] = {"first": {}, "listwise": {"max_new_tokens": 7}}


def answer_of(case: Case) -> int:
    """The tokens of an answer, with SPARE."""
    return 1 if case.family == "first" else 7


# Every prefix of these has a token less
DOCS = ["7,8,9,1,2,3,4,5,6"[:n] for n in (17, 5, 9, 9, 1)]


@pytest.mark.parametrize("name", CASES)
def test_the_longest_passages_are_cut_to_one_length_that_fits(name: str, get_model: Callable) -> None:
    case = CASES[name]
    model = get_model(case.model)
    reference = FileTokenizer(model)
    pairs = [Pair("it", doc) for doc in DOCS]
    whole = len(expect(case, reference, "it", DOCS))
    tokenizer, settings = load(case, model, **SPARE[case.family])
    for over in range(sum(map(len, DOCS)) + 3):
        tokenizer.limit = whole - over + answer_of(case)
        made = ask(case, tokenizer, settings, pairs)
        caps = [cap for cap in range(1, 18) if sum(max(0, len(doc) - cap) for doc in DOCS) >= over]
        if caps:
            assert made == expect(case, reference, "it", [doc[: caps[-1]] for doc in DOCS])
            assert len(made) <= whole - over
        else:
            assert made is None


@pytest.mark.parametrize("name", CASES)
def test_no_window_is_above_its_room_whatever_its_texts(name: str, get_model: Callable) -> None:
    case = CASES[name]
    model = get_model(case.model)
    docs = [Pair("what is it?", (text + " ") * 8) for text in TEXTS][:20]
    least = len(expect(case, FileTokenizer(model), "what is it?", [""] * len(docs)))
    tokenizer, settings = load(case, model, **SPARE[case.family])
    for room in range(least + 2 * len(docs), least + 900, 270):
        tokenizer.limit = room + answer_of(case)
        made = ask(case, tokenizer, settings, docs)
        assert made and least <= len(made) <= room


def test_what_was_shortened_and_what_was_refused_is_said(get_model: Callable) -> None:
    model = get_model("qwen3")
    whole = len(expect(CASES["listwise"], FileTokenizer(model), "it", DOCS))
    seen = RERANKERS["listwise"].whole_query
    assert seen
    figures = {"windows": 1, "windows_partial": 0, "windows_unread": 0, "windows_shortened": 0}
    pairs = [Pair("it", doc) for doc in DOCS]
    for over, shortened in ((0, 0), (1, 1)):
        conversation = seen.rank(*load(CASES["listwise"], model, whole - over + 7, max_new_tokens=7), pairs)
        with pytest.raises(StopIteration) as end:
            next(conversation)
            conversation.send([Unscored("not asked")])
        assert end.value.value.figures == figures | {"windows_shortened": shortened, "windows_unread": 1}
    room = whole - sum(map(len, DOCS)) + 4
    with pytest.raises(StopIteration) as end:
        next(seen.rank(*load(CASES["listwise"], model, room + 7, max_new_tokens=7), pairs))
    assert end.value.value.figures == figures | {"windows_unread": 1}
    (reason,) = {*end.value.value.scores}
    assert reason == Unscored(f"a window does not fit: {whole} tokens, room for {room}")
