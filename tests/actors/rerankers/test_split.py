"""Prompts of one text in pieces: what comes of them is what the template and the tokenizer make of the whole text.

Expected ids are those of tokenizers.Tokenizer.from_file for the template rendered by Jinja itself with the texts in it.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jinja2
import pytest
import tokenizers
from tokenizers import AddedToken, decoders, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from actors.rerankers.bi_encoder import BiEncoder
from actors.rerankers.contract import Pair, Prompt
from actors.rerankers.lb import LB
from actors.rerankers.split import Messages, render_chat, split_template
from actors.rerankers.templates import fill_template
from actors.rerankers.tokenizer import DOC, QUERY, TRIM_END, TRIM_START, Tokenizer
from tests import tiny
from tests.actors.rerankers.byte_tokenizer import save_byte_tokenizer
from tests.awkward import ENDS, WRITTEN, pair_up

ASKED = [{"role": "system", "content": "Judge."}, {"role": "user", "content": f"<{QUERY}>\n{DOC}"}]
BORDERS = [{"role": "system", "content": QUERY}, {"role": "user", "content": f" {DOC}\n"}]
LAST = [{"role": "user", "content": f"{DOC}\n{QUERY}"}, {"role": "assistant", "content": "So:"}]

EACH = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ CONTENT }}<|im_end|>\n{% endfor %}<|im_start|>assistant\n"
MERGED = (  # as Llama 2's: the system message goes into the user's, and the two are trimmed as one
    "{% for m in messages if m.role != 'system' %}<s>[INST] "
    "{{ ((messages[0].content + '\n--\n' if messages[0].role == 'system' else '') + m.content).strip() }} [/INST]"
    "{% endfor %}"
)
GEMMAS = (  # as Gemma's: only the user's message is trimmed
    "{% set first = messages[0].content + '\n\n' if messages[0].role == 'system' else '' %}"
    "{% for m in messages if m.role != 'system' %}{{ first if loop.first }}{{ m.content | trim }}<|im_end|>{% endfor %}"
)
TEMPLATES = {
    "kept": EACH.replace("CONTENT", "m.content"),
    "trimmed": EACH.replace("CONTENT", "m.content | trim"),
    "right": EACH.replace("CONTENT", "m.content.rstrip()"),
    "left": EACH.replace("CONTENT", "m['content'].lstrip()"),
    "merged": MERGED,
    "gemmas": GEMMAS,
}


@pytest.fixture
def make_tokenizer(tmp_path: Path) -> Callable[[Any], Tokenizer]:
    """The byte tokenizer with another chat template."""

    def make(template: Any) -> Tokenizer:
        model = save_byte_tokenizer(tmp_path)
        about = json.loads((tmp_path / "tokenizer_config.json").read_text())
        (tmp_path / "tokenizer_config.json").write_text(json.dumps(about | {"chat_template": template}))
        return Tokenizer(LB(type="lb", model=model))

    return make


def whole(tokenizer: Tokenizer, template: str, messages: Messages, query: str, doc: str) -> list[int]:
    """The ids of the messages rendered with the texts in them."""
    filled = [m | {"content": m["content"].replace(QUERY, query).replace(DOC, doc)} for m in messages]
    return ids_of(tokenizer, jinja2.Environment().from_string(template).render(messages=filled))


def ids_of(tokenizer: Tokenizer, text: str) -> list[int]:
    file = Path(tokenizer.pretrained.name_or_path) / "tokenizer.json"
    return tokenizers.Tokenizer.from_file(str(file)).encode(text, add_special_tokens=False).ids


@pytest.mark.parametrize("messages", [ASKED, BORDERS, LAST], ids=["asked", "borders", "last"])
@pytest.mark.parametrize("template", TEMPLATES.values(), ids=TEMPLATES)
def test_a_chat_is_that_of_the_template_rendered_with_the_texts(
    template: str, messages: Messages, make_tokenizer: Callable
) -> None:
    tokenizer = make_tokenizer(template)
    pairs = [Pair(*texts) for texts in pair_up(ENDS + WRITTEN)]
    made = fill_template(tokenizer, render_chat(tokenizer, messages), pairs, 10**6)
    assert made == [Prompt([whole(tokenizer, template, messages, *pair[:2])]) for pair in pairs]


@pytest.mark.parametrize("doc", ["word \n" * 50, " \n\n x" * 60, "x\u3000" * 90])
def test_a_document_that_is_cut_is_trimmed_as_the_template_would(doc: str, make_tokenizer: Callable) -> None:
    tokenizer = make_tokenizer(TEMPLATES["trimmed"])
    least = len(whole(tokenizer, TEMPLATES["trimmed"], ASKED, "q", ""))
    cuts = {tuple(whole(tokenizer, TEMPLATES["trimmed"], ASKED, "q", doc[:n])) for n in range(len(doc))}
    for room in range(least, least + 30):
        (made,) = fill_template(tokenizer, render_chat(tokenizer, ASKED), [Pair("q", doc)], room)
        assert isinstance(made, Prompt) and made.truncated
        assert tuple(made.sequences[0]) in cuts and len(made.sequences[0]) <= room


USER = [{"role": "user", "content": f"{QUERY} {DOC}"}]
REFUSED: dict[str, tuple[Any, Messages, str]] = {
    "no system message": (
        "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}",
        ASKED,
        "its chat template does not take the messages: System role not supported",
    ),
    "roles in turn": (
        "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
        "{{ raise_exception('roles must\n alternate') }}{% endif %}{{ m.content }}{% endfor %}",
        ASKED,
        "its chat template does not take the messages: roles must alternate",
    ),
    "a name it lacks": (
        "{{ messages[0].content + bos_tokn }}",
        USER,
        "its chat template does not take the messages: 'bos_tokn' is undefined",
    ),
    "a mistake in it": (
        "{% for m in messages %}{{ m.content }",
        USER,
        "its chat template does not take the messages: unexpected '}'",
    ),
    "a mistake of Python": (
        "{{ messages[0].content + 1 }}",
        USER,
        "its chat template does not take the messages: can only concatenate str",
    ),
    "named ones": (
        [{"name": name, "template": "{{ messages[0].content }}"} for name in ("rag", "tool_use")],
        USER,
        "none of its chat templates ('rag', 'tool_use') is named 'default'",
    ),
    "none": (None, USER, "it has no chat template, which this reranker needs"),
    "upper case": ("{{ messages[0].content | upper }}", USER, "does more to the messages' texts than trim them"),
    "line breaks": ("{{ messages[0].content.strip('\n') }}", USER, "does more to the messages' texts than trim them"),
    "HTML": ("{{ messages[0].content | escape }}", USER, "does more to the messages' texts than trim them"),
    "thoughts": ("{{ messages[0].content.split('</think>')[-1] }}", USER, "does more to the messages' texts than"),
    "a message left out": (
        "{% for m in messages if m.role != 'system' %}{{ m.content }}{% endfor %}",
        ASKED,
        "its chat template leaves out the system message, or changes it",
    ),
}


@pytest.mark.parametrize(("template", "messages", "words"), REFUSED.values(), ids=REFUSED)
def test_a_chat_that_cannot_be_filled_later_is_refused_in_a_line(
    template: Any, messages: Messages, words: str, make_tokenizer: Callable
) -> None:
    with pytest.raises(ValueError) as caught:
        render_chat(make_tokenizer(template), messages)
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_of_named_templates_the_default_one_is_taken(make_tokenizer: Callable) -> None:
    named = [{"name": name, "template": name + "{{ messages[0].content }}"} for name in ("rag", "default")]
    assert render_chat(make_tokenizer(named), USER) == [f"default{QUERY} {DOC}"]


def test_a_template_is_its_special_tokens_and_the_texts_between(lb_tokenizer: Tokenizer) -> None:
    start, end = (lb_tokenizer.pretrained.get_added_vocab()[token] for token in ("<|im_start|>", "<|im_end|>"))
    user = f"user\n<{QUERY}>\n{DOC}"
    system, turn = [start, "system\nJudge.", end, "\n"], [start, user, end, "\n"]
    assert render_chat(lb_tokenizer, ASKED) == [*system, *turn, start, "assistant\n"]


@pytest.mark.parametrize("doc", ["a", "  a", "a\n\n", "\r\n a \t"])
def test_a_special_token_takes_the_whitespace_beside_it_where_its_flags_say_so(
    doc: str, save_tokenizer: Callable[..., str]
) -> None:
    """As Phi's do: also that of the texts."""
    pretrained = tiny.qwen2_tokenizer()
    phi = [AddedToken("<|user|>", rstrip=True, special=True), AddedToken("<|end|>", lstrip=True, special=True)]
    pretrained.add_tokens(phi, special_tokens=True)
    template = "{% for m in messages %}<|user|>\n{{ m.content }}\n<|end|>\n{% endfor %}"
    pretrained.chat_template = template
    tokenizer = Tokenizer(LB(type="lb", model=save_tokenizer(pretrained)))
    messages = [{"role": "user", "content": f"{DOC}\n{QUERY}"}]
    pieces = render_chat(tokenizer, messages)
    assert pieces[1] == f"{TRIM_START}{DOC}\n{QUERY}{TRIM_END}"
    made = fill_template(tokenizer, pieces, [Pair("q\n", doc)], 1000)
    assert made == [Prompt([whole(tokenizer, template, messages, "q\n", doc)])]


def metaspace_first(save: Callable[..., str], normalizer: Any = None, normalized: bool = False) -> Tokenizer:
    """Puts a space before the first text of a prompt only, as newer Llama 2, Mistral and T5 tokenizers do."""
    words = ["▁", "▁a", "a", "b", "▁Judge", "Judge", ".", "<", ">", ":", "▁yes", "yes"]
    pieces = ["<unk>", *(f"<0x{byte:02X}>" for byte in range(256)), *words]
    backend = tokenizers.Tokenizer(
        models.BPE(
            {piece: i for i, piece in enumerate(pieces)}, [], unk_token="<unk>", byte_fallback=True, ignore_merges=True
        )
    )
    backend.normalizer = normalizer
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Metaspace(prepend_scheme="first"), pre_tokenizers.Punctuation()]
    )
    backend.decoder = decoders.Metaspace()
    backend.add_special_tokens([AddedToken(t, normalized=normalized) for t in ("<|im_start|>", "<|im_end|>", "<s>")])
    pretrained = PreTrainedTokenizerFast(tokenizer_object=backend, chat_template=TEMPLATES["kept"])
    return Tokenizer(LB(type="lb", model=save(pretrained, model_type="llama")))


@pytest.mark.parametrize(
    "text", [f"a{DOC}<s>{QUERY}", f"<s>{DOC}<s><s>a {QUERY}:", f"{QUERY}<s> {DOC}", f"{QUERY} {DOC}"]
)
@pytest.mark.parametrize("doc", ["a", " a", "a \n", "Judge.", "b\r\n"])
def test_a_space_before_the_first_text_alone_is_not_put_before_others(
    text: str, doc: str, save_tokenizer: Callable[..., str]
) -> None:
    tokenizer = metaspace_first(save_tokenizer)
    made = fill_template(tokenizer, split_template(tokenizer, text), [Pair("yes", doc)], 1000)
    assert made == [Prompt([ids_of(tokenizer, text.replace(QUERY, "yes").replace(DOC, doc))])]


def test_a_template_that_cannot_be_tokenised_in_pieces_is_refused(save_tokenizer: Callable[..., str]) -> None:
    prepend = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer = metaspace_first(save_tokenizer, prepend, normalized=True)  # it is put before whole texts, then split
    with pytest.raises(ValueError, match=r"cannot take this template in pieces: .*<\{query\}>"):
        render_chat(tokenizer, ASKED)


def test_a_model_without_a_chat_template_is_refused(minilm: str) -> None:
    with pytest.raises(ValueError, match="has no chat template"):
        render_chat(Tokenizer(BiEncoder(type="bi_encoder", model=minilm)), ASKED)


def test_a_template_that_writes_the_date_writes_the_same_every_day(save_tokenizer: Callable[..., str]) -> None:
    pretrained = tiny.qwen2_tokenizer()
    pretrained.chat_template = "{{ strftime_now('%d %b %Y') }} {{ messages[0].content }}"
    tokenizer = Tokenizer(LB(type="lb", model=save_tokenizer(pretrained)))
    assert render_chat(tokenizer, [{"role": "user", "content": "x"}]) == ["01 Jan 2025 x"]
